//! The members of parts, put together again block by block: a block ends within a part as a rule.

use std::ops::Range;
use std::sync::Arc;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::bits::BLOCK;
use crate::breath::{BREATH_PAIRS, Stride, pieces};
use crate::containers::Policy;

use super::containers::ContainersWriter;
use super::members::Members;

/// Some visitors of a part, one after another in a block.
struct Piece {
    members: Arc<Members>,
    visitors: Range<u32>,
}

/// A block that has all its visitors, or the one being filled.
#[derive(Default)]
struct Block {
    visitors: u32,
    pieces: Vec<Piece>,
}

/// Gathers members and freezes whole blocks.
pub struct BlocksWriter {
    slots: usize,
    policy: Policy,
    open: Block,
    whole: Vec<Block>,
    containers: ContainersWriter,
}

impl BlocksWriter {
    /// Starts without a block. `slots`: of the segments and *everyone*.
    pub fn new(slots: usize, policy: Policy) -> Self {
        let containers = ContainersWriter::new(policy);
        Self { slots, policy, open: Block::default(), whole: Vec::new(), containers }
    }

    /// Appends the members of a part.
    pub fn push(&mut self, members: Members) {
        let (members, mut first) = (Arc::new(members), 0);
        while first < members.visitors() {
            let taken = (members.visitors() - first).min(BLOCK - self.open.visitors);
            self.open.pieces.push(Piece { members: Arc::clone(&members), visitors: first..first + taken });
            self.open.visitors += taken;
            if self.open.visitors == BLOCK {
                self.whole.push(std::mem::take(&mut self.open));
            }
            first += taken;
        }
    }

    /// Freezes the blocks that are whole, as many at a time as there are threads.
    pub fn freeze(&mut self) {
        let blocks = std::mem::take(&mut self.whole).into_par_iter();
        let frozen: Vec<ContainersWriter> = blocks.map(|block| block.freeze(self.slots, self.policy)).collect();
        frozen.into_iter().for_each(|block| self.containers.absorb(block));
    }

    /// Freezes what is left.
    pub fn finish(mut self) -> ContainersWriter {
        if self.open.visitors > 0 {
            self.whole.push(std::mem::take(&mut self.open));
        }
        self.freeze();
        self.containers
    }
}

impl Block {
    /// Sorts the visitors by slot (a counting sort keeps their ordinals ascending) and writes the containers. The last
    /// slot is *everyone*, who has a segment at all.
    fn freeze(self, slots: usize, policy: Policy) -> ContainersWriter {
        let mut ends = vec![0usize; slots];
        let everyone = slots - 1;
        for Piece { members, visitors } in &self.pieces {
            for ranks in pieces(members.all(visitors.clone()), BREATH_PAIRS) {
                ranks.iter().for_each(|&rank| ends[rank as usize] += 1);
            }
            ends[everyone] += members.each(visitors.clone()).filter(|ranks| !ranks.is_empty()).count();
        }
        let mut total = 0;
        for end in &mut ends {
            total += std::mem::replace(end, total);
        }
        let mut ordinals = vec![0u16; total];
        let mut put = |slot: usize, ordinal| {
            ordinals[ends[slot]] = ordinal;
            ends[slot] += 1;
        };
        let mut stride = Stride::new(BREATH_PAIRS);
        let all = self.pieces.iter().flat_map(|Piece { members, visitors }| members.each(visitors.clone()));
        // Visitors of a block are counted in 16 bits.
        for (ordinal, ranks) in (0..=u16::MAX).zip(all) {
            stride.steps(ranks.len());
            ranks.iter().for_each(|&rank| put(rank as usize, ordinal));
            if !ranks.is_empty() {
                put(everyone, ordinal);
            }
        }
        // The containers need the room.
        drop(self.pieces);
        let ranges = (0..slots).map(|slot| &ordinals[if slot == 0 { 0 } else { ends[slot - 1] }..ends[slot]]);
        let mut containers = ContainersWriter::new(policy);
        containers.block(self.visitors, ranges);
        containers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a visitor has a segment: some have none.
    fn has(visitor: u32, segment: u32) -> bool {
        visitor.wrapping_mul(2_654_435_761) >> 16 & 7 < segment
    }

    #[test]
    fn parts_that_end_within_a_block_make_the_blocks_that_whole_ones_would() {
        const SEGMENTS: u32 = 3;
        let visitors = 2 * BLOCK + 999;
        let mut expected = ContainersWriter::new(Policy::COMPACT);
        for first in (0..visitors).step_by(BLOCK as usize) {
            let own = first..visitors.min(first + BLOCK);
            let ordinals = |has: &dyn Fn(u32) -> bool| -> Vec<u16> {
                own.clone().filter(|visitor| has(*visitor)).map(|visitor| (visitor - first) as u16).collect()
            };
            let mut slots: Vec<Vec<u16>> =
                (0..SEGMENTS).map(|segment| ordinals(&|visitor| has(visitor, segment))).collect();
            slots.push(ordinals(&|visitor| (0..SEGMENTS).any(|segment| has(visitor, segment))));
            assert!(slots[1].len() < own.len() && !slots[1].is_empty() && slots[0].is_empty());
            expected.block(own.len() as u32, slots.iter().map(Vec::as_slice));
        }
        for part in [1_000, 4_099, BLOCK - 1, BLOCK, 2 * BLOCK + 7, visitors] {
            let mut blocks = BlocksWriter::new(SEGMENTS as usize + 1, Policy::COMPACT);
            for first in (0..visitors).step_by(part as usize) {
                let mut members = Members::default();
                for visitor in first..visitors.min(first + part) {
                    members.extend((0..SEGMENTS).filter(|segment| has(visitor, *segment)));
                    members.close();
                }
                blocks.push(members);
                blocks.freeze();
            }
            let found = blocks.finish();
            assert_eq!(found.directory, expected.directory, "parts of {part}");
            assert!(found.containers == expected.containers, "parts of {part}: the containers are others");
        }
    }
}
