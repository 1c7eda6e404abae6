//! What a seed has more or less often than everybody: said by the counts of stage 1, whatever the method, for the signs of
//! a ridge mislead. Nothing is said of fewer than 50 people.

use std::sync::Arc;

use usher_index::ImageError;

use super::columns::{CLASSES, Columns};
use super::iv;
use super::pairs::Class;

/// A segment, or two, is named only if so many seed visitors have it.
const LEAST_NAMED: u64 = 50;
/// Segments shown that the seed has more often, less often, and pairs.
const SHOWN: [usize; 3] = [10, 5, 5];
/// Of so many of each kind the near-duplicates are left out.
const CANDIDATES: [usize; 2] = [40, 20];
/// Segments that go together so closely are shown once.
const ALIKE: f64 = 0.8;
/// What a count is raised by, so that a lift of few is not a large one.
const DAMPING: f64 = 3.0;

/// A segment, or two that a visitor must both have, in the seed and among everybody.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// One name, or two.
    pub segments: Vec<Arc<str>>,
    /// The share of the seed that has it.
    pub seed_share: f64,
    /// The share of everybody.
    pub population_share: f64,
    /// How much more often the seed has it than everybody.
    pub lift: f64,
    /// How many visitors have it; of pairs an estimate from the sample.
    pub visitors: u64,
}

/// What stands out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// What the seed has more often, the most telling first.
    pub over: Vec<Shown>,
    /// What it has less often.
    pub under: Vec<Shown>,
    /// Pairs of segments that the model of stage 2 weighs and the seed has more often.
    pub pairs: Vec<Shown>,
}

/// A count in the seed, one among everybody, and how telling they are.
struct Candidate {
    feature: u32,
    in_seed: u64,
    all: u64,
    telling: f64,
    is_over: bool,
}

impl Class<'_, '_> {
    /// Explains a seed of which `counts` have each feature; `pairs` are those of the model.
    ///
    /// # Errors
    /// When an image is damaged.
    pub(super) fn explain(&self, counts: &[u64], pairs: &[(u32, u32)]) -> Result<Explanation, ImageError> {
        let mut candidates = self.candidates(counts);
        let mut seen = [0; 2];
        candidates.retain(|candidate| {
            let side = usize::from(!candidate.is_over);
            seen[side] += 1;
            seen[side] <= CANDIDATES[side]
        });
        let mut features: Vec<u32> = candidates.iter().map(|candidate| candidate.feature).collect();
        features.extend(pairs.iter().flat_map(|&(one, other)| [one, other]));
        features.sort_unstable();
        features.dedup();
        let mut columns = Columns::new(self.population, self.seed, self.sample, features)?;
        columns.add_pairs(pairs.to_vec());
        let mut kept: [Vec<&Candidate>; 2] = [Vec::new(), Vec::new()];
        for candidate in &candidates {
            let side = usize::from(!candidate.is_over);
            let is_new =
                kept[side].iter().all(|other| self.correlation(&columns, candidate.feature, other.feature) <= ALIKE);
            if is_new && kept[side].len() < SHOWN[side] {
                kept[side].push(candidate);
            }
        }
        let show = |kept: &[&Candidate]| {
            kept.iter().map(|candidate| self.show(&[candidate.feature], candidate.in_seed, candidate.all)).collect()
        };
        Ok(Explanation { over: show(&kept[0]), under: show(&kept[1]), pairs: self.pairs(&columns, pairs) })
    }

    /// Every feature that may be named, the most telling first.
    fn candidates(&self, counts: &[u64]) -> Vec<Candidate> {
        let (n, eligible) = (self.seed.matched(), self.population.eligible());
        let candidate = |(feature, (&in_seed, &all)): (u32, (&u64, &u64))| {
            let difference = in_seed as f64 / n as f64 - all as f64 / eligible as f64;
            let telling = iv::weight(in_seed, n, all, eligible).abs() * difference.abs();
            Candidate { feature, in_seed, all, telling, is_over: difference > 0.0 }
        };
        let all = (0..).zip(counts.iter().zip(self.population.counts())).map(candidate);
        let mut named: Vec<Candidate> = all.filter(|candidate| candidate.in_seed >= LEAST_NAMED).collect();
        named.sort_unstable_by(|a, b| b.telling.total_cmp(&a.telling).then(a.feature.cmp(&b.feature)));
        named
    }

    fn pairs(&self, columns: &Columns, pairs: &[(u32, u32)]) -> Vec<Shown> {
        let (n, eligible) = (self.seed.matched(), self.population.eligible());
        let mut told: Vec<(f64, (u32, u32), u64, u64)> = Vec::new();
        for &(one, other) in pairs {
            let Some(column) = columns.of_pair((one, other)) else { continue };
            let (in_seed, rest) = self.weigh(columns, column, column);
            let all = in_seed + rest.round() as u64;
            let difference = in_seed as f64 / n as f64 - all as f64 / eligible as f64;
            if in_seed >= LEAST_NAMED && difference > 0.0 {
                told.push((iv::weight(in_seed, n, all, eligible).abs() * difference, (one, other), in_seed, all));
            }
        }
        told.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        told.truncate(SHOWN[2]);
        told.into_iter().map(|(_, (one, other), in_seed, all)| self.show(&[one, other], in_seed, all)).collect()
    }

    fn show(&self, features: &[u32], in_seed: u64, all: u64) -> Shown {
        let (n, eligible) = (self.seed.matched() as f64, self.population.eligible() as f64);
        let names = self.population.features().names();
        let expected = n * all as f64 / eligible;
        Shown {
            segments: features.iter().map(|&feature| Arc::clone(&names[feature as usize])).collect(),
            seed_share: in_seed as f64 / n,
            population_share: all as f64 / eligible,
            lift: (in_seed as f64 + DAMPING) / (expected + DAMPING),
            visitors: all,
        }
    }

    /// How many seed visitors have both columns, and how many others, from the sample.
    fn weigh(&self, columns: &Columns, one: usize, other: usize) -> (u64, f64) {
        let others = self.population.eligible().saturating_sub(self.seed.matched());
        let weight = others as f64 / self.sample.ranked.max(1) as f64;
        let in_seed = (1..CLASSES).map(|class| u64::from(columns.both(class, one, other))).sum();
        (in_seed, weight * f64::from(columns.both(0, one, other)))
    }

    fn correlation(&self, columns: &Columns, one: u32, other: u32) -> f64 {
        let Some((one, other)) = columns.of_feature(one).zip(columns.of_feature(other)) else { return 0.0 };
        let share = |one, other| {
            let (in_seed, rest) = self.weigh(columns, one, other);
            (in_seed as f64 + rest) / self.population.eligible() as f64
        };
        let (both, p, q) = (share(one, other), share(one, one), share(other, other));
        let spread = p * (1.0 - p) * q * (1.0 - q);
        if spread > 0.0 { (both - p * q) / spread.sqrt() } else { 0.0 }
    }
}
