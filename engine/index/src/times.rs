//! The times of an image's entries: a table of what occurs, and codes into it.
//!
//! Up to 65,536 distinct (observed, expiry) pairs are one table, and a code is an index into it. Beyond that observed
//! and expiry have a table each, and a code is the two indices side by side. Codes of one table are packed two at a
//! time as `first * count + second`: 13 bits for two of 90 instead of 14.

use std::collections::HashMap;

use crate::bitpack::{BitWriter, read, width_of};
use crate::bytes::Cursor;
use crate::entry::Entry;
use crate::time::Tick;

/// The most pairs that one table holds.
pub const MAX_PAIRS: usize = 65_536;
const KIND_PAIRS: u8 = 0;
const KIND_SPLIT: u8 = 1;

/// What the codes of an image stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Times {
    /// A table of pairs, ascending.
    Pairs(Vec<Entry>),
    /// A table each.
    Split {
        /// Observed ticks, ascending.
        observed: Vec<Tick>,
        /// Expiry ticks, ascending.
        expiry: Vec<Tick>,
    },
}

impl Times {
    /// The entry that the code stands for; `None` for a code that no table has.
    #[inline]
    #[must_use]
    pub fn entry(&self, code: u64) -> Option<Entry> {
        match self {
            Self::Pairs(pairs) => pairs.get(code as usize).copied(),
            Self::Split { observed, expiry } => {
                let width = width_of(observed.len() as u64);
                let (low, high) = (code & ((1u64 << width) - 1), code >> width);
                Some(Entry { observed: *observed.get(low as usize)?, expiry: *expiry.get(high as usize)? })
            }
        }
    }

    /// How the codes are packed.
    #[must_use]
    pub fn packing(&self) -> Packing {
        match self {
            Self::Pairs(pairs) => Packing::in_twos(pairs.len() as u64),
            Self::Split { observed, expiry } => Packing {
                count: 0,
                single: width_of(observed.len() as u64) + width_of(expiry.len() as u64),
                double: 0,
                reciprocal: 0,
            },
        }
    }

    /// Appends the table.
    pub fn write(&self, into: &mut Vec<u8>) {
        let mut list = |ticks: &mut dyn Iterator<Item = Tick>| {
            ticks.for_each(|tick| into.extend_from_slice(&tick.get().to_le_bytes()));
        };
        match self {
            Self::Pairs(pairs) => {
                list(&mut [KIND_PAIRS.into(), pairs.len() as u32].map(Tick::new).into_iter());
                list(&mut pairs.iter().flat_map(|pair| [pair.observed, pair.expiry]));
            }
            Self::Split { observed, expiry } => {
                list(&mut [KIND_SPLIT.into(), observed.len() as u32].map(Tick::new).into_iter());
                list(&mut std::iter::once(Tick::new(expiry.len() as u32)));
                list(&mut observed.iter().chain(expiry).copied());
            }
        }
    }

    /// Reads the table; `None` when it is cut, out of order or of another kind.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let kind = cursor.u32()?;
        let first = cursor.u32()? as usize;
        let times = if kind == u32::from(KIND_PAIRS) {
            let pair = |tick: &[Tick]| Entry { observed: tick[0], expiry: tick[1] };
            Self::Pairs(ticks(&mut cursor, first.checked_mul(2)?)?.chunks_exact(2).map(pair).collect())
        } else if kind == u32::from(KIND_SPLIT) {
            let second = cursor.u32()? as usize;
            Self::Split { observed: ticks(&mut cursor, first)?, expiry: ticks(&mut cursor, second)? }
        } else {
            return None;
        };
        (cursor.rest().is_empty() && times.is_sound()).then_some(times)
    }

    fn is_sound(&self) -> bool {
        match self {
            Self::Pairs(pairs) => {
                pairs.len() <= MAX_PAIRS
                    && pairs.is_sorted_by(|a, b| a < b)
                    && pairs.iter().all(|pair| pair.expiry >= pair.observed)
            }
            Self::Split { observed, expiry } => {
                observed.is_sorted_by(|a, b| a < b) && expiry.is_sorted_by(|a, b| a < b)
            }
        }
    }
}

fn ticks(cursor: &mut Cursor<'_>, count: usize) -> Option<Vec<Tick>> {
    let bytes = cursor.take(count.checked_mul(4)?)?;
    Some(bytes.chunks_exact(4).map(|b| Tick::new(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect())
}

/// Gathers the times that occur and gives them codes.
#[derive(Default)]
pub struct TimesBuilder {
    seen: HashMap<Entry, u64>,
    last: Option<Entry>,
}

impl TimesBuilder {
    /// Notes an entry's times.
    pub fn note(&mut self, entry: Entry) {
        if self.last != Some(entry) {
            self.seen.entry(entry).or_default();
            self.last = Some(entry);
        }
    }

    /// Notes all that another builder has seen.
    pub fn absorb(&mut self, other: Self) {
        self.seen.extend(other.seen);
    }

    /// The table, and the code of each entry noted.
    #[must_use]
    pub fn finish(self) -> (Times, TimeCodes) {
        let mut entries: Vec<Entry> = self.seen.into_keys().collect();
        entries.sort_unstable();
        if entries.len() <= MAX_PAIRS {
            let codes = entries.iter().enumerate().map(|(code, &entry)| (entry, code as u64)).collect();
            return (Times::Pairs(entries), TimeCodes::new(codes));
        }
        let distinct = |tick: fn(&Entry) -> Tick| {
            let mut ticks: Vec<Tick> = entries.iter().map(tick).collect();
            ticks.sort_unstable();
            ticks.dedup();
            ticks
        };
        let (observed, expiry) = (distinct(|e| e.observed), distinct(|e| e.expiry));
        let width = width_of(observed.len() as u64);
        let place = |ticks: &[Tick], tick| ticks.partition_point(|t| *t < tick) as u64;
        let code = |entry: Entry| place(&observed, entry.observed) | place(&expiry, entry.expiry) << width;
        let codes = entries.iter().map(|&entry| (entry, code(entry))).collect();
        (Times::Split { observed, expiry }, TimeCodes::new(codes))
    }
}

/// The code of each entry of an image being written.
pub struct TimeCodes {
    codes: HashMap<Entry, u64>,
    /// Places without chains in front of the map, a power of two of them; most entries have one for themselves.
    places: Vec<Option<(Entry, u64)>>,
}

/// Places for each entry: with so many, one in nine finds its place taken.
const PLACES_PER_ENTRY: usize = 4;
/// An odd number without pattern (2^64 divided by the golden ratio): spreads what it is multiplied with.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl TimeCodes {
    fn new(codes: HashMap<Entry, u64>) -> Self {
        let places = vec![None; (codes.len() * PLACES_PER_ENTRY).next_power_of_two().max(2)];
        let mut all = Self { codes, places };
        for (&entry, &code) in &all.codes {
            let place = place(entry, all.places.len());
            all.places[place] = Some((entry, code));
        }
        all
    }

    /// The code of an entry that was noted.
    #[inline]
    #[must_use]
    pub fn code(&self, entry: Entry) -> u64 {
        match self.places[place(entry, self.places.len())] {
            Some((known, code)) if known == entry => code,
            _ => self.codes.get(&entry).copied().unwrap_or(0),
        }
    }
}

#[inline]
fn place(entry: Entry, places: usize) -> usize {
    let both = u64::from(entry.observed.get()) << 32 | u64::from(entry.expiry.get());
    (both.wrapping_mul(SPREAD) >> (u64::BITS - places.ilog2())) as usize
}

/// How codes are packed in a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Codes are below this; 0 when they are never packed in twos.
    count: u64,
    /// Bits of a code by itself.
    single: u32,
    /// Bits of two codes; 0 when they are never packed in twos.
    double: u32,
    /// 2^64 / count, rounded up: a division by `count` is a multiplication by it. Exact, since two codes are below 2^32
    /// and `count` is at most 2^16.
    reciprocal: u64,
}

impl Packing {
    fn in_twos(count: u64) -> Self {
        let reciprocal = (u64::MAX / count.max(1)).wrapping_add(1);
        Self { count, single: width_of(count), double: width_of(count * count), reciprocal }
    }

    /// Bytes of the section of `length` codes.
    #[must_use]
    pub fn bytes(self, length: usize) -> usize {
        self.bits(length).div_ceil(8)
    }

    fn bits(self, length: usize) -> usize {
        if self.count == 0 {
            return length * self.single as usize;
        }
        length / 2 * self.double as usize + length % 2 * self.single as usize
    }

    /// Appends the section.
    pub fn write(self, codes: &[u64], into: &mut Vec<u8>) {
        let mut writer = BitWriter::default();
        for two in codes.chunks(if self.count == 0 { 1 } else { 2 }) {
            match *two {
                [first, second] => writer.put(into, first * self.count + second, self.double),
                [only] => writer.put(into, only, self.single),
                _ => {}
            }
        }
        writer.flush(into);
    }

    /// Leaves in `into` what `of` says of each of the `length` codes of the section. Zeros past the end of the bytes.
    #[inline]
    pub fn map<T: Copy + Default>(self, bytes: &[u8], length: usize, into: &mut Vec<T>, mut of: impl FnMut(u64) -> T) {
        into.clear();
        into.resize(length, T::default());
        if self.count == 0 || self.single == 0 {
            let mut slots = into.iter_mut();
            self.each(bytes, length, |code| {
                if let Some(slot) = slots.next() {
                    *slot = of(code);
                }
            });
            return;
        }
        let (twos, last) = into.as_chunks_mut::<2>();
        let mut at = 0;
        for two in twos {
            let both = read(bytes, at, self.double);
            at += self.double as usize;
            let first = self.first(both);
            *two = [of(first), of(both - first * self.count)];
        }
        if let [last] = last {
            *last = of(read(bytes, at, self.single));
        }
    }

    /// The first of two codes.
    #[inline]
    fn first(self, both: u64) -> u64 {
        let first = ((u128::from(both) * u128::from(self.reciprocal)) >> 64) as u64;
        debug_assert_eq!(first, both / self.count);
        first
    }

    /// Calls `each` with the codes of the section of `length` codes, in order. Zeros past the end of the bytes.
    #[inline]
    pub fn each(self, bytes: &[u8], length: usize, mut each: impl FnMut(u64)) {
        if self.single == 0 {
            (0..length).for_each(|_| each(0));
            return;
        }
        if self.count == 0 {
            (0..length).for_each(|i| each(read(bytes, i * self.single as usize, self.single)));
            return;
        }
        for i in 0..length / 2 {
            let both = read(bytes, i * self.double as usize, self.double);
            let first = self.first(both);
            each(first);
            each(both - first * self.count);
        }
        if length % 2 == 1 {
            each(read(bytes, length / 2 * self.double as usize, self.single));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(observed: u32, expiry: u32) -> Entry {
        Entry { observed: Tick::new(observed), expiry: Tick::new(expiry) }
    }

    fn round_trip(entries: &[Entry]) -> Times {
        let mut builder = TimesBuilder::default();
        entries.iter().for_each(|&entry| builder.note(entry));
        let (times, codes) = builder.finish();
        let mut bytes = Vec::new();
        times.write(&mut bytes);
        assert_eq!(Times::read(&bytes).as_ref(), Some(&times));
        assert_eq!(Times::read(&bytes[..bytes.len() - 1]), None);
        let numbers: Vec<u64> = entries.iter().map(|&entry| codes.code(entry)).collect();
        for length in [0, 1, 2, 3, 7, entries.len()].into_iter().filter(|&length| length <= entries.len()) {
            let (mut packed, mut read) = (Vec::new(), Vec::new());
            times.packing().write(&numbers[..length], &mut packed);
            assert_eq!(packed.len(), times.packing().bytes(length));
            times.packing().each(&packed, length, |code| read.push(times.entry(code)));
            assert!(read.iter().zip(entries).all(|(read, entry)| *read == Some(*entry)) && read.len() == length);
        }
        times
    }

    #[test]
    fn one_pair_takes_no_bits_and_ninety_take_six_and_a_half() {
        assert_eq!(round_trip(&[entry(5, 9); 8]).packing().bytes(8), 0);
        let ninety: Vec<Entry> = (0..90).map(|day| entry(0, 1 + day)).collect();
        assert_eq!(round_trip(&ninety).packing().bytes(16), 13);
    }

    #[test]
    fn beyond_the_bound_each_time_has_a_table() {
        let many: Vec<Entry> = (0..=MAX_PAIRS as u32).map(|i| entry(i % 300, 300 + i / 300)).collect();
        assert!(matches!(round_trip(&many), Times::Split { .. }));
        assert!(matches!(round_trip(&many[1..]), Times::Pairs(_)));
    }
}
