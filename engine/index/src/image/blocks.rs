//! The members of parts, put together again block by block: a block ends within a part as a rule.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::bits::BLOCK;
use crate::breath::{BREATH_PAIRS, pieces};
use crate::containers::Policy;

use super::containers::ContainersWriter;

/// Pairs of rank and ordinal, ascending in ordinal.
struct Piece {
    pairs: Vec<(u32, u32)>,
    /// What is added to an ordinal to be one of the block, wrapping.
    shift: u32,
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

    /// Appends the members of a part of so many visitors; ordinals count from its first one.
    pub fn push(&mut self, mut pairs: Vec<(u32, u32)>, visitors: u32) {
        let mut first = 0;
        while first < visitors {
            let taken = (visitors - first).min(BLOCK - self.open.visitors);
            let end = first + taken;
            let own = pairs.partition_point(|(_, ordinal)| *ordinal < end);
            let rest = if end == visitors { Vec::new() } else { pairs.split_off(own) };
            let shift = self.open.visitors.wrapping_sub(first);
            self.open.pieces.push(Piece { pairs: std::mem::replace(&mut pairs, rest), shift });
            self.open.visitors += taken;
            if self.open.visitors == BLOCK {
                self.whole.push(std::mem::take(&mut self.open));
            }
            first = end;
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
    /// Sorts the pairs by slot (a counting sort keeps the ordinals ascending) and writes their containers.
    fn freeze(self, slots: usize, policy: Policy) -> ContainersWriter {
        let mut ends = vec![0usize; slots];
        for pairs in self.pieces.iter().flat_map(|piece| pieces(&piece.pairs, BREATH_PAIRS)) {
            pairs.iter().for_each(|&(slot, _)| ends[slot as usize] += 1);
        }
        let mut total = 0;
        for end in &mut ends {
            total += std::mem::replace(end, total);
        }
        let mut ordinals = vec![0u16; total];
        for Piece { pairs, shift } in self.pieces {
            for pairs in pieces(&pairs, BREATH_PAIRS) {
                for &(slot, ordinal) in pairs {
                    let at = &mut ends[slot as usize];
                    // Below the visitors of a block.
                    ordinals[*at] = ordinal.wrapping_add(shift) as u16;
                    *at += 1;
                }
            }
        }
        let ranges = (0..slots).map(|slot| &ordinals[if slot == 0 { 0 } else { ends[slot - 1] }..ends[slot]]);
        let mut containers = ContainersWriter::new(policy);
        containers.block(self.visitors, ranges);
        containers
    }
}
