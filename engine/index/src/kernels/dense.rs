//! Many bitmaps at once: a group of the result is the work of one visit, so that no intermediate result is written.

use crate::bits::Bits;
use crate::containers::Container;

use super::change::unite;
use super::isa::{GROUP_BYTES, GROUP_WORDS, Isa, Ordinal};

/// The most bitmaps that are read side by side: their groups lie 8 KiB apart, so that all compete for the same eight
/// places of the first cache.
const MANY: usize = 4;

/// The bitmaps of a union, up to [`MANY`].
pub struct Dense<'a> {
    bytes: [&'a [u8]; MANY],
    count: usize,
}

impl<'a> Dense<'a> {
    /// Takes the bitmaps out of a union; everything else goes into the bits, as do bitmaps beyond the bound.
    #[inline(always)]
    pub fn of<I: Isa>(isa: I, union: &[Container<'a>], bits: &mut Bits, spare: &mut [Ordinal]) -> Self {
        let mut dense = Self { bytes: [&[]; MANY], count: 0 };
        for set in union {
            let Container::Bitmap(bytes) = set else {
                unite(isa, set, bits, spare);
                continue;
            };
            if dense.count == MANY {
                dense.join(isa, bits);
                dense.count = 0;
            }
            dense.bytes[dense.count] = bytes;
            dense.count += 1;
        }
        dense
    }

    /// A group of the union of the bitmaps and the words.
    #[inline(always)]
    fn group<I: Isa>(&self, isa: I, index: usize, words: &[u64; GROUP_WORDS]) -> I::Group {
        let mut group = isa.of_words(words);
        for bytes in &self.bytes[..self.count] {
            let rest = bytes.get(index * GROUP_BYTES..).unwrap_or(&[]);
            let more = match rest.first_chunk() {
                Some(chunk) => isa.load(chunk),
                // Of a block that is not full. A masked load of nothing may be a fault that is suppressed, which is slow.
                None if rest.is_empty() => continue,
                None => isa.load_part(rest),
            };
            group = isa.or(group, more);
        }
        group
    }

    /// Adds the bitmaps to the bits.
    #[inline(always)]
    pub fn join<I: Isa>(&self, isa: I, bits: &mut Bits) {
        if self.count == 0 {
            return;
        }
        for (index, words) in bits.words_mut().as_chunks_mut().0.iter_mut().enumerate() {
            let group = self.group(isa, index, words);
            isa.store(group, words);
        }
    }

    /// Keeps in `kept` what is in the bitmaps or in `bits`, which are emptied.
    #[inline(always)]
    pub fn keep<I: Isa>(&self, isa: I, bits: &mut Bits, kept: &mut Bits) {
        let pairs = bits.words_mut().as_chunks_mut().0.iter_mut().zip(kept.words_mut().as_chunks_mut().0);
        for (index, (words, kept)) in pairs.enumerate() {
            let group = isa.and(self.group(isa, index, words), isa.of_words(kept));
            isa.store(group, kept);
            *words = [0; GROUP_WORDS];
        }
    }

    /// Counts whom `others` have in common with the bitmaps and `bits`, and empties both.
    #[inline(always)]
    pub fn meet<I: Isa>(&self, isa: I, bits: &mut Bits, others: &mut Bits) -> u32 {
        let mut sum = isa.zero();
        let pairs = bits.words_mut().as_chunks_mut().0.iter_mut().zip(others.words_mut().as_chunks_mut().0);
        for (index, (words, others)) in pairs.enumerate() {
            sum = isa.add(sum, isa.and(self.group(isa, index, words), isa.of_words(others)));
            *words = [0; GROUP_WORDS];
            *others = [0; GROUP_WORDS];
        }
        isa.total(sum)
    }

    /// Counts who is in the bitmaps or in the bits, and empties these.
    #[inline(always)]
    pub fn count<I: Isa>(&self, isa: I, bits: &mut Bits) -> u32 {
        let mut sum = isa.zero();
        for (index, words) in bits.words_mut().as_chunks_mut().0.iter_mut().enumerate() {
            sum = isa.add(sum, self.group(isa, index, words));
            *words = [0; GROUP_WORDS];
        }
        isa.total(sum)
    }
}
