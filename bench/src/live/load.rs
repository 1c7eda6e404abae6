//! Lookups at half the peak, first by themselves, then while everything happens at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::server::Host;
use super::{Cast, PATIENCE, Plan, Table, opt_out, quantile, spread};
use crate::client::{Load, Protocol};
use crate::lookup::{Index, Spread, now};
use crate::rng::Rng;
use crate::serve::seconds_of;
use crate::wire::{Wire, get, post};
use crate::workload::SEED;

/// Connections of lookups.
const CONNECTIONS: usize = 50;
/// A rate that nobody keeps up with.
const ALL_THE_TIME: u32 = 1_000_000;
/// Rounds of the peak.
const PEAK_ROUNDS: usize = 5;
/// Rows of a request, and requests a second.
const ROWS: [usize; 2] = [100, 100];
/// Opt-outs a second, and callers.
const OPT_OUTS: [usize; 2] = [1_000, 16];
/// Sizes a second.
const SIZES: u32 = 20;
/// The size that is asked for.
const QUESTION: &str = r#"{"expression":"(\"10500\" or \"10501\") and not \"12000\"","exact":true}"#;
/// How long a server is left alone before it is measured.
const REST: Duration = Duration::from_secs(1);
/// The goal of the 99.9th percentile.
const GOAL_MICROS: f64 = 3_000.0;
/// The quantiles of the latencies.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
/// Where rows are sent.
const ROUTE: &str = "/v1/memberships?source=synthetic";

/// What one stretch of the load showed, by quantile; processor shares of server and client.
#[derive(Default)]
struct Stretch {
    micros: [Vec<f64>; 4],
    shares: [Vec<f64>; 2],
    /// The longest and the middle size, in milliseconds.
    sizes: [Vec<f64>; 2],
    /// What happened: rows taken, opt-outs, generations published, ticks begun.
    happened: [Vec<f64>; 4],
}

/// Measures the peak, and then lookups at half of it.
pub(super) fn run(index: &Index, plan: &Plan, cast: &Cast, table: &mut Table) -> Result<()> {
    let mut ids = cast.all.clone();
    Rng::new(SEED).shuffle(&mut ids);
    let requests: Vec<Vec<u8>> = ids.iter().map(|id| get(&format!("/v1/visitors/{id}/segments"))).collect();
    let peak = peak(index, plan, &requests)?;
    let rate = plan.rate.unwrap_or((peak.median / 2.0) as u32);
    table.line(&format!("lookups a second, {CONNECTIONS} connections: the peak"), &spread(&peak, 0), "", None);
    let (mut alone, mut among) = (Stretch::default(), Stretch::default());
    for _ in 0..plan.rounds[1] {
        round(index, plan, cast, &Load { requests: &requests, ..load() }, rate, &mut alone, &mut among)?;
    }
    let one = |values: &Vec<f64>, decimals| spread(&Spread::of(values.clone()), decimals);
    for (((name, share), among), alone) in QUANTILES.into_iter().zip(&among.micros).zip(&alone.micros) {
        let median = Spread::of(among.clone()).median;
        table.line(
            &format!("lookups at {rate} a second among changes, {name}; us"),
            &one(among, 0),
            &format!("alone {}", one(alone, 0)),
            (share == 0.999).then_some((&format!("<= {GOAL_MICROS:.0}"), median <= GOAL_MICROS)),
        );
    }
    for ((name, among), alone) in ["server", "client"].into_iter().zip(&among.shares).zip(&alone.shares) {
        table.line(
            &format!("{name}'s share of the machine's processor time; %"),
            &one(among, 0),
            &format!("alone {}", one(alone, 0)),
            None,
        );
    }
    for (name, sizes) in ["the longest", "the middle one"].into_iter().zip(&among.sizes) {
        table.line(&format!("sizes meanwhile, {SIZES} a second, {name}; ms"), &one(sizes, 2), "", None);
    }
    let names = ["rows taken", "opt-outs", "generations published", "ticks begun"];
    for (name, counts) in names.into_iter().zip(&among.happened) {
        table.line(&format!("meanwhile: {name}"), &one(counts, 0), "", None);
    }
    Ok(())
}

/// A load without an address or requests yet.
fn load() -> Load<'static> {
    let address = ([127, 0, 0, 1], 0).into();
    Load { address, protocol: Protocol::Http, requests: &[], connections: CONNECTIONS, depth: 1 }
}

/// The most that the same client gets answered: it is due all the time, and shares the machine with the server.
fn peak(index: &Index, plan: &Plan, requests: &[Vec<u8>]) -> Result<Spread> {
    let host = Host::start(index, plan, now(), PATIENCE)?;
    std::thread::sleep(REST);
    let load = Load { address: host.address, requests, ..load() };
    let mut rates = Vec::new();
    for _ in 0..PEAK_ROUNDS {
        let began = Instant::now();
        let answers = load.run_at(ALL_THE_TIME, plan.round / 2)?.len();
        rates.push(answers as f64 / began.elapsed().as_secs_f64());
    }
    host.stop();
    Ok(Spread::of(rates))
}

/// A fresh server; its clock passes the border of a tick, at which a ninetieth of all memberships end, among the changes.
fn round(
    index: &Index,
    plan: &Plan,
    cast: &Cast,
    lookups: &Load<'_>,
    rate: u32,
    alone: &mut Stretch,
    among: &mut Stretch,
) -> Result<()> {
    let lead = REST + plan.load[0] + plan.border;
    let host = Host::start(index, plan, now() - lead.as_secs() as i64, plan.fold)?;
    std::thread::sleep(REST);
    let lookups = Load { address: host.address, ..*lookups };
    stretch(&host, &lookups, rate, plan.load[0], alone)?;
    let (duration, stop) = (plan.load[1], AtomicBool::new(false));
    std::thread::scope(|scope| {
        let rows = scope.spawn(|| stream(&host, cast, &stop));
        let storm = scope.spawn(|| storm(&host, cast, duration));
        let sizes = scope.spawn(|| ask_sizes(&host, &stop));
        let measured = stretch(&host, &lookups, rate, duration, among);
        stop.store(true, Ordering::Relaxed);
        measured?;
        let [took, generations, ticks] = sizes.join().unwrap_or_else(|_| bail!("the planner panicked"))?;
        let rows = rows.join().unwrap_or_else(|_| bail!("the stream of rows panicked"))?;
        let leaving = storm.join().unwrap_or_else(|_| bail!("the storm panicked"))?;
        let began = [rows, leaving, generations[0], ticks[0]];
        ensure!(generations[0] > 0.0, "nothing was published in {duration:?}");
        ensure!(ticks[0] > 0.0, "no tick began in {duration:?}");
        among.happened.iter_mut().zip(began).for_each(|(all, count)| all.push(count));
        among.sizes.iter_mut().zip([1.0, 0.5]).for_each(|(all, share)| all.push(quantile(&took, share)));
        Ok(())
    })?;
    host.stop();
    Ok(())
}

fn stretch(host: &Host, lookups: &Load<'_>, rate: u32, duration: Duration, into: &mut Stretch) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
    let used = || Ok::<_, anyhow::Error>([host.seconds()?, seconds_of(std::process::id())?]);
    let (began, before) = (Instant::now(), used()?);
    let sorted = lookups.run_at(rate, duration)?;
    let whole = began.elapsed().as_secs_f64() * cores;
    for ((shares, after), before) in into.shares.iter_mut().zip(used()?).zip(before) {
        shares.push((after - before) / whole * 100.0);
    }
    into.micros.iter_mut().zip(QUANTILES).for_each(|(all, (_, share))| all.push(quantile(&sorted, share)));
    Ok(())
}

/// Sends rows at fixed moments until it is told to stop; how many were taken.
fn stream(host: &Host, cast: &Cast, stop: &AtomicBool) -> Result<f64> {
    let (mut wire, mut rng) = (Wire::open(host.address, PATIENCE)?, Rng::new(SEED));
    let [rows, requests] = ROWS;
    let expected = format!(r#"{{"taken":{rows},"refused":{{}}}}"#);
    let (began, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        wire.send(&post(ROUTE, &cast.rows(&mut rng, rows)))?;
        let answer = String::from_utf8(wire.answer()?.body)?;
        ensure!(answer == expected, "rows were answered with {answer}");
        sent += 1;
        rest(began + Duration::from_secs(sent) / requests as u32);
    }
    Ok((sent as usize * rows) as f64)
}

/// Visitors opt out at fixed moments; how many did.
fn storm(host: &Host, cast: &Cast, duration: Duration) -> Result<f64> {
    let [rate, connections] = OPT_OUTS;
    let requests: Vec<Vec<u8>> = cast.leaving().iter().map(opt_out).collect();
    let load = Load { address: host.address, requests: &requests, connections, ..load() };
    Ok(load.run_at(rate as u32, duration)?.len() as f64)
}

/// Asks for sizes until it is told to stop: how long each took (ascending), the generations published, the ticks begun.
fn ask_sizes(host: &Host, stop: &AtomicBool) -> Result<[Vec<f64>; 3]> {
    let question = post("/v1/size", QUESTION);
    let mut wire = Wire::open(host.address, PATIENCE)?;
    let (mut took, mut generations, mut hours) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let (began, mut asked) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        wire.send(&question)?;
        let answer = wire.answer()?;
        took.push(sent.elapsed().as_secs_f64() * 1e3);
        generations.insert(answer.header("usher-generation").context("no generation")?.to_owned());
        let body = String::from_utf8(answer.body)?;
        let (_, as_of) = body.split_once(r#""as_of":""#).with_context(|| format!("no size: {body}"))?;
        hours.insert(as_of.chars().take("2027-01-15T08".len()).collect::<String>());
        asked += 1;
        rest(began + Duration::from_secs(asked) / SIZES);
    }
    took.sort_unstable_by(f64::total_cmp);
    let later = |seen: usize| vec![seen as f64 - 1.0];
    Ok([took, later(generations.len()), later(hours.len())])
}

fn rest(until: Instant) {
    if let Some(wait) = until.checked_duration_since(Instant::now()) {
        std::thread::sleep(wait);
    }
}
