//! Walks the visitors of an image in the order of their pseudonyms.

use crate::dictionary::remainder_from;
use crate::entry::Entry;
use crate::error::ImageError;
use crate::id::Pid;
use crate::profiles::ProfileBytes;

use super::reader::Image;
use super::section::Section;

/// Stands on one visitor after the other.
pub struct ProfileCursor<'a> {
    image: &'a Image,
    bucket: usize,
    end: usize,
    pids: std::vec::IntoIter<Pid>,
    profiles: std::vec::IntoIter<ProfileBytes<'a>>,
    current: Option<Pid>,
    /// The entries of the visitor on whom the cursor stands, ascending in rank.
    pub entries: Vec<(u32, Entry)>,
}

impl<'a> ProfileCursor<'a> {
    /// Before the first visitor of a range of buckets.
    #[must_use]
    pub fn new(image: &'a Image, buckets: std::ops::Range<usize>) -> Self {
        let (pids, profiles) = (Vec::new().into_iter(), Vec::new().into_iter());
        let (bucket, end) = (buckets.start, buckets.end.min(image.header().geometry.buckets()));
        Self { image, bucket, end, pids, profiles, current: None, entries: Vec::new() }
    }

    /// On whom the cursor stands; `None` before the first and after the last.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.current
    }

    /// Moves to the next visitor.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn advance(&mut self) -> Result<(), ImageError> {
        while self.pids.as_slice().is_empty() && self.bucket < self.end {
            self.fill()?;
        }
        self.current = self.pids.next();
        self.entries.clear();
        if let Some(profile) = self.profiles.next() {
            self.image.entries(profile, &mut self.entries)?;
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<(), ImageError> {
        let (header, index) = (self.image.header(), self.bucket);
        let bucket = self.image.bucket(index)?;
        let remainders = bucket.remainders.chunks_exact(header.geometry.remainder_bytes());
        let pids = remainders.map(|bytes| header.geometry.pid(header.shard, index, remainder_from(bytes)));
        let pids: Option<Vec<Pid>> = pids.collect();
        let profiles: Option<Vec<ProfileBytes<'a>>> = bucket.profiles().collect();
        let (pids, profiles) =
            pids.zip(profiles).ok_or_else(|| self.image.damaged(Section::Records, "whole records"))?;
        (self.pids, self.profiles) = (pids.into_iter(), profiles.into_iter());
        self.bucket += 1;
        Ok(())
    }
}
