//! `usher-bench live N`: what changes cost. Durable opt-outs beside a bare flush, live rows, and lookups at half the peak
//! while rows stream in, visitors opt out, a tick passes and a compaction publishes.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::lookup::{Index, Spread, met};
use crate::machine;
use crate::rng::Rng;
use crate::workload::{FIRST_SEGMENT, SEED, SEGMENTS, Workload};

pub mod load;
mod scenes;
pub mod server;
pub mod writes;

/// Known visitors that take part, at most.
const VISITORS: usize = 1 << 18;
/// Visitors who get rows, at most: few enough that the overlay of a million visitors is not full.
const WITH_ROWS: usize = 20_000;
/// How long an opt-out waits where nothing is to be folded.
const NEVER: Duration = Duration::from_secs(3_600);
/// How long an answer may take before a server is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A part of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Opt-outs and rows by themselves
    Writes,
    /// Lookups while everything happens
    Load,
}

/// How much is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Visitors of the index.
    pub visitors: u64,
    /// Both parts where there is none.
    pub only: Option<Part>,
    /// Rounds of each measurement, and of the load.
    pub rounds: [usize; 2],
    /// Opt-outs of a round, each beside a bare flush.
    pub opt_outs: usize,
    /// How long a round of requests lasts.
    pub round: Duration,
    /// How long lookups go on beside each kind of change, at least.
    pub load: Duration,
    /// How long at most, until what is to happen has happened.
    pub longest: Duration,
    /// How long after the lookups begin the tick ends.
    pub border: Duration,
    /// How long an opt-out waits to be folded into images.
    pub fold: Duration,
    /// Lookups a second among changes, instead of half the peak.
    pub rate: Option<u32>,
    /// The program that serves, this one or another build of it; within this process where there is none.
    pub server: Option<PathBuf>,
    /// The core that the server is held to.
    pub core: Option<usize>,
}

impl Plan {
    /// The whole.
    #[must_use]
    pub fn new(visitors: u64, only: Option<Part>) -> Self {
        Self {
            visitors,
            only,
            rounds: [5, 2],
            opt_outs: 500,
            round: Duration::from_secs(2),
            load: Duration::from_secs(8),
            longest: Duration::from_secs(90),
            border: Duration::from_secs(12),
            fold: Duration::from_secs(3),
            rate: None,
            server: None,
            core: None,
        }
    }
}

/// Visitors of the index by what happens to them.
struct Cast {
    /// Everybody who takes part.
    all: Vec<String>,
    /// How many of them get rows; the rest opts out.
    with_rows: usize,
}

impl Cast {
    fn new(visitors: u64) -> Result<Self> {
        let mut workload = Workload::new(SEED);
        let count = (visitors as usize).min(VISITORS);
        let all: Vec<String> =
            (0..count).map(|_| Ok(String::from_utf8(workload.visitor().id.to_vec())?)).collect::<Result<_>>()?;
        Ok(Self { with_rows: WITH_ROWS.min(all.len() / 4), all })
    }

    /// Those who opt out.
    fn leaving(&self) -> &[String] {
        &self.all[self.with_rows..]
    }

    /// The body of so many rows, of visitors who get some.
    fn rows(&self, rng: &mut Rng, rows: usize) -> String {
        let mut body = String::new();
        for _ in 0..rows {
            let visitor = &self.all[rng.index(self.with_rows)];
            let segment = u32::from(FIRST_SEGMENT) + rng.below(u32::from(SEGMENTS));
            // Writing to a String cannot fail.
            _ = writeln!(body, r#"{{"visitor":"{visitor}","segment":"{segment}","ttl":"30d"}}"#);
        }
        body
    }
}

fn opt_out(id: &String) -> Vec<u8> {
    format!("PUT /v1/visitors/{id}/opt-out HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// The table.
struct Table(String);

impl Table {
    /// A line; `goal` with whether it is met.
    fn line(&mut self, what: &str, figure: &str, beside: &str, goal: Option<(&str, bool)>) {
        let (goal, word) = goal.map_or(("", ""), |(goal, is_met)| (goal, met(is_met)));
        // Writing to a String cannot fail.
        _ = writeln!(self.0, "| {what} | {figure} | {beside} | {goal} | {word} |");
    }
}

/// The middle and both ends, with so many decimals.
fn spread(of: &Spread, decimals: usize) -> String {
    let Spread { median, min, max } = of;
    format!("{median:.decimals$} ({min:.decimals$}-{max:.decimals$})")
}

/// The value below which this share of the ascending ones lie.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted.get((sorted.len() as f64 * share) as usize).or(sorted.last()).copied().unwrap_or(f64::NAN)
}

/// Measures, and prints the table.
///
/// # Errors
/// When a server does not start, an answer is wrong, or what was to happen during the load did not.
pub fn run(index: &Index, plan: &Plan, out: &mut dyn Write) -> Result<()> {
    ensure!(plan.visitors >= 1_000, "at least 1,000 visitors");
    let (cast, busy) = (Cast::new(plan.visitors)?, machine::Busy::now());
    if plan.only != Some(Part::Load) {
        let mut table = Table(String::new());
        table.line(&format!("{} visitors", plan.visitors), "median (min-max)", "beside it", None);
        table.0 = table.0.replace("|  |  |\n", "| goal | |\n") + "|---|---:|---:|---|---|\n";
        writes::opt_outs(index, plan, &cast, &mut table)?;
        writes::rows(index, plan, &cast, &mut table)?;
        writes::visible(index, plan, &cast, &mut table)?;
        writeln!(out, "\n{}", table.0)?;
    }
    if plan.only != Some(Part::Writes) {
        load::run(index, plan, &cast, out)?;
    }
    writeln!(out, "\n{}", machine::line(&busy))?;
    Ok(())
}
