//! `usher-bench abuse`: connections that are silent, slow, at rest, cut in half, garbled or too large, while lookups go
//! on. Each abuser must be let go at its deadline, no lookup may fail, and the places must come free again.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use usher_engine::http::limits::Limits;
use usher_engine::http::serve::{Config, Server};
use usher_index::{Key, Time};
use usher_loader::clock::Clock;

use crate::victim::{load, text};
use crate::wire::{Wire, get, post};

const NOW: i64 = 1_800_000_000;
/// How much later than its deadline a connection may be closed: the machine has other work, and all of it happens in one
/// process.
const SLACK: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);
const LOOKERS: u32 = 2;
/// Between two lookups of one looker.
const PAUSE: Duration = Duration::from_millis(2);
/// Bytes that a slow client sends within its deadline, were it longer.
const DRIPS: u32 = 20;
/// Four times what a head may have.
const LARGE_HEAD: usize = 64 * 1024;
const LOOKUP: &str = "/v1/visitors/v7/segments";
const ANSWER: &[u8] = br#"{"segments":["s.7"],"audiences":[]}"#;

/// How many abusers, and the server's bounds.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Silent connections; a tenth of that of each other sort.
    pub silent: u32,
    /// The bounds.
    pub limits: Limits,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Abusers, every one of them closed in time.
    pub abusers: u32,
    /// Lookups meanwhile, every one of them answered rightly.
    pub lookups: u64,
}

impl Plan {
    /// With the deadlines of a server in use: it takes as long as a connection may rest.
    #[must_use]
    pub fn new(silent: u32) -> Self {
        Self { silent, limits: Limits::default() }
    }
}

/// An abuser's deed, and when the server closes the connection after it.
struct Sort {
    name: &'static str,
    count: u32,
    first: Vec<u8>,
    /// The status that answers `first`, if it is to be answered before the connection is left alone.
    answered: Option<u16>,
    /// A byte that is sent again and again.
    drip: Option<u8>,
    /// Whether the client's side is closed.
    half: bool,
    deadline: Duration,
    /// What the server says before it closes; 0 when nothing.
    last: u16,
}

/// Sends everything that the plan has at a server of its own.
///
/// # Errors
/// At the first lookup that fails, connection that is not closed in time, or answer that is not the expected one.
pub fn run(plan: &Plan, out: &mut dyn Write) -> Result<Tally> {
    let dir = tempfile::Builder::new().prefix("usher-abuse-").tempdir()?;
    let data = dir.path().join("data");
    let feed = dir.path().join("feed.csv");
    fs::write(&feed, "visitor,segment\nv7,s.7\nv8,s.8\n")?;
    let now = NOW.to_string();
    load(&["load", text(&feed)?, "--data", text(&data)?, "--source", "mag", "--now", &now])?;
    let key = Key::from_hex(fs::read_to_string(data.with_extension("key"))?.trim())?;
    let (listen, clock) = (([127, 0, 0, 1], 0).into(), Clock::new(Time::from_unix(NOW)));
    let server = Server::start(Config { data, listen, key, clock, limits: plan.limits.clone() })?;
    let (address, sorts) = (server.address(), sorts(plan));
    let (stop, lookups) = (AtomicBool::new(false), AtomicU64::new(0));
    let failed = |who: &str| anyhow!("{who} panicked");
    let done: Result<Vec<String>> = std::thread::scope(|scope| {
        let lookers: Vec<_> = (0..LOOKERS).map(|_| scope.spawn(|| look(address, &stop, &lookups))).collect();
        let abusers: Vec<_> = sorts.iter().map(|sort| scope.spawn(move || sort.run(address))).collect();
        let ended: Vec<Result<String>> =
            abusers.into_iter().map(|one| one.join().unwrap_or_else(|_| Err(failed("an abuser")))).collect();
        stop.store(true, Ordering::Relaxed);
        lookers.into_iter().try_for_each(|one| one.join().map_err(|_| failed("a looker"))?)?;
        ended.into_iter().collect()
    });
    done?.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    await_places(address)?;
    ensure!(server.stop(std::future::pending()), "the server did not end cleanly");
    let abusers = sorts.iter().map(|sort| sort.count).sum();
    let lookups = lookups.into_inner();
    writeln!(
        out,
        "{abusers} abusers, all closed in time; {lookups} lookups meanwhile, failed: 0; every place free again"
    )?;
    Ok(Tally { abusers, lookups })
}

fn sorts(plan: &Plan) -> Vec<Sort> {
    let some = (plan.silent / 10).max(1);
    let limits = &plan.limits;
    let plain = || Sort {
        name: "silent",
        count: some,
        first: Vec::new(),
        answered: None,
        drip: None,
        half: false,
        deadline: Duration::ZERO,
        last: 0,
    };
    let garbage = b"\x16\x03\x01 no HTTP at all\r\n\r\n".to_vec();
    let behind = [get(LOOKUP), garbage.clone()].concat();
    let large = format!("GET {LOOKUP} HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(LARGE_HEAD));
    let body = post("/v1/size", "").iter().map(|byte| if *byte == b'0' { b'9' } else { *byte }).collect();
    vec![
        Sort { count: plan.silent, deadline: limits.first_byte, ..plain() },
        Sort { name: "slow heads", first: b"GET /".to_vec(), drip: Some(b'a'), deadline: limits.head, ..plain() },
        Sort { name: "slow bodies", first: body, deadline: limits.body, last: 408, ..plain() },
        Sort { name: "at rest", first: get(LOOKUP), answered: Some(200), deadline: limits.idle, ..plain() },
        Sort { name: "half-closed", first: get(LOOKUP), answered: Some(200), half: true, ..plain() },
        Sort { name: "half-closed and silent", half: true, ..plain() },
        Sort { name: "garbage", first: garbage, last: 400, ..plain() },
        Sort { name: "garbage behind a request", first: behind, answered: Some(200), last: 400, ..plain() },
        Sort { name: "heads too large", first: large.into_bytes(), last: 431, ..plain() },
    ]
}

impl Sort {
    fn run(&self, address: SocketAddr) -> Result<String> {
        self.all(address).with_context(|| self.name.to_owned())
    }

    fn all(&self, address: SocketAddr) -> Result<String> {
        let mut wires = Vec::new();
        let began = Instant::now();
        for _ in 0..self.count {
            let mut wire = Wire::open(address, PATIENCE).context("connecting")?;
            // What a head too large has left over meets a closed socket.
            _ = wire.send(&self.first);
            if self.half {
                wire.finish()?;
            }
            if let Some(status) = self.answered {
                let answer = wire.answer()?;
                ensure!(answer.status == status && answer.body == ANSWER, "answered {answer:?}");
            }
            wires.push(wire);
        }
        let drip = self.drip.map(|byte| vec![byte]);
        while let Some(byte) = drip.as_ref().filter(|_| began.elapsed() < self.deadline) {
            std::thread::sleep(self.deadline / DRIPS);
            wires.iter_mut().for_each(|wire| _ = wire.send(byte));
        }
        for wire in &mut wires {
            if self.last > 0 {
                let answer = wire.answer()?;
                ensure!(answer.status == self.last, "expected {}: {answer:?}", self.last);
            }
            let left = (self.deadline + SLACK).saturating_sub(began.elapsed());
            ensure!(wire.closes_within(left), "not closed {SLACK:?} after its deadline of {:?}", self.deadline);
        }
        let (name, count, deadline, seconds) = (self.name, self.count, self.deadline, began.elapsed().as_secs_f64());
        // A connection that is closed long before its deadline is as wrong as one that is never closed.
        ensure!(seconds > deadline.as_secs_f64() / 2.0, "closed after {seconds:.1} s, the deadline is {deadline:?}");
        Ok(format!("{name}: {count}, all closed after {seconds:.1} s (deadline {deadline:?})"))
    }
}

/// Looks the same visitor up, on a connection that rests a moment and on new ones, until told to stop.
fn look(address: SocketAddr, stop: &AtomicBool, lookups: &AtomicU64) -> Result<()> {
    let mut wire = Wire::open(address, PATIENCE)?;
    for count in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if count % 100 == 99 {
            wire = Wire::open(address, PATIENCE)?;
        }
        wire.send(&get(LOOKUP))?;
        let answer = wire.answer().context("a lookup failed")?;
        ensure!(answer.status == 200 && answer.body == ANSWER, "a lookup was answered {answer:?}");
        lookups.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Until the server knows of no connection but the one that asks.
fn await_places(address: SocketAddr) -> Result<()> {
    let began = Instant::now();
    let mut wire = Wire::open(address, PATIENCE)?;
    loop {
        wire.send(&get("/metrics"))?;
        let answer = wire.answer()?;
        if String::from_utf8_lossy(&answer.body).lines().any(|line| line == "usher_open_connections 1") {
            return Ok(());
        }
        ensure!(began.elapsed() < SLACK, "connections are counted that nobody holds");
        std::thread::sleep(PAUSE);
    }
}
