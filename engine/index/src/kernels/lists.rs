//! Lists of ordinals, thinned out by containers of every kind.

use crate::bits::Bits;
use crate::containers::Container;

use super::change::unite;
use super::isa::{Isa, Ordinal};
use super::stream::{GROUPS, word};

/// A list this many times longer than another is searched, not read.
const GALLOP_FROM: usize = 32;
/// An Elias-Fano list this many times longer than another is walked by its unary part, not decoded.
const WALK_FROM: usize = 16;

/// Reads a list; Elias-Fano codes are decoded into `spare`. Nothing of bits.
#[inline(always)]
pub fn listed<'l, I: Isa>(isa: I, set: &Container<'l>, spare: &'l mut [Ordinal]) -> &'l [Ordinal] {
    match set {
        Container::Array(bytes) => bytes.as_chunks().0,
        Container::EliasFano { unary, lows } => {
            let length = isa.decode(unary, lows, spare);
            &spare[..length]
        }
        Container::Empty | Container::Sparse { .. } | Container::Bitmap(_) => &[],
    }
}

/// How many of the list are in the set; with `KEEP` also writes them.
#[inline(always)]
pub fn filter<I: Isa, const KEEP: bool>(
    isa: I,
    list: &[Ordinal],
    set: &Container<'_>,
    into: &mut [Ordinal],
    spare: &mut [Ordinal],
    bits: &mut Bits,
) -> usize {
    if list.is_empty() {
        return 0;
    }
    match *set {
        Container::Empty => 0,
        Container::Array(bytes) => {
            let other = bytes.as_chunks().0;
            if list.len() * GALLOP_FROM < other.len() {
                return gallop::<KEEP>(list, other, into);
            }
            isa.intersect::<KEEP>(list, other, into)
        }
        Container::EliasFano { unary, lows } => {
            if list.len() * WALK_FROM < lows.len() {
                let mut walk = Walk::new(unary, lows);
                return pick::<KEEP>(list, into, |ordinal| walk.has(ordinal));
            }
            let length = isa.decode(unary, lows, spare);
            isa.intersect::<KEEP>(list, &spare[..length], into)
        }
        Container::Bitmap(bytes) => pick::<KEEP>(list, into, |ordinal| {
            bytes.get(usize::from(ordinal / 8)).is_some_and(|byte| byte >> (ordinal % 8) & 1 == 1)
        }),
        Container::Sparse { .. } if list.len() >= I::EXPAND_FROM => {
            unite(isa, set, bits, spare);
            let found = pick::<KEEP>(list, into, |ordinal| bits.contains(ordinal));
            bits.clear();
            found
        }
        Container::Sparse { map, bytes } => {
            let mut before = [0u16; GROUPS];
            let mut sum = 0;
            for (before, map) in before.iter_mut().zip(map.chunks(8)) {
                *before = sum;
                sum += word(map).count_ones() as u16;
            }
            pick::<KEEP>(list, into, |ordinal| {
                let (group, place) = (usize::from(ordinal / 512), ordinal / 8 % 64);
                let present = word(map.get(8 * group..).unwrap_or(&[]));
                let rank = before[group] + (present & ((1 << place) - 1)).count_ones() as u16;
                let byte = bytes.get(usize::from(rank)).copied().unwrap_or(0);
                (present >> place) as u8 & (byte >> (ordinal % 8)) & 1 == 1
            })
        }
    }
}

/// How many ordinals of the list the test passes; with `KEEP` also writes them. Without branches.
#[inline(always)]
fn pick<const KEEP: bool>(list: &[Ordinal], into: &mut [Ordinal], mut test: impl FnMut(u16) -> bool) -> usize {
    let mut kept = 0;
    for &ordinal in list {
        if KEEP && let Some(slot) = into.get_mut(kept) {
            *slot = ordinal;
        }
        kept += usize::from(test(u16::from_le_bytes(ordinal)));
    }
    kept
}

/// Intersects a list with a much longer one by searching it, in steps that double.
#[inline(always)]
fn gallop<const KEEP: bool>(list: &[Ordinal], long: &[Ordinal], into: &mut [Ordinal]) -> usize {
    let mut rest = long;
    pick::<KEEP>(list, into, |ordinal| {
        let mut step = 1;
        while rest.get(step).is_some_and(|&other| u16::from_le_bytes(other) < ordinal) {
            step *= 2;
        }
        let from = step / 2;
        let within = &rest[from.min(rest.len())..rest.len().min(step + 1)];
        let place = from + within.partition_point(|&other| u16::from_le_bytes(other) < ordinal);
        rest = rest.get(place..).unwrap_or(&[]);
        rest.first().is_some_and(|&other| u16::from_le_bytes(other) == ordinal)
    })
}

/// Finds ascending ordinals in an Elias-Fano list without decoding it.
struct Walk<'a> {
    unary: &'a [u8],
    lows: &'a [u8],
    /// The word of the unary part that is looked at.
    word: usize,
    /// Zeros before it.
    zeros: usize,
}

impl<'a> Walk<'a> {
    #[inline(always)]
    fn new(unary: &'a [u8], lows: &'a [u8]) -> Self {
        Self { unary, lows, word: 0, zeros: 0 }
    }

    #[inline(always)]
    fn has(&mut self, ordinal: u16) -> bool {
        let (high, low) = (usize::from(ordinal / 256), ordinal as u8);
        let Some(start) = self.start(high) else { return false };
        // The members of this high byte are the ones from here to the next zero.
        for at in start.. {
            if self.unary.get(at / 8).is_none_or(|byte| byte >> (at % 8) & 1 == 0) {
                break;
            }
            match self.lows.get(at - high) {
                Some(&member) if member < low => {}
                Some(&member) => return member == low,
                None => break,
            }
        }
        false
    }

    /// The position after as many zeros as `high`.
    #[inline(always)]
    fn start(&mut self, high: usize) -> Option<usize> {
        if high == 0 {
            return Some(0);
        }
        if high <= self.zeros {
            // Only where a damaged list does not ascend.
            (self.word, self.zeros) = (0, 0);
        }
        loop {
            let bytes = self.unary.get(8 * self.word..).filter(|bytes| !bytes.is_empty())?;
            let mut rest = !word(bytes);
            let zeros = rest.count_ones() as usize;
            if self.zeros + zeros >= high {
                (1..high - self.zeros).for_each(|_| rest &= rest - 1);
                return Some(64 * self.word + rest.trailing_zeros() as usize + 1);
            }
            self.zeros += zeros;
            self.word += 1;
        }
    }
}
