//! The operations in plain Rust.

use super::isa::{GROUP_BYTES, GROUP_WORDS, Isa, Ordinal, decode_from, merge};

/// What every machine has.
#[derive(Clone, Copy)]
pub struct Portable;

impl Isa for Portable {
    type Group = [u64; GROUP_WORDS];
    type Sum = u32;
    const EXPAND_FROM: usize = 1_024;

    #[inline(always)]
    fn zero(self) -> u32 {
        0
    }

    #[inline(always)]
    fn add(self, sum: u32, group: Self::Group) -> u32 {
        sum + group.iter().map(|word| word.count_ones()).sum::<u32>()
    }

    #[inline(always)]
    fn total(self, sum: u32) -> u32 {
        sum
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; GROUP_BYTES]) -> Self::Group {
        let (words, _) = bytes.as_chunks();
        std::array::from_fn(|i| u64::from_le_bytes(words[i]))
    }

    #[inline(always)]
    fn of_words(self, words: &[u64; GROUP_WORDS]) -> Self::Group {
        *words
    }

    #[inline(always)]
    fn store(self, group: Self::Group, words: &mut [u64; GROUP_WORDS]) {
        *words = group;
    }

    #[inline(always)]
    fn expand(self, map: u64, bytes: &[u8; GROUP_BYTES]) -> Self::Group {
        let mut group = [0u64; GROUP_WORDS];
        let mut bytes = bytes.iter();
        let mut rest = map;
        while rest != 0 {
            let place = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let byte = bytes.next().copied().unwrap_or(0);
            group[place / 8] |= u64::from(byte) << (8 * (place % 8));
        }
        group
    }

    #[inline(always)]
    fn and(self, a: Self::Group, b: Self::Group) -> Self::Group {
        std::array::from_fn(|i| a[i] & b[i])
    }

    #[inline(always)]
    fn or(self, a: Self::Group, b: Self::Group) -> Self::Group {
        std::array::from_fn(|i| a[i] | b[i])
    }

    #[inline(always)]
    fn and_not(self, a: Self::Group, b: Self::Group) -> Self::Group {
        std::array::from_fn(|i| a[i] & !b[i])
    }

    #[inline(always)]
    fn decode(self, unary: &[u8], lows: &[u8], into: &mut [Ordinal]) -> usize {
        decode_from(unary, lows, into, 0, 0)
    }

    #[inline(always)]
    fn intersect<const KEEP: bool>(self, a: &[Ordinal], b: &[Ordinal], into: &mut [Ordinal]) -> usize {
        merge::<KEEP>(a, b, into, 0)
    }
}
