//! Who is live at a tick among the touched visitors: as the images say, and as it is.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::mem::size_of;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::entry::Entry;
use crate::id::Pid;
use crate::time::Tick;

use super::answers::Touched;
use super::names::Name;

/// Estimated bytes of a touched visitor without entries: three places in hash tables, the record, allocations.
const VISITOR_BYTES: usize = 3 * 40 + size_of::<Record>() + 64;
/// Estimated bytes of an entry beside itself: a place in a set, and one in the wheel.
const PLACE_BYTES: usize = 8;

/// The touched visitors, by ordinal, and their sets at one tick.
#[derive(Default)]
pub(super) struct Live {
    names: Vec<Arc<Name>>,
    numbers: BTreeMap<Arc<str>, u32>,
    records: Vec<Record>,
    bytes: usize,
    /// The tick of the sets; `None` while nobody has asked.
    tick: Option<Tick>,
    before: Sets,
    after: Sets,
    /// Whose entries end at a tick after the present one. An end that was put off leaves its visitor here for nothing.
    wheel: BTreeMap<Tick, Vec<u32>>,
}

struct Record {
    pid: Pid,
    /// Sorted by number.
    before: Box<[(u32, Entry)]>,
    after: Arc<Touched>,
}

/// The live members of every segment, by number, and the visitors who have any.
#[derive(Default)]
pub(super) struct Sets {
    pub(super) members: Vec<RoaringBitmap>,
    pub(super) everyone: RoaringBitmap,
}

impl Record {
    fn after(&self) -> impl Iterator<Item = (u32, Entry)> {
        numbered(&self.after)
    }

    fn bytes(&self) -> usize {
        let before = size_of::<(u32, Entry)>() + PLACE_BYTES;
        let after = size_of::<super::Held>() + PLACE_BYTES;
        VISITOR_BYTES + self.before.len() * before + self.after.entries.len() * after
    }
}

fn numbered(touched: &Touched) -> impl Iterator<Item = (u32, Entry)> {
    touched.entries.iter().map(|held| (held.name.number, held.entry))
}

impl Sets {
    fn put(&mut self, ordinal: u32, entries: impl Iterator<Item = (u32, Entry)>, tick: Tick) {
        for (number, _) in entries.filter(|(_, entry)| entry.live(tick)) {
            self.insert(ordinal, number);
            self.everyone.insert(ordinal);
        }
    }

    fn insert(&mut self, ordinal: u32, number: u32) {
        let number = number as usize;
        if self.members.len() <= number {
            self.members.resize_with(number + 1, RoaringBitmap::new);
        }
        self.members[number].insert(ordinal);
    }

    /// Puts what is live in the place of what was; both are sorted by name, and most of them is the same.
    fn change(&mut self, ordinal: u32, was: &Touched, is: &Touched, tick: Tick) {
        fn live(touched: &Touched, tick: Tick) -> Peekable<impl Iterator<Item = &Name>> {
            touched.entries.iter().filter(move |held| held.entry.live(tick)).map(|held| &*held.name).peekable()
        }
        let (mut old, mut new) = (live(was, tick), live(is, tick));
        let has_any = new.peek().is_some();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) if old.number == new.number => Ordering::Equal,
                (Some(old), Some(new)) => old.segment.name.cmp(&new.segment.name),
            };
            let gone = if order.is_le() { old.next() } else { None };
            let came = if order.is_ge() { new.next() } else { None };
            if order.is_lt()
                && let Some(members) = gone.and_then(|name| self.members.get_mut(name.number as usize))
            {
                members.remove(ordinal);
            }
            if order.is_gt()
                && let Some(name) = came
            {
                self.insert(ordinal, name.number);
            }
        }
        if has_any {
            self.everyone.insert(ordinal);
        } else {
            self.everyone.remove(ordinal);
        }
    }

    /// Takes a visitor out where nothing is live any more.
    fn bury(&mut self, ordinal: u32, entries: impl Iterator<Item = (u32, Entry)>, tick: Tick) {
        let mut left = false;
        for (number, entry) in entries {
            if entry.live(tick) {
                left = true;
            } else if let Some(members) = self.members.get_mut(number as usize) {
                members.remove(ordinal);
            }
        }
        if !left {
            self.everyone.remove(ordinal);
        }
    }
}

impl Live {
    pub(super) fn touched(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn tick(&self) -> Option<Tick> {
        self.tick
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
        let before = &self.records.get(ordinal as usize)?.before;
        let place = before.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        before.get(place).map(|(_, entry)| entry.observed)
    }

    /// When a visitor's entry of a segment was observed, as it is.
    pub(super) fn observed_after(&self, ordinal: u32, number: u32) -> Option<Tick> {
        let mut after = self.records.get(ordinal as usize)?.after();
        after.find(|(held, _)| *held == number).map(|(_, entry)| entry.observed)
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

    /// Adds the next visitor.
    pub(super) fn add(&mut self, pid: Pid, before: Box<[(u32, Entry)]>, after: Arc<Touched>) {
        let ordinal = self.records.len() as u32;
        let record = Record { pid, before, after };
        self.bytes += record.bytes();
        if let Some(tick) = self.tick {
            self.place(ordinal, &record, tick);
        }
        self.records.push(record);
    }

    /// Replaces what a visitor has.
    pub(super) fn replace(&mut self, ordinal: u32, after: Arc<Touched>) {
        let record = &mut self.records[ordinal as usize];
        self.bytes -= record.bytes();
        let old = std::mem::replace(&mut record.after, after);
        self.bytes += record.bytes();
        let Some(tick) = self.tick else { return };
        self.after.change(ordinal, &old, &record.after, tick);
        // Ends that the wheel knows already are not put there again.
        let live = numbered(&old).filter(|(_, entry)| entry.live(tick));
        let mut known: Vec<Tick> = live.map(|(_, entry)| entry.expiry).collect();
        known.sort_unstable();
        let fresh = record.after().filter(|(_, entry)| known.binary_search(&entry.expiry).is_err());
        schedule(&mut self.wheel, ordinal, fresh, tick);
    }

    fn place(&mut self, ordinal: u32, record: &Record, tick: Tick) {
        let before = || record.before.iter().copied();
        self.before.put(ordinal, before(), tick);
        self.after.put(ordinal, record.after(), tick);
        schedule(&mut self.wheel, ordinal, before().chain(record.after()), tick);
    }

    /// Goes to another tick: forward by the ends that have come, back from the beginning.
    pub(super) fn go(&mut self, tick: Tick) {
        match self.tick {
            Some(at) if at <= tick => self.advance(tick),
            _ => {
                (self.before, self.after) = (Sets::default(), Sets::default());
                self.wheel.clear();
                let records = std::mem::take(&mut self.records);
                (0..).zip(&records).for_each(|(ordinal, record)| self.place(ordinal, record, tick));
                self.records = records;
            }
        }
        self.tick = Some(tick);
    }

    fn advance(&mut self, tick: Tick) {
        while let Some(first) = self.wheel.first_entry().filter(|first| *first.key() <= tick) {
            for ordinal in first.remove() {
                let record = &self.records[ordinal as usize];
                self.before.bury(ordinal, record.before.iter().copied(), tick);
                self.after.bury(ordinal, record.after(), tick);
            }
        }
    }
}

/// Puts a visitor where his or her live entries end.
fn schedule(
    wheel: &mut BTreeMap<Tick, Vec<u32>>,
    ordinal: u32,
    entries: impl Iterator<Item = (u32, Entry)>,
    tick: Tick,
) {
    for (_, entry) in entries.filter(|(_, entry)| entry.live(tick)) {
        let due = wheel.entry(entry.expiry).or_default();
        if due.last() != Some(&ordinal) {
            due.push(ordinal);
        }
    }
}
