//! `usher-bench lookup N` and `usher-bench open N`: lookups in process, beside the same data in plain parts.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use usher_engine::ask::lookup::{Lookup, NameTable, Only};
use usher_index::{IdType, Key, Lookups, Overlay, Pid, Snapshot, Time, VisitorId};
use usher_loader::cmd::Streams;

use self::plain::Plain;
use crate::rng::Rng;
use crate::workload::{BASE_TIME, SEED, Workload};
use crate::{feed_file, machine};

pub mod plain;

/// The goal of opening is for an index of so many visitors.
const GOAL_VISITORS: u64 = 10_000_000;
/// Lookups of a round.
const ROUND: usize = 1 << 15;
/// Rounds: enough for a median that one disturbed round does not move.
const ROUNDS: usize = 9;
/// Known visitors that are asked for.
const ASKED: usize = 1 << 20;
/// Visitors whose answers are compared before anything is measured.
const COMPARED: usize = 2_000;
/// A third of the memberships are dead by then.
pub const DAYS_LATER: u8 = 30;
const DAY_SECONDS: i64 = 86_400;

/// The moment of the questions.
#[must_use]
pub fn now() -> i64 {
    BASE_TIME as i64 + i64::from(DAYS_LATER) * DAY_SECONDS
}

/// An index of the synthetic workload.
pub struct Index {
    /// The data folder, its key beside it.
    pub path: PathBuf,
    /// The key.
    pub key: Key,
    /// Removed with it, unless it was there before.
    _dir: Option<TempDir>,
}

/// Where an index of the synthetic workload comes from.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// Where to make the temporary folder
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    work: PathBuf,
    /// An index of so many synthetic visitors that was made before (its key beside it), instead of making one
    #[arg(long, conflicts_with = "work")]
    index: Option<PathBuf>,
}

impl Place {
    /// Where temporary folders go.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Whether it was made before.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.index.is_some()
    }

    /// The index of so many visitors.
    ///
    /// # Errors
    /// When it cannot be made, or its key cannot be read.
    pub fn index(&self, visitors: u64, out: &mut dyn Write) -> Result<Index> {
        match &self.index {
            Some(path) => Index::made(path.clone(), None),
            None => Index::build(visitors, &self.work, out),
        }
    }
}

impl Index {
    /// Generates the workload of so many visitors in a temporary folder within `work` and loads it.
    ///
    /// # Errors
    /// When a folder cannot be written, or the loader fails.
    pub fn build(visitors: u64, work: &Path, out: &mut dyn Write) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("usher-bench-").tempdir_in(work)?;
        feed_file::write(visitors, dir.path(), false, out)?;
        Self::of_feed(dir)
    }

    /// The same over rows that `write` gives: visitor, segment, expiry.
    ///
    /// # Errors
    /// When a folder cannot be written, or the loader fails.
    pub fn load(work: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("usher-bench-").tempdir_in(work)?;
        let mut feed = std::io::BufWriter::new(std::fs::File::create(dir.path().join("feed.tsv"))?);
        write(&mut feed)?;
        feed.flush()?;
        Self::of_feed(dir)
    }

    fn of_feed(dir: TempDir) -> Result<Self> {
        let (feed, path) = (dir.path().join("feed.tsv"), dir.path().join("index"));
        let (feed_name, path_name, now) =
            (feed.display().to_string(), path.display().to_string(), BASE_TIME.to_string());
        let columns = ["--columns", "visitor,segment,expires", "--source", "synthetic", "--now", &now];
        let args = ["usher-loader", "load", &feed_name, "--data", &path_name];
        let (mut input, mut said, mut errors) = (std::io::empty(), Vec::new(), Vec::new());
        let mut streams = Streams { input: &mut input, out: &mut said, err: &mut errors, progress: false };
        let code = usher_loader::cmd::run(args.iter().chain(&columns), &mut streams);
        ensure!(code == 0, "the loader failed: {}", String::from_utf8_lossy(&errors));
        std::fs::remove_file(&feed)?;
        Self::made(path, Some(dir))
    }

    fn made(path: PathBuf, dir: Option<TempDir>) -> Result<Self> {
        let key = path.with_extension("key");
        let text = std::fs::read_to_string(&key).with_context(|| format!("cannot read {}", key.display()))?;
        Ok(Self { path, key: Key::from_hex(&text)?, _dir: dir })
    }

    /// Opens it as a server does.
    ///
    /// # Errors
    /// When it does not verify.
    pub fn open(&self) -> Result<Snapshot> {
        let mut snapshot = Snapshot::open(&self.path, Some(self.key.clone()))?;
        snapshot.hold()?;
        Ok(snapshot)
    }

    /// The pseudonym of an id.
    ///
    /// # Errors
    /// When it is none.
    pub fn pid(&self, id: &[u8]) -> Result<Pid> {
        Ok(self.key.pid(&IdType::default(), VisitorId::new(std::str::from_utf8(id)?)?))
    }
}

/// The middle, the least and the most of some measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of at least one measurement.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        Self { median: at(values.len() / 2), min: at(0), max: at(values.len().saturating_sub(1)) }
    }
}

/// Whether a goal is met, in a word.
#[must_use]
pub fn met(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

/// Prints nanoseconds a lookup, ours beside plain parts, and the bytes of both.
///
/// # Errors
/// When the index cannot be built or the two sides disagree.
pub fn run(visitors: u64, place: &Place, out: &mut dyn Write) -> Result<()> {
    let index = place.index(visitors, out)?;
    let snapshot = index.open()?;
    let (mut workload, mut pids) = (Workload::new(SEED), Vec::new());
    let mut plain = Plain::new(workload.ranked(), visitors as usize);
    for _ in 0..visitors {
        let visitor = workload.visitor();
        let pid = index.pid(&visitor.id)?;
        plain.put(pid, visitor.memberships);
        if pids.len() < ASKED {
            pids.push(pid);
        }
    }
    Rng::new(SEED).shuffle(&mut pids);
    let names = NameTable::new(&snapshot);
    compare(&snapshot, &names, &plain, &pids)?;
    let busy = machine::Busy::now();
    let rows = measure(&snapshot, &names, &plain, &pids)?;
    let memberships = snapshot.memberships();
    writeln!(out, "\n{}\n", machine::line(&busy))?;
    writeln!(
        out,
        "| {visitors} visitors, {memberships} memberships; ns a lookup | usher (min-max) | plain parts (min-max) | ratio | goal | |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---|---|")?;
    out.write_all(table(&rows)?.as_bytes())?;
    let ours: u64 = snapshot.shards().iter().map(|shard| shard.image().len()).sum();
    let each = |bytes: u64| bytes as f64 / memberships as f64;
    let (ours, theirs) = (each(ours), each(plain.bytes() as u64));
    writeln!(
        out,
        "| bytes a membership (ours: both directions) | {ours:.3} | {theirs:.3} | {:.2}x | | |",
        theirs / ours
    )?;
    Ok(())
}

/// One line of the table.
struct Row {
    name: &'static str,
    ours: Spread,
    theirs: Spread,
    /// At least so many times as fast, in at most so many nanoseconds.
    goal: Option<(f64, f64)>,
}

fn table(rows: &[Row]) -> Result<String> {
    let mut text = String::new();
    for Row { name, ours, theirs, goal } in rows {
        let ratio = theirs.median / ours.median;
        write!(text, "| {name} | {:.0} ({:.0}-{:.0}) ", ours.median, ours.min, ours.max)?;
        write!(text, "| {:.0} ({:.0}-{:.0}) | {ratio:.2}x ", theirs.median, theirs.min, theirs.max)?;
        match goal {
            Some((times, nanos)) => {
                let met = met(ratio >= *times && ours.median <= *nanos);
                writeln!(text, "| at 10M: >= {times}x, <= {nanos} ns | {met} |")?;
            }
            None => writeln!(text, "| | |")?,
        }
    }
    Ok(text)
}

fn at() -> Result<Time> {
    Time::from_unix(now()).context("before 2106")
}

/// Both sides must answer alike before their speed means anything.
fn compare(snapshot: &Snapshot, names: &NameTable, plain: &Plain, pids: &[Pid]) -> Result<()> {
    let overlay = Overlay::default();
    let mut lookup = Lookup::new(snapshot, names, &overlay);
    let (mut ranks, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for &pid in pids.iter().take(COMPARED) {
        ours.clear();
        theirs.clear();
        lookup.answer(pid, at()?, &Only::Everything, &mut ours)?;
        plain.answer(pid, DAYS_LATER, &mut ranks, &mut theirs);
        ensure!(ours == theirs, "{} is not {}", String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs));
    }
    Ok(())
}

/// The next question of a chain: it depends on the answer to the one before.
fn chain(pids: &[Pid], mut each: impl FnMut(Pid) -> Result<usize>) -> Result<usize> {
    let (mut place, mut sum) = (0, 0);
    for _ in 0..pids.len() {
        let found = each(pids[place])?;
        sum += found;
        place = (place + 1 + (found & 1)) % pids.len();
    }
    Ok(sum)
}

fn measure(snapshot: &Snapshot, names: &NameTable, plain: &Plain, pids: &[Pid]) -> Result<Vec<Row>> {
    let (time, tick) = (at()?, snapshot.tick().floor(at()?));
    let overlay = Overlay::default();
    let (mut lookups, mut lookup) = (Lookups::default(), Lookup::new(snapshot, names, &overlay));
    let (mut ranks, mut ranks2, mut ranks3) = (Vec::new(), Vec::new(), Vec::new());
    let (mut text, mut text2) = (Vec::new(), Vec::new());
    let mut chained = Lookups::default();
    type Side<'a> = Box<dyn FnMut(&[Pid]) -> Result<usize> + 'a>;
    let mut sides: [Side<'_>; 6] = [
        Box::new(|pids| {
            let mut sum = 0;
            lookups.many(snapshot, pids, tick, |_, ranks| sum += ranks.len())?;
            Ok(sum)
        }),
        Box::new(|pids| Ok(pids.iter().map(|pid| plain.live(*pid, DAYS_LATER, &mut ranks)).sum())),
        Box::new(|pids| chain(pids, |pid| Ok(chained.one(snapshot, pid, tick)?.len()))),
        Box::new(|pids| chain(pids, |pid| Ok(plain.live(pid, DAYS_LATER, &mut ranks2)))),
        Box::new(|pids| {
            text.clear();
            lookup.answers(pids, &[], time, &Only::Everything, &mut text)?;
            Ok(text.len())
        }),
        Box::new(|pids| {
            text2.clear();
            for &pid in pids {
                plain.answer(pid, DAYS_LATER, &mut ranks3, &mut text2);
                text2.push(b',');
            }
            Ok(text2.len())
        }),
    ];
    let mut nanos: [Vec<f64>; 6] = Default::default();
    for (round, window) in (0..=ROUNDS).zip(pids.chunks(ROUND.min(pids.len())).cycle()) {
        for (side, nanos) in sides.iter_mut().zip(&mut nanos) {
            let began = Instant::now();
            black_box(side(window)?);
            if round > 0 {
                nanos.push(began.elapsed().as_nanos() as f64 / window.len() as f64);
            }
        }
    }
    let [a, b, c, d, e, f] = nanos.map(Spread::of);
    Ok(vec![
        Row { name: "pid to live ids, batch", ours: a, theirs: b, goal: Some((2.0, 400.0)) },
        Row { name: "pid to live ids, chained", ours: c, theirs: d, goal: Some((1.4, 800.0)) },
        Row { name: "pid to JSON, batch", ours: e, theirs: f, goal: None },
    ])
}

/// Prints how long it takes to open the index until it has answered one question.
///
/// # Errors
/// When the index cannot be built, or answers wrongly.
pub fn open(visitors: u64, place: &Place, out: &mut dyn Write) -> Result<()> {
    let index = place.index(visitors, out)?;
    let mut workload = Workload::new(SEED);
    let first = workload.visitor();
    let (pid, expected) =
        (index.pid(&first.id)?, first.memberships.iter().filter(|(_, day)| *day > DAYS_LATER).count());
    let busy = machine::Busy::now();
    let mut millis = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let snapshot = index.open()?;
        let names = NameTable::new(&snapshot);
        let (overlay, mut answer) = (Overlay::default(), Vec::new());
        Lookup::new(&snapshot, &names, &overlay).answer(pid, at()?, &Only::Everything, &mut answer)?;
        millis.push(began.elapsed().as_secs_f64() * 1e3);
        let segments = answer.split(|byte| *byte == b',').count() - 1;
        ensure!(segments == expected.max(1), "{expected} segments expected: {}", String::from_utf8_lossy(&answer));
    }
    let Spread { median, min, max } = Spread::of(millis);
    writeln!(out, "\n{}\n", machine::line(&busy))?;
    writeln!(out, "| {visitors} visitors | ms, median (min-max) | goal | |\n|---|---:|---|---|")?;
    writeln!(
        out,
        "| open, every checksum, to the first right answer | {median:.0} ({min:.0}-{max:.0}) | at 10M: <= 1,000 | {} |",
        if visitors < GOAL_VISITORS { "not judged at this size" } else { met(median <= 1_000.0) }
    )?;
    Ok(())
}
