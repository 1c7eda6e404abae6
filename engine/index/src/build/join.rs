//! The join of present images and new rows, visitor by visitor, in the order of pseudonyms.

use std::ops::Range;

use crate::entry::Entry;
use crate::error::{ImageError, WriteError};
use crate::id::Pid;
use crate::image::ProfileCursor;
use crate::shard::Shard;

use super::Purge;
use super::rows::{Rows, Sorted, rank_of};
use super::share::{BELOW_PID, PARTITIONS, REST_BITS, pid_of};

/// The most feeds of one build.
pub const MAX_FEEDS: usize = 65_536;

/// Part `number` of the `2^bits` equal parts of the pseudonym space.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Which.
    pub number: u32,
    /// Of how many, as a power of two.
    pub bits: u32,
}

impl Part {
    fn pids(self) -> Range<u128> {
        let width = crate::id::PID_BITS - self.bits;
        u128::from(self.number) << width..(u128::from(self.number) + 1) << width
    }
}

/// What became of a taken row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It won, and nothing was kept.
    New,
    /// It won over what was kept.
    Renewed,
    /// It lost, or says what is kept.
    Unchanged,
    /// It won and has no life.
    Removed,
}

/// A visitor of the join.
pub struct Visitor<'a> {
    /// Who.
    pub pid: Pid,
    /// What is kept of them, in the order of provisional ranks; one entry at least.
    pub entries: &'a [(u32, Entry)],
}

/// Walks the join of one part.
pub struct Join<'a> {
    present: Present<'a>,
    fresh: Fresh<'a>,
    purge: Option<&'a Purge>,
    merged: Vec<(u32, Entry)>,
    /// Entries that the purge dropped so far.
    pub purged: u64,
}

impl<'a> Join<'a> {
    /// Before the first visitor of the part. `maps`: the provisional rank of each rank, by shard.
    ///
    /// # Errors
    /// When an image is damaged, or rows on disk cannot be read.
    pub fn new(
        shards: &'a [Shard],
        maps: &'a [Vec<u32>],
        rows: &'a Rows,
        purge: Option<&'a Purge>,
        part: Part,
    ) -> Result<Self, WriteError> {
        let (present, fresh) = (Present::new(shards, maps, part)?, Fresh::new(rows, part)?);
        Ok(Self { present, fresh, purge, merged: Vec::new(), purged: 0 })
    }

    /// The next visitor who keeps an entry; tells the fate of each new row by its feed.
    ///
    /// # Errors
    /// When an image is damaged, or rows on disk cannot be read.
    pub fn next(&mut self, mut fate: impl FnMut(u16, Verdict)) -> Result<Option<Visitor<'_>>, WriteError> {
        loop {
            let pids = [self.present.pid(), self.fresh.pid()];
            let Some(pid) = pids.into_iter().flatten().min() else { return Ok(None) };
            self.merged.clear();
            let known = pids[0] == Some(pid);
            let kept = if known { self.present.entries() } else { &[] };
            if pids[1] == Some(pid) {
                merge(kept, self.fresh.rows, self.fresh.own(), &mut self.merged, &mut fate);
                self.fresh.advance()?;
            } else {
                self.merged.extend_from_slice(kept);
            }
            if known {
                self.present.advance()?;
            }
            if let Some(purge) = self.purge {
                let before = self.merged.len();
                self.merged.retain(|&(rank, entry)| !purge.drops(rank, entry));
                self.purged += (before - self.merged.len()) as u64;
            }
            if !self.merged.is_empty() {
                return Ok(Some(Visitor { pid, entries: &self.merged }));
            }
        }
    }
}

/// Merges two lists, ascending in rank.
fn merge(
    kept: &[(u32, Entry)],
    rows: &Rows,
    own: &[u128],
    into: &mut Vec<(u32, Entry)>,
    fate: &mut impl FnMut(u16, Verdict),
) {
    let mut kept = kept.iter().peekable();
    for group in own.chunk_by(|a, b| rank_of(*a) == rank_of(*b)) {
        let place = rows.winner(group);
        let (rank, winner) = (rank_of(group[place]), rows.fact(group[place]));
        while let Some(&&before) = kept.peek().filter(|(before, _)| *before < rank) {
            into.push(before);
            kept.next();
        }
        let present = kept.next_if(|(before, _)| *before == rank).map(|(_, entry)| *entry);
        let verdict = match present {
            Some(present) if !winner.entry.beats(present) => Verdict::Unchanged,
            _ if winner.entry.is_removal() => Verdict::Removed,
            Some(_) => Verdict::Renewed,
            None => Verdict::New,
        };
        into.push((rank, present.map_or(winner.entry, |present| present.merge(winner.entry))));
        fate(winner.feed, verdict);
        let others = group[..place].iter().chain(&group[place + 1..]);
        others.for_each(|row| fate(rows.fact(*row).feed, Verdict::Unchanged));
    }
    into.extend(kept);
}

/// The new rows within a part, a visitor at a time.
struct Fresh<'a> {
    rows: &'a Rows,
    pids: Range<u128>,
    /// The partition after the one that is sorted.
    next: usize,
    sorted: Sorted,
    /// The rows of the visitor on whom it stands.
    own: Range<usize>,
}

impl<'a> Fresh<'a> {
    fn new(rows: &'a Rows, part: Part) -> Result<Self, WriteError> {
        let pids = part.pids();
        let next = (pids.start >> REST_BITS) as usize;
        let mut fresh = Self { rows, pids, next, sorted: Sorted::default(), own: 0..0 };
        fresh.advance()?;
        Ok(fresh)
    }

    fn pid(&self) -> Option<Pid> {
        let row = self.sorted.rows.get(self.own.start).filter(|_| !self.own.is_empty())?;
        Some(pid_of(self.next - 1, *row)).filter(|pid| pid.bits() < self.pids.end)
    }

    fn own(&self) -> &[u128] {
        &self.sorted.rows[self.own.clone()]
    }

    fn advance(&mut self) -> Result<(), WriteError> {
        self.own.start = self.own.end;
        while self.own.start == self.sorted.rows.len() {
            let begins = (self.next as u128) << REST_BITS;
            if self.rows.is_empty() || self.next == PARTITIONS || begins >= self.pids.end {
                return Ok(());
            }
            self.rows.fetch(self.next, &mut self.sorted)?;
            self.next += 1;
            // A part smaller than a partition begins within it.
            let partition = self.next - 1;
            let first = self.sorted.rows.partition_point(|row| pid_of(partition, *row).bits() < self.pids.start);
            self.own = first..first;
        }
        let rest = &self.sorted.rows[self.own.start..];
        let pid = rest[0] >> BELOW_PID;
        self.own.end += rest.iter().take_while(|row| **row >> BELOW_PID == pid).count();
        Ok(())
    }
}

/// The visitors of the present images within a part.
struct Present<'a> {
    shards: &'a [Shard],
    maps: &'a [Vec<u32>],
    pids: Range<u128>,
    next_shard: usize,
    cursor: Option<ProfileCursor<'a>>,
    mapped: Vec<(u32, Entry)>,
}

impl<'a> Present<'a> {
    fn new(shards: &'a [Shard], maps: &'a [Vec<u32>], part: Part) -> Result<Self, ImageError> {
        let pids = part.pids();
        let first = Pid::from_bits(pids.start).leading(shards.len().max(1).ilog2()) as usize;
        let mut present = Self { shards, maps, pids, next_shard: first, cursor: None, mapped: Vec::new() };
        present.advance()?;
        // The first bucket may begin before the part.
        while present.pid().is_some_and(|pid| pid.bits() < present.pids.start) {
            present.advance()?;
        }
        Ok(present)
    }

    fn pid(&self) -> Option<Pid> {
        let pid = self.cursor.as_ref().and_then(ProfileCursor::pid);
        pid.filter(|pid| pid.bits() < self.pids.end)
    }

    fn entries(&self) -> &[(u32, Entry)] {
        &self.mapped
    }

    fn advance(&mut self) -> Result<(), ImageError> {
        loop {
            if let Some(cursor) = &mut self.cursor {
                cursor.advance()?;
                if cursor.pid().is_some() {
                    let map = &self.maps[self.next_shard - 1];
                    self.mapped.clear();
                    self.mapped.extend(cursor.entries.iter().map(|&(rank, entry)| (map[rank as usize], entry)));
                    if !self.mapped.is_sorted_by(|a, b| a.0 < b.0) {
                        self.mapped.sort_unstable_by_key(|(rank, _)| *rank);
                    }
                    return Ok(());
                }
            }
            let Some(shard) = self.shards.get(self.next_shard) else {
                self.cursor = None;
                return Ok(());
            };
            let header = shard.image().header();
            let first = Pid::from_bits(self.pids.start);
            let within = first.leading(header.geometry.shard_bits) == u64::from(header.shard);
            let start = if within { header.geometry.bucket(first) } else { 0 };
            let beyond =
                u64::from(header.shard) > Pid::from_bits(self.pids.end - 1).leading(header.geometry.shard_bits);
            let end = if beyond { start } else { header.geometry.buckets() };
            self.cursor = Some(ProfileCursor::new(shard.image(), start..end));
            self.next_shard = if beyond { self.shards.len() } else { self.next_shard + 1 };
        }
    }
}
