//! Freezes one shard: parts in, ascending by pseudonym, the bytes of an image out. Its records, the larger half, go out as
//! they come.

use std::sync::Arc;

use crate::breath::{BREATH_BYTES, pieces};
use crate::checksum::{Running, checksum};
use crate::containers::Policy;
use crate::dictionary::{DIRECTORY_ENTRY, Geometry};
use crate::error::WriteError;
use crate::segments::Segment;
use crate::time::{Tick, TickLength};

use super::blocks::BlocksWriter;
use super::containers::ContainersWriter;
use super::header::{HEADER_BYTES, Header};
use super::names::Names;
use super::part::{BucketStart, Encoding, ImagePart};
use super::section::{Layout, SECTION_ALIGNMENT};

/// The next expiry of a bucket is at most this many ticks after the time base; a bucket beyond is always looked at.
pub const EXPIRY_SATURATED: u16 = u16::MAX;

/// An image but for its records, which were handed on part by part.
pub struct WrittenImage {
    /// What stands before the records.
    pub head: Vec<u8>,
    /// What follows them, one after another.
    pub tail: [Vec<u8>; 3],
}

/// What all images of a build share.
pub struct Shared {
    /// The index's time grain.
    pub tick: TickLength,
    /// The segments, by rank.
    pub segments: Vec<Segment>,
    /// The thresholds of container kinds.
    pub policy: Policy,
}

/// Takes the parts of one shard.
pub struct ImageWriter<'a> {
    shared: &'a Shared,
    encoding: &'a Encoding<'a>,
    shard: u32,
    ordinal: u32,
    bucket: usize,
    entries: u64,
    memberships: u64,
    /// Segments, times and gaps: the sections before the directory.
    tables: [Vec<u8>; 3],
    directory: Vec<u8>,
    /// Bytes of the records so far, and their checksum.
    records: usize,
    records_sum: Running,
    expiries: Vec<Option<Tick>>,
    blocks: BlocksWriter,
}

impl<'a> ImageWriter<'a> {
    /// Starts the image of a shard.
    #[must_use]
    pub fn new(shared: &'a Shared, encoding: &'a Encoding<'a>, shard: u32) -> Self {
        let mut tables = [Vec::new(), Vec::new(), Vec::new()];
        names(shared).write(&mut tables[0]);
        encoding.times.write(&mut tables[1]);
        encoding.gaps.write_tables(&mut tables[2]);
        Self {
            shared,
            encoding,
            shard,
            ordinal: 0,
            bucket: 0,
            entries: 0,
            memberships: 0,
            tables,
            directory: Vec::new(),
            records: 0,
            records_sum: Running::default(),
            expiries: Vec::with_capacity(encoding.geometry.buckets()),
            blocks: BlocksWriter::new(shared.segments.len() + 1, shared.policy),
        }
    }

    /// Where the records will begin, in bytes from the start of the image.
    #[must_use]
    pub fn records_offset(&self) -> usize {
        let directory = (self.encoding.geometry.buckets() + 1) * DIRECTORY_ENTRY;
        let lengths = self.tables.iter().map(Vec::len).chain([directory, 0]);
        lengths.fold(HEADER_BYTES, |end, length| end.next_multiple_of(SECTION_ALIGNMENT) + length)
    }

    /// Appends parts, in order, and freezes the blocks that they complete. Hands on the records of each, which are
    /// final.
    ///
    /// # Errors
    /// When the shard goes beyond a bound of the format.
    pub fn append(&mut self, parts: Vec<ImagePart>, mut on: impl FnMut(Vec<u8>)) -> Result<(), WriteError> {
        for ImagePart { entries, memberships, buckets, records, members } in parts {
            let geometry = self.encoding.geometry;
            for BucketStart { ordinal, offset, next_expiry } in buckets {
                let (start, offset) = (self.ordinal + ordinal, self.records + offset);
                self.directory.extend_from_slice(&entry(geometry, self.bucket, start, offset)?);
                self.expiries.push(next_expiry);
                self.bucket += 1;
            }
            self.records += records.len();
            pieces(&records, BREATH_BYTES).for_each(|piece| self.records_sum.update(piece));
            on(records);
            self.memberships += memberships;
            self.ordinal += members.visitors();
            self.blocks.push(members);
            self.entries += entries;
        }
        self.blocks.freeze();
        Ok(())
    }

    /// The image.
    ///
    /// # Errors
    /// When the shard goes beyond a bound of the format.
    pub fn finish(mut self) -> Result<WrittenImage, WriteError> {
        let &Encoding { geometry, gaps, .. } = self.encoding;
        debug_assert_eq!((self.ordinal, self.bucket), (geometry.visitors, geometry.buckets()));
        self.directory.extend_from_slice(&entry(geometry, self.bucket, self.ordinal, self.records)?);
        let time_base = self.expiries.iter().flatten().min().copied().unwrap_or(Tick::new(0));
        let header = Header {
            tick: self.shared.tick,
            time_base,
            shard: self.shard,
            geometry,
            gap_code: gaps.number(),
            policy: self.shared.policy,
            segments: self.encoding.segments,
            memberships: self.memberships,
            entries: self.entries,
        };
        let expiries: Vec<u8> =
            self.expiries.iter().flat_map(|&next| saturate(next, time_base).to_le_bytes()).collect();
        let ContainersWriter { directory: cardinalities, containers, .. } = self.blocks.finish();
        let (mut head, mut middle) = (Vec::new(), Vec::new());
        header.write(&mut head);
        let mut layout = Layout::after(head.len());
        for section in self.tables.iter().chain([&self.directory]) {
            layout.append(section, &mut head);
        }
        let zeros = layout.lay(self.records, self.records_sum.finish());
        head.resize(head.len() + zeros, 0);
        for section in [&expiries, &cardinalities] {
            layout.append(section, &mut middle);
        }
        let zeros = layout.lay(containers.len(), checksum(&containers));
        middle.resize(middle.len() + zeros, 0);
        Ok(WrittenImage { head, tail: [middle, containers, layout.trailer()] })
    }
}

fn names(shared: &Shared) -> Names {
    let mut names = Names::default();
    for Segment { name, source } in &shared.segments {
        names.push(Arc::clone(name), Arc::clone(source));
    }
    names
}

fn entry(geometry: Geometry, bucket: usize, start: u32, offset: usize) -> Result<[u8; 6], WriteError> {
    geometry.entry(bucket, start, offset).ok_or(WriteError::Bound {
        what: "bytes of a shard's records (or the unevenness of its pseudonyms)",
        found: offset as u64,
        bound: u64::from(u32::MAX),
    })
}

fn saturate(next: Option<Tick>, base: Tick) -> u16 {
    next.map_or(EXPIRY_SATURATED, |next| u16::try_from(next.get() - base.get()).unwrap_or(EXPIRY_SATURATED))
}
