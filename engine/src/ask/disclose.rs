//! A size as it may leave the house.
//!
//! Noise keeps a reader from telling whether one visitor is in a set: adding or removing one draws other noise. It is drawn
//! from the set itself, so that asking again, or in other words, draws the same and nothing averages out (sticky noise,
//! as of Francis et al., *Diffix*, 2017).

use serde::Serialize;
use usher_index::NoiseKey;

/// Below this many visitors the noise is drawn from who they are, from here on from how many.
pub const NAMED_BELOW: u64 = 10_000;
/// Different sets below [`NAMED_BELOW`] visitors that a caller may see in a day.
pub const MAX_SMALL_SETS: usize = 100;
/// Different larger sets.
pub const MAX_LARGE_SETS: usize = 1_000;
/// The least standard deviation below [`NAMED_BELOW`]. With 10, whoever spends a day's budget of small sets on one visitor
/// guesses right in 68 of 100 cases; with 20 in 60.3, with 25 in 59.1.
const LEAST_DEVIATION: f64 = 25.0;
/// The standard deviation below [`NAMED_BELOW`], as a share of the size.
const SMALL_SHARE: f64 = 0.02;
/// The standard deviation from [`NAMED_BELOW`] on, as a share of the size.
const LARGE_SHARE: f64 = 0.005;
/// How many standard deviations `low` and `high` cover.
const COVERED_DEVIATIONS: f64 = 2.0;

/// A count of visitors in the form that may be shown: the only thing that is serialised as a size.
///
/// Written as `{"below":100}`, as `{"about":12000,"low":11380,"high":12620}` (with noise and two significant digits; and
/// the range in which the count lies in 19 of 20 cases), or as `{"exact":11873}` where the asker may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Disclosed(Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Form {
    Exact { exact: u64 },
    Below { below: u64 },
    About { about: u64, low: u64, high: u64 },
}

/// A set of visitors that was counted: how many, and below [`NAMED_BELOW`] who.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counted {
    /// How many visitors.
    pub visitors: u64,
    /// The sum of [`NoiseKey::member`] over them, wrapping; 0 from [`NAMED_BELOW`] on.
    pub members: u128,
}

impl Counted {
    /// Whether the noise is drawn from who the members are.
    #[must_use]
    pub fn is_named(self) -> bool {
        self.visitors < NAMED_BELOW
    }

    /// The count with its noise.
    fn noisy(self, key: &NoiseKey) -> u64 {
        let mut of = [0u8; 25];
        of[..8].copy_from_slice(&self.visitors.to_le_bytes());
        of[8..24].copy_from_slice(&self.members.to_le_bytes());
        of[24] = u8::from(self.is_named());
        let [radius, angle] = key.draw(&of);
        // Box-Muller: 1 - u is never 0.
        let normal = (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
        (self.visitors as f64 + normal * deviation(self.visitors)).round().max(0.0) as u64
    }
}

/// The standard deviation of the noise over a size.
fn deviation(visitors: u64) -> f64 {
    let visitors_f = visitors as f64;
    if visitors < NAMED_BELOW { LEAST_DEVIATION.max(visitors_f * SMALL_SHARE) } else { visitors_f * LARGE_SHARE }
}

impl Disclosed {
    /// What a planner may see of a set: with noise, that it is below `floor`, or two significant digits.
    ///
    /// `low` and `high` depend on `about` alone, so that they tell no more than the two digits do.
    #[must_use]
    pub fn of(set: Counted, floor: u64, key: &NoiseKey) -> Self {
        let noisy = set.noisy(key);
        if noisy < floor { Disclosed(Form::Below { below: floor }) } else { Self::about(rounded(noisy)) }
    }

    /// What [`Disclosed::of`] gave, from the number that it showed; `None`: it was below `floor`.
    #[must_use]
    pub fn again(about: Option<u64>, floor: u64) -> Self {
        about.map_or(Disclosed(Form::Below { below: floor }), Self::about)
    }

    fn about(about: u64) -> Self {
        // Below a power of ten the digits are finer than above it: 99,500 and 104,999 are both about 100,000.
        let spread = (COVERED_DEVIATIONS * deviation(about)).ceil() as u64;
        let low = about.saturating_sub(unit_of(about.saturating_sub(1)) / 2 + spread);
        let high = about.saturating_add(unit_of(about) / 2 + spread);
        Disclosed(Form::About { about, low, high })
    }

    /// The count itself, for those who may see it.
    #[must_use]
    pub fn exact(exact: u64) -> Self {
        Disclosed(Form::Exact { exact })
    }

    /// The number that is shown; `None` when only the floor is.
    #[must_use]
    pub fn shown(self) -> Option<u64> {
        match self.0 {
            Form::Exact { exact } => Some(exact),
            Form::Below { .. } => None,
            Form::About { about, .. } => Some(about),
        }
    }
}

/// Two significant digits, halves up.
fn rounded(count: u64) -> u64 {
    let unit = unit_of(count);
    let up = unit > 1 && count % unit >= unit / 2;
    (count / unit + u64::from(up)) * unit
}

/// What one step of the second significant digit is worth: a power of ten, 1 below 100.
fn unit_of(n: u64) -> u64 {
    10_u64.pow(n.checked_ilog10().unwrap_or(0).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use usher_index::Key;

    use super::*;
    use crate::ask::sample::Dice;

    fn key() -> NoiseKey {
        Key::from_bytes([7; 32]).noise_key()
    }

    fn set(visitors: u64, members: u128) -> Counted {
        Counted { visitors, members }
    }

    fn shown(disclosed: Disclosed) -> String {
        serde_json::to_string(&disclosed).unwrap()
    }

    #[test]
    fn forms_are_written_as_the_contract_has_them() {
        assert_eq!(shown(Disclosed::of(set(0, 0), 100, &key())), r#"{"below":100}"#);
        assert_eq!(shown(Disclosed::again(None, 100)), r#"{"below":100}"#);
        assert_eq!(shown(Disclosed::again(Some(12_000), 100)), r#"{"about":12000,"low":11380,"high":12620}"#);
        assert_eq!(shown(Disclosed::again(Some(100), 100)), r#"{"about":100,"low":50,"high":155}"#);
        assert_eq!(shown(Disclosed::exact(11_873)), r#"{"exact":11873}"#);
    }

    #[test]
    fn numbers_are_rounded_to_two_digits() {
        for (count, expected) in [
            (0, 0),
            (7, 7),
            (99, 99),
            (100, 100),
            (104, 100),
            (105, 110),
            (994, 990),
            (995, 1_000),
            (11_499, 11_000),
            (11_500, 12_000),
            (99_500, 100_000),
            (104_999, 100_000),
            (u64::MAX / 2, 9_200_000_000_000_000_000),
        ] {
            assert_eq!(rounded(count), expected, "{count}");
        }
    }

    #[test]
    fn the_same_set_has_the_same_noise_and_another_set_another() {
        let (key, other) = (key(), Key::from_bytes([8; 32]).noise_key());
        let noisy = |visitors, members| set(visitors, members).noisy(&key);
        assert_eq!(noisy(5_000, 1), noisy(5_000, 1));
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|members| noisy(5_000, members)).collect();
        assert!(drawn.len() > 100, "{}", drawn.len());
        assert!((0..50).any(|members| set(5_000, members).noisy(&other) != noisy(5_000, members)));
    }

    #[test]
    fn noise_is_normal_and_as_wide_as_it_should_be() {
        for (visitors, deviation) in [(300, 25.0), (5_000, 100.0), (9_999, 199.98)] {
            let draws = (0..20_000u128).map(|members| set(visitors, members).noisy(&key()) as f64 - visitors as f64);
            let draws: Vec<f64> = draws.collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let sd = (draws.iter().map(|draw| draw * draw).sum::<f64>() / draws.len() as f64).sqrt();
            assert!(mean.abs() < deviation * 0.03, "{visitors}: mean {mean}");
            assert!((sd / deviation - 1.0).abs() < 0.03, "{visitors}: deviation {sd}");
            let within = draws.iter().filter(|draw| draw.abs() <= 2.0 * deviation).count() as f64;
            assert!((within / draws.len() as f64 - 0.954).abs() < 0.01);
        }
        let large = (0..2_000).map(|more| set(50_000 + more, 0).noisy(&key()) as f64 / (50_000 + more) as f64 - 1.0);
        let sd = (large.map(|draw| draw * draw).sum::<f64>() / 2_000.0).sqrt();
        assert!((sd / 0.005 - 1.0).abs() < 0.1, "{sd}");
    }

    #[test]
    fn the_count_lies_between_low_and_high_nineteen_times_of_twenty() {
        let (mut inside, mut all) = (0, 0);
        for visitors in (150..9_000).step_by(7).chain((10_000..5_000_000).step_by(4_001)) {
            let disclosed = Disclosed::of(set(visitors, u128::from(visitors) * 977), 100, &key());
            if let Form::About { low, high, .. } = disclosed.0 {
                all += 1;
                inside += u32::from((low..=high).contains(&visitors));
            }
        }
        assert!(all > 2_000 && f64::from(inside) / f64::from(all) > 0.95, "{inside} of {all}");
    }

    /// The logarithm of how likely this is shown of a set of so many: the noise within what is rounded to it.
    fn likelihood(shown: Disclosed, visitors: u64) -> f64 {
        let sd = deviation(visitors);
        let (low, high) = match shown.0 {
            Form::Below { below } => (f64::NEG_INFINITY, below as f64 - 0.5),
            Form::About { about, .. } => {
                let (down, up) = (unit_of(about.saturating_sub(1)) as f64 / 2.0, unit_of(about) as f64 / 2.0);
                (about as f64 - down - 0.5, about as f64 + up - 0.5)
            }
            Form::Exact { .. } => unreachable!("nobody sees the count"),
        };
        // The logistic curve is within a hundredth of the normal one.
        let below = |at: f64| 1.0 / (1.0 + (-1.702 * (at - visitors as f64) / sd).exp());
        (below(high) - below(low)).max(1e-12).ln()
    }

    /// The worst that anybody can know: everybody else's segments. The question is whether one visitor is in a segment.
    /// Asked are as many different sets as a day allows, each of which has the visitor if the segment has; asking again
    /// or in other words tells the same, so it is not done. Guessed is what is likelier to show these sizes.
    #[test]
    fn who_spends_a_day_on_one_visitor_hardly_learns_whether_he_or_she_is_in_a_segment() {
        let (mut right, games) = (0, 4_000);
        for game in 0..games {
            let mut dice = Dice(game);
            let key =
                Key::from_bytes([dice.below(256) as u8; 32].map(|byte: u8| byte ^ dice.below(256) as u8)).noise_key();
            let is_in = dice.below(2) == 1;
            let mut evidence = 0.0;
            for _ in 0..MAX_SMALL_SETS {
                // The others of `segment or other`, `segment and not other`, ...: another set of people each time.
                let others = 150 + dice.below(700);
                let members = u128::from(dice.below(u64::MAX)) << 64 | u128::from(dice.below(u64::MAX));
                let visitors = others + u64::from(is_in);
                let asked = set(visitors, members.wrapping_add(u128::from(is_in)));
                let shown = Disclosed::of(asked, 100, &key);
                evidence += likelihood(shown, others + 1) - likelihood(shown, others);
            }
            right += u64::from((evidence > 0.0) == is_in);
        }
        let share = right as f64 / games as f64;
        println!("right in {right} of {games} guesses: {share:.3}");
        assert!(share <= 0.60, "right in {share} of the guesses");
        // A judge who could not win if there were no noise would prove nothing.
        assert!(share > 0.55, "the adversary plays badly: {share}");
    }
}
