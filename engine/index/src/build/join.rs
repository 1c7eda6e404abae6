//! The join of present images and new rows, visitor by visitor, in the order of pseudonyms.

use std::ops::Range;

use crate::bars::Bars;
use crate::breath::{BREATH_VISITORS, Stride};
use crate::entry::Entry;
use crate::error::{ImageError, WriteError};
use crate::id::Pid;
use crate::image::{Image, ProfileCursor};
use crate::profiles::ProfileBytes;
use crate::shard::Shard;

use super::Purge;
use super::rows::{Rows, Sorted, rank_of};
use super::share::{BELOW_PID, PARTITIONS, REST_BITS, pid_of};
use super::survey::Input;

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
pub struct Visitor<'a, 'j> {
    /// Who.
    pub pid: Pid,
    /// What is kept of them; one entry at least.
    pub kept: Kept<'a, 'j>,
}

/// What is kept of a visitor.
pub enum Kept<'a, 'j> {
    /// What a present image has of them.
    Same(Same<'a>),
    /// Entries in the order of provisional ranks.
    Entries(&'j [(u32, Entry)]),
}

/// A profile as a present image has it.
#[derive(Clone, Copy)]
pub struct Same<'a> {
    /// The place of the image among the present ones.
    pub shard: u32,
    /// The profile.
    pub bytes: ProfileBytes<'a>,
}

/// Walks the join of one part.
pub struct Join<'a> {
    present: Present<'a>,
    fresh: Fresh<'a>,
    bars: Option<&'a Bars>,
    purge: Option<&'a Purge>,
    keeps_ranks: bool,
    merged: Vec<(u32, Entry)>,
    stride: Stride,
    /// Entries that left so far, because nothing that could come would lose to them or their visitor must stay out.
    pub purged: u64,
}

impl<'a> Join<'a> {
    /// Before the first visitor of the part.
    ///
    /// # Errors
    /// When an image is damaged, or rows on disk cannot be read.
    pub fn new(input: &Input<'a>, part: Part) -> Result<Self, WriteError> {
        let &Input { shards, maps, rows, bars, purge, keeps_ranks, .. } = input;
        let (present, fresh) = (Present::new(shards, maps, part)?, Fresh::new(rows, part)?);
        Ok(Self {
            present,
            fresh,
            bars,
            purge,
            keeps_ranks,
            merged: Vec::new(),
            stride: Stride::new(BREATH_VISITORS),
            purged: 0,
        })
    }

    /// The next visitor who keeps an entry; tells the fate of each new row by its feed.
    ///
    /// # Errors
    /// When an image is damaged, or rows on disk cannot be read.
    pub fn next(&mut self, mut fate: impl FnMut(u16, Verdict)) -> Result<Option<Visitor<'a, '_>>, WriteError> {
        loop {
            self.stride.step();
            let pids = [self.present.pid(), self.fresh.pid()];
            let Some(pid) = pids.into_iter().flatten().min() else { return Ok(None) };
            self.merged.clear();
            let (known, new) = (pids[0] == Some(pid), pids[1] == Some(pid));
            if let Some(same) = self.present.profile().filter(|_| known && !new && self.stays(pid)) {
                self.present.advance()?;
                return Ok(Some(Visitor { pid, kept: Kept::Same(same) }));
            }
            let kept = if known { self.present.entries()? } else { &[] };
            if new {
                merge(kept, self.fresh.rows, self.fresh.own(), &mut self.merged, &mut fate);
                self.fresh.advance()?;
            } else {
                self.merged.extend_from_slice(kept);
            }
            if known {
                self.present.advance()?;
            }
            let before = self.merged.len();
            match self.bars {
                Some(bars) if new => bars.retain(pid, &mut self.merged),
                Some(bars) => bars.retain_built(pid, &mut self.merged),
                None => {}
            }
            if let Some(purge) = self.purge {
                self.merged.retain(|&(rank, entry)| !purge.drops(rank, entry));
            }
            self.purged += (before - self.merged.len()) as u64;
            if !self.merged.is_empty() {
                return Ok(Some(Visitor { pid, kept: Kept::Entries(&self.merged) }));
            }
        }
    }

    /// Whether a visitor of whom nothing new came stays as they are.
    fn stays(&self, pid: Pid) -> bool {
        self.keeps_ranks && self.purge.is_none() && self.bars.is_none_or(|bars| !bars.bars_built(pid))
    }
}

impl<'a> Same<'a> {
    /// The image that has it.
    #[must_use]
    pub fn image(self, shards: &'a [Shard]) -> &'a Image {
        shards[self.shard as usize].image()
    }

    /// Appends the entries, by their ranks in that image.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn entries(self, shards: &[Shard], into: &mut Vec<(u32, Entry)>) -> Result<(), ImageError> {
        shards[self.shard as usize].image().entries(self.bytes, into)
    }
}

/// Puts entries into the order of their ranks, in which most are already.
pub fn sort(entries: &mut [(u32, Entry)]) {
    if !entries.is_sorted_by(|a, b| a.0 < b.0) {
        entries.sort_unstable_by_key(|(rank, _)| *rank);
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

    fn profile(&self) -> Option<Same<'a>> {
        let bytes = self.cursor.as_ref()?.profile()?;
        Some(Same { shard: self.next_shard as u32 - 1, bytes })
    }

    /// The entries of the visitor on whom it stands, in the order of provisional ranks.
    fn entries(&mut self) -> Result<&[(u32, Entry)], ImageError> {
        self.mapped.clear();
        if let Some(same) = self.profile() {
            let map = &self.maps[same.shard as usize];
            same.entries(self.shards, &mut self.mapped)?;
            self.mapped.iter_mut().for_each(|(rank, _)| *rank = map[*rank as usize]);
        }
        sort(&mut self.mapped);
        Ok(&self.mapped)
    }

    fn advance(&mut self) -> Result<(), ImageError> {
        loop {
            if let Some(cursor) = &mut self.cursor {
                cursor.step()?;
                if cursor.pid().is_some() {
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
