//! The counting algorithms, over the operations of any level.
//!
//! After E. Lemire and others, "Roaring Bitmaps: Implementation of an Optimized Software Library", with containers of
//! our own kinds. Everything is inlined into the functions that `dispatched!` compiles for a level; what is not inlined
//! is compiled for every machine and calls each instruction as a function. Hence `for` loops here, and no closure that
//! touches an [`Isa`]: nothing forces a closure to be inlined.

use crate::bits::{BLOCK, Bits};
use crate::containers::Container;

use super::change::{drain, keep, remove, unite};
use super::dense::Dense;
use super::isa::{Isa, Ordinal};
use super::lists::{filter, listed};
use super::stream::{Groups, Words, groups, streamed};

/// Unions of fewer members are counted member by member, which saves reading 8 KiB.
const SMALL_UNION: usize = 400;
/// The members of a smaller union are looked up one by one in the others, instead of making bits of them too.
const LOOK_UP_BELOW: usize = 3_000;
/// The most sets of a conjunction that are read side by side.
const SIDE_BY_SIDE: usize = 3;
/// Places behind the last ordinal of a list, for a whole vector to be stored.
const SLACK: usize = 32;

/// What the algorithms work in. The bits are empty between them.
pub struct Scratch {
    lists: [Box<[Ordinal]>; 3],
    bits: [Bits; 2],
}

impl Scratch {
    pub fn new() -> Self {
        let list = || vec![[0; 2]; BLOCK as usize + SLACK].into_boxed_slice();
        Self { lists: [list(), list(), list()], bits: [Bits::empty(), Bits::empty()] }
    }

    /// What [`list`] has left.
    pub fn listed(&self, length: usize) -> &[Ordinal] {
        self.lists[0].get(..length).unwrap_or(&[])
    }

    /// What [`build`] has left; to be cleared.
    pub fn built(&mut self) -> &mut Bits {
        &mut self.bits[0]
    }
}

impl Container<'_> {
    /// Whether its members are a list rather than bits.
    #[inline(always)]
    pub fn is_listed(&self) -> bool {
        matches!(self, Self::Empty | Self::Array(_) | Self::EliasFano { .. })
    }

    /// The length of a list; of bits more than of any list, more the more there are.
    #[inline(always)]
    fn weight(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Array(bytes) => bytes.len() / 2,
            Self::EliasFano { lows, .. } => lows.len(),
            Self::Sparse { bytes, .. } => BLOCK as usize + bytes.len(),
            Self::Bitmap(_) => 2 * BLOCK as usize,
        }
    }
}

/// Leaves a container's members as a list.
#[inline(always)]
pub fn list<I: Isa>(isa: I, set: &Container<'_>, scratch: &mut Scratch) -> usize {
    let [into, spare, _] = &mut scratch.lists;
    let list = listed(isa, set, spare);
    into[..list.len()].copy_from_slice(list);
    list.len()
}

/// Who is in every set.
#[inline(always)]
pub fn and<I: Isa>(isa: I, sets: &mut [Container<'_>], scratch: &mut Scratch) -> u32 {
    sort(sets);
    if let [Container::Sparse { .. }, .., Container::Sparse { .. }] = sets
        && let Some(count) = isa.and_sparse(sets, &mut scratch.lists)
    {
        return count;
    }
    match sets {
        [] | [Container::Empty, ..] => 0,
        [first, rest @ ..] if first.is_listed() => and_listed(isa, first, rest, scratch) as u32,
        [only] => streamed!(*only, a => and1(isa, a, groups(only)), 0),
        [first, second] => streamed!(*first, a => streamed!(*second, b => and2(isa, a, b, groups(first)), 0), 0),
        [first, second, third] => streamed!(*first, a => streamed!(*second, b => streamed!(*third, c => {
            and3(isa, a, b, c, groups(first))
        }, 0), 0), 0),
        _ => {
            let (some, rest) = sets.split_at(sets.len() - (SIDE_BY_SIDE - 1));
            let [bits, _] = &mut scratch.bits;
            for (index, set) in some.iter().enumerate() {
                match index {
                    0 => unite(isa, set, bits, &mut scratch.lists[0]),
                    _ => keep(isa, set, bits),
                }
            }
            let [second, third] = rest else { return 0 };
            let count = streamed!(*second, b => streamed!(*third, c => {
                and3(isa, Words(bits.words()), b, c, groups(second))
            }, 0), 0);
            bits.clear();
            count
        }
    }
}

/// Puts the lightest first. There are few.
#[inline(always)]
fn sort(sets: &mut [Container<'_>]) {
    for end in 1..sets.len() {
        let mut at = end;
        while at > 0 && sets[at].weight() < sets[at - 1].weight() {
            sets.swap(at, at - 1);
            at -= 1;
        }
    }
}

#[inline(always)]
fn and1<I: Isa>(isa: I, mut a: impl Groups, groups: usize) -> u32 {
    let mut sum = isa.zero();
    for _ in 0..groups {
        sum = isa.add(sum, a.next(isa));
    }
    isa.total(sum)
}

#[inline(always)]
fn and2<I: Isa>(isa: I, mut a: impl Groups, mut b: impl Groups, groups: usize) -> u32 {
    let mut sum = isa.zero();
    for _ in 0..groups {
        sum = isa.add(sum, isa.and(a.next(isa), b.next(isa)));
    }
    isa.total(sum)
}

#[inline(always)]
fn and3<I: Isa>(isa: I, mut a: impl Groups, mut b: impl Groups, mut c: impl Groups, groups: usize) -> u32 {
    let mut sum = isa.zero();
    for _ in 0..groups {
        sum = isa.add(sum, isa.and(isa.and(a.next(isa), b.next(isa)), c.next(isa)));
    }
    isa.total(sum)
}

/// Who is in the list and in all the rest: the list is thinned out by one after the other, the last only counts.
#[inline(always)]
fn and_listed<I: Isa>(isa: I, first: &Container<'_>, rest: &[Container<'_>], scratch: &mut Scratch) -> usize {
    let [one, two, three] = &mut scratch.lists;
    let [bits, _] = &mut scratch.bits;
    let Some((last, between)) = rest.split_last() else { return listed(isa, first, one).len() };
    let Some((second, between)) = between.split_first() else {
        let list = listed(isa, first, one);
        return filter::<I, false>(isa, list, last, two, three, bits);
    };
    let (mut from, mut to) = (two, one);
    let mut length = filter::<I, true>(isa, listed(isa, first, to), second, from, three, bits);
    for set in between {
        length = filter::<I, true>(isa, &from[..length], set, to, three, bits);
        std::mem::swap(&mut from, &mut to);
    }
    if length == 0 {
        return 0;
    }
    filter::<I, false>(isa, &from[..length], last, to, three, bits)
}

/// Who is in every union and in none of the rest; `ends` as [`super::Counter::conjunction`] says.
#[inline(always)]
pub fn conjunction<I: Isa>(isa: I, sets: &[Container<'_>], ends: &[usize], scratch: &mut Scratch) -> u32 {
    match (ends, sets) {
        ([], _) => 0,
        (&[end], _) if end == sets.len() => or(isa, sets, scratch),
        // The members of a list that are not in another set: all but those that are.
        (&[1], &[list, without]) if list.is_listed() => {
            let all = list.weight() as u32;
            all - and(isa, &mut [list, without], scratch).min(all)
        }
        _ => {
            let small = smallest(sets, ends).filter(|_| ends.len() > 1);
            gather(isa, sets, ends, small.as_ref().map(|(index, _)| *index), scratch);
            let Some((_, members)) = small.map(|(index, weight)| (weight, union(sets, ends, index))) else {
                return drain(isa, &mut scratch.bits[0]);
            };
            meet(isa, members, scratch)
        }
    }
}

/// Leaves in the scratch's bits who is in every union and in none of the rest.
#[inline(always)]
pub fn build<I: Isa>(isa: I, sets: &[Container<'_>], ends: &[usize], scratch: &mut Scratch) {
    gather(isa, sets, ends, None, scratch);
}

/// The sets of a union.
#[inline(always)]
fn union<'s, 'c>(sets: &'s [Container<'c>], ends: &[usize], index: usize) -> &'s [Container<'c>] {
    let start = index.checked_sub(1).map_or(0, |before| ends[before]);
    sets.get(start..ends[index]).unwrap_or(&[])
}

/// The union of the least weight, and the weight.
#[inline(always)]
fn smallest(sets: &[Container<'_>], ends: &[usize]) -> Option<(usize, usize)> {
    let weight = |index| union(sets, ends, index).iter().map(Container::weight).sum::<usize>();
    (0..ends.len()).map(|index| (index, weight(index))).min_by_key(|(_, weight)| *weight)
}

/// Makes the first bits the intersection of all unions but one, without the rest.
#[inline(always)]
fn gather<I: Isa>(isa: I, sets: &[Container<'_>], ends: &[usize], but: Option<usize>, scratch: &mut Scratch) {
    let Scratch { lists: [spare, ..], bits: [bits, other] } = scratch;
    let mut first = true;
    for index in (0..ends.len()).filter(|index| Some(*index) != but) {
        let union = union(sets, ends, index);
        if first {
            Dense::of(isa, union, bits, spare).join(isa, bits);
            first = false;
            continue;
        }
        if let [only @ Container::Sparse { .. }] = union {
            keep(isa, only, bits);
            continue;
        }
        Dense::of(isa, union, other, spare).keep(isa, other, bits);
    }
    let without = &sets[ends.last().map_or(0, |end| (*end).min(sets.len()))..];
    for set in without {
        remove(isa, set, bits, spare);
    }
}

/// Counts whom the bits and a union have in common, and empties the bits.
#[inline(always)]
fn meet<I: Isa>(isa: I, union: &[Container<'_>], scratch: &mut Scratch) -> u32 {
    let Scratch { lists: [spare, ..], bits: [bits, other] } = scratch;
    let mut count = 0;
    if union.iter().map(Container::weight).sum::<usize>() < LOOK_UP_BELOW {
        for set in union {
            for &ordinal in listed(isa, set, spare) {
                let ordinal = u16::from_le_bytes(ordinal);
                count += u32::from(bits.contains(ordinal));
                // Another set of the union may have the same member.
                bits.remove(ordinal);
            }
        }
        bits.clear();
        return count;
    }
    if let [only @ Container::Sparse { .. }] = union {
        keep(isa, only, bits);
        return drain(isa, bits);
    }
    Dense::of(isa, union, other, spare).meet(isa, other, bits)
}

/// Who is in any of the sets.
#[inline(always)]
fn or<I: Isa>(isa: I, sets: &[Container<'_>], scratch: &mut Scratch) -> u32 {
    if let [only] = sets
        && !only.is_listed()
    {
        return and(isa, &mut [*only], scratch);
    }
    let Scratch { lists: [spare, ..], bits: [bits, _] } = scratch;
    let members = sets.iter().map(Container::weight).sum::<usize>();
    if members >= SMALL_UNION {
        return Dense::of(isa, sets, bits, spare).count(isa, bits);
    }
    let mut count = 0;
    let words = bits.words_mut();
    for set in sets {
        for &ordinal in listed(isa, set, spare) {
            let ordinal = u16::from_le_bytes(ordinal);
            let word = &mut words[usize::from(ordinal / 64)];
            count += u32::from(*word >> (ordinal % 64) & 1 == 0);
            *word |= 1 << (ordinal % 64);
        }
    }
    for set in sets {
        for &ordinal in listed(isa, set, spare) {
            words[usize::from(u16::from_le_bytes(ordinal) / 64)] = 0;
        }
    }
    count
}
