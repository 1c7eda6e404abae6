//! Who is live at a tick among the touched visitors: as the images say, and as it is.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::id::Pid;
use crate::time::Tick;

use super::answers::{Held, Touched};
use super::names::Name;
use super::sets::{Incoming, Sets};

/// So many visitors go into the sets at once, half a millisecond's work or so: together, because it is the way to a set
/// that takes the time; no more, because whoever asks for many visitors, and whoever commits, waits, and between two steps
/// is a breath. (512 at once take a tenth or a fifth less in all. Tests have few visitors.)
const STEP: usize = if cfg!(test) { 7 } else { 32 };
/// Estimated bytes of a touched visitor without entries: three places in hash tables, the record, allocations.
const VISITOR_BYTES: usize = 3 * 40 + size_of::<Record>() + 64;
/// Estimated bytes of an entry beside itself: a place in a set.
const PLACE_BYTES: usize = 4;

/// The touched visitors, by ordinal, and their sets at one tick.
#[derive(Default)]
pub(super) struct Live {
    names: Vec<Arc<Name>>,
    numbers: BTreeMap<Arc<str>, u32>,
    records: Vec<Record>,
    bytes: usize,
    /// The tick of the sets; `None` while nobody has asked.
    tick: Option<Tick>,
    /// So many of the records are in the sets and the wheel, the first ones.
    placed: usize,
    before: Sets,
    after: Sets,
    /// Who of the placed is to be looked at at a tick after the present one: at the first end of a live entry, or before.
    wheel: BTreeMap<Tick, Vec<u32>>,
}

struct Record {
    pid: Pid,
    /// Sorted by the UTF-8 bytes of the names, as what the visitor has now.
    before: Box<[Held]>,
    after: Arc<Touched>,
}

impl Record {
    /// When the first of what is live at a tick ends, as the images say or as it is.
    fn first_end(&self, tick: Tick) -> Option<Tick> {
        first_end(self.before.iter().chain(&self.after.entries), tick)
    }

    fn bytes(&self) -> usize {
        let entries = self.before.len() + self.after.entries.len();
        VISITOR_BYTES + entries * (size_of::<Held>() + PLACE_BYTES)
    }
}

impl Live {
    pub(super) fn touched(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn before(&self) -> &Sets {
        &self.before
    }

    pub(super) fn after(&self) -> &Sets {
        &self.after
    }

    pub(super) fn pid(&self, ordinal: u32) -> Option<Pid> {
        self.records.get(ordinal as usize).map(|record| record.pid)
    }

    /// When a visitor's entry of a segment was observed, as the images say.
    pub(super) fn observed_before(&self, ordinal: u32, number: u32) -> Option<Tick> {
        observed(&self.records.get(ordinal as usize)?.before, number)
    }

    /// When a visitor's entry of a segment was observed, as it is.
    pub(super) fn observed_after(&self, ordinal: u32, number: u32) -> Option<Tick> {
        observed(&self.records.get(ordinal as usize)?.after.entries, number)
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The names that begin so with their numbers, sorted.
    pub(super) fn with_prefix<'l>(&'l self, prefix: &'l str) -> impl Iterator<Item = (&'l Arc<Name>, u32)> {
        let from = self.numbers.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        let alike = from.take_while(move |(name, _)| name.starts_with(prefix));
        alike.map(|(_, &number)| (&self.names[number as usize], number))
    }

    /// Learns the names that came after those it knows.
    pub(super) fn learn(&mut self, names: &[Arc<Name>]) {
        for name in names.iter().skip(self.names.len()) {
            self.numbers.insert(Arc::clone(&name.segment.name), name.number);
            self.names.push(Arc::clone(name));
            self.bytes += 2 * (size_of::<RoaringBitmap>() + name.segment.name.len()) + size_of::<Name>();
        }
    }

    /// Adds the next visitor, who is put into the sets later.
    pub(super) fn add(&mut self, pid: Pid, before: Box<[Held]>, after: Arc<Touched>) {
        let record = Record { pid, before, after };
        self.bytes += record.bytes();
        self.records.push(record);
    }

    /// Replaces what a visitor has.
    pub(super) fn replace(&mut self, ordinal: u32, after: Arc<Touched>) {
        let record = &mut self.records[ordinal as usize];
        self.bytes -= record.bytes();
        let old = std::mem::replace(&mut record.after, after);
        self.bytes += record.bytes();
        let Some(tick) = self.tick.filter(|_| (ordinal as usize) < self.placed) else { return };
        self.after.change(ordinal, &old, &record.after, tick);
        let known = first_end(record.before.iter().chain(&old.entries), tick);
        let end = first_end(&record.after.entries, tick);
        if let Some(end) = end.filter(|end| known.is_none_or(|known| *end < known)) {
            self.wheel.entry(end).or_default().push(ordinal);
        }
    }

    /// Whether the sets are those of this tick, with everybody in them.
    pub(super) fn is_at(&self, tick: Tick) -> bool {
        self.tick == Some(tick) && self.placed == self.records.len()
    }

    /// Whether there are enough who are not in the sets yet to put some of them in. Never while nobody asks for the sets.
    pub(super) fn is_behind(&self) -> bool {
        self.tick.is_some() && self.records.len() - self.placed >= STEP
    }

    /// Goes to another tick, forward by the ends that have come, and puts some more into the sets. Back it goes from the
    /// beginning and all the way: two who look at different ticks would else never get ahead.
    pub(super) fn approach(&mut self, tick: Tick) {
        let back = self.tick.is_some_and(|at| at > tick);
        if back {
            (self.before, self.after) = (Sets::default(), Sets::default());
            self.wheel.clear();
            self.placed = 0;
        } else if self.tick.is_some_and(|at| at < tick) {
            self.advance(tick);
        }
        self.tick = Some(tick);
        self.place_some();
        while back && self.placed < self.records.len() {
            self.place_some();
        }
    }

    /// Puts the next visitors into the sets.
    pub(super) fn place_some(&mut self) {
        let Some(tick) = self.tick else { return };
        let until = self.records.len().min(self.placed + STEP);
        let (mut before, mut after) = (Incoming::default(), Incoming::default());
        for ordinal in self.placed..until {
            let (record, ordinal) = (&self.records[ordinal], ordinal as u32);
            before.add(ordinal, &record.before, tick);
            after.add(ordinal, &record.after.entries, tick);
            if let Some(end) = record.first_end(tick) {
                self.wheel.entry(end).or_default().push(ordinal);
            }
        }
        self.before.extend(before);
        self.after.extend(after);
        self.placed = until;
    }

    fn advance(&mut self, tick: Tick) {
        while let Some(first) = self.wheel.first_entry().filter(|first| *first.key() <= tick) {
            for ordinal in first.remove() {
                let record = &self.records[ordinal as usize];
                self.before.bury(ordinal, &record.before, tick);
                self.after.bury(ordinal, &record.after.entries, tick);
                // It lies after `tick`: nobody comes round twice.
                if let Some(end) = record.first_end(tick) {
                    self.wheel.entry(end).or_default().push(ordinal);
                }
            }
        }
    }
}

/// When the first of the entries that are live at a tick ends.
fn first_end<'h>(entries: impl IntoIterator<Item = &'h Held>, tick: Tick) -> Option<Tick> {
    entries.into_iter().map(|held| held.entry).filter(|entry| entry.live(tick)).map(|entry| entry.expiry).min()
}

/// When the entry of a segment was observed.
fn observed(entries: &[Held], number: u32) -> Option<Tick> {
    entries.iter().find(|held| held.name.number == number).map(|held| held.entry.observed)
}
