//! Reads an image in place. Opening reads a few kilobytes; checksums are checked when asked.

use std::path::Path;
use std::sync::Arc;

use crate::bytes::Cursor;
use crate::containers::Container;
use crate::entry::Entry;
use crate::error::{FileError, ImageError};
use crate::gaps::GapCode;
use crate::id::Pid;
use crate::mmap::Bytes;
use crate::profiles::{Profile, ProfileBytes};
use crate::time::Tick;
use crate::times::{Packing, Times};

use super::MAX_SHARD_VISITORS;
use super::batch::Search;
use super::containers::BlockDirectory;
use super::header::Header;
use super::names::Names;
use super::section::{Section, SectionInfo, Sections};
use super::writer::EXPIRY_SATURATED;

/// Bytes that a processor loads at once.
const CACHE_LINE: usize = 64;

/// An image, ready for questions.
pub struct Image {
    file: String,
    bytes: Bytes,
    header: Header,
    sections: Sections,
    names: Names,
    times: Times,
    packing: Packing,
    gaps: Arc<GapCode>,
    /// Directory and records in memory, and where in the file they begin.
    held: Option<(Bytes, usize)>,
    blocks: Vec<BlockDirectory>,
}

/// A visitor's record in an image.
#[derive(Clone, Copy)]
pub struct ProfileRef<'a> {
    /// The visitor's rank in the shard.
    pub ordinal: u32,
    /// The bytes of the profile.
    pub bytes: ProfileBytes<'a>,
}

impl Image {
    /// Maps a file and reads header, trailer, names, times and cardinalities. Linear in segments x blocks.
    ///
    /// # Errors
    /// When the file cannot be read, is newer, or these parts are damaged.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        Self::over(path.display().to_string(), Bytes::map(path)?)
    }

    /// The same over any bytes; `file` names them in errors.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn over(file: String, bytes: Bytes) -> Result<Self, ImageError> {
        let header = Header::read(&file, &bytes)?;
        let sections = Sections::read(&file, &bytes)?;
        for section in [Section::Segments, Section::Times, Section::Gaps, Section::Cardinalities] {
            sections.check(&file, &bytes, section)?;
        }
        let part = |section| &bytes[sections.range(section)];
        let names = Names::read(part(Section::Segments), header.segments);
        let names = names.ok_or_else(|| damage(&file, Section::Segments, "a segment table"))?;
        let times =
            Times::read(part(Section::Times)).ok_or_else(|| damage(&file, Section::Times, "a table of times"))?;
        let packing = times.packing();
        let gaps = GapCode::read_tables(header.gap_code, part(Section::Gaps));
        let gaps = Arc::new(gaps.ok_or_else(|| damage(&file, Section::Gaps, "the tables of the gap code"))?);
        let geometry = header.geometry;
        let sized = [
            (Section::Directory, (geometry.buckets() + 1) * crate::dictionary::DIRECTORY_ENTRY),
            (Section::Expiries, geometry.buckets() * 2),
        ];
        for (section, size) in sized {
            if part(section).len() != size || geometry.visitors > MAX_SHARD_VISITORS {
                return Err(damage(&file, section, "the size that the header gives"));
            }
        }
        let slots = header.segments as usize + 1;
        let containers = part(Section::Containers).len();
        let blocks =
            BlockDirectory::read_all(part(Section::Cardinalities), slots, geometry.visitors, header.policy, containers);
        let blocks = blocks.ok_or_else(|| damage(&file, Section::Cardinalities, "cardinalities of every block"))?;
        Ok(Self { file, bytes, header, sections, names, times, packing, gaps, held: None, blocks })
    }

    /// Copies directory and records, which every lookup reads, into memory. Checksums are still those of the file.
    ///
    /// # Errors
    /// When the system grants no memory; then they are read from the file as before.
    pub fn hold(&mut self) -> Result<(), FileError> {
        let range = self.sections.range(Section::Directory).start..self.sections.range(Section::Records).end;
        let copy = self.bytes.get(range.clone()).map(Bytes::copied);
        let copy = copy.transpose().map_err(FileError::new("read into memory", Path::new(&self.file)))?;
        self.held = copy.map(|bytes| (bytes, range.start));
        Ok(())
    }

    /// The code of its gaps.
    #[must_use]
    pub fn gap_code(&self) -> &Arc<GapCode> {
        &self.gaps
    }

    /// Takes the tables of another image's gap code when they are the same: one copy stays in the processor's cache.
    pub fn share_gaps(&mut self, other: &Self) {
        let same = |image: &Self| (image.header.gap_code, image.header.segments);
        if same(self) == same(other) && self.part(Section::Gaps) == other.part(Section::Gaps) {
            self.gaps = Arc::clone(&other.gaps);
        }
    }

    /// Checks the checksum of every section. Reads the whole file.
    ///
    /// # Errors
    /// Naming the first section that does not match.
    pub fn check(&self) -> Result<(), ImageError> {
        Section::ALL.iter().try_for_each(|&section| self.sections.check(&self.file, &self.bytes, section))
    }

    /// Where its sections lie, and their checksums.
    pub(super) fn layout(&self) -> &Sections {
        &self.sections
    }

    /// The file's name, for messages.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The constants.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the file.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether it has no visitor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.header.geometry.visitors == 0
    }

    /// The size of every section.
    #[must_use]
    pub fn sections(&self) -> Vec<SectionInfo> {
        self.sections.sizes().collect()
    }

    /// The segments, by rank.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How many visitors have an entry of life > 0 of each segment, dead or not, by rank. Linear in segments x blocks.
    #[must_use]
    pub fn members(&self) -> Vec<u32> {
        let slots = 0..self.header.segments as usize;
        slots.map(|slot| self.blocks.iter().map(|block| block.members(slot)).sum()).collect()
    }

    /// The times that occur.
    #[must_use]
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// The directories of containers, by block.
    #[must_use]
    pub fn blocks(&self) -> &[BlockDirectory] {
        &self.blocks
    }

    /// The container of a segment in a block; the rank after the last is *everyone*.
    ///
    /// # Errors
    /// When the section is cut.
    #[inline(always)]
    pub fn container(&self, block: usize, rank: u32) -> Result<Container<'_>, ImageError> {
        let found = self.blocks.get(block).map(|block| block.container(self.part(Section::Containers), rank as usize));
        found
            .map_or(Some(Container::Empty), |container| container)
            .ok_or_else(|| self.damaged(Section::Containers, "whole containers"))
    }

    /// The record of a visitor: one read of the directory, one of the bucket. `None` when the shard does not know them.
    ///
    /// # Errors
    /// When directory or record are damaged.
    #[inline]
    pub fn find(&self, pid: Pid) -> Result<Option<ProfileRef<'_>>, ImageError> {
        let search = Search::begin(self, pid)?;
        let found = search.find()?;
        Ok(found.map(|(place, bytes)| ProfileRef { ordinal: search.bucket().start + place, bytes }))
    }

    /// Splits a profile's bytes into its parts.
    ///
    /// # Errors
    /// When they are cut.
    #[inline]
    pub fn profile<'a>(&'a self, bytes: ProfileBytes<'a>) -> Result<Profile<'a>, ImageError> {
        let profile = Profile::new(bytes, &self.times, self.packing, &self.gaps);
        profile.ok_or_else(|| self.damaged(Section::Records, "a sound profile"))
    }

    /// Reads a profile's entries, ascending in rank, after what is in `into`.
    ///
    /// # Errors
    /// When the profile is damaged.
    #[inline]
    pub fn entries(&self, profile: ProfileBytes<'_>, into: &mut Vec<(u32, Entry)>) -> Result<(), ImageError> {
        let read = self.profile(profile)?.read(into);
        let segments = self.header.segments;
        let known = read.filter(|()| into.last().is_none_or(|(rank, _)| *rank < segments));
        known.ok_or_else(|| self.damaged(Section::Records, "a sound profile"))
    }

    /// The tick at which the first of a bucket's entries dies; `None`: look.
    #[must_use]
    pub fn next_expiry(&self, bucket: usize) -> Option<Tick> {
        let bytes = self.part(Section::Expiries).get(2 * bucket..2 * bucket + 2)?;
        let after = u16::from_le_bytes([bytes[0], bytes[1]]);
        (after != EXPIRY_SATURATED).then(|| Tick::new(self.header.time_base.get().saturating_add(after.into())))
    }

    /// A bucket's record.
    ///
    /// # Errors
    /// When directory or record are damaged.
    #[inline]
    pub fn bucket(&self, index: usize) -> Result<Bucket<'_>, ImageError> {
        let (geometry, directory) = (self.header.geometry, self.part(Section::Directory));
        let ends = geometry.find(directory, index).zip(geometry.find(directory, index + 1));
        let bucket = ends.and_then(|((start, from), (end, to))| {
            let tail = self.part(Section::Records).get(from..)?;
            let visitors = end.checked_sub(start)?;
            let (remainders, rest) = tail.split_at_checked(visitors as usize * geometry.remainder_bytes())?;
            let length = to.checked_sub(from)?.checked_sub(remainders.len())?;
            (length <= rest.len()).then_some(Bucket { start, visitors, remainders, rest, length })
        });
        bucket.ok_or_else(|| self.damaged(Section::Directory, "buckets within the records"))
    }

    #[inline]
    pub(super) fn part(&self, section: Section) -> &[u8] {
        let range = self.sections.range(section);
        match (section, &self.held) {
            (Section::Directory | Section::Records, Some((held, start))) => {
                &held[range.start - start..range.end - start]
            }
            _ => &self.bytes[range],
        }
    }

    pub(crate) fn damaged(&self, section: Section, expected: &str) -> ImageError {
        damage(&self.file, section, expected)
    }
}

fn damage(file: &str, section: Section, expected: &str) -> ImageError {
    ImageError::Damaged {
        file: file.to_owned(),
        section: section.name(),
        offset: 0,
        expected: expected.to_owned(),
        found: "something else".into(),
    }
}

/// The record of one bucket.
#[derive(Clone, Copy)]
pub struct Bucket<'a> {
    /// The ordinal of its first visitor.
    pub start: u32,
    /// How many visitors.
    pub visitors: u32,
    /// Their remainders.
    pub remainders: &'a [u8],
    /// What follows them, to the end of the section.
    rest: &'a [u8],
    /// How many bytes of it are the record's.
    length: usize,
}

impl<'a> Bucket<'a> {
    /// Loads the record; the sum of what was read, so that reading it is not left out.
    #[must_use]
    pub fn touch(&self) -> u8 {
        let lines = |bytes: &[u8]| bytes.iter().step_by(CACHE_LINE).fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
        lines(self.remainders).wrapping_add(lines(&self.rest[..self.length]))
    }

    /// The bytes of each profile; `None` in place of one that is cut.
    #[inline]
    pub fn profiles(&self) -> impl Iterator<Item = Option<ProfileBytes<'a>>> + use<'a> {
        let (rest, end) = (self.rest, self.length);
        let mut lengths = Cursor::new(&rest[..end]);
        let mut skip = lengths;
        // The profiles begin after the last length.
        let all = (0..self.visitors).try_for_each(|_| skip.varint().map(drop));
        let mut at = skip.position();
        (0..self.visitors).map(move |_| {
            all?;
            let length = lengths.varint()? as usize;
            let profile = ProfileBytes { tail: rest.get(at..)?, length };
            at = at.checked_add(length).filter(|at| *at <= end)?;
            Some(profile)
        })
    }

    /// Bytes of the record.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.remainders.len() + self.length
    }

    /// The bytes of the profile at a place; `None` when it is cut. One walk over the lengths: those before the place are
    /// added, those after it only passed.
    #[inline]
    pub fn profile(&self, place: usize) -> Option<ProfileBytes<'a>> {
        let (mut lengths, mut before, mut length) = (Cursor::new(&self.rest[..self.length]), 0usize, 0usize);
        for visitor in 0..self.visitors as usize {
            let next = lengths.varint()? as usize;
            before += if visitor < place { next } else { 0 };
            length = if visitor == place { next } else { length };
        }
        let at = lengths.position().checked_add(before)?;
        let sound = at.checked_add(length)? <= self.length;
        sound.then_some(ProfileBytes { tail: self.rest.get(at..)?, length })
    }
}
