//! A lookup in its stages, so that many can be under way at once: directory, record, profile. Each stage begins with
//! one memory access that the stage before made known; a processor overlaps those of independent lookups.

use crate::dictionary::remainder_from;
use crate::error::ImageError;
use crate::id::Pid;
use crate::profiles::ProfileBytes;
use crate::time::Tick;

use super::reader::{Bucket, Image};
use super::section::Section;

/// Bytes that a processor loads at once.
const CACHE_LINE: usize = 64;
/// Remainders of this many bytes are compared as one word: what all but small shards have.
const WORD: usize = 8;

/// A lookup that knows its bucket and has not read it yet.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    image: &'a Image,
    bucket: Bucket<'a>,
    wanted: u128,
}

impl<'a> Search<'a> {
    /// Reads the directory alone.
    ///
    /// # Errors
    /// When it is damaged.
    #[inline]
    pub fn begin(image: &'a Image, pid: Pid) -> Result<Self, ImageError> {
        let geometry = image.header().geometry;
        let bucket = image.bucket(geometry.bucket(pid))?;
        Ok(Self { image, bucket, wanted: geometry.remainder(pid) })
    }

    /// Loads the record's beginning; the sum of what was read, so that reading it is not left out.
    #[inline]
    #[must_use]
    pub fn touch(&self) -> u8 {
        touch(self.bucket.remainders)
    }

    /// The bytes of the visitor's profile, not yet read; `None` when the image does not know the visitor.
    ///
    /// # Errors
    /// When the record is damaged.
    #[inline]
    pub fn find(&self) -> Result<Option<ProfileBytes<'a>>, ImageError> {
        let Some(place) = self.place() else { return Ok(None) };
        let profile = self.bucket.profiles().nth(place).flatten();
        profile.map(Some).ok_or_else(|| self.image.damaged(Section::Records, "a profile within its record"))
    }

    #[inline]
    fn place(&self) -> Option<usize> {
        let width = self.image.header().geometry.remainder_bytes();
        if width == WORD {
            let (words, _) = self.bucket.remainders.as_chunks::<WORD>();
            let wanted = self.wanted as u64;
            return words.iter().position(|word| u64::from_le_bytes(*word) == wanted);
        }
        self.bucket.remainders.chunks_exact(width).position(|bytes| remainder_from(bytes) == self.wanted)
    }
}

/// Reads a byte of each of the first two cache lines; their sum.
#[inline]
#[must_use]
pub fn touch(bytes: &[u8]) -> u8 {
    let byte = |at| bytes.get(at).copied().unwrap_or(0);
    byte(0).wrapping_add(byte(CACHE_LINE))
}

impl Image {
    /// Puts the ranks of a profile's live entries, ascending, into a buffer that is emptied first; `codes` is memory to
    /// work in. Allocates nothing when both are large enough.
    ///
    /// # Errors
    /// When the profile is damaged.
    #[inline]
    pub fn live(
        &self,
        profile: ProfileBytes<'_>,
        now: Tick,
        codes: &mut Vec<bool>,
        into: &mut Vec<u32>,
    ) -> Result<(), ImageError> {
        let times = self.times();
        codes.clear();
        into.clear();
        let mut sound = true;
        let profile = self.profile(profile)?;
        profile.each_code(|code| {
            let entry = times.entry(code);
            sound &= entry.is_some();
            codes.push(entry.is_some_and(|entry| entry.live(now)));
        });
        // Written first and kept if live: no branch that the processor cannot foresee.
        into.resize(codes.len(), 0);
        let (mut live, mut at, mut last) = (0usize, 0usize, 0u32);
        let read = profile.each_rank(|rank| {
            if let Some(slot) = into.get_mut(live) {
                *slot = rank;
            }
            live += usize::from(codes.get(at).copied().unwrap_or(false));
            at += 1;
            last = rank;
        });
        into.truncate(live);
        if read.is_some() && sound && (at == 0 || last < self.header().segments) {
            return Ok(());
        }
        into.clear();
        Err(self.damaged(Section::Records, "a sound profile"))
    }
}
