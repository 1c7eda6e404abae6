//! `usher-bench size [N]`: exact sizes over the synthetic workload in both policies, beside croaring and roaring on the
//! same sets in the same process, and the sweep for the dead.
//!
//! Ours is the whole question but the parsing: names to ranks, the dead (none at the time of the questions), unknown
//! names. The others get bitmaps over the same ordinals, looked up beforehand, and the best operation that they have.
//! croaring allocates results: set `MALLOC_TRIM_THRESHOLD_` and `MALLOC_MMAP_THRESHOLD_` to large numbers for a malloc
//! that keeps its memory.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use roaring::{MultiOps as _, RoaringBitmap};
use usher_engine::ask::expr::Expr;
use usher_engine::ask::size::count;
use usher_index::{Overlay, Snapshot, Sweep, Tick, Time};

use crate::lookup::{Spread, met};
use crate::machine;
use crate::workload::{BASE_TIME, SEED, Workload};

mod indexes;

/// How often each question is measured; the middle counts.
const ROUNDS: usize = 9;
/// A measurement repeats its question until about this long has passed.
const MEASURE_NANOS: f64 = 2e6;
/// Popularity ranks, from 1, at which the sets begin.
const PLACES: [(&str, usize); 4] = [("popular", 1), ("upper-mid", 101), ("medium", 1_001), ("rare", 9_001)];
/// The sweep of hours is measured over so many visitors at most: it is linear.
const MAX_HOURLY_VISITORS: u64 = 1_000_000;
/// An `and` of sparse sets may lose to croaring by so much per million visitors, in the compact policy.
const MAX_LOSS_MICROS: f64 = 10.0;
/// A ratio above it is no loss in the fast policy: measurements of one thing differ as much.
const NOISE: f64 = 0.8;

/// A question over consecutive segments.
#[derive(Clone, Copy)]
enum Question {
    /// In all of so many.
    And(usize),
    /// In any of so many.
    Or(usize),
    /// In any of five and in any of five more, and not in one.
    OrAndOrAndNot,
}

impl Question {
    const ALL: [Self; 5] = [Self::And(2), Self::And(3), Self::Or(10), Self::Or(100), Self::OrAndOrAndNot];

    fn name(self) -> String {
        match self {
            Self::And(n) => format!("AND{n}"),
            Self::Or(n) => format!("OR{n}"),
            Self::OrAndOrAndNot => "(OR5 AND OR5) ANDNOT 1".into(),
        }
    }

    fn sets(self) -> usize {
        match self {
            Self::And(n) | Self::Or(n) => n,
            Self::OrAndOrAndNot => 11,
        }
    }

    fn expr(self, names: &[String]) -> Expr {
        let of = |names: &[String]| names.iter().cloned().map(Expr::Segment).collect();
        match self {
            Self::And(_) => Expr::And(of(names)),
            Self::Or(_) => Expr::Or(of(names)),
            Self::OrAndOrAndNot => {
                let without = Expr::Not(Box::new(Expr::Segment(names[10].clone())));
                Expr::And(vec![Expr::Or(of(&names[..5])), Expr::Or(of(&names[5..10])), without])
            }
        }
    }

    fn croaring(self, sets: &[croaring::Bitmap]) -> u64 {
        let union = |sets: &[croaring::Bitmap]| croaring::Bitmap::fast_or(&sets.iter().collect::<Vec<_>>());
        match self {
            Self::And(2) => sets[0].and_cardinality(&sets[1]),
            Self::And(_) => sets[0].and(&sets[1]).and_cardinality(&sets[2]),
            Self::Or(_) => union(sets).cardinality(),
            Self::OrAndOrAndNot => {
                let mut both = union(&sets[..5]);
                both.and_inplace(&union(&sets[5..10]));
                both.andnot_cardinality(&sets[10])
            }
        }
    }

    fn roaring(self, sets: &[RoaringBitmap]) -> u64 {
        match self {
            Self::And(2) => sets[0].intersection_len(&sets[1]),
            Self::And(_) => (&sets[0] & &sets[1]).intersection_len(&sets[2]),
            Self::Or(_) => sets.iter().union().len(),
            Self::OrAndOrAndNot => {
                let mut both = sets[..5].iter().union();
                both &= sets[5..10].iter().union();
                both.difference_len(&sets[10])
            }
        }
    }

    /// At least so many times as fast as croaring.
    fn goal(self, place: &str, visitors: u64) -> Option<f64> {
        let ten_million = visitors >= 10_000_000;
        match (self, place) {
            (Self::And(3), "popular") if ten_million => Some(2.8),
            (Self::Or(10), "popular") if ten_million => Some(1.4),
            (Self::Or(10), "medium") if ten_million => Some(4.0),
            (Self::Or(10), "rare") if ten_million => Some(9.0),
            (Self::Or(100), "upper-mid") => Some(1.8),
            (Self::OrAndOrAndNot, _) => Some(1.6),
            _ => None,
        }
    }
}

/// Prints the table. With `keep` the indexes are made in that folder, or used where they are there.
///
/// # Errors
/// When an index cannot be built, or two counts differ.
pub fn run(visitors: u64, work: &Path, keep: Option<&Path>, out: &mut dyn Write) -> Result<()> {
    let temporary = tempfile::Builder::new().prefix("usher-bench-").tempdir_in(work)?;
    let dir = keep.unwrap_or(temporary.path());
    std::fs::create_dir_all(dir)?;
    let snapshots = [indexes::daily(visitors, dir, out)?, indexes::fast(dir)?];
    let ranked: Vec<String> = Workload::new(SEED).ranked().iter().map(u16::to_string).collect();
    let busy = machine::Busy::now();
    let mut table = String::new();
    for (place, first) in PLACES {
        for question in Question::ALL {
            let names = &ranked[first - 1..first - 1 + question.sets()];
            let row = measure(&snapshots, question, names)?;
            row.print(question, place, visitors, &mut table)?;
        }
    }
    writeln!(out, "\n{}", machine::line(&busy))?;
    let keeps = std::env::var_os("MALLOC_TRIM_THRESHOLD_").is_some();
    writeln!(out, "malloc {}\n", if keeps { "keeps its memory" } else { "as shipped" })?;
    let memberships = snapshots[0].memberships();
    let bytes = snapshots.each_ref().map(|snapshot| {
        let bytes: u64 = snapshot.shards().iter().map(|shard| shard.image().len()).sum();
        bytes as f64 / memberships as f64
    });
    writeln!(
        out,
        "| {visitors} visitors, {memberships} memberships; us | compact (min-max) | fast (min-max) | croaring (min-max) | roaring | croaring / compact | croaring / fast | goal | |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---|---|")?;
    write!(out, "{table}")?;
    writeln!(out, "| bytes a membership, both directions | {:.3} | {:.3} | | | | | | |", bytes[0], bytes[1])?;
    sweep("day", &snapshots[0], 24, out)?;
    drop(snapshots);
    sweep("hour", &indexes::hourly(visitors.min(MAX_HOURLY_VISITORS), dir)?, 1, out)
}

struct Row {
    ours: [Spread; 2],
    croaring: Spread,
    roaring: Spread,
}

impl Row {
    fn print(&self, question: Question, place: &str, visitors: u64, into: &mut String) -> Result<()> {
        let spread = |s: &Spread| format!("{:.2} ({:.2}-{:.2})", s.median, s.min, s.max);
        let [compact, fast] = self.ours.map(|ours| self.croaring.median / ours.median);
        let goal = match question.goal(place, visitors) {
            Some(goal) => Some((format!(">= {goal}x"), compact >= goal)),
            None if matches!(question, Question::And(_)) && place != "popular" => {
                let loss = (self.ours[0].median - self.croaring.median) / (visitors as f64 / 1e6);
                let met = loss <= MAX_LOSS_MICROS && fast >= NOISE;
                Some((format!("loss {loss:.1} <= {MAX_LOSS_MICROS} us/M; fast >= {NOISE}x"), met))
            }
            None => None,
        };
        let (goal, verdict) = goal.map_or((String::new(), ""), |(goal, is_met)| (goal, met(is_met)));
        writeln!(
            into,
            "| {} {place} | {} | {} | {} | {:.2} | {compact:.2}x | {fast:.2}x | {goal} | {verdict} |",
            question.name(),
            spread(&self.ours[0]),
            spread(&self.ours[1]),
            spread(&self.croaring),
            self.roaring.median,
        )?;
        Ok(())
    }
}

fn measure(snapshots: &[Snapshot; 2], question: Question, names: &[String]) -> Result<Row> {
    let now = Time::from_unix(BASE_TIME as i64).context("a moment before 2106")?;
    let (expr, overlay) = (question.expr(names), Overlay::default());
    let sets: Vec<Vec<u32>> = names.iter().map(|name| ordinals(&snapshots[0], name)).collect::<Result<_>>()?;
    let cs: Vec<croaring::Bitmap> = sets.iter().map(|set| croaring::Bitmap::of(set)).collect();
    let rs: Vec<RoaringBitmap> = sets
        .iter()
        .map(|set| RoaringBitmap::from_sorted_iter(set.iter().copied()))
        .collect::<Result<_, _>>()
        .context("ordinals that ascend")?;
    let ours = |snapshot| count(snapshot, &overlay, &expr, now).map_or(u64::MAX, |count| count.visitors);
    let [compact, fast] = snapshots;
    let counts = [ours(compact), ours(fast), question.croaring(&cs), question.roaring(&rs)];
    ensure!(counts.iter().all(|count| *count == counts[0]), "{} of {}: counts {counts:?}", question.name(), names[0]);
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        times[0].push(micros(|| ours(compact)));
        times[1].push(micros(|| ours(fast)));
        times[2].push(micros(|| question.croaring(&cs)));
        times[3].push(micros(|| question.roaring(&rs)));
    }
    let [compact, fast, croaring, roaring] = times.map(Spread::of);
    Ok(Row { ours: [compact, fast], croaring, roaring })
}

/// Microseconds of one question, of as many as fit into the time of a measurement.
fn micros(mut question: impl FnMut() -> u64) -> f64 {
    let started = Instant::now();
    black_box(question());
    let once = started.elapsed().as_nanos().max(1) as f64;
    let repeat = (MEASURE_NANOS / once).clamp(1.0, 10_000.0) as u32;
    let started = Instant::now();
    for _ in 0..repeat {
        black_box(question());
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(repeat)
}

/// The members of a segment, counted through all shards.
fn ordinals(snapshot: &Snapshot, name: &str) -> Result<Vec<u32>> {
    let (mut all, mut first) = (Vec::new(), 0);
    for shard in snapshot.shards() {
        if let Some(rank) = shard.rank(name) {
            let mut start = first;
            for block in 0..shard.blocks() {
                shard.image().container(block, rank)?.each(|ordinal| all.push(start + u32::from(ordinal)));
                start += shard.block_len(block);
            }
        }
        first += shard.visitors();
    }
    Ok(all)
}

/// Prints the time to find the dead of one tick more, an hour or a day later each time, from a fresh index on.
fn sweep(codes: &str, snapshot: &Snapshot, hours: u32, out: &mut dyn Write) -> Result<()> {
    let start = snapshot.tick().floor(Time::from_unix(BASE_TIME as i64).context("a moment before 2106")?);
    let mut times = Vec::new();
    let mut sweeps: Vec<Sweep> = Vec::new();
    for shard in snapshot.shards() {
        sweeps.push(Sweep::new(shard.image(), start)?);
    }
    for round in 1..=ROUNDS as u32 {
        let tick = Tick::new(start.get() + round * hours);
        let started = Instant::now();
        let next: Result<Vec<_>, _> =
            snapshot.shards().iter().zip(&sweeps).map(|(shard, sweep)| sweep.at(shard.image(), tick)).collect();
        times.push(started.elapsed().as_secs_f64() * 1e3);
        sweeps = next?;
    }
    let Spread { median, min, max } = Spread::of(times);
    let (goal, verdict) = if hours == 1 { ("<= 20 ms per 30M memberships", median) } else { ("", 0.0) };
    let scaled = verdict * 30e6 / snapshot.memberships().max(1) as f64;
    let verdict = if hours == 1 { met(scaled <= 20.0) } else { "" };
    writeln!(
        out,
        "| sweep, {codes} codes, one {codes} later, one thread; **ms** | {median:.1} ({min:.1}-{max:.1}) | | | | | | {goal} | {verdict} |"
    )?;
    Ok(())
}
