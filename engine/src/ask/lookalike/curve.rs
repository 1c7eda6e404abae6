//! The reach curve: of the visitors like the seed, how many are within the best so many. Each part of the seed is looked
//! for by a model that has not seen it.

/// The shares of the ranked visitors at which the curve is shown.
pub const REACHES: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15, 0.20, 0.30, 0.50];
/// Where a seed that predicts is better than random.
const TELLING: std::ops::RangeInclusive<f64> = 0.05..=0.20;
/// Reaches of the fine curve, from [`FINEST`] to everybody, each the same factor above the one before.
const FINE: i32 = 400;
const FINEST: f64 = 0.0005;
/// Standard deviations of a 95 % interval.
const SIGMAS: f64 = 1.96;

/// Where a seed visitor stands among the ranked ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// How many score higher.
    pub above: u32,
    /// How many score as high or higher.
    pub up_to: u32,
    /// Of how many.
    pub of: u32,
}

impl Placement {
    /// Among these keys, ascending.
    pub fn among(pool: &[u32], key: u32) -> Self {
        let count = |at: usize| (pool.len() - at) as u32;
        let (first, end) = (pool.partition_point(|&other| other < key), pool.partition_point(|&other| other <= key));
        Self { above: count(end), up_to: count(first), of: pool.len() as u32 }
    }

    /// The chance of being within the best share; who scores the same shares what is left.
    fn inside(self, reach: f64) -> f64 {
        let left = reach * f64::from(self.of) - f64::from(self.above);
        (left / f64::from(self.up_to - self.above).max(1e-9)).clamp(0.0, 1.0)
    }
}

/// A point of the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The share of the ranked visitors.
    pub reach: f64,
    /// How many they are.
    pub visitors: u64,
    /// The score of the last of them.
    pub threshold: f32,
    /// The share of visitors like the seed among whom they are.
    pub recall: f64,
    /// The 95 % interval of the recall.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Recall by reach: how much denser they are than everybody.
    pub lift: f64,
    /// The same of those alone whom the point before has not.
    pub slice_lift: f64,
}

/// The curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// At [`REACHES`].
    pub points: Vec<Point>,
    /// The least reach that has half of the visitors like the seed.
    pub half: Option<f64>,
    /// The same for four fifths.
    pub four_fifths: Option<f64>,
    /// The least reach whose lift is below 2.
    pub lift_below_two: Option<f64>,
    placements: Vec<Placement>,
    /// The model's own scores of the ranked visitors, or of a sample: keys, ascending.
    scores: Vec<u32>,
    ranked: u64,
}

impl Curve {
    /// From where each seed visitor stands, the keys of the scores of the ranked (or a sample), ascending, and the number
    /// of the ranked.
    pub(super) fn new(placements: Vec<Placement>, scores: Vec<u32>, ranked: u64) -> Self {
        let fine: Vec<f64> = (0..FINE).map(|at| FINEST.powf(1.0 - f64::from(at) / f64::from(FINE - 1))).collect();
        let recalls = recalls(&placements, &fine);
        let first = |wanted: &dyn Fn(f64, f64) -> bool| {
            fine.iter().zip(&recalls).find(|(reach, recall)| wanted(**reach, **recall)).map(|(reach, _)| *reach)
        };
        let half = first(&|_, recall| recall >= 0.5);
        let four_fifths = first(&|_, recall| recall >= 0.8);
        let lift_below_two = first(&|reach, recall| recall < 2.0 * reach);
        let mut curve = Self { points: Vec::new(), half, four_fifths, lift_below_two, placements, scores, ranked };
        curve.points = curve.at(&REACHES);
        curve
    }

    /// Points at these reaches, ascending; the slice of each begins where the one before ends.
    fn at(&self, reaches: &[f64]) -> Vec<Point> {
        let mut before = (0.0, 0.0);
        let n = self.placements.len() as f64;
        let points = reaches.iter().zip(recalls(&self.placements, reaches)).map(|(&reach, recall)| {
            let (low, high) = wilson(recall, n);
            let slice_lift = (recall - before.1) / (reach - before.0);
            before = (reach, recall);
            let visitors = visitors_at(reach, self.ranked);
            Point {
                reach,
                visitors,
                threshold: self.threshold(reach),
                recall,
                low,
                high,
                lift: recall / reach,
                slice_lift,
            }
        });
        points.collect()
    }

    /// The point of a wanted number of visitors, at most all; its slice is all of them. `None` for 0.
    pub fn at_number(&self, visitors: u64) -> Option<Point> {
        let visitors = visitors.min(self.ranked);
        let point = (visitors > 0).then(|| self.at(&[visitors as f64 / self.ranked as f64]).pop()).flatten();
        point.map(|point| Point { visitors, ..point })
    }

    /// How many visitors are ranked.
    pub fn ranked(&self) -> u64 {
        self.ranked
    }

    /// Whether the model finds the seed better than chance does.
    pub fn predicts(&self) -> bool {
        self.points.iter().any(|point| TELLING.contains(&point.reach) && point.low > point.reach)
    }

    fn threshold(&self, reach: f64) -> f32 {
        let best = ((reach * self.scores.len() as f64) as usize).clamp(1, self.scores.len().max(1));
        let at = self.scores.len().checked_sub(best);
        at.and_then(|at| self.scores.get(at)).map_or(0.0, |&key| super::rows::score_of(key))
    }
}

/// How many of `ranked` visitors a reach is.
pub fn visitors_at(reach: f64, ranked: u64) -> u64 {
    ((reach * ranked as f64).round() as u64).min(ranked)
}

/// The recall at each reach, ascending. Who is inside from some reach on is added once.
fn recalls(placements: &[Placement], reaches: &[f64]) -> Vec<f64> {
    let mut partly = vec![0.0; reaches.len()];
    let mut wholly = vec![0u32; reaches.len() + 1];
    for placement in placements {
        let start = reaches.partition_point(|&reach| placement.inside(reach) <= 0.0);
        let end = reaches.partition_point(|&reach| placement.inside(reach) < 1.0);
        (start..end).for_each(|at| partly[at] += placement.inside(reaches[at]));
        wholly[end] += 1;
    }
    let (mut sum, n) = (0, placements.len().max(1) as f64);
    let recall = |(partly, wholly): (f64, u32)| {
        sum += wholly;
        (f64::from(sum) + partly) / n
    };
    partly.into_iter().zip(wholly).map(recall).collect()
}

/// The 95 % interval of a share that was found in `n` trials.
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let square = SIGMAS * SIGMAS;
    let middle = (share + square / (2.0 * n)) / (1.0 + square / n);
    let spread = (share * (1.0 - share) / n + square / (4.0 * n * n)).max(0.0).sqrt() * SIGMAS / (1.0 + square / n);
    (middle - spread, middle + spread)
}

#[cfg(test)]
mod tests {
    use super::{Curve, Placement, visitors_at, wilson};

    #[test]
    fn equal_scores_share_what_is_left() {
        let pool = [1, 2, 2, 2, 3];
        assert_eq!(Placement::among(&pool, 2), Placement { above: 1, up_to: 4, of: 5 });
        assert_eq!(Placement::among(&pool, 9), Placement { above: 0, up_to: 0, of: 5 });
        let two = Placement::among(&pool, 2);
        for (reach, inside) in [(0.1, 0.0), (0.2, 0.0), (0.4, 1.0 / 3.0), (0.8, 1.0), (1.0, 1.0)] {
            assert!((two.inside(reach) - inside).abs() < 1e-9, "{reach}");
        }
        assert!((Placement::among(&pool, 9).inside(0.01) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_curve_of_chance_does_not_predict() {
        let pool: Vec<u32> = (0..1_000).collect();
        let by_chance: Vec<Placement> = (0..200).map(|i| Placement::among(&pool, i * 5 + 2)).collect();
        let curve = Curve::new(by_chance, pool.clone(), 10_000);
        assert!(!curve.predicts());
        assert!(curve.points.iter().all(|point| (point.lift - 1.0).abs() < 0.3 || point.reach < 0.02));
        assert!((curve.half.unwrap() - 0.5).abs() < 0.02 && curve.lift_below_two.unwrap() < 0.02);
        let first: Vec<Placement> = (0..200).map(|i| Placement::among(&pool, 1_000 - i)).collect();
        let curve = Curve::new(first, pool, 10_000);
        assert!(curve.predicts() && (curve.half.unwrap() - 0.1).abs() < 0.01);
        let tenth = curve.at_number(1_000).unwrap();
        assert_eq!((tenth.visitors, tenth.reach), (1_000, 0.1));
        assert!((tenth.recall - 0.5).abs() < 0.01 && curve.at_number(0).is_none());
        assert_eq!(curve.points[6].visitors, 500);
    }

    #[test]
    fn the_interval_is_that_of_wilson() {
        let (low, high) = wilson(0.5, 100.0);
        assert!((low - 0.4038).abs() < 1e-3 && (high - 0.5962).abs() < 1e-3);
        let (low, high) = wilson(0.0, 20.0);
        assert!(low.abs() < 1e-9 && (high - 0.1611).abs() < 1e-3);
        assert_eq!((visitors_at(0.05, 50), visitors_at(2.0, 50)), (3, 50));
    }
}
