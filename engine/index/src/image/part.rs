//! A run of whole buckets of an image, encoded by itself: as many at a time as there are threads.
//!
//! Nothing in a part depends on the parts before it: ordinals and offsets count from its own beginning, and the writer
//! moves them. So an image has the same bytes however it was cut.

use std::ops::Range;

use crate::bytes::put_varint;
use crate::dictionary::{Geometry, put_remainder};
use crate::entry::Entry;
use crate::gaps::{GapCode, GapCounts};
use crate::id::Pid;
use crate::profiles;
use crate::time::Tick;
use crate::times::{TimeCodes, Times};

/// So many visitors tell which code the gaps of an image get. Pseudonyms are random, so the first are a fair sample.
pub const SAMPLE_VISITORS: usize = 50_000;

/// What all parts of an image are encoded by.
pub struct Encoding<'a> {
    /// How the bits of a pseudonym are divided; how many visitors the image will have.
    pub geometry: Geometry,
    /// The times that occur.
    pub times: &'a Times,
    /// Their codes.
    pub codes: &'a TimeCodes,
    /// The code of the gaps.
    pub gaps: &'a GapCode,
    /// How many segments there are: every rank is below.
    pub segments: u32,
}

/// The smaller code for the gaps of all images of so many visitors, judged by the profiles of the first
/// [`SAMPLE_VISITORS`], or of all when they are fewer.
pub fn choose_gap_code<'e>(segments: u32, visitors: u64, sample: impl Iterator<Item = &'e [(u32, Entry)]>) -> GapCode {
    let (mut counts, mut sampled) = (GapCounts::new(segments), 0u32);
    for entries in sample.take(SAMPLE_VISITORS) {
        counts.note(entries.iter().map(|(rank, _)| *rank));
        sampled += 1;
    }
    counts.choose(visitors as f64 / f64::from(sampled.max(1)))
}

/// A part's bytes and what the writer must know of it.
#[derive(Default)]
pub struct ImagePart {
    pub(super) visitors: u32,
    pub(super) entries: u64,
    /// Entries of life > 0.
    pub(super) memberships: u64,
    pub(super) buckets: Vec<BucketStart>,
    pub(super) records: Vec<u8>,
    /// Rank and ordinal of every entry of life > 0, by ordinal; after a visitor's last one the rank after the last
    /// segment, which is *everyone*.
    pub(super) members: Vec<(u32, u32)>,
}

/// Where a bucket begins within its part.
pub(super) struct BucketStart {
    pub(super) ordinal: u32,
    pub(super) offset: usize,
    /// The first end of its entries of life > 0.
    pub(super) next_expiry: Option<Tick>,
}

/// Encodes one part.
pub struct PartWriter<'a> {
    encoding: &'a Encoding<'a>,
    part: ImagePart,
    bucket: usize,
    end: usize,
    start: u32,
    remainders: Vec<u8>,
    lengths: Vec<u8>,
    profiles: Vec<u8>,
    next_expiry: Option<Tick>,
    scratch: Vec<u64>,
}

impl<'a> PartWriter<'a> {
    /// Starts the part of these buckets.
    #[must_use]
    pub fn new(encoding: &'a Encoding<'a>, buckets: Range<usize>) -> Self {
        Self {
            encoding,
            part: ImagePart { buckets: Vec::with_capacity(buckets.len()), ..ImagePart::default() },
            bucket: buckets.start,
            end: buckets.end,
            start: 0,
            remainders: Vec::new(),
            lengths: Vec::new(),
            profiles: Vec::new(),
            next_expiry: None,
            scratch: Vec::new(),
        }
    }

    /// Appends a visitor of these buckets: pseudonyms ascend strictly, and so do the ranks of the entries, of which
    /// there is one at least.
    pub fn push(&mut self, pid: Pid, entries: &[(u32, Entry)]) {
        let &Encoding { geometry, times, codes, gaps, .. } = self.encoding;
        self.open(pid);
        put_remainder(&mut self.remainders, geometry.remainder(pid), geometry.remainder_bytes());
        let start = self.profiles.len();
        profiles::write(entries, times, codes, gaps, &mut self.scratch, &mut self.profiles);
        put_varint(&mut self.lengths, (self.profiles.len() - start) as u32);
        self.note_members(entries);
        self.part.entries += entries.len() as u64;
        self.part.visitors += 1;
    }

    /// Closes the buckets before that of the visitor.
    #[inline]
    fn open(&mut self, pid: Pid) {
        let bucket = self.encoding.geometry.bucket(pid);
        debug_assert!(self.bucket <= bucket && bucket < self.end);
        while self.bucket < bucket {
            self.close_bucket();
        }
    }

    fn note_members(&mut self, entries: &[(u32, Entry)]) {
        let ordinal = self.part.visitors;
        let before = self.part.members.len();
        let mut next = self.next_expiry;
        self.part.members.extend(entries.iter().filter(|(_, entry)| !entry.is_removal()).map(|&(rank, entry)| {
            next = Some(next.map_or(entry.expiry, |next| entry.expiry.min(next)));
            (rank, ordinal)
        }));
        self.next_expiry = next;
        self.part.memberships += (self.part.members.len() - before) as u64;
        if self.part.members.len() > before {
            self.part.members.push((self.encoding.segments, ordinal));
        }
    }

    fn close_bucket(&mut self) {
        let part = &mut self.part;
        let (ordinal, offset) = (self.start, part.records.len());
        part.buckets.push(BucketStart { ordinal, offset, next_expiry: self.next_expiry.take() });
        for bytes in [&mut self.remainders, &mut self.lengths, &mut self.profiles] {
            part.records.append(bytes);
        }
        self.start = part.visitors;
        self.bucket += 1;
    }

    /// The part, with every bucket of its range.
    #[must_use]
    pub fn finish(mut self) -> ImagePart {
        while self.bucket < self.end {
            self.close_bucket();
        }
        self.part
    }
}
