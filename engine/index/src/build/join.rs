//! The join of present images and new rows, visitor by visitor, in the order of pseudonyms.

use std::cmp::Reverse;
use std::ops::Range;

use rayon::slice::ParallelSliceMut;

use crate::entry::Entry;
use crate::error::ImageError;
use crate::id::Pid;
use crate::image::ProfileCursor;
use crate::shard::Shard;

use super::Purge;
use super::batch::Batch;
use super::ranking::Ranking;

/// The most feeds of one build.
pub const MAX_FEEDS: usize = 65_536;

/// A new row, ready to be sorted.
#[derive(Clone, Copy)]
struct Row {
    pid: Pid,
    feed: u16,
    rank: u32,
    entry: Entry,
}

impl Row {
    /// The winner of a (visitor, segment) comes first; of equal rows that of the first feed.
    fn order(&self) -> (u128, u32, Reverse<crate::time::Tick>, crate::time::Tick, u16) {
        (self.pid.bits(), self.rank, Reverse(self.entry.observed), self.entry.expiry, self.feed)
    }
}

/// The new rows of a build, sorted by visitor and segment.
pub struct Rows(Vec<Row>);

impl Rows {
    /// Sorts the rows of all batches; ranks are provisional.
    #[must_use]
    pub fn sorted(batches: Vec<Batch>, ranking: &Ranking) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for (feed, batch) in batches.into_iter().enumerate() {
            let ranks = ranking.map(batch.segments().names());
            let row = |m: crate::membership::Membership| Row {
                pid: m.pid(),
                feed: feed as u16,
                rank: ranks[m.segment() as usize],
                entry: m.entry(),
            };
            if rows.is_empty() {
                // Same size, same alignment: the allocation of the batch is used again.
                rows = batch.into_rows().into_iter().map(row).collect();
            } else {
                rows.extend(batch.into_rows().into_iter().map(row));
            }
        }
        rows.par_sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        Self(rows)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most so many visitors are in the rows.
    #[must_use]
    pub fn visitors(&self) -> u64 {
        self.0.chunk_by(|a, b| a.pid == b.pid).count() as u64
    }

    fn within(&self, part: Part) -> &[Row] {
        let range = part.pids();
        let place = |bits: u128| self.0.partition_point(|row| row.pid.bits() < bits);
        &self.0[place(range.start)..place(range.end)]
    }
}

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
    rows: &'a [Row],
    purge: Option<&'a Purge>,
    merged: Vec<(u32, Entry)>,
    /// Entries that the purge dropped so far.
    pub purged: u64,
}

impl<'a> Join<'a> {
    /// Before the first visitor of the part. `maps`: the provisional rank of each rank, by shard.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn new(
        shards: &'a [Shard],
        maps: &'a [Vec<u32>],
        rows: &'a Rows,
        purge: Option<&'a Purge>,
        part: Part,
    ) -> Result<Self, ImageError> {
        let present = Present::new(shards, maps, part)?;
        Ok(Self { present, rows: rows.within(part), purge, merged: Vec::new(), purged: 0 })
    }

    /// The next visitor who keeps an entry; tells the fate of each new row by its feed.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn next(&mut self, mut fate: impl FnMut(u16, Verdict)) -> Result<Option<Visitor<'_>>, ImageError> {
        loop {
            let pids = [self.present.pid(), self.rows.first().map(|row| row.pid)];
            let Some(pid) = pids.into_iter().flatten().min() else { return Ok(None) };
            self.merged.clear();
            let known = self.present.pid() == Some(pid);
            let own = self.rows.iter().take_while(|row| row.pid == pid).count();
            let (own, rest) = self.rows.split_at(own);
            let kept = if known { self.present.entries() } else { &[] };
            merge(kept, own, &mut self.merged, &mut fate);
            self.rows = rest;
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

/// Merges two lists, ascending in rank. Of a rank's rows the first is the winner.
fn merge(kept: &[(u32, Entry)], rows: &[Row], into: &mut Vec<(u32, Entry)>, fate: &mut impl FnMut(u16, Verdict)) {
    let mut kept = kept.iter().peekable();
    for group in rows.chunk_by(|a, b| a.rank == b.rank) {
        let winner = group[0];
        while let Some(&&before) = kept.peek().filter(|(rank, _)| *rank < winner.rank) {
            into.push(before);
            kept.next();
        }
        let present = kept.next_if(|(rank, _)| *rank == winner.rank).map(|(_, entry)| *entry);
        let verdict = match present {
            Some(present) if !winner.entry.beats(present) => Verdict::Unchanged,
            _ if winner.entry.is_removal() => Verdict::Removed,
            Some(_) => Verdict::Renewed,
            None => Verdict::New,
        };
        into.push((winner.rank, present.map_or(winner.entry, |present| present.merge(winner.entry))));
        fate(winner.feed, verdict);
        group[1..].iter().for_each(|row| fate(row.feed, Verdict::Unchanged));
    }
    into.extend(kept);
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
