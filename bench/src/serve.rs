//! `usher-bench serve N`: lookups over HTTP, beside a static answer of the same size and Redis, in turns.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::client::{Load, Protocol};
use crate::lookup::{Index, Spread, met, now};
use crate::machine;
use crate::open::{self, Stream};
use crate::redis::{Redis, hgetall};
use crate::rng::Rng;
use crate::workload::{SEED, Workload};

pub mod answer;

/// Open connections.
const CONNECTIONS: usize = 50;
/// Requests under way in a pipelined connection.
const DEPTH: usize = 16;
/// Visitors of a batch.
const BATCH: usize = 100;
/// Known visitors that are asked for.
const ASKED: usize = 1 << 17;
/// Rounds of each contest.
const ROUNDS: usize = 25;
/// How long a round lasts: short, so that the sides of a round meet the machine in the same mood.
const ROUND: Duration = Duration::from_millis(400);
/// Rounds at a fixed rate.
const PACED_ROUNDS: usize = 5;
/// How long a round at a fixed rate lasts.
const PACED_ROUND: Duration = Duration::from_secs(2);
/// The kernel counts a process's time in hundredths of a second.
pub const TICKS_A_SECOND: f64 = 100.0;
/// Where the servers run, and where the client.
pub const CORES: [usize; 2] = [0, 1];

/// A process of ours; ended when dropped.
pub struct Child(std::process::Child);

impl Child {
    /// Takes charge of a process.
    #[must_use]
    pub fn new(child: std::process::Child) -> Self {
        Self(child)
    }

    /// Processor seconds it has used.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn seconds(&self) -> Result<f64> {
        seconds_of(self.0.id())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Processor seconds that a process has used.
///
/// # Errors
/// When the kernel does not tell.
pub fn seconds_of(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit_once(')').context("a line of /proc")?.1;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / TICKS_A_SECOND)
}

/// The program, held to a core where there is one to hold it to.
#[must_use]
pub fn on_core(core: Option<usize>, program: &OsStr) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

/// Holds this process to a core; false where that is not possible.
#[must_use]
pub fn stay_on(core: usize) -> bool {
    let (id, core) = (std::process::id().to_string(), core.to_string());
    let done = Command::new("taskset").args(["-acp", &core, &id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

/// Starts this program with other arguments, and reads the address that it says it listens at.
fn start(core: Option<usize>, args: &[&str]) -> Result<(Child, SocketAddr)> {
    listening(on_core(core, std::env::current_exe()?.as_os_str()), args)
}

/// Starts a program with these arguments, and reads the address that it says it listens at.
///
/// # Errors
/// When it does not start, or says none.
pub fn listening(mut command: Command, args: &[&str]) -> Result<(Child, SocketAddr)> {
    let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let stdout = child.stdout.take().context("a pipe")?;
    let child = Child::new(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim().rsplit_once("http://").and_then(|(_, address)| address.parse().ok());
    Ok((child, address.with_context(|| format!("no address in {line:?} of {args:?}"))?))
}

/// One server and what it is asked.
struct Side<'a> {
    name: &'static str,
    child: &'a Child,
    load: Load<'a>,
    /// Lookups a request.
    lookups: u64,
    rates: Vec<f64>,
    /// Processor seconds of the server, in all rounds.
    used: f64,
    /// Lookups in all rounds.
    answered: f64,
}

impl<'a> Side<'a> {
    fn new(name: &'static str, child: &'a Child, load: Load<'a>, lookups: u64) -> Self {
        Self { name, child, load, lookups, rates: Vec::new(), used: 0.0, answered: 0.0 }
    }

    fn round(&mut self) -> Result<()> {
        let before = self.child.seconds()?;
        let outcome = self.load.run(ROUND)?;
        self.used += self.child.seconds()? - before;
        let lookups = (outcome.answers * self.lookups) as f64;
        self.answered += lookups;
        self.rates.push(lookups / outcome.seconds);
        Ok(())
    }
}

/// What a contest is about, and the goal: so many times the rate of the side with that name.
struct Contest<'a> {
    title: &'static str,
    sides: Vec<Side<'a>>,
    goals: &'static [(&'static str, f64)],
}

impl Contest<'_> {
    fn run(mut self, out: &mut dyn Write) -> Result<()> {
        for side in &mut self.sides {
            side.load.run(ROUND)?;
        }
        for _ in 0..ROUNDS {
            self.sides.iter_mut().try_for_each(Side::round)?;
        }
        let Some(ours) = self.sides.first().map(|side| side.rates.clone()) else { return Ok(()) };
        for Side { name, rates, used, answered, .. } in self.sides {
            let ratio = Spread::of(ours.iter().zip(&rates).map(|(ours, theirs)| ours / theirs).collect());
            let rate = Spread::of(rates);
            write!(out, "| {}: {name} | {:.0} ({:.0}-{:.0}) ", self.title, rate.median, rate.min, rate.max)?;
            write!(out, "| {:.2} ", used * 1e6 / answered)?;
            write!(out, "| {:.2}x ({:.2}-{:.2}) ", ratio.median, ratio.min, ratio.max)?;
            match self.goals.iter().find(|(other, _)| *other == name) {
                Some((_, goal)) => writeln!(out, "| >= {goal}x | {} |", met(ratio.median >= *goal))?,
                None => writeln!(out, "| | |")?,
            }
        }
        Ok(())
    }
}

/// The requests of every kind.
#[derive(Default)]
struct Requests {
    one: Vec<Vec<u8>>,
    batch: Vec<Vec<u8>>,
    redis: Vec<Vec<u8>>,
}

impl Requests {
    fn of(ids: &[String]) -> Self {
        let one =
            |id: &String| format!("GET /v1/visitors/{id}/segments HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        let batch = |ids: &[String]| {
            let body = format!(r#"{{"visitors":["{}"]}}"#, ids.join(r#"",""#));
            let head = "POST /v1/visitors/segments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
            format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        };
        Self {
            one: ids.iter().map(one).collect(),
            batch: ids.chunks_exact(BATCH).map(batch).collect(),
            redis: ids.iter().map(|id| hgetall(id)).collect(),
        }
    }
}

/// Prints requests a second and processor time a lookup of the engine, of a static answer and of Redis.
///
/// # Errors
/// When a server does not start, or an answer is wrong.
pub fn run(visitors: u64, rate: Option<u32>, work: &Path, out: &mut dyn Write) -> Result<()> {
    let index = Index::build(visitors, work, out)?;
    let pinned = stay_on(CORES[1]);
    let core = pinned.then_some(CORES[0]);
    if !pinned {
        writeln!(out, "taskset cannot hold this process to a core: servers and client move about")?;
    }
    let redis = Redis::start(core)?;
    if redis.is_none() {
        writeln!(out, "redis-server is not installed: measured without Redis")?;
    }
    let mut filler = redis.as_ref().map(Redis::filler).transpose()?;
    let (mut workload, mut ids) = (Workload::new(SEED), Vec::new());
    for _ in 0..visitors {
        let visitor = workload.visitor();
        let id = String::from_utf8(visitor.id.to_vec())?;
        filler.as_mut().map(|filler| filler.put(&id, &visitor)).transpose()?;
        if ids.len() < ASKED {
            ids.push(id);
        }
    }
    filler.as_mut().map(crate::redis::Filler::flush).transpose()?;
    drop(filler);
    Rng::new(SEED).shuffle(&mut ids);
    let requests = Requests::of(&ids);
    let path = index.path.display().to_string();
    let at = now().to_string();
    let (engine, address) =
        start(core, &["engine", "serve", "--data", &path, "--listen", "127.0.0.1:0", "--now", &at])?;
    let size = mean_answer(address, &requests.one)?;
    let (fixed, fixed_address) = start(core, &["answer", &size.to_string()])?;
    let servers = Servers { engine: (&engine, address), fixed: (&fixed, fixed_address), redis: redis.as_ref() };
    let busy = machine::Busy::now();
    if let Some(rate) = rate {
        servers.open_loop(&requests, rate, out)?;
    } else {
        writeln!(
            out,
            "\n| {visitors} visitors, answers of {size} bytes | lookups/s (min-max) | server CPU us a lookup | usher to this, round by round | goal | |"
        )?;
        writeln!(out, "|---|---:|---:|---:|---|---|")?;
        servers.contests(&requests, out)?;
    }
    writeln!(out, "\n{}", machine::line(&busy))?;
    Ok(())
}

/// The mean size of the bodies of some answers; the first has to hold a segment.
///
/// # Errors
/// When one is not an answer to a lookup.
pub fn mean_answer(address: SocketAddr, requests: &[Vec<u8>]) -> Result<usize> {
    const SAMPLE: usize = 500;
    let mut bytes = 0;
    let sample = &requests[..SAMPLE.min(requests.len())];
    for request in sample {
        let asked = std::slice::from_ref(request);
        let load = Load { address, protocol: Protocol::Http, requests: asked, connections: 1, depth: 1 };
        let answer = load.first()?;
        let body = answer.windows(4).position(|window| window == b"\r\n\r\n").context("a body")? + 4;
        ensure!(answer[body..].starts_with(br#"{"segments":["#), "no answer: {}", String::from_utf8_lossy(&answer));
        bytes += answer.len() - body;
    }
    Ok(bytes / sample.len().max(1))
}

struct Servers<'a> {
    engine: (&'a Child, SocketAddr),
    fixed: (&'a Child, SocketAddr),
    redis: Option<&'a Redis>,
}

impl<'a> Servers<'a> {
    fn contests(&self, requests: &'a Requests, out: &mut dyn Write) -> Result<()> {
        let contest = Contest {
            title: "one a request, 50 connections",
            sides: self.sides(&requests.one, 1, &requests.redis, 1, 1, true),
            goals: &[("static hyper", 0.85), ("Redis HGETALL", 1.7)],
        };
        contest.run(out)?;
        let contest = Contest {
            title: "16-deep pipeline",
            sides: self.sides(&requests.one, DEPTH, &requests.redis, DEPTH, 1, true),
            goals: &[("Redis HGETALL", 2.4)],
        };
        contest.run(out)?;
        let contest = Contest {
            title: "batch of 100 (Redis: 16-deep pipeline)",
            sides: self.sides(&requests.batch, 1, &requests.redis, DEPTH, BATCH as u64, false),
            goals: &[("Redis HGETALL", 4.0)],
        };
        contest.run(out)
    }

    fn sides(
        &self,
        ours: &'a [Vec<u8>],
        depth: usize,
        redis: &'a [Vec<u8>],
        redis_depth: usize,
        lookups: u64,
        with_static: bool,
    ) -> Vec<Side<'a>> {
        let load =
            |address, protocol, requests, depth| Load { address, protocol, requests, connections: CONNECTIONS, depth };
        let (child, address) = self.engine;
        let mut sides = vec![Side::new("usher", child, load(address, Protocol::Http, ours, depth), lookups)];
        if with_static {
            let (child, address) = self.fixed;
            sides.push(Side::new("static hyper", child, load(address, Protocol::Http, ours, depth), 1));
        }
        if let Some(server) = self.redis {
            let load = load(server.address, Protocol::Redis, redis, redis_depth);
            sides.push(Side::new("Redis HGETALL", &server.child, load, 1));
        }
        sides
    }

    /// Latencies at a fixed rate.
    fn open_loop(&self, requests: &Requests, rate: u32, out: &mut dyn Write) -> Result<()> {
        let sides = [("usher", self.engine.1), ("static hyper", self.fixed.1)];
        let mut latencies = sides.map(|_| [const { Vec::new() }; 6]);
        for _ in 0..PACED_ROUNDS {
            for ((_, address), latencies) in sides.iter().zip(&mut latencies) {
                let (address, requests) = (*address, requests.one.as_slice());
                let load = Load { address, protocol: Protocol::Http, requests, connections: CONNECTIONS, depth: 1 };
                let mut streams = [Stream { load, rate, heed: &mut |_| Ok(()) }];
                let heard = open::run(&mut streams, &mut |elapsed| elapsed < PACED_ROUND)?;
                let (all, clear) = (heard.micros[0].as_slice(), heard.undisturbed[0].as_slice());
                let shown = [(all, 0.5), (all, 0.99), (all, 0.999), (all, 1.0), (clear, 0.99), (clear, 0.999)];
                for (values, (sorted, share)) in latencies.iter_mut().zip(shown) {
                    values.extend(sorted.get((sorted.len() as f64 * share) as usize).or(sorted.last()));
                }
            }
        }
        writeln!(
            out,
            "\n| {rate} a second, from the scheduled moment; us | p50 | p99 | p99.9 | max | without a halt of the client: p99 | p99.9 |\n|---|---:|---:|---:|---:|---:|---:|"
        )?;
        for ((name, _), latencies) in sides.iter().zip(latencies) {
            write!(out, "| {name} ")?;
            for Spread { median, min, max } in latencies.map(Spread::of) {
                write!(out, "| {median:.0} ({min:.0}-{max:.0}) ")?;
            }
            writeln!(out, "|")?;
        }
        Ok(())
    }
}
