//! The audience: the visitors most like the seed, so many of them exactly.

use rayon::prelude::*;
use usher_index::bits::BLOCK;
use usher_index::{Bits, ImageError, Pid};

use super::curve::visitors_at;
use super::features::HIDDEN;
use super::model::Model;
use super::population::{Population, within_block};
use super::rows::{key, lot_of, score_of};
use super::scan::{Sums, accumulate};
use super::seed::{Place, Profiles};

/// Bits of a key that are counted first.
const COARSE_BITS: u32 = 16;

/// How many visitors are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// This share of the ranked visitors.
    Reach(f64),
    /// So many; at most all.
    Visitors(u64),
}

/// Who was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Ascending.
    pub pids: Vec<Pid>,
    /// The score of the last of them.
    pub threshold: f32,
    /// Of how many.
    pub ranked: u64,
}

/// A key for everybody of a block; 0: not ranked.
type Keys = Box<[u32]>;

impl Model {
    /// Chooses the visitors with the highest scores among those who are eligible and not in the seed: as many as are
    /// wanted, exactly. Who has the score of the last goes by a lot of his or her own, the same every time.
    ///
    /// Time: one walk over all members of all features; 4 bytes of memory a visitor.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn choose(&self, population: &Population<'_>, wanted: Wanted) -> Result<Chosen, ImageError> {
        let out = self.seed_ordinals(population)?;
        let keys: Vec<Vec<Keys>> = (0..population.shards.len())
            .map(|shard| self.keys_of_shard(population, shard, &out[shard]))
            .collect::<Result<_, _>>()?;
        let touched: Vec<u32> =
            (0..population.touched.len()).map(|place| self.touched_key(population, place)).collect();
        let all = || keys.iter().flatten().map(|keys| &keys[..]).chain([&touched[..]]);
        let ranked = all().map(|keys| keys.iter().filter(|&&key| key != 0).count() as u64).sum();
        let count = match wanted {
            Wanted::Reach(reach) => visitors_at(reach.clamp(0.0, 1.0), ranked),
            Wanted::Visitors(visitors) => visitors.min(ranked),
        };
        let (last, above) = nth(&all, count);
        let mut chosen = Vec::with_capacity(count as usize);
        let mut tied = Vec::new();
        let mut take = |key: u32, pid: Pid| {
            if key > last {
                chosen.push(pid);
            } else {
                tied.push((lot_of(pid), pid));
            }
        };
        for (part, keys) in population.shards.iter().zip(&keys) {
            for (block, keys) in keys.iter().enumerate() {
                let first = block as u32 * BLOCK;
                if count == 0 || !keys.iter().any(|&key| key >= last && key != 0) {
                    continue;
                }
                part.shard.image().each_pid(first..first + keys.len() as u32, |ordinal, pid| {
                    let key = keys[(ordinal - first) as usize];
                    if key >= last && key != 0 {
                        take(key, pid);
                    }
                })?;
            }
        }
        let touched = touched.iter().zip(&population.touched).filter(|(key, _)| **key >= last && **key != 0);
        touched.for_each(|(&key, &pid)| take(key, pid));
        tied.sort_unstable();
        chosen.extend(tied.into_iter().take((count - above) as usize).map(|(_, pid)| pid));
        chosen.truncate(count as usize);
        chosen.sort_unstable();
        Ok(Chosen { pids: chosen, threshold: score_of(last), ranked })
    }

    /// Where the seed stands in each shard, ascending.
    fn seed_ordinals(&self, population: &Population<'_>) -> Result<Vec<Vec<u32>>, ImageError> {
        let mut out = vec![Vec::new(); population.shards.len()];
        let mut profiles = Profiles::default();
        for &pid in &self.seed {
            if let Some(Place::Image(shard, ordinal)) = profiles.read(population, pid)? {
                out[shard as usize].push(ordinal);
            }
        }
        // Pseudonyms ascend, and so do their ordinals.
        debug_assert!(out.iter().all(|ordinals| ordinals.is_sorted()));
        Ok(out)
    }

    fn keys_of_shard(&self, population: &Population<'_>, shard: usize, out: &[u32]) -> Result<Vec<Keys>, ImageError> {
        let part = &population.shards[shard];
        let values = |of: fn(&Self) -> Option<&super::scan::Packed>| of(self).map(|packed| packed.of_ranks(part));
        let iv = values(|model| Some(model.scorer.values().0)).unwrap_or_default();
        let pairs = values(|model| model.scorer.values().1);
        debug_assert!(part.numbers.iter().filter(|number| **number != HIDDEN).count() >= iv.len());
        let blocks = (0..part.shard.blocks()).into_par_iter();
        let keys = blocks.map_init(<(Sums, Sums)>::default, |(iv_sums, pair_sums), block| {
            accumulate(part, block, &iv, iv_sums)?;
            if let Some(pairs) = &pairs {
                accumulate(part, block, pairs, pair_sums)?;
            }
            let mut seed = Bits::empty();
            within_block(out, block).for_each(|ordinal| seed.insert(ordinal));
            let len = part.shard.block_len(block) as usize;
            let sums = (0..=u16::MAX).zip(iv_sums.of.iter().zip(pair_sums.of.iter())).take(len);
            let key = |(ordinal, (&iv, &pair)): (u16, (&i64, &i64))| {
                let ranked = self.scorer.values().0.low(iv) > 0 && !seed.contains(ordinal);
                if ranked { key(self.scorer.score(iv, pair)) } else { 0 }
            };
            Ok(sums.map(key).collect())
        });
        keys.collect()
    }

    fn touched_key(&self, population: &Population<'_>, place: usize) -> u32 {
        let numbers = population.rows.get(place);
        let ranked = !numbers.is_empty() && !self.is_seed(population.touched[place]);
        if ranked { key(self.scorer.score_of(numbers)) } else { 0 }
    }
}

/// The key of the `count`-th best, and how many are better than it.
fn nth<'k, I: Iterator<Item = &'k [u32]>>(all: &impl Fn() -> I, count: u64) -> (u32, u64) {
    let shift = u32::BITS - COARSE_BITS;
    let mut coarse = vec![0u64; 1 << COARSE_BITS];
    all().flatten().filter(|&&key| key != 0).for_each(|&key| coarse[(key >> shift) as usize] += 1);
    let Some((bin, above)) = descend(&coarse, count) else { return (u32::MAX, count) };
    let mut fine = vec![0u64; 1 << shift];
    let inside = all().flatten().filter(|&&key| key != 0 && (key >> shift) as usize == bin);
    inside.for_each(|&key| fine[(key & ((1 << shift) - 1)) as usize] += 1);
    let (low, more) = descend(&fine, count - above).unwrap_or((0, 0));
    ((bin << shift | low) as u32, above + more)
}

/// The bin that holds the `count`-th, counted from the last, and how many are in the bins after it. `None` for the 0th.
fn descend(bins: &[u64], count: u64) -> Option<(usize, u64)> {
    let mut above = 0;
    for (bin, &here) in bins.iter().enumerate().rev() {
        if count > 0 && above + here >= count {
            return Some((bin, above));
        }
        above += here;
    }
    None
}
