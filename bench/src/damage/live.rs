//! Damage to the live state and to the veils: each must be refused, or change nothing that was acknowledged.

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use rayon::prelude::*;
use tempfile::TempDir;
use usher_index::state::STATE_FILE;
use usher_index::{Change, Folder, Pid, Snapshot, State, StateError, Tick};

use crate::life::act::{Act, Deed, deeds};
use crate::life::world::World;
use crate::life::{VISITORS, key, memory};
use crate::rng::Rng;

/// Commits before the damage.
const COMMITS: u32 = 30;
/// After so many of them everything is folded, so that there are veils.
const FOLD_AFTER: u32 = 12;
/// Cuts at random places for so many flips.
const FLIPS_A_CUT: u32 = 10;

/// What came of damage to the live state and the veils.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// Refused when it was opened or read.
    pub refused: u64,
    /// All that was acknowledged was there.
    pub harmless: u64,
    /// The last commit was missing, all before it was there. Only after an end that was not clean: one flush a commit
    /// does not tell a last commit that rotted from one that was torn before it was acknowledged.
    pub last_commit_lost: u64,
    /// Flips and cuts of the veils, all refused.
    pub veils_refused: u64,
}

/// All that a state keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    sequence: u64,
    changes: Vec<(u64, Change)>,
    opted_out: Vec<Pid>,
    erased: Vec<(Pid, Tick)>,
    audit: u64,
}

/// A state as a process left it.
struct Site {
    how: &'static str,
    bytes: Vec<u8>,
    kept: Kept,
    /// Before the last commit; `None` where nothing may be missing.
    before: Option<Kept>,
}

#[derive(Debug, Default)]
struct Counts {
    refused: AtomicU64,
    harmless: AtomicU64,
    lost: AtomicU64,
}

/// Flips every byte of the state, or `flips` of them when it has more, and cuts it, after a clean end and after a sudden
/// one; flips every bit of the veils, and cuts them everywhere.
///
/// # Errors
/// At the first panic or wrong answer; or when files cannot be written.
pub fn run(flips: u32, seed: u64, out: &mut dyn Write) -> Result<Live> {
    let mut rng = Rng::new(seed);
    let dir = tempfile::tempdir_in(memory()).context("a temporary folder")?;
    let data = dir.path().join("data");
    let sites = live(&data, &mut rng)?;
    let mut sum = Live { veils_refused: veils(&data)?, ..Live::default() };
    for site in &sites {
        let counts = site.damage(flips, &mut rng)?;
        let [refused, harmless, lost] =
            [&counts.refused, &counts.harmless, &counts.lost].map(|count| count.load(Ordering::Relaxed));
        let (how, size) = (site.how, site.bytes.len());
        writeln!(
            out,
            "{STATE_FILE} of {size} bytes after {how}: {refused} refused, {harmless} harmless, {lost} lost the last commit"
        )?;
        sum.refused += refused;
        sum.harmless += harmless;
        sum.last_commit_lost += lost;
    }
    writeln!(out, "veils, every bit and every cut: {} refused", sum.veils_refused)?;
    writeln!(out, "live state: wrong answers 0, panics 0")?;
    Ok(sum)
}

/// Lives a while, and keeps the state's file as it is after a sudden end, and after a clean one.
fn live(data: &Path, rng: &mut Rng) -> Result<[Site; 2]> {
    let mut world = World::found(Folder::open(data)?, VISITORS)?;
    let file = data.join(STATE_FILE);
    let mut before = Vec::new();
    for number in 1..=COMMITS {
        before = fs::read(&file)?;
        // Of a commit without a change nobody would notice that it is missing.
        world.act(&Act::Commit([deeds(rng), vec![Deed::Erase(number % VISITORS, 0)]].concat()))?;
        if number == FOLD_AFTER {
            world.act(&Act::Fold { anew: false })?;
            world.act(&Act::Settle)?;
        }
    }
    let bytes = fs::read(&file)?;
    let kept = opened(&bytes)?.context("a state that nothing damaged")?;
    let before = opened(&before)?.context("a state that nothing damaged")?;
    ensure!(before.sequence + 1 == kept.sequence, "the last commit is one batch");
    let sudden = Site { how: "a sudden end", bytes, kept: kept.clone(), before: Some(before) };
    drop(world);
    Ok([sudden, Site { how: "a clean end", bytes: fs::read(&file)?, kept, before: None }])
}

fn read(dir: &Path) -> Result<Kept, StateError> {
    let state = State::open(dir, &key(), "a check")?;
    let audit = state.verify()?.audit_lines;
    let mut changes = Vec::new();
    state.changes(0, u64::MAX, |number, change| changes.push((number, change)))?;
    let bars = state.bars(Arc::default())?;
    let (mut opted_out, mut erased) = (bars.all_opted_out().collect::<Vec<_>>(), bars.all_erased().collect::<Vec<_>>());
    opted_out.sort_unstable();
    erased.sort_unstable();
    Ok(Kept { sequence: state.last_sequence(), changes, opted_out, erased, audit })
}

/// What a state of these bytes keeps; `None`: it is refused.
fn opened(bytes: &[u8]) -> Result<Option<Kept>> {
    let dir: TempDir = tempfile::tempdir_in(memory())?;
    Folder::open(dir.path())?.create()?;
    fs::write(dir.path().join(STATE_FILE), bytes)?;
    match catch_unwind(AssertUnwindSafe(|| read(dir.path()))) {
        Err(_) => bail!("a panic"),
        Ok(Ok(kept)) => Ok(Some(kept)),
        Ok(Err(error)) => {
            let said = error.to_string();
            ensure!(said.contains("live state") || said.contains("audit"), "a message that names nothing: {said}");
            Ok(None)
        }
    }
}

impl Site {
    fn damage(&self, flips: u32, rng: &mut Rng) -> Result<Counts> {
        let (size, counts) = (self.bytes.len(), Counts::default());
        let places: Vec<usize> = match flips as usize >= size {
            true => (0..size).collect(),
            // Every byte of the head, where the commits are chosen, and any others.
            false => (0..HEAD_BYTES).chain((0..flips).map(|_| rng.index(size))).collect(),
        };
        let flips: Vec<(usize, u8)> = places.into_iter().map(|at| (at, 1 << rng.below(8))).collect();
        flips.par_iter().try_for_each(|&(at, mask)| {
            let mut bytes = self.bytes.clone();
            bytes[at] ^= mask;
            self.judge(&bytes, &counts).with_context(|| format!("byte {at} ^ {mask:#04x} after {}", self.how))
        })?;
        let mut cuts = vec![0, 1, HEAD_BYTES, size / 2, size - 1, size + 1, size + PAGE_BYTES];
        cuts.extend((0..size).step_by(PAGE_BYTES));
        cuts.extend((0..flips.len() as u32 / FLIPS_A_CUT).map(|_| rng.index(size)));
        cuts.par_iter().try_for_each(|&length| {
            let mut bytes = self.bytes.clone();
            bytes.resize(length, 0);
            self.judge(&bytes, &counts).with_context(|| format!("cut to {length} bytes after {}", self.how))
        })?;
        Ok(counts)
    }

    fn judge(&self, bytes: &[u8], counts: &Counts) -> Result<()> {
        let count = match opened(bytes)? {
            None => &counts.refused,
            Some(kept) if kept == self.kept => &counts.harmless,
            Some(kept) if self.before.as_ref() == Some(&kept) => &counts.lost,
            Some(kept) => bail!("opened, and what was acknowledged is not there: {kept:?} is not {:?}", self.kept),
        };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Where the store keeps its two last commits.
const HEAD_BYTES: usize = 512;
/// A page of the store.
const PAGE_BYTES: usize = 4_096;

/// Flips every bit of the veils, and cuts them everywhere.
fn veils(data: &Path) -> Result<u64> {
    let snapshot = Snapshot::open(data, Some(key()))?;
    let line = snapshot.manifest().and_then(|manifest| manifest.veils.clone()).context("veils after a fold")?;
    let (path, mut refused): (PathBuf, u64) = (data.join(&line.file), 0);
    let bytes = fs::read(&path)?;
    let flips = (0..bytes.len() * 8).map(|bit| {
        let mut wrong = bytes.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        wrong
    });
    let cuts = (0..bytes.len()).map(|length| bytes[..length].to_vec());
    for wrong in flips.chain(cuts) {
        // It is read-only, and not every user may write over such.
        fs::remove_file(&path)?;
        fs::write(&path, &wrong)?;
        match catch_unwind(|| Snapshot::open(data, Some(key()))) {
            Err(_) => bail!("a panic at veils of {} bytes", wrong.len()),
            Ok(Ok(_)) => bail!("damaged veils of {} bytes went unnoticed", wrong.len()),
            Ok(Err(error)) => ensure!(error.to_string().contains(&line.file), "damaged veils are not named: {error}"),
        }
        refused += 1;
    }
    fs::remove_file(&path)?;
    fs::write(&path, &bytes)?;
    Ok(refused)
}
