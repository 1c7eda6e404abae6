//! Containers folded into bits.

use crate::bits::Bits;
use crate::containers::Container;

use super::isa::{GROUP_WORDS, Isa, Ordinal};
use super::lists::listed;
use super::stream::{Groups, groups, streamed};

/// Adds the members to the bits.
#[inline(always)]
pub fn unite<I: Isa>(isa: I, set: &Container<'_>, bits: &mut Bits, spare: &mut [Ordinal]) {
    change(isa, set, bits, |a, b| isa.or(a, b));
    listed(isa, set, spare).iter().for_each(|&ordinal| bits.insert(u16::from_le_bytes(ordinal)));
}

/// Takes the members out of the bits.
#[inline(always)]
pub fn remove<I: Isa>(isa: I, set: &Container<'_>, bits: &mut Bits, spare: &mut [Ordinal]) {
    change(isa, set, bits, |a, b| isa.and_not(a, b));
    listed(isa, set, spare).iter().for_each(|&ordinal| bits.remove(u16::from_le_bytes(ordinal)));
}

/// Keeps in the bits what a container of bits has. Not for lists.
#[inline(always)]
pub fn keep<I: Isa>(isa: I, set: &Container<'_>, bits: &mut Bits) {
    change(isa, set, bits, |a, b| isa.and(a, b));
    bits.words_mut()[GROUP_WORDS * groups(set)..].fill(0);
}

#[inline(always)]
fn change<I: Isa>(isa: I, set: &Container<'_>, bits: &mut Bits, with: impl Fn(I::Group, I::Group) -> I::Group) {
    let words = &mut bits.words_mut()[..GROUP_WORDS * groups(set)];
    streamed!(*set, stream => change_words(isa, words, stream, with), ());
}

#[inline(always)]
fn change_words<I: Isa>(
    isa: I,
    words: &mut [u64],
    mut stream: impl Groups,
    with: impl Fn(I::Group, I::Group) -> I::Group,
) {
    for words in words.as_chunks_mut().0 {
        let group = with(isa.of_words(words), stream.next(isa));
        isa.store(group, words);
    }
}

/// Counts the bits and takes them out.
#[inline(always)]
pub fn drain<I: Isa>(isa: I, bits: &mut Bits) -> u32 {
    let mut sum = isa.zero();
    for words in bits.words_mut().as_chunks_mut().0 {
        sum = isa.add(sum, isa.of_words(words));
        *words = [0; GROUP_WORDS];
    }
    isa.total(sum)
}
