//! Many bitmaps at once: a group of the result is the work of one visit, so that no intermediate result is written.

use crate::bits::Bits;
use crate::containers::Container;

use super::change::{unite, unite_two};
use super::isa::{GROUP_BYTES, GROUP_WORDS, Isa, Ordinal};
use super::stream::{GROUPS, Sparse};

/// The most bitmaps that are read side by side: their groups lie 8 KiB apart, so that all compete for the same eight
/// places of the first cache, and those of the bits and of what they meet do, too.
const MANY: usize = 5;

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
        let mut waiting = None;
        for set in union {
            match *set {
                Container::Bitmap(bytes) => {
                    if dense.count == MANY {
                        dense.join(isa, bits);
                        dense.count = 0;
                    }
                    dense.bytes[dense.count] = bytes;
                    dense.count += 1;
                }
                Container::Sparse { map, bytes } => {
                    let sparse = Sparse { map, bytes };
                    match waiting.take() {
                        Some(other) => unite_two(isa, other, sparse, bits),
                        None => waiting = Some(sparse),
                    }
                }
                Container::Empty | Container::Array(_) | Container::EliasFano { .. } => unite(isa, set, bits, spare),
            }
        }
        if let Some(Sparse { map, bytes }) = waiting {
            unite(isa, &Container::Sparse { map, bytes }, bits, spare);
        }
        dense
    }

    /// Shows every group of the union of the bitmaps.
    #[inline(always)]
    fn each<I: Isa>(&self, isa: I, visit: impl Visit<I>) {
        match self.count {
            0 => self.each_of::<I, 0>(isa, visit),
            1 => self.each_of::<I, 1>(isa, visit),
            2 => self.each_of::<I, 2>(isa, visit),
            3 => self.each_of::<I, 3>(isa, visit),
            4 => self.each_of::<I, 4>(isa, visit),
            _ => self.each_of::<I, MANY>(isa, visit),
        }
    }

    #[inline(always)]
    fn each_of<I: Isa, const N: usize>(&self, isa: I, mut visit: impl Visit<I>) {
        let mut whole: [&[[u8; GROUP_BYTES]]; N] = [&[]; N];
        for (whole, bytes) in whole.iter_mut().zip(self.bytes) {
            *whole = bytes.as_chunks().0;
        }
        let length = whole.iter().map(|whole| whole.len()).min().unwrap_or(0).min(GROUPS);
        let whole = whole.map(|whole| &whole[..length]);
        for index in 0..length {
            let mut group = isa.load(&whole[0][index]);
            for whole in &whole[1..] {
                group = isa.or(group, isa.load(&whole[index]));
            }
            visit.group(isa, index, group);
        }
        // Of a block that is not full, or where there are no bitmaps.
        for index in length..GROUPS {
            let mut group = isa.of_words(&[0; GROUP_WORDS]);
            for bytes in &self.bytes[..N] {
                let rest = bytes.get(index * GROUP_BYTES..).unwrap_or(&[]);
                group = isa.or(group, isa.load_part(rest.get(..GROUP_BYTES).unwrap_or(rest)));
            }
            visit.group(isa, index, group);
        }
    }

    /// Adds the bitmaps to the bits.
    #[inline(always)]
    pub fn join<I: Isa>(&self, isa: I, bits: &mut Bits) {
        if self.count > 0 {
            self.each(isa, Join(bits.words_mut().as_chunks_mut().0));
        }
    }

    /// Keeps in `kept` what is in the bitmaps or in `bits`, which are emptied.
    #[inline(always)]
    pub fn keep<I: Isa>(&self, isa: I, bits: &mut Bits, kept: &mut Bits) {
        self.each(isa, Keep(bits.words_mut().as_chunks_mut().0, kept.words_mut().as_chunks_mut().0));
    }

    /// Counts whom `others` have in common with the bitmaps and `bits`, and empties both.
    #[inline(always)]
    pub fn meet<I: Isa>(&self, isa: I, bits: &mut Bits, others: &mut Bits) -> u32 {
        let mut sum = isa.zero();
        self.each(isa, Meet(bits.words_mut().as_chunks_mut().0, others.words_mut().as_chunks_mut().0, &mut sum));
        isa.total(sum)
    }

    /// Counts who is in the bitmaps or in the bits, and empties these.
    #[inline(always)]
    pub fn count<I: Isa>(&self, isa: I, bits: &mut Bits) -> u32 {
        let mut sum = isa.zero();
        self.each(isa, Count(bits.words_mut().as_chunks_mut().0, &mut sum));
        isa.total(sum)
    }
}

/// The groups of bits.
type Words = [[u64; GROUP_WORDS]];

/// What is done with each group of the union of bitmaps. A type, not a closure: it must be inlined to be compiled for the
/// level.
trait Visit<I: Isa> {
    fn group(&mut self, isa: I, index: usize, group: I::Group);
}

struct Join<'a>(&'a mut Words);
struct Keep<'a>(&'a mut Words, &'a mut Words);
struct Meet<'a, I: Isa>(&'a mut Words, &'a mut Words, &'a mut I::Sum);
struct Count<'a, I: Isa>(&'a mut Words, &'a mut I::Sum);

impl<I: Isa> Visit<I> for Join<'_> {
    #[inline(always)]
    fn group(&mut self, isa: I, index: usize, group: I::Group) {
        let words = &mut self.0[index];
        isa.store(isa.or(group, isa.of_words(words)), words);
    }
}

impl<I: Isa> Visit<I> for Keep<'_> {
    #[inline(always)]
    fn group(&mut self, isa: I, index: usize, group: I::Group) {
        let (words, kept) = (&mut self.0[index], &mut self.1[index]);
        isa.store(isa.and(isa.or(group, isa.of_words(words)), isa.of_words(kept)), kept);
        *words = [0; GROUP_WORDS];
    }
}

impl<I: Isa> Visit<I> for Meet<'_, I> {
    #[inline(always)]
    fn group(&mut self, isa: I, index: usize, group: I::Group) {
        let (words, others) = (&mut self.0[index], &mut self.1[index]);
        let both = isa.and(isa.or(group, isa.of_words(words)), isa.of_words(others));
        *self.2 = isa.add(*self.2, both);
        *words = [0; GROUP_WORDS];
        *others = [0; GROUP_WORDS];
    }
}

impl<I: Isa> Visit<I> for Count<'_, I> {
    #[inline(always)]
    fn group(&mut self, isa: I, index: usize, group: I::Group) {
        let words = &mut self.0[index];
        *self.1 = isa.add(*self.1, isa.or(group, isa.of_words(words)));
        *words = [0; GROUP_WORDS];
    }
}
