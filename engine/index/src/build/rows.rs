//! The new rows of a build, a partition at a time in the order of visitors and segments.

use std::cmp::Reverse;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::entry::Entry;
use crate::error::{FileError, WriteError};
use crate::time::Tick;

use super::batch::Batch;
use super::join::MAX_FEEDS;
use super::ranking::Ranking;
use super::share::{BELOW_PID, CODE_BITS, PARTITIONS, RANK_BITS, Share};

/// About so many rows are sorted by comparison at a time.
const BUCKET_ROWS: usize = 16;
/// The most buckets that a partition is spread over, as a power of two.
const MAX_BUCKET_BITS: u32 = 14;
/// Up to so many rows on disk their visitors are counted; beyond, they are estimated.
const COUNTED_ROWS: u64 = 1 << 20;
/// In how many partitions visitors are counted for an estimate. Pseudonyms are spread evenly.
const COUNTED_PARTITIONS: usize = 32;

/// What a packed row's code stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fact {
    /// From when until when.
    pub(super) entry: Entry,
    /// The feed that brought it.
    pub(super) feed: u16,
}

impl Fact {
    /// The winner of a (visitor, segment) comes first; of equal facts that of the first feed.
    fn order(&self) -> (Reverse<Tick>, Tick, u16) {
        (Reverse(self.entry.observed), self.entry.expiry, self.feed)
    }
}

/// The rows of one admission, and what its numbers are in the build.
struct Part {
    share: Share,
    /// The provisional rank of each segment.
    ranks: Vec<u32>,
    /// The code that its first one becomes.
    first_code: u32,
}

/// The new rows of a build.
pub struct Rows {
    parts: Vec<Part>,
    facts: Vec<Fact>,
    len: u64,
    /// Whether the rows lie in order already: then none of them is on disk.
    in_order: bool,
    visitors: u64,
}

impl Rows {
    /// Takes the rows of all batches; ranks are provisional. Rows that are all in memory are put in order there.
    ///
    /// # Errors
    /// When a batch could not keep its rows, or there are too many segments or times to be packed.
    pub fn new(batches: Vec<Batch>, ranking: &Ranking) -> Result<Self, WriteError> {
        bound("feeds of one build", batches.len() as u64, MAX_FEEDS as u64)?;
        bound("segments of one build", ranking.segments.len() as u64, 1 << RANK_BITS)?;
        let times = batches.iter().flat_map(Batch::shares).map(|share| share.entries().len() as u64).sum();
        bound("distinct times of one build", times, u64::from(u32::MAX))?;
        let facts = Vec::with_capacity(times as usize);
        let mut rows = Self { parts: Vec::new(), facts, len: 0, in_order: false, visitors: 0 };
        for (feed, batch) in batches.into_iter().enumerate() {
            for share in batch.whole()?.into_shares() {
                let first_code = rows.facts.len() as u32;
                rows.facts.extend(share.entries().iter().map(|&entry| Fact { entry, feed: feed as u16 }));
                rows.len += share.len;
                rows.parts.push(Part { ranks: ranking.map(share.segments.names()), share, first_code });
            }
        }
        rows.in_order = rows.parts.iter().all(|part| !part.share.is_on_disk());
        rows.visitors = if rows.in_order { rows.put_in_order() } else { rows.estimate()? };
        Ok(rows)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// So many visitors are in the rows; about so many when some are on disk.
    #[must_use]
    pub fn visitors(&self) -> u64 {
        self.visitors
    }

    /// Sorts each partition and puts it back where its rows lay: the build walks them twice. Answers how many visitors
    /// there are.
    fn put_in_order(&mut self) -> u64 {
        let mut partitions: Vec<Vec<&mut [u128]>> = std::iter::repeat_with(Vec::new).take(PARTITIONS).collect();
        let mut numbers = Vec::new();
        for Part { share, ranks, first_code } in &mut self.parts {
            for (partition, rows) in share.each_mut() {
                if partition == 0 {
                    numbers.push((&**ranks, *first_code));
                }
                partitions[partition].push(rows);
            }
        }
        let sort = |scratch: &mut Sorted, mut pieces: Vec<&mut [u128]>| {
            scratch.gathered.clear();
            for (piece, &(ranks, first_code)) in pieces.iter().zip(&numbers) {
                scratch.gathered.extend(piece.iter().map(|row| translate(*row, ranks, first_code)));
            }
            scratch.order();
            let mut rest = &scratch.rows[..];
            for piece in &mut pieces {
                let (own, after) = rest.split_at(piece.len());
                piece.copy_from_slice(own);
                rest = after;
            }
            scratch.visitors()
        };
        partitions.into_par_iter().map_init(Sorted::default, sort).sum()
    }

    /// About how many visitors there are: pseudonyms are spread evenly.
    fn estimate(&self) -> Result<u64, WriteError> {
        let counted = if self.len <= COUNTED_ROWS { PARTITIONS } else { COUNTED_PARTITIONS };
        let count = |partition| {
            let mut sorted = Sorted::default();
            self.fetch(partition, &mut sorted)?;
            Ok(sorted.visitors())
        };
        let counts: Result<Vec<u64>, WriteError> = (0..counted).into_par_iter().map(count).collect();
        Ok(counts?.iter().sum::<u64>() * (PARTITIONS / counted) as u64)
    }

    /// The fact behind a packed row.
    #[inline]
    pub(super) fn fact(&self, row: u128) -> Fact {
        self.facts[(row as u32) as usize]
    }

    /// The winner among the rows of one visitor and segment: its place.
    #[inline]
    pub(super) fn winner(&self, group: &[u128]) -> usize {
        if group.len() == 1 {
            return 0;
        }
        (0..group.len()).min_by_key(|&at| self.fact(group[at]).order()).unwrap_or(0)
    }

    /// The rows of a partition by visitor and provisional rank.
    pub(super) fn fetch(&self, partition: usize, into: &mut Sorted) -> Result<(), WriteError> {
        if self.in_order {
            into.rows.clear();
            self.parts.iter().for_each(|part| part.share.copy(partition, &mut into.rows));
            return Ok(());
        }
        into.gathered.clear();
        into.gathered.reserve(self.parts.iter().map(|part| part.share.rows(partition)).sum());
        for Part { share, ranks, first_code } in &self.parts {
            let read = share.each(partition, |row| into.gathered.push(translate(row, ranks, *first_code)));
            read.map_err(FileError::new("read the temporary file of rows in", share.folder()))?;
        }
        into.order();
        Ok(())
    }
}

/// The rows of one partition in order, with what is needed to make them so.
#[derive(Default)]
pub(super) struct Sorted {
    /// The rows.
    pub(super) rows: Vec<u128>,
    gathered: Vec<u128>,
    ends: Vec<u32>,
}

impl Sorted {
    /// Sorts what was gathered.
    ///
    /// The next bits of the pseudonym spread rows over buckets of about sixteen; only within those are rows compared.
    /// Linear in the rows, as pseudonyms are even.
    fn order(&mut self) {
        let Self { rows, gathered, ends } = self;
        let bits = (gathered.len() / BUCKET_ROWS).max(1).ilog2().clamp(1, MAX_BUCKET_BITS);
        let bucket = |row: u128| (row >> (u128::BITS - bits)) as usize;
        ends.clear();
        ends.resize(1 << bits, 0);
        gathered.iter().for_each(|&row| ends[bucket(row)] += 1);
        let mut total = 0;
        for end in ends.iter_mut() {
            total += std::mem::replace(end, total);
        }
        rows.resize(gathered.len(), 0);
        for &row in gathered.iter() {
            let place = &mut ends[bucket(row)];
            rows[*place as usize] = row;
            *place += 1;
        }
        let mut start = 0;
        for &end in ends.iter() {
            rows[start..end as usize].sort_unstable();
            start = end as usize;
        }
    }

    /// How many visitors the rows have.
    fn visitors(&self) -> u64 {
        self.rows.chunk_by(|a, b| a >> BELOW_PID == b >> BELOW_PID).count() as u64
    }
}

/// The row with its segment's provisional rank and its code in the build.
#[inline]
fn translate(row: u128, ranks: &[u32], first_code: u32) -> u128 {
    let rank = ranks[rank_of(row) as usize];
    row >> BELOW_PID << BELOW_PID | u128::from(rank) << CODE_BITS | u128::from(row as u32 + first_code)
}

/// The segment of a packed row.
#[inline]
pub(super) fn rank_of(row: u128) -> u32 {
    (row >> CODE_BITS) as u32 & ((1 << RANK_BITS) - 1)
}

fn bound(what: &'static str, found: u64, bound: u64) -> Result<(), WriteError> {
    if found > bound { Err(WriteError::Bound { what, found, bound }) } else { Ok(()) }
}
