//! Stage 2: a scaled ridge on the seed's strongest features and the pairs of the strongest of those. Nothing is prepared
//! before the seed is known.
//!
//! The weights of several models (that of the whole seed, and those without a fold) are found side by side: what is
//! counted for one is there for all.

use std::collections::BTreeSet;

use rayon::prelude::*;
use usher_index::ImageError;

use super::columns::{CLASSES, Columns};
use super::population::Population;
use super::ridge::{Symmetric, solve};
use super::rows::{key, sort_by_key};
use super::sample::Sample;
use super::scan::Packed;
use super::seed::{FOLDS, Seed};

/// Only so many of the largest features can be selected.
const POOL: usize = 4_000;
/// How many features are selected.
const SELECTED: usize = 150;
/// Of how many of them pairs are made: the bits of a mask.
pub const BITS: usize = 16;
/// Fewer rows that have both, and a pair is left out.
const LEAST_PAIR: f64 = 5.0;
/// The strength of the ridge, in memberships a seed visitor.
const LAMBDA: f64 = 0.06;
/// Cells of rank for each doubling of the rank.
const CELLS_AN_OCTAVE: f64 = 4.0;

/// Which part of the seed a model learns from: all, or all but a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// The fold whose members count as anybody.
    pub held_out: Option<usize>,
    /// How many members are left.
    pub n: u64,
}

/// How a class of rows counts in a lesson.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Seed,
    Unlabelled,
    Absent,
}

impl Lesson {
    fn role(self, class: usize) -> Role {
        match class.checked_sub(1) {
            None => Role::Unlabelled,
            Some(of) if Some(of % FOLDS) != self.held_out => Role::Seed,
            Some(inside) if inside < FOLDS => Role::Unlabelled,
            Some(_) => Role::Absent,
        }
    }
}

/// What a lesson starts from, and what it comes to.
pub struct Draft {
    lesson: Lesson,
    /// Weight of an unlabelled row.
    om: f64,
    lambda: f64,
    nu: f64,
    /// The selected features, ascending.
    selected: Vec<u32>,
    /// The scale of each.
    scale: Vec<f64>,
    weights: Vec<f64>,
    /// The features of the mask's bits, ascending.
    top: Vec<u32>,
    /// Pairs of bits that are kept, as features, with scale and then weight.
    pairs: Vec<((u32, u32), f64)>,
}

/// The weights of stage 2.
#[derive(Clone, Debug)]
pub struct PairWeights {
    /// By feature; the bit of a feature of the mask in the low bits.
    pub main: Packed,
    /// The sum of the pairs' weights in every mask.
    pub table: Vec<f32>,
    /// The pairs.
    pub pairs: Vec<(u32, u32)>,
}

impl PairWeights {
    /// The score of a visitor with this sum.
    #[inline]
    pub fn score(&self, sum: i64) -> f64 {
        self.main.weight(sum) + f64::from(self.table.get(self.main.low(sum)).copied().unwrap_or(0.0))
    }
}

/// What all lessons share.
pub struct Class<'p, 's> {
    pub population: &'p Population<'s>,
    pub seed: &'p Seed,
    pub sample: &'p Sample,
}

impl Class<'_, '_> {
    /// Learns the weights of every lesson; `counts` has how many members have each feature, by lesson.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn learn(&self, lessons: &[Lesson], counts: &[Vec<u64>]) -> Result<Vec<PairWeights>, ImageError> {
        let mut drafts: Vec<Draft> =
            lessons.iter().zip(counts).map(|(&lesson, counts)| self.select(lesson, counts)).collect();
        let features: BTreeSet<u32> = drafts.iter().flat_map(|draft| draft.selected.iter().copied()).collect();
        let features = features.into_iter().collect();
        let mut columns = Columns::new(self.population, self.seed, self.sample, features)?;
        drafts.par_iter_mut().try_for_each(|draft| {
            draft.solve_selected(&columns, self.population);
            self.choose_pairs(draft)
        })?;
        let pairs: BTreeSet<(u32, u32)> = drafts.iter().flat_map(|draft| draft.pairs.iter().map(|&(q, _)| q)).collect();
        columns.add_pairs(pairs.into_iter().collect());
        Ok(drafts.par_iter_mut().map(|draft| draft.finish(&columns, self.population)).collect())
    }

    /// Steps 1 and 2.
    fn select(&self, lesson: Lesson, counts: &[u64]) -> Draft {
        let (all, eligible) = (self.population.counts(), self.population.eligible() as f64);
        let n = lesson.n as f64;
        let expected = |at: usize| n * all[at] as f64 / eligible;
        let lifts: Vec<f64> = (0..all.len()).map(|at| log_lift(counts[at] as f64, expected(at))).collect();
        let total: f64 = all.iter().map(|&count| count as f64).sum();
        let nu = (all.iter().zip(&lifts).map(|(&count, lift)| count as f64 * lift).sum::<f64>() / total).sqrt();
        let pool = strongest(0..all.len() as u32, POOL, |at| all[at as usize] as f64);
        let signal = |at: u32| lifts[at as usize] * (counts[at as usize] as f64 + expected(at as usize)).sqrt();
        let selected = strongest(pool.into_iter(), SELECTED, signal);
        let scale = selected.iter().map(|&at| scale(lifts[at as usize], nu)).collect();
        let held = |member: usize| Some(Seed::fold(member)) == lesson.held_out && self.sample.seed_inside[member];
        let unlabelled = self.sample.ranked + (0..self.seed.members.len()).filter(|&member| held(member)).count();
        let om = (eligible - n) / unlabelled.max(1) as f64;
        let lambda = LAMBDA * self.population.memberships() as f64 / n;
        Draft { lesson, om, lambda, nu, selected, scale, weights: Vec::new(), top: Vec::new(), pairs: Vec::new() }
    }

    /// Steps 5 and 6: the features of the mask, and the pairs that are more or less than their score makes of them.
    fn choose_pairs(&self, draft: &mut Draft) -> Result<(), ImageError> {
        let all = self.population.counts();
        let weight_of: Vec<f64> = draft.weights.clone();
        let place = |number: u32| draft.selected.binary_search(&number).unwrap_or(0);
        let signal = |number: u32| weight_of[place(number)].abs() * (all[number as usize] as f64).sqrt();
        draft.top = strongest(draft.selected.iter().copied(), BITS, signal);
        let packed = draft.packed(self.population.features().len());
        let sums = self.sample.sums(self.population, self.seed, &packed)?;
        let [expected, seed, weight] = self.in_masks(draft, &packed, &sums);
        let bits = draft.top.len();
        for one in 0..bits {
            for other in one + 1..bits {
                let both = 1 << one | 1 << other;
                if weight[both] >= LEAST_PAIR {
                    let lift = log_lift(seed[both], expected[both]);
                    draft.pairs.push(((draft.top[one], draft.top[other]), scale(lift, draft.nu)));
                }
            }
        }
        Ok(())
    }

    /// For every mask, of the rows that have at least its bits: how much of the seed their score alone makes expect, how
    /// much there is, and how much they weigh.
    fn in_masks(&self, draft: &Draft, packed: &Packed, sums: &[i64]) -> [Vec<f64>; 3] {
        let keys: Vec<u32> = sums.iter().map(|&sum| key(packed.weight(sum) as f32)).collect();
        let mut order = self.sample.order.clone();
        sort_by_key(&keys, &mut order);
        // Weight, and whether it is of the seed.
        let of_row = |row: u32| match (row as usize).checked_sub(self.sample.ranked) {
            None => (draft.om, false),
            Some(member) if Some(Seed::fold(member)) != draft.lesson.held_out => (1.0, true),
            Some(member) if self.sample.seed_inside[member] => (draft.om, false),
            Some(_) => (0.0, false),
        };
        let mut cells: Vec<(f64, f64)> = Vec::new();
        each_cell(&order, &of_row, |cell, _, weight, is_seed| {
            cells.resize(cells.len().max(cell + 1), (0.0, 0.0));
            cells[cell].0 += weight;
            cells[cell].1 += f64::from(u8::from(is_seed));
        });
        let masks = 1 << draft.top.len();
        let [mut expected, mut seed, mut all] = [(); 3].map(|()| vec![0.0; masks]);
        each_cell(&order, &of_row, |cell, row, weight, is_seed| {
            let mask = packed.low(sums[row as usize]);
            expected[mask] += weight * cells[cell].1 / cells[cell].0;
            seed[mask] += f64::from(u8::from(is_seed));
            all[mask] += weight;
        });
        [expected, seed, all].map(of_all_above)
    }
}

/// Calls `each` with the cell of rank of every row that weighs something, the row, its weight and whether it is of the
/// seed; rows of the best score first.
fn each_cell(order: &[u32], of_row: &impl Fn(u32) -> (f64, bool), mut each: impl FnMut(usize, u32, f64, bool)) {
    let (mut rank, mut cell, mut next) = (0.0_f64, 0, (1.0 / CELLS_AN_OCTAVE).exp2());
    for &row in order {
        let (weight, is_seed) = of_row(row);
        if weight > 0.0 {
            rank += weight;
            while rank >= next {
                cell += 1;
                next = ((cell + 1) as f64 / CELLS_AN_OCTAVE).exp2();
            }
            each(cell, row, weight, is_seed);
        }
    }
}

/// From the sum of each mask alone to that of all masks that hold it.
fn of_all_above(mut sums: Vec<f64>) -> Vec<f64> {
    let mut bit = 1;
    while bit < sums.len() {
        for mask in (0..sums.len()).filter(|mask| mask & bit == 0) {
            sums[mask] += sums[mask | bit];
        }
        bit <<= 1;
    }
    sums
}

impl Draft {
    /// Steps 3 and 4.
    fn solve_selected(&mut self, columns: &Columns, population: &Population<'_>) {
        let places: Vec<usize> = self.selected.iter().filter_map(|&number| columns.of_feature(number)).collect();
        self.weights = self.ridge(columns, &places, &self.scale, population.eligible() as f64);
    }

    /// Steps 7 and 8.
    fn finish(&mut self, columns: &Columns, population: &Population<'_>) -> PairWeights {
        let mut places: Vec<usize> = self.selected.iter().filter_map(|&number| columns.of_feature(number)).collect();
        places.extend(self.pairs.iter().filter_map(|&(pair, _)| columns.of_pair(pair)));
        let scale: Vec<f64> = self.scale.iter().copied().chain(self.pairs.iter().map(|&(_, scale)| scale)).collect();
        let weights = self.ridge(columns, &places, &scale, population.eligible() as f64);
        let (main, of_pairs) = weights.split_at(self.selected.len());
        self.weights = main.to_vec();
        let pairs: Vec<(u32, u32)> = self.pairs.iter().map(|&(pair, _)| pair).collect();
        let table = self.table(&pairs, of_pairs);
        PairWeights { main: self.packed(population.features().len()), table, pairs }
    }

    fn ridge(&self, columns: &Columns, places: &[usize], scale: &[f64], eligible: f64) -> Vec<f64> {
        let roles: Vec<Role> = (0..CLASSES).map(|class| self.lesson.role(class)).collect();
        let of = |role: Role, one: usize, other: usize| -> u64 {
            let classes = (0..CLASSES).filter(|&class| roles[class] == role);
            classes.map(|class| u64::from(columns.both(class, places[one], places[other]))).sum()
        };
        let weighed =
            |one, other| of(Role::Seed, one, other) as f64 + self.om * of(Role::Unlabelled, one, other) as f64;
        let mu: Vec<f64> = (0..places.len()).map(|at| weighed(at, at) / eligible).collect();
        let gram = Symmetric::new(places.len(), |one, other| weighed(one, other) - eligible * mu[one] * mu[other]);
        let n = self.lesson.n as f64;
        let b: Vec<f64> = (0..places.len()).map(|at| of(Role::Seed, at, at) as f64 - n * mu[at]).collect();
        // A ridge over columns with the means of their own rows is always definite; rounding alone could spoil it.
        solve(&gram, &b, scale, self.lambda).unwrap_or_else(|| vec![0.0; places.len()])
    }

    fn packed(&self, features: usize) -> Packed {
        let (mut weights, mut bits) = (vec![0.0; features], vec![0; features]);
        self.selected.iter().zip(&self.weights).for_each(|(&number, &weight)| weights[number as usize] = weight);
        self.top.iter().enumerate().for_each(|(bit, &number)| bits[number as usize] = 1 << bit);
        Packed::new(&weights, BITS as u32, |at| bits[at])
    }

    /// The sum of the pairs' weights inside every mask.
    fn table(&self, pairs: &[(u32, u32)], weights: &[f64]) -> Vec<f32> {
        let mut of = [[0.0; BITS]; BITS];
        let bit = |number: u32| self.top.binary_search(&number).unwrap_or(0);
        for (&(one, other), &weight) in pairs.iter().zip(weights) {
            of[bit(one)][bit(other)] = weight;
        }
        let mut table = vec![0.0_f64; 1 << self.top.len()];
        for mask in 1..table.len() {
            let lowest = mask.trailing_zeros() as usize;
            let rest = mask & (mask - 1);
            let others = (lowest + 1..BITS).filter(|other| rest >> other & 1 == 1);
            table[mask] = table[rest] + others.map(|other| of[lowest][other]).sum::<f64>();
        }
        table.into_iter().map(|sum| sum as f32).collect()
    }
}

/// How far a count is from what was expected.
fn log_lift(count: f64, expected: f64) -> f64 {
    ((count + 1.0) / (expected + 1.0)).ln().abs()
}

/// How far a weight may grow; 0 where nothing stands out at all.
fn scale(lift: f64, nu: f64) -> f64 {
    if nu > 0.0 { lift.sqrt() / nu } else { 0.0 }
}

/// The `count` features of the greatest signal, of equal ones the lower number; ascending.
fn strongest(of: impl Iterator<Item = u32>, count: usize, signal: impl Fn(u32) -> f64) -> Vec<u32> {
    let mut all: Vec<(f64, u32)> = of.map(|number| (signal(number), number)).collect();
    all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut kept: Vec<u32> = all.into_iter().take(count).map(|(_, number)| number).collect();
    kept.sort_unstable();
    kept
}
