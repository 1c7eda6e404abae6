//! `usher-bench crash`: loaders are killed at random moments, and whatever they leave must be the index before or the
//! index after, whole; the same command run again completes it. What is expected is kept in this process, as a map.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use usher_index::{IdType, Key, Snapshot, VisitorId};

use crate::rng::Rng;
use crate::victim::{Victim, text, to_its_end};

/// The first moment of every house, at the beginning of an hour.
const BASE: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;
const VISITORS: u32 = 3_000;
const SEGMENTS: u32 = 40;
/// After so many kills a new house begins with an empty folder, so that first loads are killed too.
const KILLS_A_HOUSE: u32 = 12;
/// How long a loader may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the folder is looked at for the beginning of a publication.
const LOOK: Duration = Duration::from_micros(100);

/// Of each live membership the tick of its end.
type Content = BTreeMap<(u32, u32), u32>;

/// What came of the kills.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Loaders that were killed.
    pub killed: u32,
    /// Loaders that were done before their kill came.
    pub finished: u32,
    /// Kills that left the index before.
    pub before: u32,
    /// Kills that left the index after.
    pub after: u32,
    /// Kills of the first load into a folder.
    pub first: u32,
    /// Kills that left temporary files.
    pub temporary: u32,
    /// Kills that left whole files which no kept manifest names.
    pub orphaned: u32,
    /// Violations of the promise; a run stops at the first.
    pub violations: u32,
}

/// A data folder and what must be in it.
struct House {
    dir: TempDir,
    now: i64,
    content: Content,
}

/// How long loaders take, learnt from those that are not killed.
struct Spans {
    whole: Duration,
    publishing: Duration,
}

/// Kills until `kills` have hit a running loader. `rows` in each feed.
///
/// # Errors
/// At the first violation, naming the seed and the number of the kill; or when the files cannot be written.
pub fn run(kills: u32, seed: u64, rows: u32, victim: Victim<'_>, out: &mut dyn Write) -> Result<Tally> {
    let mut rng = Rng::new(seed);
    let mut spans = Spans { whole: Duration::ZERO, publishing: Duration::ZERO };
    let mut warm = House::new()?;
    // The second load counts: the first one writes a file before it reads.
    for _ in 0..2 {
        let feed = warm.feed(&mut rng, rows)?;
        spans.learn(&warm, victim, &feed)?;
        warm.content = feed.after;
    }
    let (mut tally, mut house, mut since) = (Tally::default(), House::new()?, 0);
    while tally.killed < kills {
        ensure!(tally.finished < 20 * kills + 100, "hardly any kill comes in time");
        if since == KILLS_A_HOUSE {
            house.check_swept(victim).with_context(|| format!("seed {seed}, after kill {}", tally.killed))?;
            (house, since) = (House::new()?, 0);
        }
        since += 1;
        let number = tally.killed + 1;
        house.kill_once(&mut rng, rows, &mut spans, victim, &mut tally).with_context(|| {
            format!("violation: seed {seed}, kill {number}, {} ran to their end before", tally.finished)
        })?;
    }
    house.check_swept(victim).with_context(|| format!("seed {seed}, after the last kill"))?;
    let Tally { killed, finished, before, after, first, temporary, orphaned, violations } = &tally;
    writeln!(out, "seed {seed}: {killed} loaders killed ({first} in a first load), {finished} were done before")?;
    writeln!(out, "left behind: {before} x the index before, {after} x the index after")?;
    writeln!(out, "temporary files left by {temporary}, files that no manifest names by {orphaned}; all swept later")?;
    writeln!(out, "violations: {violations}")?;
    Ok(tally)
}

impl Spans {
    /// Loads into `house` without a kill.
    fn learn(&mut self, house: &House, victim: Victim<'_>, feed: &Feed) -> Result<()> {
        let began = Instant::now();
        let mut child = feed.start(victim)?;
        let publishing = house.await_publication(&mut child).then(Instant::now);
        let status = child.wait()?;
        ensure!(status.success(), "a loader that nobody killed failed: {status}");
        self.whole = began.elapsed();
        self.publishing = publishing.map_or(self.whole / 4, |since| since.elapsed());
        Ok(())
    }
}

/// One call of the loader, and what the index holds after it.
struct Feed {
    args: Vec<String>,
    after: Content,
    is_load: bool,
}

impl Feed {
    fn args(&self) -> Vec<&str> {
        self.args.iter().map(String::as_str).collect()
    }

    fn start(&self, victim: Victim<'_>) -> Result<Child> {
        let mut command = victim(&self.args());
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }
}

impl House {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("usher-crash-").tempdir()?;
        Ok(Self { dir, now: BASE, content: Content::new() })
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Random rows an hour later: additions and removals.
    fn feed(&mut self, rng: &mut Rng, rows: u32) -> Result<Feed> {
        self.now += HOUR;
        let (observed, tick) = (self.now, (self.now / HOUR) as u32);
        let mut changes: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for _ in 0..rows {
            let life = if rng.percent(20) { 0 } else { 1_000 + rng.below(1_000) };
            changes.insert((rng.below(VISITORS), rng.below(SEGMENTS)), life);
        }
        let (mut csv, mut after) = ("visitor,segment,observed,expires,action\n".to_owned(), self.content.clone());
        for (&(visitor, segment), &life) in &changes {
            if life == 0 {
                writeln!(csv, "{visitor},s.{segment},{observed},,remove")?;
                after.remove(&(visitor, segment));
            } else {
                writeln!(csv, "{visitor},s.{segment},{observed},{},add", observed + i64::from(life) * HOUR)?;
                after.insert((visitor, segment), tick + life);
            }
        }
        let file = self.dir.path().join("feed.csv");
        std::fs::write(&file, csv)?;
        let (data, now) = (self.data(), self.now.to_string());
        let args = ["load", text(&file)?, "--data", text(&data)?, "--source", "mag", "--now", &now];
        Ok(Feed { args: args.map(str::to_owned).to_vec(), after, is_load: true })
    }

    fn rebuild(&self) -> Result<Feed> {
        let (data, now) = (self.data(), self.now.to_string());
        let args = ["build", "--data", text(&data)?, "--now", &now].map(str::to_owned).to_vec();
        Ok(Feed { args, after: self.content.clone(), is_load: false })
    }

    fn kill_once(
        &mut self,
        rng: &mut Rng,
        rows: u32,
        spans: &mut Spans,
        victim: Victim<'_>,
        tally: &mut Tally,
    ) -> Result<()> {
        let first = self.content.is_empty();
        let feed = if first || rng.percent(75) { self.feed(rng, rows)? } else { self.rebuild()? };
        let mut child = feed.start(victim)?;
        // Half of the kills anywhere, half in the short while in which files appear.
        if rng.percent(50) {
            std::thread::sleep(spans.whole.mul_f64(1.05 * rng.unit()));
        } else if self.await_publication(&mut child) {
            std::thread::sleep(spans.publishing.mul_f64(rng.unit()));
        }
        child.kill()?;
        let status = child.wait()?;
        match status.code() {
            Some(0) => tally.finished += 1,
            Some(code) => bail!("a loader failed by itself, with {code}"),
            None => {
                tally.killed += 1;
                tally.first += u32::from(first);
            }
        }
        let killed = status.code().is_none();
        let found = self.found()?;
        ensure!(found == self.content || found == feed.after, "neither the index before nor the index after");
        ensure!(killed || found == feed.after, "a loader succeeded, and its rows are not there");
        if killed {
            *(if found == feed.after { &mut tally.after } else { &mut tally.before }) += 1;
            tally.temporary += u32::from(self.names()?.iter().any(|name| name.starts_with(".tmp-")));
            tally.orphaned += u32::from(!self.orphans()?.is_empty());
        }
        self.complete(&feed, found == feed.after, spans, victim)
    }

    /// The same command again: it completes what was killed, and cleans up when it builds.
    fn complete(&mut self, feed: &Feed, done: bool, spans: &mut Spans, victim: Victim<'_>) -> Result<()> {
        let generation = Snapshot::newest_generation(&self.data())?;
        let began = Instant::now();
        let (code, said) = to_its_end(victim, &feed.args())?;
        ensure!(code == 0, "run again, the loader ended with {code}: {said}");
        ensure!(self.found()? == feed.after, "run again, the loader did not complete the index");
        let built = Snapshot::newest_generation(&self.data())? > generation;
        ensure!(built != (feed.is_load && done), "run again after {}", if done { "success" } else { "failure" });
        if built {
            spans.whole = (spans.whole + began.elapsed()) / 2;
            let left = self.orphans()?;
            ensure!(left.is_empty(), "left behind after the next build: {left:?}");
        }
        self.content.clone_from(&feed.after);
        Ok(())
    }

    /// After one more build nothing may be left.
    fn check_swept(&mut self, victim: Victim<'_>) -> Result<()> {
        let rebuild = self.rebuild()?;
        let (code, said) = to_its_end(victim, &rebuild.args())?;
        ensure!(code == 0, "the last build ended with {code}: {said}");
        ensure!(self.found()? == self.content, "the last build changed the index");
        let left = self.orphans()?;
        ensure!(left.is_empty(), "left behind after the last build: {left:?}");
        Ok(())
    }

    /// Until a temporary file appears; false: the loader ended before.
    fn await_publication(&self, child: &mut Child) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.names().is_ok_and(|names| names.iter().any(|name| name.starts_with(".tmp-"))) {
                return true;
            }
            if !matches!(child.try_wait(), Ok(None)) {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        false
    }

    fn names(&self) -> Result<Vec<String>> {
        match std::fs::read_dir(self.data()) {
            Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Files that belong to no kept generation.
    fn orphans(&self) -> Result<Vec<String>> {
        let mut names = self.names()?;
        let mut kept: Vec<String> = ["FORMAT", "LOCK.build", "quarantine"].map(str::to_owned).to_vec();
        let mut generations: Vec<u64> =
            names.iter().filter_map(|name| name.strip_prefix("manifest.")?.parse().ok()).collect();
        generations.sort_unstable();
        for generation in generations.iter().rev().take(2) {
            let folder = usher_index::Folder::open(&self.data())?;
            let snapshot = Snapshot::open_generation(&folder, *generation, None)?;
            kept.push(format!("manifest.{generation}"));
            kept.extend(snapshot.manifest().iter().flat_map(|m| m.images.iter().map(|image| image.file.clone())));
        }
        names.retain(|name| !kept.contains(name));
        Ok(names)
    }

    /// Opens and verifies the newest generation, and reads all of it.
    fn found(&self) -> Result<Content> {
        let data = self.data();
        let newest = Snapshot::newest_generation(&data).context("the folder cannot be opened")?;
        if newest == 0 {
            return Ok(Content::new());
        }
        let key = std::fs::read_to_string(data.with_extension("key")).context("an index without its key")?;
        let key = Key::from_hex(key.trim())?;
        let snapshot = Snapshot::open(&data, Some(key.clone())).context("the index cannot be opened")?;
        ensure!(snapshot.generation() == newest, "the newest generation, {newest}, does not verify");
        snapshot.verify(|_| {}).context("the index does not verify")?;
        let mut content = Content::new();
        for visitor in 0..VISITORS {
            let pid = key.pid(&IdType::default(), VisitorId::new(&visitor.to_string())?);
            let Some(shard) = snapshot.shard_of(pid) else { continue };
            let mut wrong = false;
            shard.lookup(pid, |rank, entry| {
                let name = &shard.names()[rank as usize];
                match name.strip_prefix("s.").and_then(|number| number.parse().ok()) {
                    Some(segment) if !entry.is_removal() => _ = content.insert((visitor, segment), entry.expiry.get()),
                    found => wrong |= found.is_none(),
                }
            })?;
            ensure!(!wrong, "a segment that nobody delivered");
        }
        ensure!(snapshot.memberships() == content.len() as u64, "memberships of visitors whom nobody delivered");
        Ok(content)
    }
}
