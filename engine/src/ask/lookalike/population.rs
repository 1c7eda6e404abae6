//! Who there is, and how many have each feature: exact counts over the live memberships of images and changes.

use std::sync::Arc;

use rayon::prelude::*;
use usher_index::bits::BLOCK;
use usher_index::overlay::Touched;
use usher_index::{ImageError, Overlay, Pid, Shard, Snapshot, Sweep, Tick, Time};

use super::features::{Exclusion, Features, HIDDEN};
use super::rows::Rows;
use super::scan::{Sums, accumulate};

/// What is not looked up yet.
const UNASKED: u32 = HIDDEN - 1;

/// The visitors with at least one live feature, who have not opted out: *eligible*.
pub struct Population<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) tick: Tick,
    pub(super) features: Features,
    pub(super) shards: Vec<Part<'s>>,
    /// Whom changes concern, ascending.
    pub(super) touched: Vec<Pid>,
    /// What each of them has; nothing: not eligible.
    pub(super) rows: Rows,
    counts: Vec<u64>,
    eligible: u64,
}

/// One shard's images, less those whom changes concern.
pub struct Part<'s> {
    pub(super) shard: &'s Shard,
    pub(super) sweep: Arc<Sweep>,
    /// By rank.
    pub(super) numbers: Vec<u32>,
    /// The ordinals of those whom changes concern, ascending.
    touched: Vec<u32>,
}

impl Part<'_> {
    /// The touched ordinals of a block, counted from its first.
    pub(super) fn touched(&self, block: usize) -> impl Iterator<Item = u16> {
        within_block(&self.touched, block)
    }

    /// The number of a rank.
    pub(super) fn number(&self, rank: u32) -> Option<u32> {
        self.numbers.get(rank as usize).copied().filter(|&number| number != HIDDEN)
    }
}

/// Those of some ascending ordinals that a block has, counted from its first.
pub(super) fn within_block(ordinals: &[u32], block: usize) -> impl Iterator<Item = u16> {
    let first = block as u32 * BLOCK;
    let start = ordinals.partition_point(|&ordinal| ordinal < first);
    let inside = ordinals[start..].iter().take_while(move |&&ordinal| ordinal / BLOCK == block as u32);
    inside.map(|ordinal| (ordinal % BLOCK) as u16)
}

impl<'s> Population<'s> {
    /// Counts the population at `now`. Time: that of the dead ([`Shard::at`]) and of a look at every container's size; a
    /// profile for everyone whom changes concern; with segments that are no features, a walk over all others' members.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn new(
        snapshot: &'s Snapshot,
        overlay: &Overlay,
        exclude: &[Exclusion],
        now: Time,
    ) -> Result<Self, ImageError> {
        let tick = snapshot.tick().floor(now);
        let all = overlay.all();
        // Asked for after the visitors: no name of theirs is missing.
        let features = Features::new(snapshot, overlay, tick, exclude);
        let rows = rows_of(&all, &features, tick);
        let touched: Vec<Pid> = all.into_iter().map(|(pid, _)| pid).collect();
        let number = |pid: Pid| snapshot.shard_number(pid);
        let parts = snapshot.shards().par_iter().enumerate().map(|(shard_number, shard)| {
            let start = touched.partition_point(|&pid| number(pid) < shard_number);
            let end = touched.partition_point(|&pid| number(pid) <= shard_number);
            count(shard, &features, &touched[start..end], tick)
        });
        let counted: Vec<(Part<'s>, Counts)> = parts.collect::<Result<_, _>>()?;
        let (mut shards, mut all) = (Vec::new(), Counts { of: vec![0; features.len()], eligible: 0 });
        for (part, counts) in counted {
            all.of.iter_mut().zip(&counts.of).for_each(|(all, count)| *all += count);
            all.eligible += counts.eligible;
            shards.push(part);
        }
        for row in 0..rows.len() {
            rows.get(row).iter().for_each(|&number| all.of[number as usize] += 1);
            all.eligible += i64::from(!rows.get(row).is_empty());
        }
        let counts = all.of.into_iter().map(|count| u64::try_from(count).unwrap_or(0)).collect();
        let eligible = u64::try_from(all.eligible).unwrap_or(0);
        Ok(Self { snapshot, tick, features, shards, touched, rows, counts, eligible })
    }

    /// The features.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// How many visitors have each feature, by number.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many visitors are eligible.
    pub fn eligible(&self) -> u64 {
        self.eligible
    }

    /// How many features they have together.
    pub fn memberships(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The place of a visitor among the touched.
    pub(super) fn touched_place(&self, pid: Pid) -> Option<usize> {
        self.touched.binary_search(&pid).ok()
    }
}

struct Counts {
    of: Vec<i64>,
    eligible: i64,
}

/// What touched visitors have, in their order.
fn rows_of(all: &[(Pid, Arc<Touched>)], features: &Features, tick: Tick) -> Rows {
    let (mut rows, mut numbers, mut kept) = (Rows::default(), Vec::new(), Vec::new());
    for (_, touched) in all {
        kept.clear();
        for held in touched.entries.iter().filter(|held| held.entry.live(tick)) {
            let own = held.name.number() as usize;
            if numbers.len() <= own {
                numbers.resize(own + 1, UNASKED);
            }
            if numbers[own] == UNASKED {
                numbers[own] = features.number(&held.name.segment.name);
            }
            kept.extend(Some(numbers[own]).filter(|&number| number != HIDDEN));
        }
        rows.push(kept.iter().copied());
    }
    rows
}

/// A shard without its touched visitors, and its counts.
fn count<'s>(
    shard: &'s Shard,
    features: &Features,
    touched: &[Pid],
    tick: Tick,
) -> Result<(Part<'s>, Counts), ImageError> {
    let (sweep, image) = (shard.at(tick)?, shard.image());
    let numbers: Vec<u32> = shard.names().iter().map(|name| features.number(name)).collect();
    let mut counts = Counts { of: vec![0; features.len()], eligible: 0 };
    let blocks = image.blocks().iter().enumerate();
    let live = |rank: u32| -> i64 {
        blocks
            .clone()
            .map(|(at, block)| i64::from(block.members(rank as usize)) - sweep.dead(at, rank).len() as i64)
            .sum()
    };
    for (rank, &number) in (0..).zip(&numbers).filter(|(_, number)| **number != HIDDEN) {
        counts.of[number as usize] += live(rank);
    }
    let mut part = Part { shard, sweep: Arc::clone(&sweep), numbers, touched: Vec::new() };
    let (mut codes, mut ranks, mut live_before) = (Vec::new(), Vec::new(), 0);
    for &pid in touched {
        let Some(found) = image.find(pid)? else { continue };
        part.touched.push(found.ordinal);
        image.live(found.bytes, tick, &mut codes, &mut ranks)?;
        live_before += i64::from(!ranks.is_empty());
        ranks.iter().filter_map(|&rank| part.number(rank)).for_each(|number| counts.of[number as usize] -= 1);
    }
    let all_visible = part.numbers.iter().all(|&number| number != HIDDEN);
    counts.eligible = if all_visible { live(shard.everyone_rank()) - live_before } else { count_eligible(&part)? };
    Ok((part, counts))
}

/// Walks every feature's members.
fn count_eligible(part: &Part<'_>) -> Result<i64, ImageError> {
    let visible: Vec<(u32, i64)> =
        (0..).zip(&part.numbers).filter(|(_, number)| **number != HIDDEN).map(|(rank, _)| (rank, 1)).collect();
    let blocks = (0..part.shard.blocks()).into_par_iter();
    let eligible = blocks.map_init(Sums::default, |sums, block| {
        accumulate(part, block, &visible, sums)?;
        Ok::<i64, ImageError>(sums.of.iter().filter(|&&sum| sum > 0).count() as i64)
    });
    eligible.try_reduce(|| 0, |a, b| Ok(a + b))
}
