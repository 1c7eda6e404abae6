//! A run of whole buckets of an image, encoded by itself: as many at a time as there are threads.
//!
//! Nothing in a part depends on the parts before it: ordinals and offsets count from its own beginning, and the writer
//! moves them. So an image has the same bytes however it was cut.

use std::ops::Range;
use std::sync::Arc;

use crate::bytes::put_varint;
use crate::dictionary::{Geometry, put_remainder};
use crate::entry::Entry;
use crate::gaps::{GapCode, GapCounts};
use crate::id::Pid;
use crate::profiles::{self, Profile};
use crate::time::Tick;
use crate::times::{Packing, TimeCodes, Times};

use super::members::Members;
use super::recode::Recode;

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

/// The first [`SAMPLE_VISITORS`] of a build, or all when they are fewer, by which the code for gaps is chosen.
pub struct GapSample {
    counts: GapCounts,
    visitors: usize,
}

impl GapSample {
    /// Before the first visitor. `segments`: how many there will be.
    #[must_use]
    pub fn new(segments: u32) -> Self {
        Self { counts: GapCounts::new(segments), visitors: 0 }
    }

    /// Whether no more visitor is needed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.visitors >= SAMPLE_VISITORS
    }

    /// Notes a visitor's ranks, ascending.
    pub fn note(&mut self, ranks: impl ExactSizeIterator<Item = u32>) {
        self.counts.note(ranks);
        self.visitors += 1;
    }

    /// The code for all images of so many visitors: the one `kept` while it serves, else the smaller one.
    #[must_use]
    pub fn choose(self, visitors: u64, kept: Option<&Arc<GapCode>>) -> Arc<GapCode> {
        self.counts.choose_or_keep(visitors as f64 / self.visitors.max(1) as f64, kept)
    }
}

/// A part's bytes and what the writer must know of it.
#[derive(Default)]
pub struct ImagePart {
    pub(super) entries: u64,
    /// Entries of life > 0.
    pub(super) memberships: u64,
    pub(super) buckets: Vec<BucketStart>,
    pub(super) records: Vec<u8>,
    pub(super) members: Members,
}

impl ImagePart {
    /// How many entries its profiles have.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }
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
    packing: Packing,
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
            packing: encoding.times.packing(),
        }
    }

    /// Appends a visitor of these buckets: pseudonyms ascend strictly, and so do the ranks of the entries, of which
    /// there is one at least.
    pub fn push(&mut self, pid: Pid, entries: &[(u32, Entry)]) {
        let &Encoding { geometry, codes, gaps, .. } = self.encoding;
        self.open(pid);
        put_remainder(&mut self.remainders, geometry.remainder(pid), geometry.remainder_bytes());
        let start = self.profiles.len();
        profiles::write(entries, self.packing, codes, gaps, &mut self.scratch, &mut self.profiles);
        put_varint(&mut self.lengths, (self.profiles.len() - start) as u32);
        self.note_members(entries);
        self.part.entries += entries.len() as u64;
    }

    /// Appends a visitor of these buckets as a present image has them: the codes of the times are put anew, the gaps are
    /// those of the profile, which must be in the gap code and the ranks of this image. `None` when the profile is
    /// damaged; then the part is too.
    pub fn copy(&mut self, pid: Pid, profile: &Profile<'_>, recode: &Recode<'_>) -> Option<()> {
        let geometry = self.encoding.geometry;
        self.open(pid);
        put_remainder(&mut self.remainders, geometry.remainder(pid), geometry.remainder_bytes());
        let start = self.profiles.len();
        let (mut known, mut removals, mut next) = (true, 0, Tick::new(u32::MAX));
        profile.map_codes(&mut self.scratch, |code| {
            let Some(new) = recode.of(code) else {
                known = false;
                return 0;
            };
            removals += usize::from(new.is_removal);
            next = next.min(new.end);
            new.code
        });
        put_varint(&mut self.profiles, profile.length() as u32);
        self.packing.write(&self.scratch, &mut self.profiles);
        self.profiles.extend_from_slice(profile.gaps());
        put_varint(&mut self.lengths, (self.profiles.len() - start) as u32);
        self.copy_members(profile, recode, removals)?;
        if profile.length() > removals {
            self.next_expiry = Some(self.next_expiry.map_or(next, |before| next.min(before)));
        }
        self.part.entries += profile.length() as u64;
        known.then_some(())
    }

    fn copy_members(&mut self, profile: &Profile<'_>, recode: &Recode<'_>, removals: usize) -> Option<()> {
        let members = &mut self.part.members;
        let mut last = 0;
        if removals == 0 {
            profile.each_rank(|rank| {
                members.push(rank);
                last = rank;
            })?;
        } else {
            let mut lives = Vec::with_capacity(profile.length());
            profile.each_code(|code| lives.push(recode.of(code).is_some_and(|new| !new.is_removal)));
            let mut lives = lives.into_iter();
            profile.each_rank(|rank| {
                if lives.next() == Some(true) {
                    members.push(rank);
                }
                last = rank;
            })?;
        }
        self.part.memberships += members.close() as u64;
        (profile.length() == 0 || last < self.encoding.segments).then_some(())
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
        let (members, mut next) = (&mut self.part.members, self.next_expiry);
        members.extend(entries.iter().filter(|(_, entry)| !entry.is_removal()).map(|&(rank, entry)| {
            next = Some(next.map_or(entry.expiry, |next| entry.expiry.min(next)));
            rank
        }));
        self.part.memberships += members.close() as u64;
        self.next_expiry = next;
    }

    fn close_bucket(&mut self) {
        let part = &mut self.part;
        let (ordinal, offset) = (self.start, part.records.len());
        part.buckets.push(BucketStart { ordinal, offset, next_expiry: self.next_expiry.take() });
        for bytes in [&mut self.remainders, &mut self.lengths, &mut self.profiles] {
            part.records.append(bytes);
        }
        self.start = part.members.visitors();
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
