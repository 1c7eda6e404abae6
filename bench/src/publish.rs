//! `usher-bench publish`: loaders publish generation after generation while a server answers. In generation `n` every
//! visitor has the one segment `gen.n`, so that an answer shows which generations it was made from.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use usher_engine::http::limits::Limits;
use usher_engine::http::serve::{Config, Server};
use usher_index::{Key, Time};
use usher_loader::clock::Clock;

use crate::victim::{Victim, text, to_its_end};
use crate::wire::{Wire, get, post};

const NOW: i64 = 1_800_000_000;
/// Connections that ask at the same time.
const ASKERS: u32 = 4;
/// Every so-manieth request is a batch, and the one after it an exact size.
const BATCH_EVERY: u64 = 64;
/// Visitors of a batch.
const BATCH: u32 = 50;
/// How far an asker may be behind its schedule and still catch up.
const MAX_BEHIND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the server looks for a new generation.
const FOLLOW: Duration = Duration::from_millis(50);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Answers, all of them whole and of one generation.
    pub answers: u64,
    /// Generations that some answer came from.
    pub generations: u64,
}

/// What the askers share.
struct Shared {
    address: SocketAddr,
    visitors: u32,
    every: Duration,
    stop: AtomicBool,
    answers: AtomicU64,
    newest: AtomicU64,
}

/// Between two generations, so that loader, server and askers have the machine for their rates by turns.
const REST: Duration = Duration::from_millis(400);

/// Publishes `generations` more after the first, and asks `rate` times a second, or as fast as the machine allows.
///
/// # Errors
/// At the first request that fails, the first answer that mixes generations or goes back, or when a loader fails.
pub fn run(generations: u32, rate: u32, visitors: u32, victim: Victim<'_>, out: &mut dyn Write) -> Result<Tally> {
    ensure!(rate > 0 && visitors > 0, "at least one lookup a second, at least one visitor");
    let dir = tempfile::Builder::new().prefix("usher-publish-").tempdir()?;
    publish(dir.path(), 1, visitors, victim)?;
    let data = dir.path().join("data");
    let server = Server::start(Config {
        key: Key::from_hex(fs::read_to_string(data.with_extension("key"))?.trim())?,
        data,
        listen: ([127, 0, 0, 1], 0).into(),
        clock: Clock::new(Time::from_unix(NOW)),
        limits: Limits { follow: FOLLOW, ..Limits::default() },
    })?;
    let shared = Shared {
        address: server.address(),
        visitors,
        every: Duration::from_secs(1) * ASKERS / rate,
        stop: AtomicBool::new(false),
        answers: AtomicU64::new(0),
        newest: AtomicU64::new(1),
    };
    let began = Instant::now();
    let asked: Result<()> = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS)
            .map(|number| {
                scope.spawn({
                    let shared = &shared;
                    move || shared.ask(number)
                })
            })
            .collect();
        let published = (2..=generations + 1).try_for_each(|generation| {
            publish(dir.path(), generation, visitors, victim)?;
            shared.await_generation(u64::from(generation))?;
            std::thread::sleep(REST);
            Ok(())
        });
        shared.stop.store(true, Ordering::Relaxed);
        for asker in askers {
            asker.join().map_err(|_| anyhow::anyhow!("an asker panicked"))??;
        }
        published
    });
    asked?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(server.stop(std::future::pending()), "the server did not end cleanly");
    // A generation was published only when some answer had come from the one before.
    let (answers, generations) = (shared.answers.into_inner(), shared.newest.into_inner());
    writeln!(
        out,
        "{} generations of {visitors} visitors published in {seconds:.1} s, each one served",
        generations - 1
    )?;
    writeln!(
        out,
        "{answers} answers, {:.0} a second (asked for {rate}); failed: 0; mixed: 0",
        answers as f64 / seconds
    )?;
    Ok(Tally { answers, generations })
}

/// Removes the segment of the generation before and adds the next.
fn publish(dir: &Path, generation: u32, visitors: u32, victim: Victim<'_>) -> Result<()> {
    let mut csv = "visitor,segment,ttl,action\n".to_owned();
    for visitor in 0..visitors {
        if generation > 1 {
            writeln!(csv, "v{visitor},gen.{},,remove", generation - 1)?;
        }
        writeln!(csv, "v{visitor},gen.{generation},10d,add")?;
    }
    let (feed, data, now) = (dir.join("feed.csv"), dir.join("data"), NOW.to_string());
    fs::write(&feed, csv)?;
    let args = ["load", text(&feed)?, "--data", text(&data)?, "--source", "mag", "--now", &now];
    let (code, said) = to_its_end(victim, &args)?;
    ensure!(code == 0, "the loader ended with {code}: {said}");
    Ok(())
}

impl Shared {
    /// Asks until it is told to stop.
    fn ask(&self, number: u32) -> Result<()> {
        let asked = self.ask_on(number);
        // Who waits for a generation need not wait for one that failed.
        self.stop.fetch_or(asked.is_err(), Ordering::Relaxed);
        asked
    }

    fn ask_on(&self, number: u32) -> Result<()> {
        let mut wire = Wire::open(self.address, PATIENCE)?;
        let (mut last, mut due) = (0, Instant::now());
        for count in u64::from(number).. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let generation = match count % BATCH_EVERY {
                0 => self.batch(&mut wire, count)?,
                1 => self.size(&mut wire)?,
                _ => self.lookup(&mut wire, count)?,
            };
            ensure!(generation >= last, "generation {generation} answered after {last}");
            last = generation;
            self.newest.fetch_max(generation, Ordering::Relaxed);
            self.answers.fetch_add(1, Ordering::Relaxed);
            due += self.every;
            let now = Instant::now();
            match due.checked_duration_since(now) {
                Some(wait) => std::thread::sleep(wait),
                // The machine is the limit: the schedule begins anew.
                None if now.duration_since(due) > MAX_BEHIND => due = now,
                None => {}
            }
        }
        Ok(())
    }

    fn lookup(&self, wire: &mut Wire, count: u64) -> Result<u64> {
        let visitor = count.wrapping_mul(7_919) % u64::from(self.visitors);
        wire.send(&get(&format!("/v1/visitors/v{visitor}/segments")))?;
        self.expect(wire, |generation| format!(r#"{{"segments":["gen.{generation}"],"audiences":[]}}"#))
    }

    fn batch(&self, wire: &mut Wire, count: u64) -> Result<u64> {
        let first = count as u32 % self.visitors;
        let names: Vec<String> = (0..BATCH).map(|n| format!("\"v{}\"", (first + n * 31) % self.visitors)).collect();
        wire.send(&post("/v1/visitors/segments", &format!(r#"{{"visitors":[{}]}}"#, names.join(","))))?;
        self.expect(wire, |generation| {
            let one = format!(r#"{{"segments":["gen.{generation}"],"audiences":[]}}"#);
            format!(r#"{{"results":[{}]}}"#, vec![one; BATCH as usize].join(","))
        })
    }

    /// Everybody has exactly one segment, in every generation.
    fn size(&self, wire: &mut Wire) -> Result<u64> {
        wire.send(&post("/v1/size", r#"{"expression":"gen.*","exact":true}"#))?;
        let begins = format!(r#"{{"visitors":{{"exact":{}}}"#, self.visitors);
        self.expect(wire, |_| begins.clone())
    }

    /// An answer 200 whose body begins as its generation's must; that generation.
    fn expect(&self, wire: &mut Wire, begins: impl FnOnce(u64) -> String) -> Result<u64> {
        let answer = wire.answer()?;
        let body = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "status {}: {body}", answer.status);
        let header = answer.header("usher-generation").context("no generation")?;
        let generation = header.parse()?;
        let expected = begins(generation);
        ensure!(body.starts_with(&expected), "an answer of generation {generation} says {body:.200}");
        Ok(generation)
    }

    fn await_generation(&self, generation: u64) -> Result<()> {
        let began = Instant::now();
        while self.newest.load(Ordering::Relaxed) < generation {
            if self.stop.load(Ordering::Relaxed) {
                bail!("an asker failed");
            }
            ensure!(began.elapsed() < PATIENCE, "generation {generation} is not served");
            std::thread::sleep(FOLLOW / 10);
        }
        Ok(())
    }
}
