//! Freezes one shard: visitors in, ascending by pseudonym, the bytes of an image out.

use std::sync::Arc;

use crate::bits::BLOCK;
use crate::bytes::put_varint;
use crate::containers::Policy;
use crate::dictionary::{Geometry, put_remainder};
use crate::entry::Entry;
use crate::error::WriteError;
use crate::gaps::{GapCode, GapCounts};
use crate::id::Pid;
use crate::profiles;
use crate::segments::Segment;
use crate::time::{Tick, TickLength};
use crate::times::{TimeCodes, Times};

use super::containers::ContainersWriter;
use super::header::{HEADER_BYTES, Header};
use super::names::Names;
use super::section::Sections;

/// The next expiry of a bucket is at most this many ticks after the time base; a bucket beyond is always looked at.
pub const EXPIRY_SATURATED: u16 = u16::MAX;

/// So many visitors tell which code the gaps of an image get. Pseudonyms are random, so the first are a fair sample.
const SAMPLE_VISITORS: usize = 50_000;

/// An image's bytes and what is in them.
pub struct WrittenImage {
    /// The file.
    pub bytes: Vec<u8>,
    /// The constants.
    pub header: Header,
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

/// Takes the visitors of one shard.
pub struct ImageWriter<'a> {
    shared: &'a Shared,
    times: &'a Times,
    codes: &'a TimeCodes,
    geometry: Geometry,
    shard: u32,
    ordinal: u32,
    entries: u64,
    gaps: Option<GapCode>,
    sample: Sample,
    bucket: Bucket,
    directory: Vec<u8>,
    records: Vec<u8>,
    expiries: Vec<Option<Tick>>,
    block: Vec<(u32, u16)>,
    containers: ContainersWriter,
    members: Vec<u32>,
    codes_scratch: Vec<u64>,
}

/// The first visitors, kept until the code of their gaps is known.
#[derive(Default)]
struct Sample {
    visitors: Vec<(Pid, usize)>,
    entries: Vec<(u32, Entry)>,
}

/// The bucket being filled.
#[derive(Default)]
struct Bucket {
    index: usize,
    start: u32,
    remainders: Vec<u8>,
    lengths: Vec<u8>,
    profiles: Vec<u8>,
    next_expiry: Option<Tick>,
}

impl<'a> ImageWriter<'a> {
    /// Starts the image of a shard that will have `geometry.visitors` visitors.
    #[must_use]
    pub fn new(shared: &'a Shared, times: &'a Times, codes: &'a TimeCodes, shard: u32, geometry: Geometry) -> Self {
        Self {
            shared,
            times,
            codes,
            geometry,
            shard,
            ordinal: 0,
            entries: 0,
            gaps: None,
            sample: Sample::default(),
            bucket: Bucket::default(),
            directory: Vec::new(),
            records: Vec::new(),
            expiries: Vec::with_capacity(geometry.buckets()),
            block: Vec::new(),
            containers: ContainersWriter::new(shared.policy),
            members: vec![0; shared.segments.len()],
            codes_scratch: Vec::new(),
        }
    }

    /// Appends a visitor: pseudonyms ascend strictly, and so do the ranks of the entries, of which there is one at least.
    ///
    /// # Errors
    /// When the shard goes beyond a bound of the format.
    pub fn push(&mut self, pid: Pid, entries: &[(u32, Entry)]) -> Result<(), WriteError> {
        debug_assert!(!entries.is_empty() && self.ordinal < self.geometry.visitors);
        if self.gaps.is_some() {
            return self.encode(pid, entries);
        }
        self.sample.entries.extend_from_slice(entries);
        self.sample.visitors.push((pid, self.sample.entries.len()));
        if self.sample.visitors.len() < SAMPLE_VISITORS { Ok(()) } else { self.choose_gap_code() }
    }

    /// Finds the code for the gaps from the visitors kept so far, and encodes those.
    fn choose_gap_code(&mut self) -> Result<(), WriteError> {
        let Sample { visitors, entries } = std::mem::take(&mut self.sample);
        let starts = std::iter::once(0).chain(visitors.iter().map(|(_, end)| *end));
        let ranges = || starts.clone().zip(&visitors).map(|(start, &(pid, end))| (pid, &entries[start..end]));
        let mut counts = GapCounts::new(self.shared.segments.len() as u32);
        ranges().for_each(|(_, entries)| counts.note(entries.iter().map(|(rank, _)| *rank)));
        let share = f64::from(self.geometry.visitors) / visitors.len().max(1) as f64;
        self.gaps = Some(counts.choose(share));
        ranges().try_for_each(|(pid, entries)| self.encode(pid, entries))
    }

    fn encode(&mut self, pid: Pid, entries: &[(u32, Entry)]) -> Result<(), WriteError> {
        let bucket = self.geometry.bucket(pid);
        while self.bucket.index < bucket {
            self.close_bucket()?;
        }
        put_remainder(&mut self.bucket.remainders, self.geometry.remainder(pid), self.geometry.remainder_bytes());
        let start = self.bucket.profiles.len();
        let gaps = self.gaps.as_ref().unwrap_or(&GapCode::Nibbles);
        profiles::write(entries, self.times, self.codes, gaps, &mut self.codes_scratch, &mut self.bucket.profiles);
        put_varint(&mut self.bucket.lengths, (self.bucket.profiles.len() - start) as u32);
        self.note_members(entries);
        self.entries += entries.len() as u64;
        self.ordinal += 1;
        if self.ordinal.is_multiple_of(BLOCK) {
            self.close_block(BLOCK);
        }
        Ok(())
    }

    fn note_members(&mut self, entries: &[(u32, Entry)]) {
        let within = (self.ordinal % BLOCK) as u16;
        let mut any = false;
        for &(rank, entry) in entries.iter().filter(|(_, entry)| !entry.is_removal()) {
            self.block.push((rank, within));
            self.members[rank as usize] += 1;
            let next = self.bucket.next_expiry.get_or_insert(entry.expiry);
            *next = entry.expiry.min(*next);
            any = true;
        }
        if any {
            self.block.push((self.members.len() as u32, within));
        }
    }

    fn close_bucket(&mut self) -> Result<(), WriteError> {
        let Bucket { index, start, remainders, lengths, profiles, next_expiry } = &mut self.bucket;
        self.directory.extend_from_slice(&entry(self.geometry, *index, *start, self.records.len())?);
        self.expiries.push(next_expiry.take());
        for part in [remainders, lengths, profiles] {
            self.records.append(part);
        }
        self.bucket.index += 1;
        self.bucket.start = self.ordinal;
        Ok(())
    }

    /// Sorts the block's pairs by segment (a counting sort keeps the ordinals ascending) and freezes them.
    fn close_block(&mut self, visitors: u32) {
        let slots = self.members.len() + 1;
        let mut ends = vec![0usize; slots];
        self.block.iter().for_each(|&(slot, _)| ends[slot as usize] += 1);
        let mut total = 0;
        for end in &mut ends {
            total += std::mem::replace(end, total);
        }
        let mut ordinals = vec![0u16; self.block.len()];
        for (slot, ordinal) in self.block.drain(..) {
            let at = &mut ends[slot as usize];
            ordinals[*at] = ordinal;
            *at += 1;
        }
        let ranges = (0..slots).map(|slot| &ordinals[if slot == 0 { 0 } else { ends[slot - 1] }..ends[slot]]);
        self.containers.block(visitors, ranges);
    }

    /// The image.
    ///
    /// # Errors
    /// When the shard goes beyond a bound of the format.
    pub fn finish(mut self) -> Result<WrittenImage, WriteError> {
        if self.gaps.is_none() {
            self.choose_gap_code()?;
        }
        debug_assert_eq!(self.ordinal, self.geometry.visitors);
        while self.bucket.index < self.geometry.buckets() {
            self.close_bucket()?;
        }
        self.directory.extend_from_slice(&entry(self.geometry, self.bucket.index, self.ordinal, self.records.len())?);
        if !self.ordinal.is_multiple_of(BLOCK) {
            self.close_block(self.ordinal % BLOCK);
        }
        let time_base = self.expiries.iter().flatten().min().copied().unwrap_or(Tick::new(0));
        let gaps = self.gaps.as_ref().unwrap_or(&GapCode::Nibbles);
        let header = Header {
            tick: self.shared.tick,
            time_base,
            shard: self.shard,
            geometry: self.geometry,
            gap_code: gaps.number(),
            policy: self.shared.policy,
            segments: self.members.len() as u32,
            memberships: self.members.iter().map(|&members| u64::from(members)).sum(),
            entries: self.entries,
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.records.len() + self.containers.containers.len());
        header.write(&mut bytes);
        let (mut segments, mut times, mut tables) = (Vec::new(), Vec::new(), Vec::new());
        gaps.write_tables(&mut tables);
        self.names().write(&mut segments);
        self.times.write(&mut times);
        let expiries: Vec<u8> =
            self.expiries.iter().flat_map(|&next| saturate(next, time_base).to_le_bytes()).collect();
        let ContainersWriter { directory: cardinalities, containers, .. } = &self.containers;
        Sections::write(
            [&segments, &times, &tables, &self.directory, &self.records, &expiries, cardinalities, containers],
            &mut bytes,
        );
        Ok(WrittenImage { bytes, header })
    }

    fn names(&self) -> Names {
        let mut names = Names::default();
        for Segment { name, source } in &self.shared.segments {
            names.push(Arc::clone(name), Arc::clone(source));
        }
        names
    }
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
