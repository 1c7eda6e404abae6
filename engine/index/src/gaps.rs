//! The ranks of a profile as gaps between ascending ranks, in one of two codes that an image names by number.
//!
//! Code 1, *nibbles*: three bits of the gap a nibble, low ones first, the fourth bit marks the last nibble. For small
//! images, where tables would cost more than they save.
//!
//! Code 2, *context Huffman*: a symbol (two an octave) by a prefix code of at most eight bits, then the symbol's extra
//! bits. The code depends on the length of the profile and how far it is read, which are known before a gap is decoded,
//! so no read waits for the rank before it.

use crate::bitpack::{BitWriter, WINDOW_BITS, window};
use crate::huffman::{MAX_CODE_BITS, codes, table};

mod counts;

pub use counts::GapCounts;

/// Code 1.
pub const NIBBLES: u8 = 1;
/// Code 2.
pub const HUFFMAN: u8 = 2;
/// Contexts: twelve classes of length, ten of place.
pub const CONTEXTS: usize = 12 * PLACES;
const PLACES: usize = 10;
/// The place class of the last gap; the one before it has the next.
const LAST_PLACE: usize = 8;
const LAST: u64 = 8;
/// The most nibbles of a gap: 32 bits, three a nibble.
const MAX_NIBBLES: u32 = 11;
/// The most symbols: those of 32 bits.
const MAX_SYMBOLS: usize = 64;

/// The code of an image's gaps.
pub enum GapCode {
    /// Code 1.
    Nibbles,
    /// Code 2.
    Huffman(Box<Tables>),
}

/// The prefix codes of every context.
pub struct Tables {
    symbols: usize,
    lengths: Vec<u8>,
    codes: Vec<u8>,
    /// What a code of each context and eight bits says.
    decode: Vec<[Step; 256]>,
    /// The smallest gap of each symbol, and of what is none.
    bases: [u64; 2 * MAX_SYMBOLS],
    /// Whether two gaps of any symbols lie within one window.
    two_a_window: bool,
}

/// What a code says: the symbol in the low 7 bits, then the length of the code in 4, of the extra bits in 5. Two bytes, so
/// that the tables of 120 contexts are not far beyond the first cache.
#[derive(Clone, Copy)]
struct Step(u16);

/// The symbol of what is no code: its gap is beyond all ranks, so that one look at the last rank finds it.
const NO_SYMBOL: usize = MAX_SYMBOLS;
/// The gap of what is no code.
const NO_GAP: u64 = 1 << 40;

impl Step {
    fn new(symbol: u8, length: u8) -> Self {
        if length == 0 {
            return Self(NO_SYMBOL as u16);
        }
        let (_, extra) = gap_of(symbol.into());
        Self(u16::from(symbol) | u16::from(length) << 7 | (extra as u16) << 11)
    }

    /// The gap whose code and extra bits are the lowest of the word, and how many bits they are.
    #[inline]
    fn gap(self, word: u64, bases: &[u64; 2 * MAX_SYMBOLS]) -> (u64, u32) {
        let (length, extra) = (u32::from(self.0 >> 7 & 15), u32::from(self.0 >> 11));
        let low = (word >> length) & ((1u64 << extra) - 1);
        (bases[usize::from(self.0 & 127)] + low, length + extra)
    }
}

/// The symbol of a gap, the number of its extra bits, and they.
#[inline]
fn symbol_of(gap: u32) -> (usize, u32, u32) {
    if gap < 4 {
        return (gap as usize, 0, 0);
    }
    let octave = gap.ilog2();
    let half = gap >> (octave - 1) & 1;
    let extra = octave - 1;
    (2 * octave as usize + half as usize, extra, gap & ((1 << extra) - 1))
}

/// The smallest gap of a symbol and the number of its extra bits.
#[inline]
fn gap_of(symbol: u32) -> (u32, u32) {
    if symbol < 4 {
        return (symbol, 0);
    }
    let extra = symbol / 2 - 1;
    ((2 + symbol % 2) << extra, extra)
}

/// The class of a profile's length, the first of its ten contexts.
#[inline]
fn class_of(length: usize) -> usize {
    let class = match length {
        0..=1 => 0,
        2 => 1,
        3 => 2,
        4..=5 => 3,
        6..=8 => 4,
        9..=12 => 5,
        13..=18 => 6,
        19..=27 => 7,
        28..=41 => 8,
        42..=62 => 9,
        63..=95 => 10,
        _ => 11,
    };
    class * PLACES
}

/// The class of a place: the eighth of the profile, the last two places have their own. `step` is `2^19 / length`.
#[inline]
fn place_of(place: usize, length: usize, step: u64) -> usize {
    let left = length - place;
    if left <= 2 { LAST_PLACE - 1 + left } else { ((place as u64 * step) >> 16) as usize }
}

#[inline]
fn step_of(length: usize) -> u64 {
    (8 << 16) / length.max(1) as u64
}

/// Calls `each` with the context and the gap of every rank, ascending.
fn each_gap(ranks: impl ExactSizeIterator<Item = u32>, mut each: impl FnMut(usize, u32)) {
    let (length, mut next) = (ranks.len(), 0);
    let (class, step) = (class_of(length), step_of(length));
    for (place, rank) in ranks.enumerate() {
        debug_assert!(rank >= next);
        each(class + place_of(place, length, step), rank - next);
        next = rank + 1;
    }
}

impl Tables {
    fn new(symbols: usize, lengths: Vec<u8>) -> Option<Self> {
        let longest = MAX_CODE_BITS + gap_of(symbols.saturating_sub(1) as u32).1;
        let two_a_window = 2 * longest <= WINDOW_BITS;
        let base = |symbol| if symbol < NO_SYMBOL { gap_of(symbol as u32).0.into() } else { NO_GAP };
        let bases = std::array::from_fn(base);
        let (codes_of_all, decode) = (Vec::with_capacity(lengths.len()), Vec::new());
        let mut all = Self { symbols, codes: codes_of_all, decode, lengths, bases, two_a_window };
        for context in all.lengths.chunks(symbols) {
            let codes = codes(context)?;
            let mut steps = [Step(NO_SYMBOL as u16); 256];
            let table = table(context, &codes);
            steps.iter_mut().zip(table).for_each(|(step, (symbol, length))| *step = Step::new(symbol, length));
            all.decode.push(steps);
            all.codes.extend(codes);
        }
        Some(all)
    }
}

impl GapCode {
    /// The number by which an image names it.
    #[must_use]
    pub fn number(&self) -> u8 {
        match self {
            Self::Nibbles => NIBBLES,
            Self::Huffman(_) => HUFFMAN,
        }
    }

    /// Whether gaps are the same bytes in both.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nibbles, Self::Nibbles) => true,
            (Self::Huffman(own), Self::Huffman(other)) => own.symbols == other.symbols && own.lengths == other.lengths,
            _ => false,
        }
    }

    /// Appends the tables: nothing for code 1.
    pub fn write_tables(&self, into: &mut Vec<u8>) {
        if let Self::Huffman(tables) = self {
            into.push(tables.symbols as u8);
            into.extend(tables.lengths.chunks(2).map(|two| two[0] | two.get(1).map_or(0, |high| high << 4)));
        }
    }

    /// Reads the tables of the code of this number; `None` when they are damaged.
    #[must_use]
    pub fn read_tables(number: u8, bytes: &[u8]) -> Option<Self> {
        match (number, bytes.split_first()) {
            (NIBBLES, None) => Some(Self::Nibbles),
            (HUFFMAN, Some((&symbols, packed))) => {
                let symbols = usize::from(symbols);
                let count = CONTEXTS * symbols;
                if symbols == 0 || symbols > MAX_SYMBOLS || packed.len() != count.div_ceil(2) {
                    return None;
                }
                let lengths = packed.iter().flat_map(|two| [two & 15, two >> 4]).take(count).collect();
                Tables::new(symbols, lengths).map(|tables| Self::Huffman(Box::new(tables)))
            }
            _ => None,
        }
    }

    /// Appends the gaps of ascending ranks, padded to a byte.
    pub fn write(&self, ranks: impl ExactSizeIterator<Item = u32>, into: &mut Vec<u8>) {
        let mut writer = BitWriter::default();
        each_gap(ranks, |context, gap| match self {
            Self::Nibbles => {
                let mut gap = u64::from(gap);
                while gap >= LAST {
                    writer.put(into, gap & (LAST - 1), 4);
                    gap >>= 3;
                }
                writer.put(into, gap | LAST, 4);
            }
            Self::Huffman(tables) => {
                let (symbol, extra, low) = symbol_of(gap);
                let at = context * tables.symbols + symbol;
                let length = u32::from(tables.lengths[at]);
                writer.put(into, u64::from(tables.codes[at]) | u64::from(low) << length, length + extra);
            }
        });
        writer.flush(into);
    }

    /// Calls `each` with every one of `length` ranks, ascending, and answers how many bytes they take; `None` when a gap
    /// is no code or goes beyond 32 bits. `bytes` may go on after the gaps.
    #[inline]
    pub fn read(&self, bytes: &[u8], length: usize, each: impl FnMut(u32)) -> Option<usize> {
        match self {
            Self::Nibbles => read_nibbles(bytes, length, each),
            Self::Huffman(tables) => tables.read(bytes, length, each),
        }
    }
}

fn read_nibbles(bytes: &[u8], length: usize, mut each: impl FnMut(u32)) -> Option<usize> {
    let (mut at, mut next) = (0usize, 0u64);
    for _ in 0..length {
        let word = window(bytes, 4 * at);
        let ends = word & 0x8888_8888_8888_8888;
        let nibbles = ends.trailing_zeros() / 4 + 1;
        if ends == 0 || nibbles > MAX_NIBBLES {
            return None;
        }
        let gap = (0..nibbles).fold(0, |gap, i| gap | ((word >> (4 * i)) & 7) << (3 * i));
        let rank = u32::try_from(next + gap).ok()?;
        each(rank);
        next = u64::from(rank) + 1;
        at += nibbles as usize;
    }
    Some(at.div_ceil(2))
}

impl Tables {
    #[inline]
    fn read(&self, bytes: &[u8], length: usize, mut each: impl FnMut(u32)) -> Option<usize> {
        let contexts = self.decode.get(class_of(length)..)?.first_chunk::<PLACES>()?;
        let (step, bases) = (step_of(length), &self.bases);
        let (mut at, mut place, mut next) = (0usize, 0u64, 0u64);
        let mut gap = |context: usize, word: u64| {
            let (gap, bits) = contexts[context][(word & 0xff) as usize].gap(word, bases);
            each((next + gap) as u32);
            next += gap + 1;
            bits
        };
        let before_last = length.saturating_sub(2);
        // The context of a place: its eighth of the profile. Never beyond 7, as the place is below the length.
        let mut context = || {
            let context = (place >> 16) as usize & 7;
            place += step;
            context
        };
        let mut left = before_last;
        if self.two_a_window {
            while left >= 2 {
                let word = window(bytes, at);
                let first = gap(context(), word);
                let second = gap(context(), word >> first);
                at += (first + second) as usize;
                left -= 2;
            }
        }
        for _ in 0..left {
            at += gap(context(), window(bytes, at)) as usize;
        }
        for context in (LAST_PLACE..LAST_PLACE + length - before_last).rev() {
            at += gap(context, window(bytes, at)) as usize;
        }
        (next <= 1 << 32).then_some(at.div_ceil(8))
    }
}

#[cfg(test)]
mod tests;
