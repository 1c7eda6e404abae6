//! The operations on which the counting algorithms stand, a type for each level of the processor.

use crate::containers::Container;

use super::stream::padded;

/// An ordinal as it lies in a container: little-endian, not aligned.
pub type Ordinal = [u8; 2];
/// Bytes of a bitmap that are worked on at a time.
pub const GROUP_BYTES: usize = 64;
/// Words of a group.
pub const GROUP_WORDS: usize = GROUP_BYTES / 8;

/// The operations. Every method of every level gives the same result.
pub trait Isa: Copy {
    /// 512 bits of a bitmap.
    type Group: Copy;
    /// A running sum of ones.
    type Sum: Copy;
    /// From how many members on a sparse container is expanded instead of being asked member by member.
    const EXPAND_FROM: usize;

    /// Nothing counted.
    fn zero(self) -> Self::Sum;
    /// The sum, with the ones of a group added.
    fn add(self, sum: Self::Sum, group: Self::Group) -> Self::Sum;
    /// The sum as a number.
    fn total(self, sum: Self::Sum) -> u32;

    /// A group of a bitmap's bytes.
    fn load(self, bytes: &[u8; GROUP_BYTES]) -> Self::Group;
    /// A group of fewer bytes or none, and zeros.
    #[inline(always)]
    fn load_part(self, bytes: &[u8]) -> Self::Group {
        self.load(&padded(bytes))
    }
    /// A group of words, bit 0 in the lowest bit of the first.
    fn of_words(self, words: &[u64; GROUP_WORDS]) -> Self::Group;
    /// A group as words.
    fn store(self, group: Self::Group, words: &mut [u64; GROUP_WORDS]);
    /// The group of a sparse container: the first bytes, in order, go where the map has a one, zeros elsewhere.
    fn expand(self, map: u64, bytes: &[u8; GROUP_BYTES]) -> Self::Group;
    /// The same with fewer bytes, and zeros.
    #[inline(always)]
    fn expand_part(self, map: u64, bytes: &[u8]) -> Self::Group {
        self.expand(map, &padded(bytes))
    }

    /// How many are in all of these sparse containers, of which there is one at least; `None`: to read them a group at a
    /// time is as fast.
    #[inline(always)]
    fn and_sparse(self, _sets: &[Container<'_>], _lists: &mut [Box<[Ordinal]>; 3]) -> Option<u32> {
        None
    }

    /// In both.
    fn and(self, a: Self::Group, b: Self::Group) -> Self::Group;
    /// In either.
    fn or(self, a: Self::Group, b: Self::Group) -> Self::Group;
    /// In `a`, not in `b`.
    fn and_not(self, a: Self::Group, b: Self::Group) -> Self::Group;

    /// Writes the ordinals of an Elias-Fano container and gives their number, at most that of the lows. `into` has at
    /// least the length of `lows`.
    fn decode(self, unary: &[u8], lows: &[u8], into: &mut [Ordinal]) -> usize;

    /// How many ordinals are in both lists, which ascend; with `KEEP` also writes them. `into` has at least eight places
    /// more than `a`; of lists that do not ascend the number means nothing.
    fn intersect<const KEEP: bool>(self, a: &[Ordinal], b: &[Ordinal], into: &mut [Ordinal]) -> usize;
}

/// Intersects by merging, from the given number of ordinals kept.
#[inline(always)]
pub fn merge<const KEEP: bool>(a: &[Ordinal], b: &[Ordinal], into: &mut [Ordinal], mut kept: usize) -> usize {
    let (mut i, mut j) = (0, 0);
    while let (Some(&left), Some(&right)) = (a.get(i), b.get(j)) {
        let (x, y) = (u16::from_le_bytes(left), u16::from_le_bytes(right));
        if KEEP && let Some(slot) = into.get_mut(kept) {
            *slot = left;
        }
        kept += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    // More only where damaged lists do not ascend.
    if KEEP { kept.min(into.len()) } else { kept }
}

/// Decodes from byte `at` of the unary part, of which all ones before have been decoded to `done` ordinals.
#[inline(always)]
pub fn decode_from(unary: &[u8], lows: &[u8], into: &mut [Ordinal], at: usize, mut done: usize) -> usize {
    for (index, &byte) in unary.iter().enumerate().skip(at) {
        let mut rest = byte;
        while rest != 0 {
            let (Some(&low), Some(slot)) = (lows.get(done), into.get_mut(done)) else { return done };
            // The position of a one is its index plus its high byte.
            let high = (index as u32 * 8 + rest.trailing_zeros()).wrapping_sub(done as u32);
            *slot = [low, high as u8];
            rest &= rest - 1;
            done += 1;
        }
    }
    done
}
