//! Lookalikes over synthetic visitors: the time to a first curve, and that of choosing an audience from everybody.

use std::collections::HashSet;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use usher_engine::ask::lookalike::{Method, Population, Seed, Trained, Wanted, train};
use usher_index::{Overlay, Pid, Snapshot, Time};

use crate::lookup::{Index, Place, Spread, met, now};
use crate::machine;
use crate::workload::{BASE_TIME, SEED, Workload};

const DAY_SECONDS: i64 = 86_400;
/// Visitors of a seed.
const SEED_VISITORS: usize = 5_000;
/// Who has so many of the segments of these popularity ranks is like the seed; half of them at most are it.
const LIKE: (usize, std::ops::Range<usize>) = (4, 20..60);
/// Times that everything is measured.
const ROUNDS: usize = 7;
/// The reach of the audience.
const REACH: f64 = 0.05;
/// How far the curve of a sample may be from the truth before its speed means nothing.
const OFF: f64 = 0.05;
/// The goals: milliseconds to a curve, nanoseconds a membership on one core.
const GOALS: (f64, f64) = (60.0, 2.0);

/// Prints milliseconds to the first curve, and nanoseconds a membership of choosing on one core.
///
/// # Errors
/// When the index cannot be built, or the curve is not that of the audience.
pub fn run(visitors: u64, place: &Place, out: &mut dyn Write) -> Result<()> {
    let index = place.index(visitors, out)?;
    let snapshot = index.open()?;
    let (seed, others) = seed(&index, visitors)?;
    let at = Time::from_unix(now()).context("before 2106")?;
    let overlay = Overlay::default();
    // Who is dead is known before anybody asks.
    let population = Population::new(&snapshot, &overlay, &[], at)?;
    let busy = machine::Busy::now();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut rows = String::new();
    for (method, name) in [(Method::Iv, "iv"), (Method::Pairs, "pairs")] {
        let first = measure(|| first_curve(&snapshot, &overlay, at, &seed, method))?;
        let Trained { model, curve, .. } = first.1;
        let goal = met(first.0.median <= GOALS.0);
        rows += &format!("| first curve, {name}; ms | {} | <= {} | {goal} |\n", shown(first.0), GOALS.0);
        let (alone, chosen) = one.install(|| measure(|| Ok(model.choose(&population, Wanted::Reach(REACH))?)))?;
        let nanos = |ms: f64| ms * 1e6 / population.memberships() as f64;
        let each = Spread { median: nanos(alone.median), min: nanos(alone.min), max: nanos(alone.max) };
        let goal = met(each.median <= GOALS.1);
        rows += &format!(
            "| audience chosen, {name}, one core; ns a membership | {} | <= {} | {goal} |\n",
            shown(each),
            GOALS.1
        );
        let of: HashSet<Pid> = chosen.pids.into_iter().collect();
        let truth = others.iter().filter(|pid| of.contains(pid)).count() as f64 / others.len().max(1) as f64;
        let point = curve.points.iter().find(|point| point.reach == REACH).context("a point of the curve")?;
        ensure!((point.recall - truth).abs() < OFF, "{name}: the curve says {}, the truth is {truth}", point.recall);
        rows +=
            &format!("| recall at 5 % reach, {name}: the curve, the truth | {:.3}, {truth:.3} | | |\n", point.recall);
    }
    writeln!(out, "\n{}\n", machine::line(&busy))?;
    let memberships = population.memberships();
    writeln!(
        out,
        "| {visitors} visitors, {memberships} live memberships, a seed of {} | median (min-max) | goal | |",
        seed.len()
    )?;
    writeln!(out, "|---|---:|---|---|")?;
    out.write_all(rows.as_bytes())?;
    Ok(())
}

fn first_curve(snapshot: &Snapshot, overlay: &Overlay, at: Time, seed: &[Pid], method: Method) -> Result<Trained> {
    let population = Population::new(snapshot, overlay, &[], at)?;
    Ok(train(&population, &Seed::new(&population, seed)?, method)?)
}

/// Milliseconds, and what came of the last time.
fn measure<T>(mut work: impl FnMut() -> Result<T>) -> Result<(Spread, T)> {
    let (mut times, mut last) = (Vec::new(), None);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        last = Some(work()?);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok((Spread::of(times), last.context("at least one round")?))
}

fn shown(spread: Spread) -> String {
    format!("{:.2} ({:.2}-{:.2})", spread.median, spread.min, spread.max)
}

/// A seed, and who else is like it.
fn seed(index: &Index, visitors: u64) -> Result<(Vec<Pid>, Vec<Pid>)> {
    let (mut workload, mut like) = (Workload::new(SEED), Vec::new());
    let alike: HashSet<u16> = workload.ranked()[LIKE.1].iter().copied().collect();
    let live = |day: u8| BASE_TIME as i64 + i64::from(day) * DAY_SECONDS > now();
    for _ in 0..visitors {
        let visitor = workload.visitor();
        let has = visitor.memberships.iter().filter(|(segment, day)| live(*day) && alike.contains(segment));
        if has.count() >= LIKE.0 {
            like.push(index.pid(&visitor.id)?);
        }
    }
    let others = like.split_off(like.len().min(2 * SEED_VISITORS) / 2);
    Ok((like, others))
}
