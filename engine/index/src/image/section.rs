//! The sections of an image and the trailer that lists them.

use std::ops::Range;

use serde::Serialize;

use crate::breath::{BREATH_BYTES, pieces};
use crate::bytes::Cursor;
use crate::checksum::checksum;
use crate::error::ImageError;

/// Sections begin at multiples of this many bytes.
pub const SECTION_ALIGNMENT: usize = 64;
/// The last eight bytes of an image.
pub const TRAILER_MAGIC: [u8; 8] = *b"USHREND\0";
/// Bytes of an entry of the trailer's table.
const ROW_BYTES: usize = 24;
/// Bytes of the trailer: the table, its checksum, the magic.
pub const TRAILER_BYTES: usize = Section::ALL.len() * ROW_BYTES + 16;

/// The parts of an image, in the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Segment names and cardinalities by rank.
    Segments,
    /// The times that occur.
    Times,
    /// The tables of the gap code.
    Gaps,
    /// Start rank and record offset of each bucket.
    Directory,
    /// Remainders, lengths and profiles of each bucket.
    Records,
    /// The next expiry of each bucket.
    Expiries,
    /// Cardinality of each segment in each block.
    Cardinalities,
    /// Members of each segment in each block.
    Containers,
}

impl Section {
    /// Every section.
    pub const ALL: [Self; 8] = [
        Self::Segments,
        Self::Times,
        Self::Gaps,
        Self::Directory,
        Self::Records,
        Self::Expiries,
        Self::Cardinalities,
        Self::Containers,
    ];

    /// The name, as FORMAT.md has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Times => "times",
            Self::Gaps => "gaps",
            Self::Directory => "directory",
            Self::Records => "records",
            Self::Expiries => "expiries",
            Self::Cardinalities => "cardinalities",
            Self::Containers => "containers",
        }
    }
}

/// How large a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SectionInfo {
    /// The name, as FORMAT.md has it.
    pub name: &'static str,
    /// Its bytes, without alignment.
    pub bytes: u64,
}

/// Lays the sections of a new image out, one after another, for its trailer.
pub struct Layout {
    end: usize,
    table: Vec<u8>,
}

impl Layout {
    /// Before the first section, which begins after so many bytes.
    pub fn after(bytes: usize) -> Self {
        Self { end: bytes, table: Vec::with_capacity(TRAILER_BYTES) }
    }

    /// Takes the length and the checksum of the next section. Answers how many zero bytes stand before it.
    pub fn lay(&mut self, length: usize, checksum: u64) -> usize {
        let start = self.end.next_multiple_of(SECTION_ALIGNMENT);
        for number in [start as u64, length as u64, checksum] {
            self.table.extend_from_slice(&number.to_le_bytes());
        }
        let zeros = start - self.end;
        self.end = start + length;
        zeros
    }

    /// Appends the next section to the bytes of those before it.
    pub fn append(&mut self, section: &[u8], into: &mut Vec<u8>) {
        let zeros = self.lay(section.len(), checksum(section));
        into.resize(into.len() + zeros, 0);
        pieces(section, BREATH_BYTES).for_each(|piece| into.extend_from_slice(piece));
    }

    /// The trailer, which follows the last section.
    pub fn trailer(mut self) -> Vec<u8> {
        let sum = checksum(&self.table);
        self.table.extend_from_slice(&sum.to_le_bytes());
        self.table.extend_from_slice(&TRAILER_MAGIC);
        self.table
    }
}

/// Where each section lies, and its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    rows: [(Range<usize>, u64); Section::ALL.len()],
}

impl Sections {
    /// Reads and checks the trailer of an image.
    ///
    /// # Errors
    /// When it is cut or damaged, or a section does not lie within the file.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, ImageError> {
        let damaged = |expected: &str, found: String| ImageError::Damaged {
            file: file.to_owned(),
            section: "trailer",
            offset: bytes.len().saturating_sub(TRAILER_BYTES) as u64,
            expected: expected.to_owned(),
            found,
        };
        let start = bytes.len().checked_sub(TRAILER_BYTES);
        let trailer = start.and_then(|start| bytes.get(start..));
        let trailer = trailer.ok_or_else(|| damaged("a trailer", format!("a file of {} bytes", bytes.len())))?;
        let (table, end) = trailer.split_at(TRAILER_BYTES - 16);
        if end[8..] != TRAILER_MAGIC {
            return Err(damaged("the last bytes of an image (the file may be cut)", format!("{:02x?}", &end[8..])));
        }
        if end[..8] != checksum(table).to_le_bytes() {
            return Err(damaged("a matching checksum of the section table", format!("{:02x?}", &end[..8])));
        }
        let mut cursor = Cursor::new(table);
        let mut rows = Section::ALL.map(|_| (0..0, 0));
        for row in &mut rows {
            let numbers = (cursor.u64(), cursor.u64(), cursor.u64());
            let (Some(offset), Some(length), Some(sum)) = numbers else {
                return Err(damaged("a row of the section table", "its end".into()));
            };
            let range = range_within(offset, length, bytes.len() - TRAILER_BYTES);
            *row =
                (range.ok_or_else(|| damaged("sections within the file", format!("{length} bytes at {offset}")))?, sum);
        }
        Ok(Self { rows })
    }

    /// Where a section lies.
    #[must_use]
    pub fn range(&self, section: Section) -> Range<usize> {
        self.rows[section as usize].0.clone()
    }

    /// Checks a section's checksum.
    ///
    /// # Errors
    /// When the bytes do not match it.
    pub fn check(&self, file: &str, bytes: &[u8], section: Section) -> Result<(), ImageError> {
        self.compare(file, section, checksum(&bytes[self.range(section)]))
    }

    /// Holds what was found of a section against its checksum.
    ///
    /// # Errors
    /// When it is another.
    pub fn compare(&self, file: &str, section: Section, found: u64) -> Result<(), ImageError> {
        let (range, expected) = &self.rows[section as usize];
        if found == *expected {
            return Ok(());
        }
        Err(ImageError::Damaged {
            file: file.to_owned(),
            section: section.name(),
            offset: range.start as u64,
            expected: format!("checksum {expected:016x} over {} bytes", range.len()),
            found: format!("{found:016x}"),
        })
    }

    /// The size of every section.
    pub fn sizes(&self) -> impl Iterator<Item = SectionInfo> + '_ {
        Section::ALL
            .iter()
            .map(|&section| SectionInfo { name: section.name(), bytes: self.range(section).len() as u64 })
    }
}

fn range_within(offset: u64, length: u64, end: usize) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    let stop = start.checked_add(usize::try_from(length).ok()?)?;
    (stop <= end).then_some(start..stop)
}
