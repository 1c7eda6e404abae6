//! Stage 1: what having a feature says about being in the seed, from counts alone.

/// The weight of a feature that `c` of `n` seed visitors have, and `all` of `eligible` visitors: the distance of the two
/// shares times their log odds ratio. Above 0: the seed has it more often.
pub fn weight(c: u64, n: u64, all: u64, eligible: u64) -> f64 {
    let p = (c as f64 + 0.5) / (n as f64 + 1.0);
    let q = (all.saturating_sub(c) as f64 + 0.5) / (eligible.saturating_sub(n) as f64 + 1.0);
    (p - q).abs() * (p * (1.0 - q) / (q * (1.0 - p))).ln()
}

/// The weights of all features; one that nobody has has none.
pub fn weights(seed: &[u64], n: u64, all: &[u64], eligible: u64) -> Vec<f64> {
    let of = |(&c, &all): (&u64, &u64)| if all > 0 { weight(c, n, all, eligible) } else { 0.0 };
    seed.iter().zip(all).map(of).collect()
}

/// The score of a visitor of so many features whose weights add up to `sum`.
#[inline]
pub fn score(sum: f64, features: usize) -> f64 {
    sum / (features as f64).sqrt().sqrt()
}

#[cfg(test)]
mod tests {
    use super::{score, weight};

    #[test]
    fn the_sign_stays() {
        // 30 of 40 seed visitors and 100 of 1,000: p = 30.5/41, q = 70.5/961.
        let (p, q) = (30.5_f64 / 41.0, 70.5_f64 / 961.0);
        let expected = (p - q) * (p / q * (1.0 - q) / (1.0 - p)).ln();
        assert!((weight(30, 40, 100, 1_000) - expected).abs() < 1e-12 && expected > 2.0);
        assert!(weight(0, 40, 900, 1_000) < -3.0);
        assert!(weight(4, 40, 100, 1_000).abs() < 0.01);
        assert!((score(8.0, 16) - 4.0).abs() < 1e-12);
    }
}
