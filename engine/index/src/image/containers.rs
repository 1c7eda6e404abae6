//! Where the containers of each block lie. The file keeps cardinalities only; sizes follow from them.
//!
//! Of each block: a bit a segment (and one more for *everyone*, the visitors with any entry of life > 0) that says
//! whether it has members, then for those that have, in the order of ranks, the cardinality less one (varint) and, for
//! the sparse kind, how many of its bytes are not zero (u16).

use crate::bits::BLOCK;
use crate::breath::{BREATH_BYTES, BREATH_PAIRS, BREATH_SLOTS, Stride, pieces};
use crate::bytes::{Cursor, put_varint};
use crate::containers::{self, Container, Kind, Policy, fixed_size, map_bytes};

/// Blocks, and bitmaps within them, begin at multiples of this many bytes of the section: no line of the processor's cache is read twice.
pub const BITMAP_ALIGNMENT: usize = 64;

/// Where the containers of one block lie; by rank, *everyone* after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDirectory {
    visitors: u32,
    policy: Policy,
    slots: Vec<Slot>,
    /// Where its containers end within the section.
    end: u64,
}

/// Where one container lies, on one line of the processor's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    /// Start within the section.
    start: u64,
    members: u32,
    bytes: u32,
}

impl BlockDirectory {
    /// Visitors of the block.
    #[must_use]
    pub fn visitors(&self) -> u32 {
        self.visitors
    }

    /// Members of a container, dead or not; 0 for a slot that the block does not have.
    #[inline]
    #[must_use]
    pub fn members(&self, slot: usize) -> u32 {
        self.slots.get(slot).map_or(0, |slot| slot.members)
    }

    /// A container; `None` when the section is cut.
    #[inline(always)]
    #[must_use]
    pub fn container<'a>(&self, section: &'a [u8], slot: usize) -> Option<Container<'a>> {
        let Some(&Slot { start, members, bytes }) = self.slots.get(slot).filter(|slot| slot.members > 0) else {
            return Some(Container::Empty);
        };
        let bytes = section.get(start as usize..)?.get(..bytes as usize)?;
        Container::new(self.policy.kind(members), members, self.visitors, bytes)
    }

    /// Reads the directories of all blocks; `None` when they are damaged or do not fill the containers' section.
    #[must_use]
    pub fn read_all(bytes: &[u8], slots: usize, visitors: u32, policy: Policy, section: usize) -> Option<Vec<Self>> {
        let mut cursor = Cursor::new(bytes);
        let mut start = 0u64;
        let mut blocks = Vec::new();
        let mut stride = Stride::new(BREATH_SLOTS);
        for first in (0..visitors).step_by(BLOCK as usize) {
            start = start.next_multiple_of(BITMAP_ALIGNMENT as u64);
            stride.steps(slots);
            let block = Self::read(&mut cursor, slots, (visitors - first).min(BLOCK), policy, start)?;
            start = block.end;
            blocks.push(block);
        }
        (cursor.rest().is_empty() && start == section as u64).then_some(blocks)
    }

    fn read(cursor: &mut Cursor<'_>, slots: usize, visitors: u32, policy: Policy, first: u64) -> Option<Self> {
        let present = cursor.take(slots.div_ceil(8))?;
        let mut found = Vec::with_capacity(slots);
        let mut start = first;
        for slot in 0..slots {
            if present[slot / 8] >> (slot % 8) & 1 == 0 {
                found.push(Slot { start, members: 0, bytes: 0 });
                continue;
            }
            let members = cursor.varint()?.checked_add(1).filter(|count| *count <= visitors)?;
            let kind = policy.kind(members);
            let bytes = match fixed_size(kind, members, visitors) {
                Some(size) => size,
                None => map_bytes(visitors) + u32::from(cursor.u16()?),
            };
            if kind == Kind::Bitmap {
                start = start.next_multiple_of(BITMAP_ALIGNMENT as u64);
            }
            found.push(Slot { start, members, bytes });
            start += u64::from(bytes);
        }
        Some(Self { visitors, policy, slots: found, end: start })
    }
}

/// Gathers the containers of an image, block by block.
pub struct ContainersWriter {
    policy: Policy,
    /// The directories' section.
    pub directory: Vec<u8>,
    /// The containers' section.
    pub containers: Vec<u8>,
}

impl ContainersWriter {
    /// Starts without a block.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, directory: Vec::new(), containers: Vec::new() }
    }

    /// Appends the blocks of another writer of the same policy.
    pub fn absorb(&mut self, mut other: Self) {
        self.align();
        self.directory.append(&mut other.directory);
        pieces(&other.containers, BREATH_BYTES).for_each(|piece| self.containers.extend_from_slice(piece));
    }

    fn align(&mut self) {
        self.containers.resize(self.containers.len().next_multiple_of(BITMAP_ALIGNMENT), 0);
    }

    /// Appends a block: the ordinals of each slot, ascending.
    pub fn block<'o>(&mut self, visitors: u32, slots: impl ExactSizeIterator<Item = &'o [u16]>) {
        self.align();
        let bits = self.directory.len();
        self.directory.resize(bits + slots.len().div_ceil(8), 0);
        let mut stride = Stride::new(BREATH_PAIRS);
        for (slot, ordinals) in slots.enumerate() {
            if ordinals.is_empty() {
                continue;
            }
            stride.steps(ordinals.len());
            self.directory[bits + slot / 8] |= 1 << (slot % 8);
            let members = ordinals.len() as u32;
            put_varint(&mut self.directory, members - 1);
            if self.policy.kind(members) == Kind::Bitmap {
                self.align();
            }
            let start = self.containers.len();
            containers::write(self.policy, ordinals, visitors, &mut self.containers);
            if self.policy.kind(members) == Kind::Sparse {
                // Fewer than 8,192 bytes: a byte for every eight visitors of a block.
                let present = (self.containers.len() - start) as u32 - map_bytes(visitors);
                self.directory.extend_from_slice(&(present as u16).to_le_bytes());
            }
        }
    }
}
