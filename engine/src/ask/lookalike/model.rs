//! A trained model: what every feature is worth, and so how much a visitor resembles the seed.

use std::sync::Arc;

use usher_index::{ImageError, Pid};

use super::iv;
use super::pairs::PairWeights;
use super::population::Population;
use super::scan::Packed;
use super::seed::Profiles;

/// Bits for the number of a visitor's features, at least.
const COUNT_BITS: u32 = 20;

/// How visitors are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Information value: weights from counts alone.
    Iv,
    /// A ridge on the strongest segments and their pairs, and half of the information value.
    #[default]
    Pairs,
}

/// Scores over one population.
#[derive(Clone, Debug)]
pub struct Scorer {
    iv: Packed,
    pairs: Option<Scaled>,
}

/// Both stages, each centred and scaled over the ranked visitors.
#[derive(Clone, Debug)]
struct Scaled {
    weights: PairWeights,
    of_iv: Scale,
    of_pairs: Scale,
}

/// Takes the mean off and divides by the standard deviation.
#[derive(Clone, Copy, Debug)]
struct Scale {
    mean: f64,
    /// One by the standard deviation; 0 when all are equal.
    by: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count().max(1) as f64;
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
        Self { mean, by: if variance > 0.0 { 1.0 / variance.sqrt() } else { 0.0 } }
    }

    #[inline]
    fn apply(self, value: f64) -> f64 {
        (value - self.mean) * self.by
    }
}

impl Scorer {
    /// Packs the weights of stage 1: each feature counts as one, too.
    pub(super) fn pack_iv(weights: &[f64]) -> Packed {
        // The number of a visitor's features is at most that of all; a later population may have more than this one.
        Packed::new(weights, (usize::BITS - weights.len().leading_zeros()).max(COUNT_BITS), |_| 1)
    }

    /// Stage 1 alone.
    pub(super) fn iv(iv: Packed) -> Self {
        Self { iv, pairs: None }
    }

    /// Both stages, scaled over the rows with these sums.
    pub(super) fn both(iv: Packed, weights: PairWeights, iv_sums: &[i64], pair_sums: &[i64]) -> Self {
        let of_iv = Scale::of(iv_sums.iter().map(|&sum| iv_score(&iv, sum)));
        let of_pairs = Scale::of(pair_sums.iter().map(|&sum| weights.score(sum)));
        Self { iv, pairs: Some(Scaled { weights, of_iv, of_pairs }) }
    }

    /// The values that are summed over a visitor's features.
    pub(super) fn values(&self) -> (&Packed, Option<&Packed>) {
        (&self.iv, self.pairs.as_ref().map(|scaled| &scaled.weights.main))
    }

    /// The pairs of features that have a weight of their own.
    pub(super) fn pairs(&self) -> &[(u32, u32)] {
        self.pairs.as_ref().map_or(&[], |scaled| &scaled.weights.pairs)
    }

    /// The score of a visitor with these sums; the second is asked for by stage 2 alone.
    #[inline]
    pub(super) fn score(&self, iv_sum: i64, pair_sum: i64) -> f32 {
        let iv = iv_score(&self.iv, iv_sum);
        let score = self
            .pairs
            .as_ref()
            .map_or(iv, |scaled| scaled.of_pairs.apply(scaled.weights.score(pair_sum)) + scaled.of_iv.apply(iv) / 2.0);
        score as f32
    }

    /// The score of a visitor with these features.
    pub(super) fn score_of(&self, numbers: &[u32]) -> f32 {
        let (iv, pairs) = self.values();
        self.score(iv.sum(numbers), pairs.map_or(0, |pairs| pairs.sum(numbers)))
    }
}

#[inline]
fn iv_score(packed: &Packed, sum: i64) -> f64 {
    iv::score(packed.weight(sum), packed.low(sum))
}

/// A model and the names that its features had where it was trained.
#[derive(Clone, Debug)]
pub struct Model {
    /// How it scores.
    pub method: Method,
    pub(super) names: Vec<Arc<str>>,
    pub(super) scorer: Scorer,
    /// Everyone who was given as seed, ascending.
    pub(super) seed: Vec<Pid>,
}

impl Model {
    /// Whether the visitor was given as seed.
    pub fn is_seed(&self, pid: Pid) -> bool {
        self.seed.binary_search(&pid).is_ok()
    }

    /// The same model over another population, of a later generation or moment: segments that it does not know have no
    /// weight there, but count among what a visitor has.
    pub fn over(&self, population: &Population<'_>) -> Self {
        let names = population.features().names();
        let place = |name: &Arc<str>| self.names.binary_search(name).ok();
        let from = || names.iter().map(place);
        let pairs = self.scorer.pairs.as_ref().map(|scaled| {
            let main = scaled.weights.main.reordered(from(), 0);
            // The table of masks says all that scoring needs of pairs.
            let weights = PairWeights { main, table: scaled.weights.table.clone(), pairs: Vec::new() };
            Scaled { weights, of_iv: scaled.of_iv, of_pairs: scaled.of_pairs }
        });
        let scorer = Scorer { iv: self.scorer.iv.reordered(from(), 1), pairs };
        Self { method: self.method, names: names.to_vec(), scorer, seed: self.seed.clone() }
    }

    /// The score of a visitor of the population it was trained on, the greater the more alike; `None` for who is not
    /// eligible or in the seed. Time: a profile.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn score(
        &self,
        population: &Population<'_>,
        pid: Pid,
        profiles: &mut Profiles,
    ) -> Result<Option<f32>, ImageError> {
        if self.is_seed(pid) || profiles.read(population, pid)?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.scorer.score_of(&profiles.numbers)))
    }
}
