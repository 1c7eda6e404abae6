//! The rows that models learn from and curves are drawn on: whole blocks picked by lot, or everybody where there are few.

use rayon::prelude::*;
use usher_index::bits::BLOCK;
use usher_index::{Bits, ImageError};

use super::features::HIDDEN;
use super::population::{Population, within_block};
use super::rows::{lot, lot_of};
use super::scan::{Packed, Sums, accumulate};
use super::seed::{Place, Seed};

/// Visitors that are sampled, at least: of 20 thousand the models had 0.98 of the average precision of all.
pub const SAMPLE_VISITORS: u64 = 200_000;

/// A block of the sample.
pub struct Block {
    pub shard: usize,
    pub block: usize,
    /// Who is eligible, not touched and not in the seed.
    pub ranked: Bits,
    count: usize,
}

/// The sample. Its rows: those of its blocks, then touched visitors, both without the seed; then all seed members.
pub struct Sample {
    pub blocks: Vec<Block>,
    /// Places of touched visitors.
    pub touched: Vec<u32>,
    /// Whether a seed member is one of the sampled visitors.
    pub seed_inside: Vec<bool>,
    /// How many rows are not of the seed: the *ranked* ones.
    pub ranked: usize,
    /// The rows in an order drawn by lot.
    pub order: Vec<u32>,
    /// Whether it is everybody.
    pub whole: bool,
}

impl Sample {
    /// Draws a sample of at least `visitors`.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn new(population: &Population<'_>, seed: &Seed, visitors: u64) -> Result<Self, ImageError> {
        let (chosen, share) = choose(population, visitors);
        let blocks = chosen.par_iter().map_init(Sums::default, |sums, &(shard, block)| {
            let part = &population.shards[shard];
            let visible = (0..).zip(&part.numbers).filter(|(_, number)| **number != HIDDEN);
            let visible: Vec<(u32, i64)> = visible.map(|(rank, _)| (rank, 1)).collect();
            accumulate(part, block, &visible, sums)?;
            let mut ranked = Bits::empty();
            let eligible = (0..=u16::MAX).zip(sums.of.iter()).filter(|(_, sum)| **sum > 0);
            eligible.for_each(|(ordinal, _)| ranked.insert(ordinal));
            within_block(seed.ordinals(shard), block).for_each(|ordinal| ranked.remove(ordinal));
            let count = ranked.count() as usize;
            Ok(Block { shard, block, ranked, count })
        });
        let blocks: Vec<Block> = blocks.collect::<Result<_, ImageError>>()?;
        // Touched visitors stand in no block: as many of them are taken as of the others.
        let inside = |pid| share >= 1.0 || (lot_of(pid) as f64) < share * u64::MAX as f64;
        let touched = (0..population.touched.len() as u32).filter(|&place| {
            let pid = population.touched[place as usize];
            !population.rows.get(place as usize).is_empty() && inside(pid) && !seed.holds(pid)
        });
        let touched: Vec<u32> = touched.collect();
        let seed_inside = seed.members.iter().map(|&(pid, place)| match place {
            Place::Image(shard, ordinal) => {
                share >= 1.0 || chosen.contains(&(shard as usize, (ordinal / BLOCK) as usize))
            }
            Place::Touched(_) => inside(pid),
        });
        let seed_inside = seed_inside.collect();
        let ranked = blocks.iter().map(|block| block.count).sum::<usize>() + touched.len();
        let mut sample = Self { blocks, touched, seed_inside, ranked, order: Vec::new(), whole: share >= 1.0 };
        sample.order = sample.draw(population, seed);
        Ok(sample)
    }

    fn draw(&self, population: &Population<'_>, seed: &Seed) -> Vec<u32> {
        let of_ordinal = |shard: usize, ordinal: u32| lot((shard as u64) << 32 | u64::from(ordinal));
        let mut lots: Vec<(u64, u32)> = Vec::with_capacity(self.ranked + seed.members.len());
        let mut add = |lot: u64| lots.push((lot, lots.len() as u32));
        for Block { shard, block, ranked, .. } in &self.blocks {
            let first = *block as u32 * BLOCK;
            ranked.iter().for_each(|ordinal| add(of_ordinal(*shard, first + u32::from(ordinal))));
        }
        self.touched.iter().for_each(|&place| add(lot_of(population.touched[place as usize])));
        seed.members.iter().for_each(|&(pid, place)| match place {
            Place::Image(shard, ordinal) => add(of_ordinal(shard as usize, ordinal)),
            Place::Touched(_) => add(lot_of(pid)),
        });
        lots.par_sort_unstable();
        lots.into_iter().map(|(_, row)| row).collect()
    }

    /// The sum of every row's values.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn sums(&self, population: &Population<'_>, seed: &Seed, of: &Packed) -> Result<Vec<i64>, ImageError> {
        let ranks: Vec<Vec<(u32, i64)>> = population.shards.iter().map(|part| of.of_ranks(part)).collect();
        let mut rows = vec![0; self.ranked + seed.members.len()];
        let (mut rest, mut pieces) = (&mut rows[..], Vec::with_capacity(self.blocks.len()));
        for block in &self.blocks {
            let (own, others) = rest.split_at_mut(block.count);
            pieces.push((block, own));
            rest = others;
        }
        pieces.into_par_iter().try_for_each_init(Sums::default, |sums, (block, own)| {
            accumulate(&population.shards[block.shard], block.block, &ranks[block.shard], sums)?;
            own.iter_mut().zip(block.ranked.iter()).for_each(|(sum, ordinal)| *sum = sums.of[usize::from(ordinal)]);
            Ok::<(), ImageError>(())
        })?;
        let (touched, members) = rest.split_at_mut(self.touched.len());
        let places = touched.iter_mut().zip(&self.touched);
        places.for_each(|(sum, &place)| *sum = of.sum(population.rows.get(place as usize)));
        members.iter_mut().enumerate().for_each(|(member, sum)| *sum = of.sum(seed.rows.get(member)));
        Ok(rows)
    }
}

/// Blocks (shard, block) in the order of their lots, and the share of all visitors that they have.
fn choose(population: &Population<'_>, visitors: u64) -> (Vec<(usize, usize)>, f64) {
    let shards = population.shards.iter().enumerate();
    let mut all: Vec<(usize, usize)> =
        shards.flat_map(|(shard, part)| (0..part.shard.blocks()).map(move |block| (shard, block))).collect();
    let len = |&(shard, block): &(usize, usize)| u64::from(population.shards[shard].shard.block_len(block));
    let total: u64 = all.iter().map(len).sum();
    if total <= visitors {
        return (all, 1.0);
    }
    all.sort_by_key(|&(shard, block)| lot((shard as u64) << 32 | block as u64));
    let mut sum = 0;
    let taken = all.iter().take_while(|block| {
        let more = sum < visitors;
        sum += if more { len(block) } else { 0 };
        more
    });
    let taken = taken.count();
    all.truncate(taken);
    all.sort_unstable();
    (all, if sum == total { 1.0 } else { sum as f64 / total as f64 })
}
