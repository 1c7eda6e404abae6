//! `usher-bench load N`: the synthetic workload through the loader, as one Markdown table.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use usher_index::{IdType, Key, Snapshot, VisitorId};
use usher_loader::cmd::Streams;

use crate::lookup::Spread;
use crate::workload::BASE_TIME;
use crate::{feed_file, machine, merge};

/// So many loads of the same text, each into a new index; the middle speed counts, and the most memory of all. A machine may
/// take longer for memory that it has not used before.
const ROUNDS: usize = 5;
pub(crate) const SOURCE: &str = "synthetic";
const COLUMNS: &str = "visitor,segment,expires";

/// Generates the workload in a temporary folder within `work`, loads it several times, opens and verifies the last index,
/// prints a table.
///
/// # Errors
/// When a folder cannot be written, or the loader fails.
pub fn run(visitors: u64, shuffled: bool, work: &Path, out: &mut dyn Write) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("usher-bench-").tempdir_in(work)?;
    let counts = feed_file::write(visitors, dir.path(), shuffled, out)?;
    let (feed, index) = (dir.path().join("feed.tsv"), dir.path().join("index"));
    let busy = machine::Busy::now();
    machine::forget_peak();
    let mut speeds = Vec::new();
    for _ in 0..ROUNDS {
        if index.exists() {
            std::fs::remove_dir_all(&index)?;
            std::fs::remove_file(index.with_extension("key"))?;
        }
        let started = Instant::now();
        load(&feed, &index)?;
        speeds.push(counts.rows as f64 / started.elapsed().as_secs_f64() / 1e6);
    }
    let Spread { median, min, max } = Spread::of(speeds);
    let peak = machine::peak_memory();
    std::fs::remove_file(&feed)?;

    let started = Instant::now();
    let key = Key::from_hex(&std::fs::read_to_string(index.with_extension("key"))?)?;
    let snapshot = Snapshot::open(&index, Some(key.clone()))?;
    let pid = key.pid(&IdType::default(), VisitorId::new("nobody")?);
    let shard = snapshot.shard_of(pid).context("an index without shards")?;
    ensure!(!shard.lookup(pid, |_, _| {})?, "nobody was found");
    let opened = started.elapsed().as_secs_f64();
    let started = Instant::now();
    snapshot.verify(|_| {})?;
    let verified = started.elapsed().as_secs_f64();
    let memberships = snapshot.memberships();
    ensure!(memberships == counts.rows, "{} rows gave {memberships} memberships", counts.rows);
    let merged = merge::run(visitors, &index, &key)?;

    let mut table = String::new();
    writeln!(table, "\n{}\n", machine::line(&busy))?;
    writeln!(
        table,
        "| {visitors} visitors, {memberships} memberships, {} | |",
        if shuffled { "shuffled" } else { "grouped" }
    )?;
    writeln!(table, "|---|---:|")?;
    let seconds = counts.rows as f64 / median / 1e6;
    writeln!(
        table,
        "| load: text to a published index, M rows/s | {median:.2} ({min:.2}-{max:.2}), so {seconds:.2} s |"
    )?;
    let peak = peak.map_or("unknown".into(), |bytes| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)));
    writeln!(table, "| peak memory of the load | {peak} |")?;
    writeln!(table, "| open (every checksum) to the first answer | {:.0} ms |", opened * 1e3)?;
    writeln!(table, "| verify (every invariant) | {verified:.2} s |")?;
    writeln!(table, "| merge of a 10 % update: rows in memory to a published index, M image rows/s | {merged} |")?;
    bytes_by_section(&snapshot, memberships, &mut table)?;
    write!(out, "{table}")?;
    Ok(())
}

/// Loads visitor, segment, expiry into a new index at the base time of the workload.
///
/// # Errors
/// When the loader fails.
pub(crate) fn load(feed: &Path, index: &Path) -> Result<()> {
    let (feed, index, now) = (feed.display().to_string(), index.display().to_string(), BASE_TIME.to_string());
    let args =
        ["usher-loader", "load", &feed, "--data", &index, "--source", SOURCE, "--columns", COLUMNS, "--now", &now];
    let (mut input, mut said, mut errors) = (std::io::empty(), Vec::new(), Vec::new());
    let mut streams = Streams { input: &mut input, out: &mut said, err: &mut errors, progress: false };
    let code = usher_loader::cmd::run(args, &mut streams);
    ensure!(code == 0, "the loader failed: {}", String::from_utf8_lossy(&errors));
    Ok(())
}

fn bytes_by_section(snapshot: &Snapshot, memberships: u64, table: &mut String) -> Result<()> {
    let images = || snapshot.shards().iter().map(usher_index::Shard::image);
    let row = |table: &mut String, name: &str, bytes: u64| {
        writeln!(table, "| bytes a membership: {name} | {:.3} |", bytes as f64 / memberships as f64)
    };
    let mut sections: Vec<usher_index::SectionInfo> = Vec::new();
    for section in images().flat_map(usher_index::Image::sections) {
        match sections.iter_mut().find(|sum| sum.name == section.name) {
            Some(sum) => sum.bytes += section.bytes,
            None => sections.push(section),
        }
    }
    sections.iter().try_for_each(|section| row(table, section.name, section.bytes))?;
    row(table, "**in all**", images().map(usher_index::Image::len).sum())?;
    Ok(())
}
