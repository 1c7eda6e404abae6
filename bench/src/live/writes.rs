//! Opt-outs and rows by themselves.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::server::Host;
use super::{Cast, NEVER, PATIENCE, Plan, Table, opt_out, quantile, spread};
use crate::client::{Load, Protocol};
use crate::lookup::{Index, Spread, now};
use crate::rng::Rng;
use crate::serve::answer::APPEND_BYTES;
use crate::wire::{Wire, get, post};
use crate::workload::SEED;

/// The durable opt-out may take so many times as long as that.
const GOAL_TIMES: f64 = 3.0;
/// Callers that opt out, or send single rows, at once.
const CALLERS: usize = 64;
/// Opt-outs a second.
const GOAL_OPT_OUTS: f64 = 5_000.0;
/// Callers that send many rows at a time.
const ROW_CALLERS: usize = 4;
/// Rows of such a request.
const ROWS: usize = 1_000;
/// Different requests of such a caller.
const BODIES: usize = 50;
/// Rows whose visibility is looked at, a round.
const LOOKS: usize = 40;
/// Within this a row is visible.
const GOAL_VISIBLE_MILLIS: f64 = 1_000.0;
/// Where rows are sent.
const ROUTE: &str = "/v1/memberships?source=synthetic";

/// One caller beside a bare append and flush, in turns; then many callers.
pub(super) fn opt_outs(index: &Index, plan: &Plan, cast: &Cast, table: &mut Table) -> Result<()> {
    let host = Host::start(index, plan, now(), NEVER)?;
    let (mut wire, mut ids) = (Wire::open(host.address, PATIENCE)?, cast.leaving().iter().cycle());
    let mut file = File::create(host.data.with_extension("append"))?;
    let (mut ours, mut bare) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for _ in 0..plan.rounds[0] {
        let (mut round, mut floor) = (Vec::new(), Vec::new());
        for id in ids.by_ref().take(plan.opt_outs) {
            let began = Instant::now();
            file.write_all(&[7; APPEND_BYTES])?;
            file.sync_data()?;
            floor.push(began.elapsed().as_secs_f64() * 1e3);
            let began = Instant::now();
            wire.send(&opt_out(id))?;
            let status = wire.answer()?.status;
            round.push(began.elapsed().as_secs_f64() * 1e3);
            ensure!(status == 204, "an opt-out was answered with {status}");
            wire.send(&get(&format!("/v1/visitors/{id}/segments")))?;
            let answer = String::from_utf8(wire.answer()?.body)?;
            ensure!(answer.contains("opted_out"), "not in force in the next lookup: {answer}");
        }
        for (values, all) in [(&mut round, &mut ours), (&mut floor, &mut bare)] {
            values.sort_unstable_by(f64::total_cmp);
            all.iter_mut().zip([0.5, 0.99]).for_each(|(at, share)| at.push(quantile(values, share)));
        }
    }
    for ((ours, bare), (name, goal)) in ours.into_iter().zip(bare).zip([("p50", false), ("p99", true)]) {
        let (ours, bare) = (Spread::of(ours), Spread::of(bare));
        let times = ours.median / bare.median;
        table.line(
            &format!("durable opt-out, one caller, {name}; ms"),
            &spread(&ours, 3),
            &format!("4 KiB append + fdatasync {}: {times:.2}x", spread(&bare, 3)),
            goal.then_some((&format!("<= {GOAL_TIMES}x"), times <= GOAL_TIMES)),
        );
    }
    let rates = rates(&host, plan, &cast.leaving().iter().map(opt_out).collect::<Vec<_>>())?;
    table.line(
        &format!("opt-outs a second, {CALLERS} callers"),
        &spread(&rates, 0),
        "",
        Some((&format!(">= {GOAL_OPT_OUTS:.0}"), rates.median >= GOAL_OPT_OUTS)),
    );
    host.stop();
    Ok(())
}

/// Requests a second of many callers.
fn rates(host: &Host, plan: &Plan, requests: &[Vec<u8>]) -> Result<Spread> {
    let mut rates = Vec::new();
    for requests in requests.chunks(requests.len().div_ceil(plan.rounds[0])) {
        let load = Load { address: host.address, protocol: Protocol::Http, requests, connections: CALLERS, depth: 1 };
        let outcome = load.run(plan.round)?;
        rates.push(outcome.answers as f64 / outcome.seconds);
    }
    Ok(Spread::of(rates))
}

/// Rows a second, many at a time and one by one.
pub(super) fn rows(index: &Index, plan: &Plan, cast: &Cast, table: &mut Table) -> Result<()> {
    let host = Host::start(index, plan, now(), NEVER)?;
    let mut rng = Rng::new(SEED);
    let bodies = |rng: &mut Rng| (0..BODIES).map(|_| post(ROUTE, &cast.rows(rng, ROWS))).collect::<Vec<_>>();
    let callers: Vec<Vec<Vec<u8>>> = (0..ROW_CALLERS).map(|_| bodies(&mut rng)).collect();
    let mut per_second = Vec::new();
    for _ in 0..plan.rounds[0] {
        let began = Instant::now();
        let requests: u64 = std::thread::scope(|scope| {
            let (host, round) = (&host, plan.round);
            let threads: Vec<_> = callers.iter().map(|bodies| scope.spawn(move || send(host, bodies, round))).collect();
            let sent = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a caller panicked")));
            sent.sum::<Result<u64>>()
        })?;
        per_second.push((requests * ROWS as u64) as f64 / began.elapsed().as_secs_f64());
    }
    let what = format!("live rows a second, {ROW_CALLERS} callers, {ROWS} a request");
    table.line(&what, &spread(&Spread::of(per_second), 0), "", None);
    let singles: Vec<Vec<u8>> = (0..BODIES * ROWS).map(|_| post(ROUTE, &cast.rows(&mut rng, 1))).collect();
    let rates = rates(&host, plan, &singles)?;
    table.line(&format!("requests of one row a second, {CALLERS} callers"), &spread(&rates, 0), "", None);
    host.stop();
    Ok(())
}

/// One caller, as fast as it is answered; requests.
fn send(host: &Host, bodies: &[Vec<u8>], duration: Duration) -> Result<u64> {
    let (mut wire, began, expected) =
        (Wire::open(host.address, PATIENCE)?, Instant::now(), format!(r#"{{"taken":{ROWS},"refused":{{}}}}"#));
    for (sent, body) in (0..).zip(bodies.iter().cycle()) {
        if began.elapsed() >= duration {
            return Ok(sent);
        }
        wire.send(body)?;
        let answer = String::from_utf8(wire.answer()?.body)?;
        ensure!(answer == expected, "rows were answered with {answer}");
    }
    Ok(0)
}

/// From the acknowledgement of a row until a lookup and a size have shown it: the first ones must.
pub(super) fn visible(index: &Index, plan: &Plan, cast: &Cast, table: &mut Table) -> Result<()> {
    let host = Host::start(index, plan, now(), NEVER)?;
    let mut wire = Wire::open(host.address, PATIENCE)?;
    let mut took = [const { Vec::new() }; 2];
    for (number, id) in cast.all.iter().take(LOOKS * plan.rounds[0]).enumerate() {
        let segment = format!("live.{number}");
        wire.send(&post(ROUTE, &format!(r#"{{"visitor":"{id}","segment":"{segment}","ttl":"30d"}}"#)))?;
        let answer = String::from_utf8(wire.answer()?.body)?;
        ensure!(answer.starts_with(r#"{"taken":1,"#), "a row was answered with {answer}");
        let began = Instant::now();
        let looks = [
            (get(&format!("/v1/visitors/{id}/segments")), format!(r#""{segment}""#)),
            (post("/v1/size", &format!(r#"{{"expression":"{segment}","exact":true}}"#)), r#""exact":1}"#.to_owned()),
        ];
        for ((request, expected), took) in looks.into_iter().zip(&mut took) {
            wire.send(&request)?;
            let answer = String::from_utf8(wire.answer()?.body)?;
            ensure!(answer.contains(&expected), "an acknowledged row is not there at once: {answer}");
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    for (name, took) in ["a lookup", "a lookup and then a size"].into_iter().zip(took) {
        let took = Spread::of(took);
        table.line(
            &format!("from acknowledged to shown by {name}, the first one asked; ms"),
            &spread(&took, 2),
            "",
            Some(("<= 1,000", took.max <= GOAL_VISIBLE_MILLIS)),
        );
    }
    host.stop();
    Ok(())
}
