//! Walks the visitors of an image in the order of their pseudonyms.

use std::ops::Range;

use crate::dictionary::remainder_from;
use crate::entry::Entry;
use crate::error::ImageError;
use crate::id::Pid;
use crate::profiles::ProfileBytes;

use super::reader::Image;
use super::section::Section;

impl Image {
    /// Calls `each` with the ordinals of a range and their pseudonyms, ascending. Time: that of reading their buckets'
    /// remainders, and a binary search for the first.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn each_pid(&self, ordinals: Range<u32>, mut each: impl FnMut(u32, Pid)) -> Result<(), ImageError> {
        let geometry = self.header().geometry;
        let (mut low, mut high) = (0, geometry.buckets());
        // The last bucket that begins at or before the first ordinal; those before the first begin there at the latest.
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.bucket(middle)?.start <= ordinals.start { low = middle } else { high = middle }
        }
        for index in low..geometry.buckets() {
            let bucket = self.bucket(index)?;
            if bucket.start >= ordinals.end {
                break;
            }
            let remainders = bucket.remainders.chunks_exact(geometry.remainder_bytes());
            for (ordinal, bytes) in (bucket.start..).zip(remainders).filter(|(o, _)| ordinals.contains(o)) {
                let pid = geometry.pid(self.header().shard, index, remainder_from(bytes));
                each(ordinal, pid.ok_or_else(|| self.damaged(Section::Records, "whole remainders"))?);
            }
        }
        Ok(())
    }
}

/// Stands on one visitor after the other.
pub struct ProfileCursor<'a> {
    image: &'a Image,
    bucket: usize,
    end: usize,
    /// The visitors of the bucket that was read last, and the place after that of the present one.
    visitors: Vec<(Pid, ProfileBytes<'a>)>,
    next: usize,
    current: Option<(Pid, ProfileBytes<'a>)>,
    /// The entries of the visitor to whom the cursor [advanced](Self::advance), ascending in rank.
    pub entries: Vec<(u32, Entry)>,
}

impl<'a> ProfileCursor<'a> {
    /// Before the first visitor of a range of buckets.
    #[must_use]
    pub fn new(image: &'a Image, buckets: Range<usize>) -> Self {
        let (bucket, end) = (buckets.start, buckets.end.min(image.header().geometry.buckets()));
        Self { image, bucket, end, visitors: Vec::new(), next: 0, current: None, entries: Vec::new() }
    }

    /// On whom the cursor stands; `None` before the first and after the last.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.current.map(|(pid, _)| pid)
    }

    /// The bytes of the profile of the visitor on whom the cursor stands.
    #[must_use]
    pub fn profile(&self) -> Option<ProfileBytes<'a>> {
        self.current.map(|(_, profile)| profile)
    }

    /// Moves to the next visitor and reads the entries.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn advance(&mut self) -> Result<(), ImageError> {
        self.step()?;
        self.entries.clear();
        if let Some((_, profile)) = self.current {
            self.image.entries(profile, &mut self.entries)?;
        }
        Ok(())
    }

    /// Moves to the next visitor and reads no entry.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn step(&mut self) -> Result<(), ImageError> {
        while self.next == self.visitors.len() && self.bucket < self.end {
            self.fill()?;
        }
        self.current = self.visitors.get(self.next).copied();
        self.next += usize::from(self.current.is_some());
        Ok(())
    }

    fn fill(&mut self) -> Result<(), ImageError> {
        let (header, index) = (self.image.header(), self.bucket);
        let bucket = self.image.bucket(index)?;
        let remainders = bucket.remainders.chunks_exact(header.geometry.remainder_bytes());
        let pids = remainders.map(|bytes| header.geometry.pid(header.shard, index, remainder_from(bytes)));
        (self.next, self.bucket) = (0, self.bucket + 1);
        self.visitors.clear();
        for (pid, profile) in pids.zip(bucket.profiles()) {
            let whole = pid.zip(profile);
            self.visitors.push(whole.ok_or_else(|| self.image.damaged(Section::Records, "whole records"))?);
        }
        Ok(())
    }
}
