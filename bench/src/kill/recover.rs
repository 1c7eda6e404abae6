//! `usher-bench recover`: from exec to ready after a kill with the most unfolded changes that are allowed.

use std::fmt::Write as _;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use usher_index::Writer;

use super::Programs;
use super::engine::{Engine, PATIENCE};
use crate::lookup::{Index, Spread, met};
use crate::machine;
use crate::rng::Rng;
use crate::victim::text;
use crate::wire::{Wire, post};
use crate::workload::{BASE_TIME, SEED, SEGMENTS, Workload};

/// Rows of one request.
const ROWS: usize = 20_000;
/// Rows of one visitor.
const ROWS_A_VISITOR: usize = 4;
/// Starts that are measured.
const STARTS: usize = 5;
/// Up to so many visitors the first goal holds, for more the second.
const SMALL: u64 = 1_000_000;
/// Milliseconds.
const GOALS: [f64; 2] = [2_000.0, 10_000.0];

/// Fills the overlay over a copy of the index until rows are turned away, kills, and measures starts.
///
/// # Errors
/// When the server does not start, or the bound of the overlay is never reached.
pub fn run(visitors: u64, index: &Index, work: &Path, programs: &Programs<'_>, out: &mut dyn Write) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("usher-recover-").tempdir_in(work)?;
    let data = dir.path().join("data");
    copy(&index.path, &data)?;
    std::fs::copy(index.path.with_extension("key"), data.with_extension("key"))?;
    let now = BASE_TIME.to_string();
    let args = ["serve", "--data", text(&data)?, "--listen", "127.0.0.1:0", "--now", &now];
    let start = || Engine::spawn((programs.engine)(&args));
    let mut bare = Vec::new();
    for _ in 0..STARTS {
        let mut engine = start()?;
        bare.push(engine.ready()?.1);
        engine.kill()?;
    }
    let mut engine = start()?;
    // Who builds keeps the server from folding.
    let builder = Writer::open(&data, index.key.clone())?;
    let rows = fill(engine.ready()?.0, visitors).with_context(|| engine.said())?;
    drop(builder);
    engine.kill()?;
    let (busy, mut full) = (machine::Busy::now(), Vec::new());
    for _ in 0..STARTS {
        let mut engine = start()?;
        full.push(engine.ready()?.1);
        // Before the first look whether to fold.
        engine.kill()?;
    }
    let state = std::fs::metadata(data.join("state.redb"))?.len() >> 20;
    let millis = |times: Vec<Duration>| Spread::of(times.iter().map(|time| time.as_secs_f64() * 1e3).collect());
    let (bare, full) = (millis(bare), millis(full));
    let goal = GOALS[usize::from(visitors > SMALL)];
    writeln!(out, "\n| {visitors} visitors, from exec to ready | ms (min-max) | goal | |\n|---|---:|---:|---|")?;
    writeln!(out, "| nothing unfolded | {:.0} ({:.0}-{:.0}) | | |", bare.median, bare.min, bare.max)?;
    write!(
        out,
        "| {rows} unfolded rows, a state of {state} MiB | {:.0} ({:.0}-{:.0}) ",
        full.median, full.min, full.max
    )?;
    writeln!(out, "| <= {goal} | {} |\n\n{}", met(full.max <= goal), machine::line(&busy))?;
    Ok(())
}

/// Links the files: whoever publishes makes new ones.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        // Only images are large, and they never change; the rest is this folder's own.
        let linked = entry.file_name().to_string_lossy().starts_with("img.");
        if !linked || std::fs::hard_link(entry.path(), &target).is_err() {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Sends rows of known visitors until they are turned away, because the overlay is full. Gives how many were taken.
fn fill(address: SocketAddr, visitors: u64) -> Result<u64> {
    let (mut wire, mut workload, mut rng) = (Wire::open(address, PATIENCE)?, Workload::new(SEED), Rng::new(1));
    let (mut rows, mut seen) = (0, 0);
    while seen < visitors {
        let mut body = String::new();
        for _ in 0..ROWS / ROWS_A_VISITOR {
            let visitor = workload.visitor();
            let id = std::str::from_utf8(&visitor.id)?;
            seen += 1;
            for _ in 0..ROWS_A_VISITOR {
                let segment = 10_000 + rng.below(u32::from(SEGMENTS));
                writeln!(body, r#"{{"visitor":"{id}","segment":"{segment}"}}"#)?;
            }
        }
        wire.send(&post("/v1/memberships?source=synthetic", &body))?;
        let answer = wire.answer()?;
        match answer.status {
            200 => rows += ROWS as u64,
            503 => return Ok(rows),
            status => bail!("rows were answered with {status}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }
    ensure!(visitors == 0, "every visitor was touched, and rows are still taken");
    Ok(rows)
}
