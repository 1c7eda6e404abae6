//! The live members of every segment among the touched visitors, at one tick.

use std::cmp::Ordering;
use std::iter::Peekable;

use roaring::RoaringBitmap;

use crate::time::Tick;

use super::answers::{Held, Touched};
use super::names::Name;

/// The live members of every segment, by number, and the visitors who have any.
#[derive(Default)]
pub(super) struct Sets {
    pub(super) members: Vec<RoaringBitmap>,
    pub(super) everyone: RoaringBitmap,
}

/// A visitor's live entries on the way into the sets.
#[derive(Default)]
pub(super) struct Incoming {
    /// Segment and visitor, the segment in the upper half: sorted, those of one set stand together.
    places: Vec<u64>,
    visitors: Vec<u32>,
}

impl Incoming {
    /// Adds what is live of a visitor; visitors come in the order of their ordinals.
    pub(super) fn add(&mut self, ordinal: u32, entries: &[Held], tick: Tick) {
        let before = self.places.len();
        let live = entries.iter().filter(|held| held.entry.live(tick));
        self.places.extend(live.map(|held| u64::from(held.name.number) << u32::BITS | u64::from(ordinal)));
        if self.places.len() > before {
            self.visitors.push(ordinal);
        }
    }
}

impl Sets {
    /// Puts visitors in who come after all that are here. Set by set: each is looked for once.
    pub(super) fn extend(&mut self, incoming: Incoming) {
        let Incoming { mut places, visitors } = incoming;
        places.sort_unstable();
        for of_one in places.chunk_by(|a, b| a >> u32::BITS == b >> u32::BITS) {
            let set = self.set((of_one[0] >> u32::BITS) as u32);
            of_one.iter().for_each(|&place| put_last(set, place as u32));
        }
        visitors.into_iter().for_each(|ordinal| put_last(&mut self.everyone, ordinal));
    }

    fn set(&mut self, number: u32) -> &mut RoaringBitmap {
        let number = number as usize;
        if self.members.len() <= number {
            self.members.resize_with(number + 1, RoaringBitmap::new);
        }
        &mut self.members[number]
    }

    /// Puts what is live in the place of what was; both are sorted by name, and most of them is the same.
    pub(super) fn change(&mut self, ordinal: u32, was: &Touched, is: &Touched, tick: Tick) {
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
                self.set(name.number).insert(ordinal);
            }
        }
        if has_any {
            self.everyone.insert(ordinal);
        } else {
            self.everyone.remove(ordinal);
        }
    }

    /// Takes a visitor out where nothing is live any more.
    pub(super) fn bury(&mut self, ordinal: u32, entries: &[Held], tick: Tick) {
        let mut left = false;
        for held in entries {
            if held.entry.live(tick) {
                left = true;
            } else if let Some(members) = self.members.get_mut(held.name.number as usize) {
                members.remove(ordinal);
            }
        }
        if !left {
            self.everyone.remove(ordinal);
        }
    }
}

/// Puts a visitor at the end of a set. One who is not the last finds a place, too.
fn put_last(set: &mut RoaringBitmap, ordinal: u32) {
    if set.try_push(ordinal).is_err() {
        set.insert(ordinal);
    }
}
