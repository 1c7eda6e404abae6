//! One visitor's entries as bytes: how many, when (codes), and of which segments (gaps between ascending ranks).
//!
//! Gap code 1, *nibbles*: three bits of the gap a nibble, low ones first, the fourth bit marks the last nibble; low
//! nibble of a byte first. Ranks ascend in popularity, so gaps are small and most take one or two nibbles.

use crate::bitpack::window;
use crate::bytes::{Cursor, put_varint};
use crate::entry::Entry;
use crate::times::{TimeCodes, Times};

/// The number of the gap code that this version writes.
pub const GAP_CODE_NIBBLES: u8 = 1;
const LAST: u64 = 8;
/// The most nibbles of a gap: 32 bits, three a nibble.
const MAX_NIBBLES: u32 = 11;

/// Appends a profile. Ranks ascend strictly.
pub fn write(entries: &[(u32, Entry)], times: &Times, codes: &TimeCodes, scratch: &mut Vec<u64>, into: &mut Vec<u8>) {
    put_varint(into, entries.len() as u32);
    scratch.clear();
    scratch.extend(entries.iter().map(|(_, entry)| codes.code(*entry)));
    times.packing().write(scratch, into);
    let mut writer = crate::bitpack::BitWriter::default();
    let mut next = 0u32;
    for &(rank, _) in entries {
        debug_assert!(rank >= next);
        let mut gap = u64::from(rank - next);
        next = rank + 1;
        while gap >= LAST {
            writer.put(into, gap & (LAST - 1), 4);
            gap >>= 3;
        }
        writer.put(into, gap | LAST, 4);
    }
    writer.flush(into);
}

/// A profile's bytes, split into its parts.
#[derive(Clone, Copy)]
pub struct Profile<'a> {
    length: usize,
    codes: &'a [u8],
    gaps: &'a [u8],
}

impl<'a> Profile<'a> {
    /// Splits the bytes; `None` when they are cut.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8], times: &Times) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let length = cursor.varint()? as usize;
        // Every entry takes half a byte at least: a wild length cannot make us work long.
        if length > 2 * bytes.len() {
            return None;
        }
        let codes = cursor.take(times.packing().bytes(length))?;
        Some(Self { length, codes, gaps: cursor.rest() })
    }

    /// Calls `each` with every code, in the order of ranks.
    pub fn each_code(&self, times: &Times, each: impl FnMut(u64)) {
        times.packing().each(self.codes, self.length, each);
    }

    /// Calls `each` with every rank, ascending; `None` when the gaps are cut, too long or leave bytes over.
    #[inline]
    pub fn each_rank(&self, mut each: impl FnMut(u32)) -> Option<()> {
        let mut at = 0usize;
        let mut next = 0u64;
        for _ in 0..self.length {
            let word = window(self.gaps, 4 * at);
            let ends = word & 0x8888_8888_8888_8888;
            if ends == 0 {
                return None;
            }
            let nibbles = ends.trailing_zeros() / 4 + 1;
            if nibbles > MAX_NIBBLES {
                return None;
            }
            let gap = (0..nibbles).fold(0, |gap, i| gap | ((word >> (4 * i)) & 7) << (3 * i));
            let rank = u32::try_from(next + gap).ok()?;
            each(rank);
            next = u64::from(rank) + 1;
            at += nibbles as usize;
        }
        (at.div_ceil(2) == self.gaps.len()).then_some(())
    }

    /// Appends the entries, ascending in rank; `None` when the profile is damaged.
    #[inline]
    pub fn read(&self, times: &Times, into: &mut Vec<(u32, Entry)>) -> Option<()> {
        let start = into.len();
        let mut known = true;
        self.each_code(times, |code| match times.entry(code) {
            Some(entry) => into.push((0, entry)),
            None => known = false,
        });
        if !known {
            return None;
        }
        let mut slots = into[start..].iter_mut();
        self.each_rank(|rank| {
            if let Some(slot) = slots.next() {
                slot.0 = rank;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Tick;
    use crate::times::TimesBuilder;

    fn round_trip(ranks: &[u32]) {
        let entry = |rank: u32| Entry { observed: Tick::new(1), expiry: Tick::new(2 + rank % 5) };
        let entries: Vec<(u32, Entry)> = ranks.iter().map(|&rank| (rank, entry(rank))).collect();
        let mut builder = TimesBuilder::default();
        entries.iter().for_each(|(_, entry)| builder.note(*entry));
        let (times, codes) = builder.finish();
        let mut bytes = Vec::new();
        write(&entries, &times, &codes, &mut Vec::new(), &mut bytes);
        let mut read = Vec::new();
        Profile::new(&bytes, &times).expect("whole").read(&times, &mut read).expect("sound");
        assert_eq!(read, entries);
        for cut in 0..bytes.len() {
            let whole = Profile::new(&bytes[..cut], &times).and_then(|profile| profile.read(&times, &mut Vec::new()));
            assert!(whole.is_none(), "cut at {cut} of {}", bytes.len());
        }
    }

    #[test]
    fn profiles_round_trip_and_cuts_are_seen() {
        round_trip(&[0]);
        round_trip(&[u32::MAX - 1]);
        round_trip(&[0, 1, 2, 3, 10, 17, 25, 26, 100, 1_000, 70_000, 3_000_000_000]);
        round_trip(&(0..3_000).map(|i| i * 7).collect::<Vec<u32>>());
    }

    #[test]
    fn ranks_beyond_32_bits_are_damage() {
        let mut builder = TimesBuilder::default();
        builder.note(Entry { observed: Tick::new(1), expiry: Tick::new(2) });
        let (times, _) = builder.finish();
        // Two gaps of eleven nibbles each with all bits set.
        let mut bytes = vec![2];
        bytes.extend([0x77, 0x77, 0x77, 0x77, 0x77, 0x7f, 0x77, 0x77, 0x77, 0x77, 0xf7]);
        assert!(Profile::new(&bytes, &times).and_then(|p| p.each_rank(|_| {})).is_none());
    }
}
