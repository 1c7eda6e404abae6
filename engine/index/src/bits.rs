//! A set of ordinals of one block, as bits.

/// Visitors of a block.
pub const BLOCK: u32 = 65_536;
/// Words of a block's bits.
pub const BLOCK_WORDS: usize = BLOCK as usize / 64;

/// How a set is folded into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Union.
    Or,
    /// Intersection.
    And,
    /// Difference: what the folded set has, leaves.
    AndNot,
}

/// A set of ordinals of one block: 8 KiB.
#[derive(Clone, PartialEq, Eq)]
pub struct Bits(Box<[u64; BLOCK_WORDS]>);

impl Bits {
    /// No ordinal.
    #[must_use]
    pub fn empty() -> Self {
        Self(Box::new([0; BLOCK_WORDS]))
    }

    /// How many ordinals.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// The words, ordinal 0 in the lowest bit of the first.
    #[must_use]
    pub fn words(&self) -> &[u64; BLOCK_WORDS] {
        &self.0
    }

    /// The words, to be changed.
    pub fn words_mut(&mut self) -> &mut [u64; BLOCK_WORDS] {
        &mut self.0
    }

    /// Takes all ordinals out.
    pub fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Whether the ordinal is in.
    #[inline]
    #[must_use]
    pub fn contains(&self, ordinal: u16) -> bool {
        self.0[usize::from(ordinal) / 64] >> (ordinal % 64) & 1 == 1
    }

    /// Puts the ordinal in.
    #[inline]
    pub fn insert(&mut self, ordinal: u16) {
        self.0[usize::from(ordinal) / 64] |= 1 << (ordinal % 64);
    }

    /// Takes the ordinal out.
    #[inline]
    pub fn remove(&mut self, ordinal: u16) {
        self.0[usize::from(ordinal) / 64] &= !(1 << (ordinal % 64));
    }

    /// Folds another set in.
    pub fn fold(&mut self, other: &Self, op: Op) {
        let pairs = self.0.iter_mut().zip(other.0.iter());
        match op {
            Op::Or => pairs.for_each(|(word, other)| *word |= other),
            Op::And => pairs.for_each(|(word, other)| *word &= other),
            Op::AndNot => pairs.for_each(|(word, other)| *word &= !other),
        }
    }

    /// The ordinals, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.checked_ilog2().map(|_| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some((index as u32 * 64 + bit) as u16)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_ordinals() {
        let mut bits = Bits::empty();
        [0, 63, 64, 65_535, 7].iter().for_each(|&ordinal| bits.insert(ordinal));
        bits.remove(7);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 65_535]);
        assert!(bits.count() == 4 && bits.contains(63) && !bits.contains(7) && !bits.is_empty());
        let mut other = Bits::empty();
        other.insert(64);
        other.insert(9);
        let folded = |op| {
            let mut set = bits.clone();
            set.fold(&other, op);
            set.iter().collect::<Vec<_>>()
        };
        assert_eq!(folded(Op::Or), [0, 9, 63, 64, 65_535]);
        assert_eq!(folded(Op::And), [64]);
        assert_eq!(folded(Op::AndNot), [0, 63, 65_535]);
    }
}
