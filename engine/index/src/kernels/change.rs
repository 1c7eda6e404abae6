//! Containers folded into bits.

use crate::bits::Bits;
use crate::containers::Container;

use super::isa::{GROUP_WORDS, Isa, Ordinal};
use super::lists::listed;
use super::stream::{Groups, Sparse, groups, streamed};

/// An operation on groups. A type, not a closure: it must be inlined to be compiled for the level.
trait Change {
    fn of<I: Isa>(isa: I, a: I::Group, b: I::Group) -> I::Group;
}

struct Or;
struct And;
struct AndNot;

impl Change for Or {
    #[inline(always)]
    fn of<I: Isa>(isa: I, a: I::Group, b: I::Group) -> I::Group {
        isa.or(a, b)
    }
}

impl Change for And {
    #[inline(always)]
    fn of<I: Isa>(isa: I, a: I::Group, b: I::Group) -> I::Group {
        isa.and(a, b)
    }
}

impl Change for AndNot {
    #[inline(always)]
    fn of<I: Isa>(isa: I, a: I::Group, b: I::Group) -> I::Group {
        isa.and_not(a, b)
    }
}

/// Adds the members to the bits.
#[inline(always)]
pub fn unite<I: Isa>(isa: I, set: &Container<'_>, bits: &mut Bits, spare: &mut [Ordinal]) {
    change::<I, Or>(isa, set, bits);
    for &ordinal in listed(isa, set, spare) {
        bits.insert(u16::from_le_bytes(ordinal));
    }
}

/// Adds two sparse sets to the bits at once: where the bytes of a group begin is known when those of the group before
/// are counted, and two such chains take the time of one.
#[inline(always)]
pub fn unite_two<I: Isa>(isa: I, mut a: Sparse<'_>, mut b: Sparse<'_>, bits: &mut Bits) {
    for words in bits.words_mut().as_chunks_mut().0 {
        let two = isa.or(a.next(isa), b.next(isa));
        isa.store(isa.or(isa.of_words(words), two), words);
    }
}

/// Takes the members out of the bits.
#[inline(always)]
pub fn remove<I: Isa>(isa: I, set: &Container<'_>, bits: &mut Bits, spare: &mut [Ordinal]) {
    change::<I, AndNot>(isa, set, bits);
    for &ordinal in listed(isa, set, spare) {
        bits.remove(u16::from_le_bytes(ordinal));
    }
}

/// Keeps in the bits what a container of bits has. Not for lists.
#[inline(always)]
pub fn keep<I: Isa>(isa: I, set: &Container<'_>, bits: &mut Bits) {
    change::<I, And>(isa, set, bits);
    bits.words_mut()[GROUP_WORDS * groups(set)..].fill(0);
}

#[inline(always)]
fn change<I: Isa, C: Change>(isa: I, set: &Container<'_>, bits: &mut Bits) {
    let words = &mut bits.words_mut()[..GROUP_WORDS * groups(set)];
    streamed!(*set, stream => change_words::<I, C>(isa, words, stream), ());
}

#[inline(always)]
fn change_words<I: Isa, C: Change>(isa: I, words: &mut [u64], mut stream: impl Groups) {
    for words in words.as_chunks_mut().0 {
        let group = C::of(isa, isa.of_words(words), stream.next(isa));
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
