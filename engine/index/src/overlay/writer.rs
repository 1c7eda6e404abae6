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

use super::answers::{Answers, Held, PidHasher, Touched};
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
    hidden: HashMap<u32, Vec<Held>>,
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
    /// What the images say, of a visitor who was not touched before.
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
        before: Vec<Held>,
        after: Arc<Touched>,
    },
    Changed {
        ordinal: u32,
        after: Arc<Touched>,
    },
}

impl Writer {
    /// What the images say of a visitor.
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
        Ok(entries)
    }

    pub(super) fn settle(&mut self, answers: &Answers, bars: &Bars, pid: Pid, of: Brought) -> Settled {
        let known = self.ordinals.get(&pid).copied();
        let (before, rows) = (merge(&[], of.before, &self.names), of.rows);
        let hidden = known.and_then(|ordinal| self.hidden.remove(&ordinal));
        let touched = known.filter(|_| hidden.is_none()).and_then(|_| answers.get(pid));
        let held = hidden.as_deref().or(touched.as_deref().map(|touched| &*touched.entries)).unwrap_or(&before);
        let mut entries = merge(held, rows, &self.names);
        let opted_out = bars.opted_out(pid);
        if let Some(at) = bars.erased(pid).filter(|_| !opted_out) {
            entries.retain(|held| held.entry.observed > at);
        }
        if known.is_none() && entries == *if opted_out { &[][..] } else { &before } {
            return Settled::Untouched { opted_out };
        }
        // The bound of bytes comes long before 2^32 visitors.
        let ordinal = known.unwrap_or(self.ordinals.len() as u32);
        let after = if opted_out {
            self.hidden.insert(ordinal, entries);
            Arc::clone(&self.opted_out)
        } else {
            Arc::new(Touched { opted_out, entries: entries.into() })
        };
        if known.is_some() {
            return Settled::Changed { ordinal, after };
        }
        self.ordinals.insert(pid, ordinal);
        Settled::New { before, after }
    }
}

/// What a visitor has, sorted by name, with what comes, in any order: one entry of each name, in the order of names.
fn merge(held: &[Held], mut rows: Vec<(u32, Entry)>, names: &Interner) -> Vec<Held> {
    rows.sort_unstable_by(|&(a, _), &(b, _)| names.compare(a, b));
    let (mut merged, mut rest) = (Vec::with_capacity(held.len() + rows.len()), held);
    for (number, entry) in rows {
        let (before, after) =
            rest.split_at(rest.partition_point(|held| names.compare(held.name.number, number).is_le()));
        merged.extend_from_slice(before);
        rest = after;
        match merged.last_mut().filter(|last: &&mut Held| last.name.number == number) {
            Some(same) => same.entry = same.entry.merge(entry),
            None => merged.push(Held { name: Arc::clone(&names.names()[number as usize]), entry }),
        }
    }
    merged.extend_from_slice(rest);
    merged
}
