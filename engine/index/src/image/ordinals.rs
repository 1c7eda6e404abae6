//! Finds visitors by ordinal, in ascending order: where there are many of them it is a walk, where there are few it leaps.

use crate::dictionary::remainder_from;
use crate::error::ImageError;
use crate::id::Pid;
use crate::profiles::Profile;

use super::reader::{Bucket, Image};
use super::section::Section;

/// Stands on the bucket of the ordinal that was asked for last.
pub struct OrdinalCursor<'a> {
    image: &'a Image,
    index: usize,
    bucket: Option<Bucket<'a>>,
}

impl<'a> OrdinalCursor<'a> {
    /// Before the first visitor.
    #[must_use]
    pub fn new(image: &'a Image) -> Self {
        Self { image, index: 0, bucket: None }
    }

    /// The pseudonym of an ordinal. Time: that of a step, or of a search that grows with the logarithm of the leap.
    ///
    /// # Errors
    /// When the image is damaged or has no such ordinal.
    pub fn pid(&mut self, ordinal: u32) -> Result<Pid, ImageError> {
        let (place, bucket) = self.seek(ordinal)?;
        let header = self.image.header();
        let width = header.geometry.remainder_bytes();
        let remainder = bucket.remainders.get(place * width..(place + 1) * width).map(remainder_from);
        let pid = remainder.and_then(|remainder| header.geometry.pid(header.shard, self.index, remainder));
        pid.ok_or_else(|| self.image.damaged(Section::Records, "whole records"))
    }

    /// The profile of an ordinal. Time: as [`OrdinalCursor::pid`].
    ///
    /// # Errors
    /// As [`OrdinalCursor::pid`].
    pub(crate) fn profile(&mut self, ordinal: u32) -> Result<Profile<'a>, ImageError> {
        let (place, bucket) = self.seek(ordinal)?;
        let bytes = bucket.profile(place).ok_or_else(|| self.image.damaged(Section::Records, "whole records"))?;
        self.image.profile(bytes)
    }

    /// The place of an ordinal in its bucket.
    fn seek(&mut self, ordinal: u32) -> Result<(usize, Bucket<'a>), ImageError> {
        let holds = |bucket: &Bucket<'_>| ordinal.checked_sub(bucket.start).filter(|place| *place < bucket.visitors);
        if let Some((place, bucket)) = self.bucket.and_then(|bucket| holds(&bucket).zip(Some(bucket))) {
            return Ok((place as usize, bucket));
        }
        self.index = self.find(ordinal)?;
        let bucket = self.image.bucket(self.index)?;
        self.bucket = Some(bucket);
        let place =
            holds(&bucket).ok_or_else(|| self.image.damaged(Section::Directory, "an ordinal of each visitor"))?;
        Ok((place as usize, bucket))
    }

    /// The last bucket that begins at or before the ordinal: by steps that double, then by halves.
    fn find(&self, ordinal: u32) -> Result<usize, ImageError> {
        let buckets = self.image.header().geometry.buckets();
        let from_here = self.start(self.index)? <= ordinal;
        let (mut low, mut step) = (if from_here { self.index } else { 0 }, 1);
        while low + step < buckets && self.start(low + step)? <= ordinal {
            low += step;
            step *= 2;
        }
        let mut high = buckets.min(low + step);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.start(middle)? <= ordinal {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn start(&self, index: usize) -> Result<u32, ImageError> {
        let start = self.image.header().geometry.find(self.image.part(Section::Directory), index);
        start.map(|(start, _)| start).ok_or_else(|| self.image.damaged(Section::Directory, "an entry for each bucket"))
    }
}
