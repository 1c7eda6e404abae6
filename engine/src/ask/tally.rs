//! In how many sets each visitor of a block is, and who is in enough of them.
//!
//! A counter a visitor, stood on edge: one bit of all counters is a set by itself, and a set is added to 64 of them at
//! once, by the same carry as on paper.

use usher_index::Bits;
use usher_index::containers::Container;

/// Counters of the visitors of one block; kept from question to question.
#[derive(Default)]
pub struct Tally {
    /// The bits of the counters, the lowest first.
    planes: Vec<Bits>,
    /// How many of them are in use.
    used: usize,
}

impl Tally {
    /// Starts at 0, for as many sets as will be added.
    pub fn start(&mut self, sets: usize) {
        self.used = sets.checked_ilog2().unwrap_or(0) as usize + 1;
        if self.planes.len() < self.used {
            self.planes.resize_with(self.used, Bits::empty);
        }
        self.planes[..self.used].iter_mut().for_each(Bits::clear);
    }

    /// Counts every member of the set once more.
    pub fn add(&mut self, set: &Container<'_>) {
        let planes = &mut self.planes[..self.used];
        if let Container::Bitmap(bytes) = set {
            for (at, word) in words(bytes).enumerate() {
                carry(planes, at, word);
            }
        } else {
            set.each(|ordinal| carry(planes, usize::from(ordinal) / 64, 1 << (ordinal % 64)));
        }
    }

    /// Writes who was counted `n` times or more as a bitmap's bytes, in place of what `into` held.
    pub fn at_least(&self, n: u32, into: &mut Vec<u8>) {
        let planes = &self.planes[..self.used];
        into.clear();
        let first = planes.first().map_or(0, |plane| plane.words().len());
        for at in 0..first {
            // From the highest bit down: whose counter is greater so far, and whose is equal.
            let (mut greater, mut equal) = (0, u64::MAX);
            for (bit, plane) in planes.iter().enumerate().rev() {
                let word = plane.words()[at];
                if n >> bit & 1 == 0 {
                    greater |= equal & word;
                    equal &= !word;
                } else {
                    equal &= word;
                }
            }
            into.extend_from_slice(&(greater | equal).to_le_bytes());
        }
    }
}

/// Adds one to the counters of the bits of a word.
#[inline]
fn carry(planes: &mut [Bits], at: usize, word: u64) {
    let mut carried = word;
    for plane in planes {
        if carried == 0 {
            return;
        }
        let own = &mut plane.words_mut()[at];
        (*own, carried) = (*own ^ carried, *own & carried);
    }
}

/// The words of a bitmap's bytes; the last may be cut.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}

#[cfg(test)]
mod tests {
    use usher_index::containers::{Container, Policy, write};

    use super::Tally;
    use crate::ask::sample::Dice;

    #[test]
    fn counters_agree_with_plain_ones() {
        let mut tally = Tally::default();
        for seed in 0..60 {
            let mut dice = Dice(seed);
            let visitors = 1 + dice.below(65_536) as u32;
            let sets = 1 + dice.below(20) as usize;
            let mut plain = vec![0; visitors as usize];
            tally.start(sets);
            for _ in 0..sets {
                let one_in = [1, 2, 9, 300][dice.below(4) as usize];
                let ordinals: Vec<u16> = (0..visitors).filter(|_| dice.below(one_in) == 0).map(|o| o as u16).collect();
                ordinals.iter().for_each(|&ordinal| plain[usize::from(ordinal)] += 1);
                let mut bytes = Vec::new();
                write(Policy::COMPACT, &ordinals, visitors, &mut bytes);
                let members = ordinals.len() as u32;
                tally.add(&Container::new(Policy::COMPACT.kind(members), members, visitors, &bytes).unwrap());
            }
            let mut bytes = Vec::new();
            for n in 1..=sets as u32 {
                tally.at_least(n, &mut bytes);
                let found = |ordinal: usize| bytes[ordinal / 8] >> (ordinal % 8) & 1 == 1;
                let wrong = (0..65_536).find(|&o| found(o) != plain.get(o).is_some_and(|count| *count >= n));
                assert_eq!(wrong, None, "seed {seed}, at least {n} of {sets}");
            }
        }
    }
}
