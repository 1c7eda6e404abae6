//! A lookup in its stages, so that many can be under way at once: directory, record, profile. Each stage begins with
//! one memory access that the stage before made known; a processor overlaps those of independent lookups.

use crate::dictionary::{DIRECTORY_ENTRY, remainder_from};
use crate::error::ImageError;
use crate::id::Pid;
use crate::mmap::prefetch;
use crate::profiles::ProfileBytes;
use crate::time::Tick;

use super::reader::{Bucket, Image};
use super::section::Section;

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
    /// Asks for the directory's entries of the visitor's bucket.
    #[inline]
    pub fn announce(image: &Image, pid: Pid) {
        let at = image.header().geometry.bucket(pid) * DIRECTORY_ENTRY;
        prefetch(image.part(Section::Directory).get(at..).unwrap_or_default(), 2 * DIRECTORY_ENTRY);
    }

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

    /// The bucket that may have the visitor.
    #[inline]
    #[must_use]
    pub fn bucket(&self) -> &Bucket<'a> {
        &self.bucket
    }

    /// Asks for the record's remainders and lengths: for who has other lookups to go on with meanwhile.
    #[inline]
    pub fn prefetch(&self) {
        let visitors = self.bucket.visitors as usize;
        prefetch(self.bucket.remainders, self.bucket.remainders.len() + visitors);
    }

    /// Asks for the whole record: the profile comes while its place is looked for, so that a single lookup waits for
    /// memory twice and not three times.
    #[inline]
    pub fn prefetch_all(&self) {
        prefetch(self.bucket.remainders, self.bucket.len());
    }

    /// The visitor's place in the bucket and the bytes of the profile, not yet read; `None` when the image does not know
    /// the visitor.
    ///
    /// # Errors
    /// When the record is damaged.
    #[inline]
    pub fn find(&self) -> Result<Option<(u32, ProfileBytes<'a>)>, ImageError> {
        let Some(place) = self.place() else { return Ok(None) };
        let profile = self.bucket.profile(place).map(|profile| Some((place as u32, profile)));
        profile.ok_or_else(|| self.image.damaged(Section::Records, "a profile within its record"))
    }

    #[inline]
    fn place(&self) -> Option<usize> {
        let width = self.image.header().geometry.remainder_bytes();
        if width == WORD {
            let (words, _) = self.bucket.remainders.as_chunks::<WORD>();
            let wanted = self.wanted as u64;
            // All are looked at: where the wanted one is cannot be foreseen, how many there are nearly.
            let mut found = None;
            for (place, word) in words.iter().enumerate() {
                found = if u64::from_le_bytes(*word) == wanted { Some(place) } else { found };
            }
            return found;
        }
        self.bucket.remainders.chunks_exact(width).position(|bytes| remainder_from(bytes) == self.wanted)
    }
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
        into.clear();
        let profile = self.profile(profile)?;
        let sound = profile.live(now, codes);
        // Written first and kept if live: no branch that the processor cannot foresee.
        into.resize(codes.len(), 0);
        let (mut live, mut last, mut alive) = (0usize, None, codes.iter());
        let read = profile.each_rank(|rank| {
            if let Some(slot) = into.get_mut(live) {
                *slot = rank;
            }
            live += usize::from(*alive.next().unwrap_or(&false));
            last = Some(rank);
        });
        into.truncate(live);
        if sound.and(read).is_some() && last.is_none_or(|last| last < self.header().segments) {
            return Ok(());
        }
        into.clear();
        Err(self.damaged(Section::Records, "a sound profile"))
    }
}
