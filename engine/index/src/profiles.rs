//! One visitor's entries as bytes: how many, when (codes), and of which segments (gaps between ascending ranks).

use crate::bytes::{Cursor, put_varint};
use crate::entry::Entry;
use crate::gaps::GapCode;
use crate::time::Tick;
use crate::times::{Packing, TimeCodes, Times};

/// Appends a profile. Ranks ascend strictly; `packing` is that of the table of times.
pub fn write(
    entries: &[(u32, Entry)],
    packing: Packing,
    codes: &TimeCodes,
    gaps: &GapCode,
    scratch: &mut Vec<u64>,
    into: &mut Vec<u8>,
) {
    put_varint(into, entries.len() as u32);
    scratch.clear();
    scratch.extend(entries.iter().map(|(_, entry)| codes.code(*entry)));
    packing.write(scratch, into);
    gaps.write(entries.iter().map(|(rank, _)| *rank), into);
}

/// Where a profile's bytes lie.
#[derive(Clone, Copy)]
pub struct ProfileBytes<'a> {
    /// From its first byte to the end of the section: reads of whole words need no care at its end.
    pub tail: &'a [u8],
    /// How many of them are the profile.
    pub length: usize,
}

/// A profile's bytes, split into its parts.
#[derive(Clone, Copy)]
pub struct Profile<'a> {
    length: usize,
    codes: &'a [u8],
    /// From the first gap to the end of the section.
    gaps: &'a [u8],
    gap_bytes: usize,
    times: &'a Times,
    packing: Packing,
    code: &'a GapCode,
}

impl<'a> Profile<'a> {
    /// Splits the bytes; `None` when they are cut. `packing` is that of `times`, found once for all profiles.
    #[inline]
    #[must_use]
    pub fn new(bytes: ProfileBytes<'a>, times: &'a Times, packing: Packing, code: &'a GapCode) -> Option<Self> {
        let mut cursor = Cursor::new(bytes.tail);
        let length = cursor.varint()? as usize;
        // Every entry takes a bit at least: a wild length cannot make us work long.
        if length > 8 * bytes.length {
            return None;
        }
        let codes = cursor.rest();
        cursor.take(packing.bytes(length))?;
        let gap_bytes = bytes.length.checked_sub(cursor.position())?;
        Some(Self { length, codes, gaps: cursor.rest(), gap_bytes, times, packing, code })
    }

    /// Leaves in `into`, for each entry in the order of ranks, whether it is live; `None` for a code that no table has.
    #[inline]
    pub fn live(&self, now: Tick, into: &mut Vec<bool>) -> Option<()> {
        // The kind of the table is asked for once, and neither check is a branch within the loop.
        let mut sound = true;
        let mut check = |entry: Option<Entry>| {
            sound &= entry.is_some();
            let Entry { observed, expiry } = entry.unwrap_or(Entry { observed: now, expiry: now });
            (expiry > now) & (expiry > observed)
        };
        match self.times {
            Times::Pairs(pairs) => {
                self.packing.map(self.codes, self.length, into, |code| check(pairs.get(code as usize).copied()));
            }
            Times::Split { .. } => {
                self.packing.map(self.codes, self.length, into, |code| check(self.times.entry(code)));
            }
        }
        sound.then_some(())
    }

    /// How many entries it has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// The bytes of the gaps.
    #[must_use]
    pub fn gaps(&self) -> &'a [u8] {
        self.gaps.get(..self.gap_bytes).unwrap_or_default()
    }

    /// Calls `each` with every code, in the order of ranks.
    #[inline]
    pub fn each_code(&self, each: impl FnMut(u64)) {
        self.packing.each(self.codes, self.length, each);
    }

    /// Leaves in `into`, for each entry in the order of ranks, what `of` says of its code.
    #[inline]
    pub fn map_codes<T: Copy + Default>(&self, into: &mut Vec<T>, of: impl FnMut(u64) -> T) {
        self.packing.map(self.codes, self.length, into, of);
    }

    /// Calls `each` with every rank, ascending; `None` when the gaps are cut, too long or leave bytes over.
    #[inline]
    pub fn each_rank(&self, each: impl FnMut(u32)) -> Option<()> {
        let read = self.code.read(self.gaps, self.length, each)?;
        (read == self.gap_bytes).then_some(())
    }

    /// Appends the entries, ascending in rank; `None` when the profile is damaged.
    #[inline]
    pub fn read(&self, into: &mut Vec<(u32, Entry)>) -> Option<()> {
        let start = into.len();
        let mut known = true;
        self.each_code(|code| match self.times.entry(code) {
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
    use crate::gaps::GapCounts;
    use crate::times::TimesBuilder;

    fn round_trip(ranks: &[u32]) {
        let entry = |rank: u32| Entry { observed: Tick::new(1), expiry: Tick::new(2 + rank % 5) };
        let entries: Vec<(u32, Entry)> = ranks.iter().map(|&rank| (rank, entry(rank))).collect();
        let mut builder = TimesBuilder::default();
        entries.iter().for_each(|(_, entry)| builder.note(*entry));
        let (times, codes) = builder.finish();
        let mut counts = GapCounts::new(u32::MAX);
        counts.note(ranks.iter().copied());
        for gaps in [GapCode::Nibbles, counts.choose(1e9)] {
            let mut bytes = Vec::new();
            write(&entries, times.packing(), &codes, &gaps, &mut Vec::new(), &mut bytes);
            let length = bytes.len();
            let read = |tail: &[u8], length| {
                let mut read = Vec::new();
                Profile::new(ProfileBytes { tail, length }, &times, times.packing(), &gaps)?.read(&mut read)?;
                Some(read)
            };
            bytes.extend([0xff; 20]);
            assert_eq!(read(&bytes[..length], length).as_ref(), Some(&entries));
            assert_eq!(read(&bytes, length).as_ref(), Some(&entries));
            for wrong in (0..length).chain([length + 1]) {
                assert_eq!(read(&bytes, wrong), None, "length {wrong} for {length}");
            }
        }
    }

    #[test]
    fn profiles_round_trip_and_cuts_are_seen() {
        round_trip(&[0]);
        round_trip(&[u32::MAX - 1]);
        round_trip(&[0, 1, 2, 3, 10, 17, 25, 26, 100, 1_000, 70_000, 3_000_000_000]);
        round_trip(&(0..3_000).map(|i| i * 7).collect::<Vec<u32>>());
    }
}
