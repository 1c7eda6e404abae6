//! What a batch of changes makes of each visitor, worked out before anything becomes visible.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use crate::bars::Bars;
use crate::entry::Entry;
use crate::error::ImageError;
use crate::id::Pid;
use crate::image::Section;
use crate::snapshot::Snapshot;

use super::answers::{Answers, PidHasher, Touched};
use super::names::Interner;

/// A rank whose name has no number here yet.
const UNKNOWN: u32 = u32::MAX;

/// What only the writer needs.
pub(super) struct Writer {
    pub(super) names: Interner,
    /// By shard and rank, the numbers of names that were looked up before: for them no name is hashed again.
    numbers: Vec<Vec<u32>>,
    pub(super) ordinals: HashMap<Pid, u32, BuildHasherDefault<PidHasher>>,
    /// What visitors who opted out had, by ordinal: of this they get back what was observed after they revoke.
    hidden: HashMap<u32, Vec<(u32, Entry)>>,
    /// What every visitor has who opted out.
    pub(super) opted_out: Arc<Touched>,
}

impl Default for Writer {
    fn default() -> Self {
        let opted_out = Arc::new(Touched { opted_out: true, entries: Box::default() });
        let (ordinals, hidden) = (HashMap::default(), HashMap::new());
        Self { names: Interner::default(), numbers: Vec::new(), ordinals, hidden, opted_out }
    }
}

/// What a batch brings one visitor.
#[derive(Default)]
pub(super) struct Brought {
    pub(super) rows: Vec<(u32, Entry)>,
    /// What the images say, of a visitor who was not touched before; sorted.
    pub(super) before: Vec<(u32, Entry)>,
}

/// What a visitor has after a batch.
pub(super) enum Settled {
    /// What the images say, which is nothing if this visitor opted out.
    Untouched {
        opted_out: bool,
    },
    /// Touched for the first time.
    New {
        before: Vec<(u32, Entry)>,
        after: Arc<Touched>,
    },
    Changed {
        ordinal: u32,
        after: Arc<Touched>,
    },
}

impl Writer {
    /// What the images say of a visitor, sorted by number.
    pub(super) fn read(&mut self, snapshot: &Snapshot, pid: Pid) -> Result<Vec<(u32, Entry)>, ImageError> {
        let mut entries = Vec::new();
        let at = snapshot.shard_number(pid);
        let Some(shard) = snapshot.shards().get(at) else { return Ok(entries) };
        shard.profile(pid, &mut entries)?;
        if self.numbers.len() <= at {
            self.numbers.resize_with(at + 1, Vec::new);
        }
        let numbers = &mut self.numbers[at];
        for (rank, _) in &mut entries {
            let place = *rank as usize;
            *rank = match numbers.get(place) {
                Some(&number) if number != UNKNOWN => number,
                _ => {
                    let names = shard.image().names();
                    let named = names.names().get(place).zip(names.sources().get(place));
                    let damaged = || shard.image().damaged(Section::Records, "ranks of segments");
                    let (name, source) = named.ok_or_else(damaged)?;
                    numbers.resize(names.names().len(), UNKNOWN);
                    numbers[place] = self.names.number(name, source);
                    numbers[place]
                }
            };
        }
        entries.sort_unstable_by_key(|(number, _)| *number);
        Ok(entries)
    }

    pub(super) fn settle(&mut self, answers: &Answers, bars: &Bars, pid: Pid, of: Brought) -> Settled {
        let Brought { rows, before } = of;
        let known = self.ordinals.get(&pid).copied();
        let mut entries = match known {
            Some(ordinal) => self.hidden.remove(&ordinal).unwrap_or_else(|| entries_of(answers, pid)),
            None => before.clone(),
        };
        entries.extend(rows);
        merge(&mut entries);
        let opted_out = bars.opted_out(pid);
        let hidden = if opted_out { entries.clone() } else { Vec::new() };
        bars.retain(pid, &mut entries);
        if known.is_none() && hidden.is_empty() && entries == before {
            return Settled::Untouched { opted_out };
        }
        // The bound of bytes comes long before 2^32 visitors.
        let ordinal = known.unwrap_or(self.ordinals.len() as u32);
        let after = if opted_out {
            self.hidden.insert(ordinal, hidden);
            Arc::clone(&self.opted_out)
        } else {
            Arc::new(Touched::of(entries, &self.names))
        };
        if known.is_some() {
            return Settled::Changed { ordinal, after };
        }
        self.ordinals.insert(pid, ordinal);
        Settled::New { before, after }
    }
}

/// What a touched visitor has, by number.
fn entries_of(answers: &Answers, pid: Pid) -> Vec<(u32, Entry)> {
    let touched = answers.get(pid).unwrap_or_default();
    touched.entries.iter().map(|held| (held.name.number, held.entry)).collect()
}

/// Sorts by number, and leaves one entry of each.
fn merge(entries: &mut Vec<(u32, Entry)>) {
    entries.sort_unstable_by_key(|(number, _)| *number);
    entries.dedup_by(|again, kept| {
        let same = again.0 == kept.0;
        if same {
            kept.1 = kept.1.merge(again.1);
        }
        same
    });
}
