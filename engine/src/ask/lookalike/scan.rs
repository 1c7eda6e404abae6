//! Adds what features are worth over the members of a block's containers: a few operations a membership, and sums that
//! are the same in whatever order they are made, because they are whole numbers.

use usher_index::ImageError;
use usher_index::bits::BLOCK;

use super::population::Part;

/// The most bits that a sum of weights takes, so that with its low bits it stays within 64.
const SUM_BITS: i32 = 61;

/// A sum for each visitor of a block.
pub struct Sums {
    /// By ordinal in the block.
    pub of: Box<[i64; BLOCK as usize]>,
}

impl Default for Sums {
    fn default() -> Self {
        let zeros = vec![0; BLOCK as usize].into_boxed_slice();
        Sums { of: zeros.try_into().expect("it was made of that length") }
    }
}

/// Adds the value of each rank to all its live members of a block. The sums of touched visitors are 0.
pub fn accumulate(part: &Part<'_>, block: usize, values: &[(u32, i64)], into: &mut Sums) -> Result<(), ImageError> {
    into.of.fill(0);
    let (image, sums) = (part.shard.image(), &mut into.of);
    let clean = part.sweep.is_clean(block);
    for &(rank, value) in values {
        image.container(block, rank)?.each(|ordinal| {
            let sum = &mut sums[usize::from(ordinal)];
            *sum = sum.wrapping_add(value);
        });
        if !clean {
            for &ordinal in part.sweep.dead(block, rank) {
                let sum = &mut sums[usize::from(ordinal)];
                *sum = sum.wrapping_sub(value);
            }
        }
    }
    part.touched(block).for_each(|ordinal| sums[usize::from(ordinal)] = 0);
    Ok(())
}

/// Weights as whole numbers, each with something in its low bits that adds up beside it: 1 to count the features, or a
/// bit of a mask.
#[derive(Clone, Debug)]
pub struct Packed {
    /// By feature.
    pub values: Vec<i64>,
    /// What one of the whole numbers is worth.
    unit: f64,
    low_bits: u32,
}

impl Packed {
    /// Packs the weights; the low bits of all together stay below `2^low_bits`.
    ///
    /// However many features a visitor has, the sum fits, and its error is below 1 part in 2^32 of all weights.
    pub fn new(weights: &[f64], low_bits: u32, low: impl Fn(usize) -> i64) -> Self {
        let total: f64 = weights.iter().map(|weight| weight.abs()).sum();
        let room = SUM_BITS - low_bits as i32;
        let exponent = if total > f64::MIN_POSITIVE { (f64::from(room) - total.log2()).floor() as i32 - 1 } else { 0 };
        let scale = f64::from(exponent.clamp(-1_000, 1_000)).exp2();
        let pack = |(at, weight): (usize, &f64)| (((weight * scale).round() as i64) << low_bits) + low(at);
        Self { values: weights.iter().enumerate().map(pack).collect(), unit: 1.0 / scale, low_bits }
    }

    /// The same weights for features in another order; `from` says where each stood, and `unknown` is the value of one that
    /// has no weight.
    pub fn reordered(&self, from: impl Iterator<Item = Option<usize>>, unknown: i64) -> Self {
        let values = from.map(|place| place.map_or(unknown, |place| self.values[place]));
        Self { values: values.collect(), unit: self.unit, low_bits: self.low_bits }
    }

    /// The sum of some features' values.
    pub fn sum(&self, numbers: &[u32]) -> i64 {
        numbers.iter().fold(0, |sum, &number| sum.wrapping_add(self.values[number as usize]))
    }

    /// The sum of the weights in a sum of values.
    #[inline]
    pub fn weight(&self, sum: i64) -> f64 {
        (sum >> self.low_bits) as f64 * self.unit
    }

    /// The low bits of a sum.
    #[inline]
    pub fn low(&self, sum: i64) -> usize {
        (sum & ((1 << self.low_bits) - 1)) as usize
    }

    /// The values of a shard's ranks that are not 0.
    pub fn of_ranks(&self, part: &Part<'_>) -> Vec<(u32, i64)> {
        let values = (0..)
            .zip(&part.numbers)
            .filter_map(|(rank, &number)| self.values.get(number as usize).map(|&value| (rank, value)));
        values.filter(|(_, value)| *value != 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Packed;

    #[test]
    fn weights_and_low_bits_do_not_meet() {
        let weights: Vec<f64> = (0..5_000).map(|i| f64::from(i - 2_500) * 1e-5 + f64::from(i % 7) * 3.0).collect();
        let packed = Packed::new(&weights, 13, |_| 1);
        let all: Vec<u32> = (0..5_000).collect();
        for count in [0, 1, 2, 77, 5_000] {
            let sum = packed.sum(&all[..count]);
            let expected: f64 = weights[..count].iter().sum();
            assert_eq!(packed.low(sum), count);
            assert!((packed.weight(sum) - expected).abs() < 1e-6 * expected.abs().max(1.0), "{count}");
        }
        let negative = Packed::new(&[-1.0, -2.0, 0.0], 16, |at| 1 << at);
        let sum = negative.sum(&[0, 1, 2]);
        assert_eq!((negative.weight(sum), negative.low(sum)), (-3.0, 0b111));
        let nothing = Packed::new(&[0.0; 3], 2, |_| 1);
        assert_eq!((nothing.weight(nothing.sum(&[0, 2])), nothing.low(nothing.sum(&[0, 2]))), (0.0, 2));
    }
}
