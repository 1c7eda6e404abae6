//! A short random life of an index: commits, loads and builds, and after each what a naive model says is visible.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use usher_index::state::{State, oldest_folded};
use usher_index::{
    AuditEntry, Batch, Change, Commit, Entry, FeedKey, Folder, IdType, Key, LedgerLine, NoProgress, Pid, Row, Segment,
    Tick, TickLength, Time, VisitorId, Writer,
};

use super::record::Recorder;
use crate::rng::Rng;

/// The moment at which every story is told.
pub const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;
/// Visitors of a story.
pub const VISITORS: u32 = 5;
/// The segments of a story.
pub const SEGMENTS: [&str; 3] = ["interest.theatre", "interest.dance", "crm.spectator"];
const SOURCE: &str = "mag";
/// The latest hour before now in which something is observed; before it a few more.
const OLDEST_HOUR: u32 = 6;

/// Who has what, live.
pub type Visible = BTreeSet<(u32, &'static str)>;

/// The key of every story.
#[must_use]
pub fn key() -> Key {
    Key::from_bytes([42; 32])
}

/// The pseudonym of a visitor.
#[must_use]
pub fn pid(visitor: u32) -> Pid {
    key().pid(&IdType::default(), VisitorId::new(&format!("v{visitor}")).expect("a short id"))
}

fn now() -> Time {
    Time::from_unix(NOW).expect("before 2106")
}

fn tick() -> TickLength {
    TickLength::default()
}

/// The segment of a story of this name.
#[must_use]
pub fn segment(name: &str) -> Option<&'static str> {
    SEGMENTS.into_iter().find(|known| *known == name)
}

/// Maps and sets.
#[derive(Debug, Clone, Default)]
struct Model {
    rows: BTreeMap<(u32, &'static str), Entry>,
    opted_out: BTreeSet<u32>,
    erased: BTreeMap<u32, Tick>,
}

impl Model {
    fn row(&mut self, visitor: u32, segment: &'static str, entry: Entry) {
        let barred =
            self.opted_out.contains(&visitor) || self.erased.get(&visitor).is_some_and(|&at| entry.observed <= at);
        if !barred {
            let kept = self.rows.entry((visitor, segment)).or_insert(entry);
            *kept = kept.merge(entry);
        }
    }

    fn erase(&mut self, visitor: u32, at: Tick) {
        let latest = self.erased.entry(visitor).or_insert(at);
        *latest = at.max(*latest);
        self.rows.retain(|&(whose, _), entry| whose != visitor || entry.observed > at);
    }

    fn visible(&self) -> Visible {
        let live = |entry: &Entry| entry.live(tick().floor(now()));
        let held = self.rows.iter().filter(|((visitor, _), entry)| live(entry) && !self.opted_out.contains(visitor));
        held.map(|(&who, _)| who).collect()
    }
}

/// What happened, and what was visible before the first operation and after each.
pub struct Story {
    /// The steps of the disk.
    pub events: Vec<super::disk::Event>,
    /// By the number of operations done.
    pub visible: Vec<Visible>,
}

/// Lives a story of so many operations in an empty folder.
///
/// # Errors
/// When something fails that nothing disturbs.
pub fn live(dir: &Path, seed: u64, operations: usize) -> Result<Story> {
    let (recorder, mut rng) = (Recorder::default(), Rng::new(seed));
    let folder = Folder::open(dir)?.watched_by(Arc::new(recorder.clone()));
    let state = State::open_in(&folder, &key(), "a story")?;
    let (mut model, mut visible) = (Model::default(), vec![Visible::new()]);
    for operation in 1..=operations {
        recorder.began(operation);
        match rng.below(10) {
            0..=5 => commit(&state, &mut model, &mut rng),
            6 | 7 => load(&folder, &state, &mut model, &mut rng, operation),
            8 => fold(&folder, &state, false),
            _ => fold(&folder, &state, true),
        }
        .with_context(|| format!("seed {seed}, operation {operation}"))?;
        recorder.acknowledged(operation);
        visible.push(model.visible());
    }
    Ok(Story { events: recorder.events(), visible })
}

/// Rows, or one wish of a visitor; a few of them at once.
fn commit(state: &State, model: &mut Model, rng: &mut Rng) -> Result<()> {
    let table = SEGMENTS.map(|name| Segment { name: name.into(), source: SOURCE.into() });
    let (mut changes, at) = (Vec::new(), tick().floor(now()));
    for _ in 0..=rng.below(3) {
        let visitor = rng.below(VISITORS);
        let pid = pid(visitor);
        match rng.below(8) {
            0 => {
                model.opted_out.insert(visitor);
                model.rows.retain(|&(whose, _), _| whose != visitor);
                changes.push(Change::OptOut { pid });
            }
            1 if model.opted_out.remove(&visitor) => {
                model.erase(visitor, at);
                changes.push(Change::Revoke { pid, at });
            }
            2 => {
                let at = Tick::new(at.get() - rng.below(OLDEST_HOUR));
                model.erase(visitor, at);
                changes.push(Change::Erase { pid, at });
            }
            _ => {
                let (segment, entry) = (rng.index(SEGMENTS.len()), entry(rng));
                model.row(visitor, SEGMENTS[segment], entry);
                changes.push(Change::Row { pid, segment: segment as u32, entry });
            }
        }
    }
    let audit = AuditEntry { at: now(), what: "story".to_owned(), detail: String::new(), receipt: None };
    state.commit(&Commit { changes: &changes, segments: &table, audit: &[audit] })?;
    Ok(())
}

fn entry(rng: &mut Rng) -> Entry {
    let observed = tick().floor(now()).get() - rng.below(OLDEST_HOUR + 2);
    let life = if rng.below(4) == 0 { 0 } else { 48 };
    Entry { observed: Tick::new(observed), expiry: Tick::new(observed + life) }
}

/// A feed that goes the bulk way, beside the state.
fn load(folder: &Folder, state: &State, model: &mut Model, rng: &mut Rng, number: usize) -> Result<()> {
    let mut writer = Writer::open_in(folder.clone(), key())?;
    writer.bar(state.bars(Arc::clone(writer.snapshot().veils()))?);
    let mut admission = writer.admission(SOURCE, IdType::default(), None, now())?;
    let mut batch = Batch::new(SOURCE);
    for _ in 0..=rng.below(4) {
        let (visitor, segment) = (rng.below(VISITORS), SEGMENTS[rng.index(SEGMENTS.len())]);
        let (observed, remove) = (NOW - i64::from(rng.below(OLDEST_HOUR)) * HOUR, rng.below(4) == 0);
        let observed = Time::from_unix(observed).context("after 1970")?;
        let id = format!("v{visitor}");
        let row = Row {
            visitor: VisitorId::new(&id)?,
            segment,
            id_type: None,
            observed: Some(observed),
            ttl: None,
            expires: None,
            remove,
        };
        if let Ok(admitted) = admission.admit(&row) {
            model.row(visitor, segment, admitted.membership.entry());
            batch.push(admitted.membership);
        }
    }
    batch.finish(admission.into_segments());
    let key = FeedKey { source: SOURCE.into(), digest: number.to_string(), options: String::new() };
    let line = LedgerLine { key, received: now(), report: Default::default(), outcome: None };
    writer.load(vec![(batch, line)], now(), &NoProgress)?;
    Ok(())
}

/// Folds what the state holds, and lets it forget that.
fn fold(folder: &Folder, state: &State, anew: bool) -> Result<()> {
    let mut writer = Writer::open_in(folder.clone(), key())?;
    writer.fold(state)?;
    if anew {
        writer.rebuild(now(), true, &NoProgress)?;
    } else {
        writer.load(Vec::new(), now(), &NoProgress)?;
    }
    state.settle(oldest_folded(folder)?)?;
    Ok(())
}
