//! From a seed to a model with an honest curve: five more models are trained, each without a fold of the seed, and each
//! looks for the fold that it has not seen.

use std::fmt;

use rayon::prelude::*;
use thiserror::Error;
use usher_index::ImageError;

use super::curve::{Curve, Placement};
use super::explain::Explanation;
use super::iv;
use super::model::{Method, Model, Scorer};
use super::pairs::{Class, Lesson, PairWeights};
use super::population::Population;
use super::rows::key;
use super::sample::{SAMPLE_VISITORS, Sample};
use super::seed::{FOLDS, Seed};

/// No model is made of fewer, whatever the charter says: two a fold.
pub const LEAST_SEED: u64 = 2 * FOLDS as u64;
/// A seed of fewer is warned of.
pub const SMALL_SEED: u64 = 1_000;

/// Why there is no model.
#[derive(Debug, Error)]
pub enum TrainError {
    /// An image is damaged.
    #[error("the question cannot be answered: {0}")]
    Image(#[from] ImageError),
    /// The seed is too small.
    #[error(
        "of {given} seed visitors {matched} are known with a live segment that is not excluded; expected at least {least}: the charter's [lookalike] min_seed, and never below {LEAST_SEED}"
    )]
    SmallSeed {
        /// Visitors given, each once.
        given: u64,
        /// Those that were found.
        matched: u64,
        /// How many are needed.
        least: u64,
    },
    /// There is nobody beside the seed.
    #[error("nobody is left to be compared: every visitor with a live segment that is not excluded is in the seed")]
    NobodyElse,
}

/// What to think of before believing a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The seed is small.
    SmallSeed {
        /// How many of it were found.
        matched: u64,
    },
    /// The model finds its seed no better than chance would.
    NoPrediction,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::SmallSeed { .. } => {
                write!(f, "the seed is small: below {SMALL_SEED} visitors the curve has a wide interval")
            }
            Warning::NoPrediction => f.write_str(
                "the seed does not predict: from 5 % to 20 % reach the model finds visitors like it no better than chance; take another seed",
            ),
        }
    }
}

/// A model, and what is to be said of it.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// Its reach curve.
    pub curve: Curve,
    /// What stands out in its seed.
    pub explanation: Explanation,
    /// Seed visitors given, each once.
    pub given: u64,
    /// Those who are known with a live feature and have not opted out.
    pub matched: u64,
    /// Visitors with a live feature who are not of the seed: the *ranked* ones.
    pub scored: u64,
    /// Whether the curve is drawn on all of them, or on a sample.
    pub is_whole: bool,
    /// What to think of.
    pub warnings: Vec<Warning>,
}

/// Trains a model on the seed.
///
/// Time: some walks over the members of a sample of [`SAMPLE_VISITORS`]; for stage 2 a count of every two of some 400
/// columns there, and twelve systems of at most 270 equations.
///
/// # Errors
/// When an image is damaged, or the seed is smaller than the charter of the snapshot asks.
pub fn train(population: &Population<'_>, seed: &Seed, method: Method) -> Result<Trained, TrainError> {
    let (given, matched) = (seed.given().len() as u64, seed.matched());
    let least = population.snapshot.charter().lookalike().min_seed.max(LEAST_SEED);
    if matched < least {
        return Err(TrainError::SmallSeed { given, matched, least });
    }
    let sample = Sample::new(population, seed, SAMPLE_VISITORS)?;
    let scored = population.eligible().saturating_sub(matched);
    if sample.ranked == 0 || scored == 0 {
        return Err(TrainError::NobodyElse);
    }
    let class = Class { population, seed, sample: &sample };
    let folds = seed.counts(population.features().len());
    let lessons: Vec<Lesson> = [None].into_iter().chain((0..FOLDS).map(Some)).map(|held| lesson(seed, held)).collect();
    let counts: Vec<Vec<u64>> = lessons.iter().map(|lesson| left(&folds, lesson.held_out)).collect();
    let mut pairs = match method {
        Method::Pairs => class.learn(&lessons, &counts)?.into_iter().map(Some).collect(),
        Method::Iv => vec![None; lessons.len()],
    };
    let scored_rows: Vec<(Scorer, Vec<u32>)> = pairs
        .par_drain(..)
        .zip(&lessons)
        .zip(&counts)
        .map(|((pairs, lesson), counts)| class.score(*lesson, counts, pairs))
        .collect::<Result<_, ImageError>>()?;
    let (curve, scorer) = draw(scored_rows, &lessons, sample.ranked, scored);
    let explanation = class.explain(&counts[0], scorer.pairs())?;
    let names = population.features().names().to_vec();
    let model = Model { method, names, scorer, seed: seed.given().to_vec() };
    let small = (matched < SMALL_SEED).then_some(Warning::SmallSeed { matched });
    let blind = (!curve.predicts()).then_some(Warning::NoPrediction);
    let warnings = small.into_iter().chain(blind).collect();
    Ok(Trained { model, curve, explanation, given, matched, scored, is_whole: sample.whole, warnings })
}

fn lesson(seed: &Seed, held_out: Option<usize>) -> Lesson {
    let n = (0..seed.members.len()).filter(|&member| Some(Seed::fold(member)) != held_out).count() as u64;
    Lesson { held_out, n }
}

/// The counts of all folds but one.
fn left(folds: &[Vec<u64>], held_out: Option<usize>) -> Vec<u64> {
    let features = folds.first().map_or(0, Vec::len);
    let kept = || folds.iter().enumerate().filter(|(fold, _)| Some(*fold) != held_out);
    (0..features).map(|feature| kept().map(|(_, counts)| counts[feature]).sum()).collect()
}

impl Class<'_, '_> {
    /// The scorer of a lesson, and the keys of the scores of all rows.
    fn score(
        &self,
        lesson: Lesson,
        counts: &[u64],
        pairs: Option<PairWeights>,
    ) -> Result<(Scorer, Vec<u32>), ImageError> {
        let weights = iv::weights(counts, lesson.n, self.population.counts(), self.population.eligible());
        let packed = Scorer::pack_iv(&weights);
        let iv_sums = self.sample.sums(self.population, self.seed, &packed)?;
        let ranked = self.sample.ranked;
        let (scorer, pair_sums) = match pairs {
            None => (Scorer::iv(packed), vec![0; iv_sums.len()]),
            Some(pairs) => {
                let sums = self.sample.sums(self.population, self.seed, &pairs.main)?;
                (Scorer::both(packed, pairs, &iv_sums[..ranked], &sums[..ranked]), sums)
            }
        };
        let keys = iv_sums.iter().zip(&pair_sums).map(|(&iv, &pair)| key(scorer.score(iv, pair))).collect();
        Ok((scorer, keys))
    }
}

/// The curve from the folds, and the scorer of the whole seed.
fn draw(rows: Vec<(Scorer, Vec<u32>)>, lessons: &[Lesson], ranked: usize, scored: u64) -> (Curve, Scorer) {
    let (mut placements, mut scores, mut whole) = (Vec::new(), Vec::new(), None);
    let sorted = rows.into_par_iter().map(|(scorer, mut keys)| {
        keys[..ranked].sort_unstable();
        (scorer, keys)
    });
    let sorted: Vec<(Scorer, Vec<u32>)> = sorted.collect();
    for ((scorer, mut keys), lesson) in sorted.into_iter().zip(lessons) {
        let members = keys.split_off(ranked);
        match lesson.held_out {
            None => (scores, whole) = (keys, Some(scorer)),
            Some(fold) => {
                let held = members.iter().enumerate().filter(|(member, _)| Seed::fold(*member) == fold);
                placements.extend(held.map(|(_, &member)| Placement::among(&keys, member)));
            }
        }
    }
    let scorer = whole.expect("the first lesson holds nothing out");
    (Curve::new(placements, scores, scored), scorer)
}
