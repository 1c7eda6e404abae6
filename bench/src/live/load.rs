//! Lookups at half the peak: by themselves, beside each kind of change, and while everything happens at once.
//!
//! The server has one core for all that it does, and the client the other one: lookups and changes come from a single
//! thread that never sleeps ([`crate::open`]). What the machine itself leaves of the goal is shown by the same lookups
//! sent to a server that has one answer and nothing else to do.

use std::cell::RefCell;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::scenes::{GOAL_MICROS, Happened, Measured, QUANTILES, SCENES, Scene, Seen};
use super::server::Host;
use super::{Cast, NEVER, Plan, opt_out, spread};
use crate::client::{Load, Protocol};
use crate::lookup::{Index, Spread, now};
use crate::machine::stolen;
use crate::open::{self, Stream};
use crate::rng::Rng;
use crate::serve::{CORES, Child, listening, mean_answer, on_core, stay_on};
use crate::wire::{get, post};
use crate::workload::SEED;

/// Connections of lookups.
const CONNECTIONS: usize = 50;
/// Rounds of the peak.
const PEAK_ROUNDS: usize = 5;
/// Rows of a request, requests a second, and different requests.
const ROWS: [usize; 3] = [100, 50, 1_000];
/// Opt-outs a second, and callers.
const OPT_OUTS: [usize; 2] = [500, 16];
/// Sizes a second, and callers: one alone would wait for itself. (Who sends rows waits for each answer: more of them than
/// a core has time for are turned away.)
const SIZES: [usize; 2] = [20, 4];
/// Flushes a second beside a static answer, of 4 KiB each: as many as so many opt-outs take at most, two each.
const FLUSHES: usize = 2 * OPT_OUTS[0];
/// The size that is asked for.
const QUESTION: &str = r#"{"expression":"(\"10500\" or \"10501\") and not \"12000\"","exact":true}"#;
/// How long a server is left alone before it is measured.
const REST: Duration = Duration::from_secs(1);
/// A scene goes on for so long after what it is about has happened.
const AFTERMATH: Duration = Duration::from_secs(1);
/// Where rows are sent.
const ROUTE: &str = "/v1/memberships?source=synthetic";

/// What is sent.
struct Requests {
    lookups: Vec<Vec<u8>>,
    rows: Vec<Vec<u8>>,
    opt_outs: Vec<Vec<u8>>,
    size: [Vec<u8>; 1],
}

impl Requests {
    fn new(cast: &Cast) -> Self {
        let (mut ids, mut rng) = (cast.all.clone(), Rng::new(SEED));
        rng.shuffle(&mut ids);
        let [rows, _, different] = ROWS;
        Self {
            lookups: ids.iter().map(|id| get(&format!("/v1/visitors/{id}/segments"))).collect(),
            rows: (0..different).map(|_| post(ROUTE, &cast.rows(&mut rng, rows))).collect(),
            opt_outs: cast.leaving().iter().map(opt_out).collect(),
            size: [post("/v1/size", QUESTION)],
        }
    }
}

/// Measures the peak, and then every scene at half of it.
pub(super) fn run(index: &Index, plan: &Plan, cast: &Cast, out: &mut dyn Write) -> Result<()> {
    let core = plan.server.as_ref().and_then(|_| stay_on(CORES[1]).then_some(CORES[0]));
    let plan = &Plan { core, ..plan.clone() };
    let requests = Requests::new(cast);
    let (peak, size) = peak(index, plan, &requests)?;
    let rate = plan.rate.unwrap_or((peak.median / 2.0) as u32);
    let apart = core.map_or("server and client share the machine", |_| "a core for the server, one for the client");
    writeln!(out, "\n{CONNECTIONS} connections, {apart}; the peak: {} lookups a second\n", spread(&peak, 0))?;
    write!(out, "| {} visitors, {rate} lookups a second; us from the scheduled moment ", plan.visitors)?;
    QUANTILES.iter().try_for_each(|(name, _)| write!(out, "| {name} "))?;
    writeln!(
        out,
        "| p99.9 of those without a halt of the client | these are; % | server's processor time; % | the client's longest halt | stolen from the server's core; ms | s | p99.9 <= {GOAL_MICROS:.0} |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|")?;
    if let Some(program) = &plan.server {
        for (flushes, beside) in [(0, "alone".to_owned()), (FLUSHES, format!("beside {FLUSHES} bare flushes a second"))]
        {
            let mut seen = Seen::default();
            for _ in 0..plan.rounds[1] {
                let mut command = on_core(plan.core, program.as_os_str());
                // Where the servers of the scenes have their folders.
                command.current_dir(std::path::absolute(&index.path)?.parent().context("the folder of the index")?);
                let (child, address) = listening(command, &["answer", &size.to_string(), &flushes.to_string()])?;
                idle(&child, address, plan, &requests, rate, &mut seen)?;
            }
            writeln!(out, "| a static answer of hyper, {beside} {}", seen.line())?;
            out.flush()?;
        }
    }
    let mut last = String::new();
    for scene in SCENES {
        let mut seen = Seen::default();
        for _ in 0..plan.rounds[1] {
            round(index, plan, scene, &requests, rate, &mut seen)?;
        }
        writeln!(out, "| {} {}", scene.name, seen.line())?;
        out.flush()?;
        last = seen.meanwhile();
    }
    writeln!(out, "\nmeanwhile, in the last of them: {last}")?;
    Ok(())
}

fn load(address: SocketAddr, requests: &[Vec<u8>], connections: usize) -> Load<'_> {
    Load { address, protocol: Protocol::Http, requests, connections, depth: 1 }
}

/// The most that the same server answers the same number of connections, and the mean size of its answers.
fn peak(index: &Index, plan: &Plan, requests: &Requests) -> Result<(Spread, usize)> {
    let host = Host::start(index, plan, now(), NEVER)?;
    let size = mean_answer(host.address, &requests.lookups)?;
    std::thread::sleep(REST);
    let load = load(host.address, &requests.lookups, CONNECTIONS);
    let mut rates = Vec::new();
    for _ in 0..PEAK_ROUNDS {
        let outcome = load.run(plan.round / 2)?;
        rates.push(outcome.answers as f64 / outcome.seconds);
    }
    host.stop();
    Ok((Spread::of(rates), size))
}

/// A round with a server that has one answer and nothing else to do.
fn idle(
    server: &Child,
    address: SocketAddr,
    plan: &Plan,
    requests: &Requests,
    rate: u32,
    seen: &mut Seen,
) -> Result<()> {
    std::thread::sleep(REST);
    let mut streams = [Stream { load: load(address, &requests.lookups, CONNECTIONS), rate, heed: &mut |_| Ok(()) }];
    let measured = measure(&mut streams, || server.seconds(), &mut |elapsed| elapsed < plan.load)?;
    seen.add(&measured, None);
    Ok(())
}

/// Sends while `go` says so.
fn measure(
    streams: &mut [Stream<'_>],
    seconds: impl Fn() -> Result<f64>,
    go: &mut dyn FnMut(Duration) -> bool,
) -> Result<Measured> {
    let spent = || Ok::<_, anyhow::Error>([seconds()?, stolen(CORES[0]).unwrap_or(f64::NAN)]);
    let (before, mut whole) = (spent()?, Duration::ZERO);
    let heard = open::run(streams, &mut |elapsed| {
        whole = elapsed;
        go(elapsed)
    })?;
    let after = spent()?;
    Ok(Measured { heard, used: after[0] - before[0], stolen: after[1] - before[1], whole })
}

/// A fresh server, until what the scene is about has happened.
fn round(index: &Index, plan: &Plan, scene: Scene, requests: &Requests, rate: u32, seen: &mut Seen) -> Result<()> {
    let lead = if scene.tick { REST + plan.border } else { Duration::ZERO };
    let fold = if scene.fold { plan.fold } else { NEVER };
    let host = Host::start(index, plan, now() - lead.as_secs() as i64, fold)?;
    std::thread::sleep(REST);
    let happened = RefCell::new(Happened::default());
    let mut lookup = |answer: &[u8]| happened.borrow_mut().lookup(answer);
    let mut row = |answer: &[u8]| happened.borrow_mut().rows(answer, ROWS[0]);
    let mut leave = |_: &[u8]| happened.borrow_mut().opt_out();
    let mut size = |answer: &[u8]| happened.borrow_mut().size(answer);
    let to = |requests, connections| load(host.address, requests, connections);
    let mut streams = vec![Stream { load: to(&requests.lookups, CONNECTIONS), rate, heed: &mut lookup }];
    if scene.rows {
        // Rows are turned away before a lookup or an opt-out is.
        let load = Load { protocol: Protocol::HttpOrBusy, ..to(&requests.rows, 1) };
        streams.push(Stream { load, rate: ROWS[1] as u32, heed: &mut row });
    }
    // A fold needs a reason.
    if scene.opt_outs || scene.fold {
        let [rate, callers] = if scene.opt_outs { OPT_OUTS } else { [1, 1] };
        streams.push(Stream { load: to(&requests.opt_outs, callers), rate: rate as u32, heed: &mut leave });
    }
    if scene.sizes {
        let [rate, callers] = SIZES;
        streams.push(Stream { load: to(&requests.size, callers), rate: rate as u32, heed: &mut size });
    }
    let mut end = None;
    let measured = measure(&mut streams, || host.seconds(), &mut |elapsed| {
        let has_ticked = !scene.tick || elapsed >= plan.border;
        if end.is_none() && has_ticked && (!scene.fold || happened.borrow().is_published) {
            end = Some((elapsed + AFTERMATH).max(plan.load));
        }
        elapsed < end.unwrap_or(plan.longest)
    })?;
    host.stop();
    ensure!(end.is_some(), "{}: it did not happen within {:?}", scene.name, plan.longest);
    let happened = happened.into_inner();
    ensure!(!scene.sizes || happened.hours.len() > 1, "no tick began");
    seen.add(&measured, scene.sizes.then_some(happened));
    Ok(())
}
