//! `usher-bench bytes`: how many bytes real sets take, beside the least that any form could take.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::read::MultiGzDecoder;
use usher_index::{Key, Shard, Snapshot};

use crate::load::load;
use crate::rng::Rng;
use crate::workload::BASE_TIME;

/// The sets: visitor, tab, segment, in gzip.
pub const SETS: [&str; 4] = ["msweb-train", "nasa-jul95", "kosarak-first25k", "adult-train"];
/// Each membership ends at a random hour of this many: the worst case, nothing about it can be foreseen.
const HOURS: u32 = 720;
const HOUR: u64 = 3_600;
const PID_BITS: f64 = 80.0;
/// Bits that the order of `n` sorted numbers saves, each: log2 e.
const ORDER_BITS: f64 = std::f64::consts::LOG2_E;
const SEED: u64 = 77;

/// Loads every set that is in the folder and prints bytes a membership, the bound, and the ratio.
///
/// # Errors
/// When a set cannot be read or loaded.
pub fn run(data: &Path, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "| set | visitors | memberships | bytes a membership | bound | ratio | goal <= 1.3 |")?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---|")?;
    for set in SETS {
        let path = data.join(format!("{set}.tsv.gz"));
        if !path.exists() {
            writeln!(out, "| {set} | SKIPPED: {} is absent | | | | | |", path.display())?;
            continue;
        }
        let Figures { visitors, memberships, bytes, bound } = measure(&path)?;
        let (each, ratio) = (bytes as f64 / memberships as f64, bytes as f64 / bound);
        let least = bound / memberships as f64;
        let met = if ratio <= 1.3 { "met" } else { "missed" };
        writeln!(out, "| {set} | {visitors} | {memberships} | {each:.3} | {least:.3} | {ratio:.2} | {met} |")?;
    }
    Ok(())
}

struct Figures {
    visitors: u64,
    memberships: u64,
    bytes: u64,
    /// In bytes.
    bound: f64,
}

fn measure(path: &Path) -> Result<Figures> {
    let mut text = String::new();
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    MultiGzDecoder::new(file).read_to_string(&mut text)?;
    let mut random = Rng::new(SEED);
    let (mut feed, mut members) = (String::with_capacity(2 * text.len()), HashMap::<&str, u64>::new());
    for line in text.lines() {
        let (_, segment) = line.split_once('\t').context("a line without a tab")?;
        *members.entry(segment).or_default() += 1;
        let expires = BASE_TIME + HOUR * u64::from(1 + random.below(HOURS));
        writeln!(feed, "{line}\t{expires}")?;
    }
    let dir = tempfile::tempdir()?;
    let (feed_path, index) = (dir.path().join("feed.tsv"), dir.path().join("index"));
    std::fs::write(&feed_path, feed)?;
    load(&feed_path, &index)?;
    let key = Key::from_hex(&std::fs::read_to_string(index.with_extension("key"))?)?;
    let snapshot = Snapshot::open(&index, Some(key))?;
    let (visitors, memberships) = (snapshot.visitors(), snapshot.memberships());
    let n = visitors as f64;
    let sets: f64 = members.values().map(|&k| log2_choose(n, k as f64)).sum();
    let dictionary = n * (PID_BITS - n.log2() + ORDER_BITS);
    let expiries = memberships as f64 * f64::from(HOURS).log2();
    // Both directions hold the memberships; the expiry and the dictionary are held once.
    let bound = (2.0 * sets + dictionary + expiries) / 8.0;
    let bytes = snapshot.shards().iter().map(Shard::image).map(usher_index::Image::len).sum();
    Ok(Figures { visitors, memberships, bytes, bound })
}

/// log2 of the number of ways to choose `k` of `n`.
fn log2_choose(n: f64, k: f64) -> f64 {
    (ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)) / std::f64::consts::LN_2
}

/// The sum of logarithms for small numbers, Stirling's series for others.
fn ln_factorial(x: f64) -> f64 {
    if x < 50.0 {
        return (2..=x as u32).map(|i| f64::from(i).ln()).sum();
    }
    x * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI * x).ln() + 1.0 / (12.0 * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_choose() {
        for (n, k, ways) in [(5.0, 2.0, 10.0), (60.0, 1.0, 60.0), (100.0, 3.0, 161_700.0), (7.0, 7.0, 1.0)] {
            assert!((log2_choose(n, k) - f64::log2(ways)).abs() < 1e-4, "{n} {k}");
        }
    }
}
