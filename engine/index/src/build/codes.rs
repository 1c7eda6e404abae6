//! Numbers for the times that occur in a set of rows.

use std::collections::HashMap;

use crate::entry::Entry;
use crate::time::Tick;

/// Places of the table of recent entries, as a power of two: more than the 2,160 hours of ninety days.
const RECENT_BITS: u32 = 12;
/// An odd number without pattern (2^64 divided by the golden ratio): spreads what it is multiplied with.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// No entry: it ends before it begins.
const NOTHING: Entry = Entry { observed: Tick::new(u32::MAX), expiry: Tick::new(0) };

/// Gives each entry a number in the order of arrival.
///
/// Few entries make up most rows, so a small table without chains stands in front of the map. A provider who chooses
/// times that share a place in it gains no more than the cost of the map, whose hash has a secret.
#[derive(Default)]
pub(super) struct EntryCodes {
    numbers: HashMap<Entry, u32>,
    entries: Vec<Entry>,
    recent: Vec<(Entry, u32)>,
}

impl EntryCodes {
    /// The number of the entry, a new one if it has none. Expected constant time.
    #[inline]
    pub(super) fn code(&mut self, entry: Entry) -> u32 {
        match self.recent.get(place(entry)) {
            Some(&(known, code)) if known == entry => code,
            _ => self.code_by_map(entry),
        }
    }

    fn code_by_map(&mut self, entry: Entry) -> u32 {
        self.recent.resize(1 << RECENT_BITS, (NOTHING, 0));
        let next = self.entries.len() as u32;
        let code = *self.numbers.entry(entry).or_insert(next);
        if code == next {
            self.entries.push(entry);
        }
        self.recent[place(entry)] = (entry, code);
        code
    }

    /// The entries by number. The next entry costs as much as the first.
    pub(super) fn finish(&mut self) -> &[Entry] {
        self.recent = Vec::new();
        &self.entries
    }

    /// The entries by number.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

#[inline]
fn place(entry: Entry) -> usize {
    let both = u64::from(entry.observed.get()) << 32 | u64::from(entry.expiry.get());
    (both.wrapping_mul(SPREAD) >> (u64::BITS - RECENT_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_beyond_the_recent_ones() {
        let mut codes = EntryCodes::default();
        let entry = |n: u32| Entry { observed: Tick::new(n % 97), expiry: Tick::new(100 + n) };
        for round in 0..3 {
            for n in 0..10_000 {
                assert_eq!(codes.code(entry(n)), n, "round {round}");
            }
        }
        assert_eq!(codes.finish().len(), 10_000);
        assert_eq!((codes.code(entry(7)), codes.entries()[7]), (7, entry(7)));
    }
}
