//! Checks every invariant of an image: sorted, in range, cardinalities add up, both directions agree.

use crate::bits::{BLOCK, Bits, Op};
use crate::error::ImageError;
use crate::time::Tick;

use super::cursor::ProfileCursor;
use super::reader::Image;
use super::section::Section;

impl Image {
    /// Checks checksums and invariants. Reads and decodes the whole file: about 20 ns a membership.
    ///
    /// # Errors
    /// At the first that does not hold.
    pub fn verify(&self) -> Result<(), ImageError> {
        self.check()?;
        let mut state = Walk::new(self);
        let geometry = self.header().geometry;
        let mut before = None;
        for bucket in 0..geometry.buckets() {
            let mut cursor = ProfileCursor::new(self, bucket..bucket + 1);
            let mut next = None;
            cursor.advance()?;
            while let Some(pid) = cursor.pid() {
                if before >= Some(pid)
                    || geometry.bucket(pid) != bucket
                    || pid.leading(geometry.shard_bits) != u64::from(self.header().shard)
                {
                    return Err(self.damaged(Section::Records, "pseudonyms ascending, each in its bucket and shard"));
                }
                before = Some(pid);
                let first = state.visitor(&cursor.entries)?;
                next = [next, first].into_iter().flatten().min();
                cursor.advance()?;
            }
            let kept = self.next_expiry(bucket);
            if kept.is_some() && kept != next {
                return Err(self.damaged(Section::Expiries, "the first expiry of each bucket"));
            }
        }
        state.finish()
    }
}

/// The state of a walk over all visitors.
struct Walk<'a> {
    image: &'a Image,
    ordinal: u32,
    entries: u64,
    members: Vec<u32>,
    block: Vec<Vec<u16>>,
}

impl<'a> Walk<'a> {
    fn new(image: &'a Image) -> Self {
        let segments = image.header().segments as usize;
        Self { image, ordinal: 0, entries: 0, members: vec![0; segments], block: vec![Vec::new(); segments + 1] }
    }

    /// Takes a visitor; answers his first expiry.
    fn visitor(&mut self, entries: &[(u32, crate::entry::Entry)]) -> Result<Option<Tick>, ImageError> {
        let within = (self.ordinal % BLOCK) as u16;
        if entries.is_empty() || !entries.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(self.image.damaged(Section::Records, "profiles with ascending ranks"));
        }
        let mut first = None;
        for &(rank, entry) in entries.iter().filter(|(_, entry)| !entry.is_removal()) {
            self.block[rank as usize].push(within);
            self.members[rank as usize] += 1;
            first = [first, Some(entry.expiry)].into_iter().flatten().min();
        }
        if first.is_some() {
            self.block[self.members.len()].push(within);
        }
        self.entries += entries.len() as u64;
        self.ordinal += 1;
        if self.ordinal.is_multiple_of(BLOCK) {
            self.close_block()?;
        }
        Ok(first)
    }

    fn close_block(&mut self) -> Result<(), ImageError> {
        let block = (self.ordinal as usize - 1) / BLOCK as usize;
        for (slot, expected) in self.block.iter_mut().enumerate() {
            let mut found = Bits::empty();
            self.image.container(block, slot as u32)?.fold_into(&mut found, Op::Or);
            let count = self.image.blocks().get(block).map_or(0, |block| block.members(slot));
            let agree = count as usize == expected.len()
                && found.count() == count
                && expected.iter().all(|&o| found.contains(o));
            if !agree {
                let expected = format!("the members of segment {slot} in block {block} that the profiles have");
                return Err(self.image.damaged(Section::Containers, &expected));
            }
            expected.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), ImageError> {
        if !self.ordinal.is_multiple_of(BLOCK) {
            self.close_block()?;
        }
        let header = self.image.header();
        let memberships: u64 = self.members.iter().map(|&members| u64::from(members)).sum();
        let counted = (self.ordinal, self.entries, memberships);
        if counted != (header.geometry.visitors, header.entries, header.memberships) {
            return Err(self
                .image
                .damaged(Section::Records, "as many visitors, entries and memberships as the header says"));
        }
        Ok(())
    }
}
