//! Visitors as lists of feature numbers, and orders of visitors that are blind to the seed.

use usher_index::Pid;

/// The features of some visitors, one list behind the other.
#[derive(Debug, Default)]
pub struct Rows {
    numbers: Vec<u32>,
    ends: Vec<usize>,
}

impl Rows {
    /// Appends a visitor.
    pub fn push(&mut self, numbers: impl Iterator<Item = u32>) {
        self.numbers.extend(numbers);
        self.ends.push(self.numbers.len());
    }

    /// Appends the visitors of others.
    pub fn append(&mut self, others: &Rows) {
        (0..others.len()).for_each(|row| self.push(others.get(row).iter().copied()));
    }

    /// The features of a visitor.
    pub fn get(&self, row: usize) -> &[u32] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.numbers[start..self.ends[row]]
    }

    /// How many visitors.
    pub fn len(&self) -> usize {
        self.ends.len()
    }
}

/// A number in place of another, as good as drawn by lot; always the same.
pub fn lot(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The lot of a visitor: stable over generations, and hidden behind the key of the pseudonym.
pub fn lot_of(pid: Pid) -> u64 {
    let bits = pid.bits();
    lot(bits as u64 ^ lot((bits >> 64) as u64))
}

/// A number that orders like the score: the greater the score, the greater the number. Never 0 for a finite score.
pub fn key(score: f32) -> u32 {
    // Both zeros are one score.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The score behind a number.
pub fn score_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// Puts `order`, places in `keys`, in the order of their keys, the greatest first; equal ones stay as they stand.
pub fn sort_by_key(keys: &[u32], order: &mut Vec<u32>) {
    const BITS: u32 = 11;
    const VALUES: usize = 1 << BITS;
    let mut other = vec![0u32; order.len()];
    for shift in (0..u32::BITS).step_by(BITS as usize) {
        let digit = |place: u32| (!keys[place as usize] >> shift) as usize & (VALUES - 1);
        let mut starts = [0u32; VALUES];
        order.iter().for_each(|&place| starts[digit(place)] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for &place in order.iter() {
            let at = &mut starts[digit(place)];
            other[*at as usize] = place;
            *at += 1;
        }
        std::mem::swap(order, &mut other);
    }
}

#[cfg(test)]
mod tests {
    use super::{key, lot, score_of, sort_by_key};

    #[test]
    fn keys_order_as_scores_do() {
        let scores = [f32::MIN, -7.5, -1e-30, 0.0, 1e-30, 0.1, 3.0, f32::MAX];
        assert!(scores.map(key).is_sorted_by(|a, b| a < b) && key(f32::MIN) > 0);
        assert_eq!(scores.map(|score| score_of(key(score))), scores);
        assert_eq!(key(-0.0), key(0.0));
    }

    #[test]
    fn the_order_is_stable_and_descends() {
        for case in 0..200 {
            let keys: Vec<u32> = (0..case * 7).map(|i| (lot(i ^ case << 32) >> (32 + case % 32)) as u32).collect();
            let mut order: Vec<u32> = (0..keys.len() as u32).rev().collect();
            let mut expected = order.clone();
            expected.sort_by_key(|&place| std::cmp::Reverse(keys[place as usize]));
            sort_by_key(&keys, &mut order);
            assert_eq!(order, expected, "case {case}");
        }
    }
}
