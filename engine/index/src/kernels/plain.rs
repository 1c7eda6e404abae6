//! Frozen containers folded into bits. Portable; each kind has the loop that suits it.

use crate::bits::{BLOCK_WORDS, Bits, Op};
use crate::bytes::words;
use crate::containers::Container;

impl Container<'_> {
    /// Folds the members into the bits.
    pub fn fold_into(&self, bits: &mut Bits, op: Op) {
        match (self, op) {
            (Container::Empty, Op::And) => bits.clear(),
            (Container::Empty, Op::Or | Op::AndNot) => {}
            (Container::Array(_) | Container::EliasFano { .. }, Op::Or) => {
                self.each_listed(|ordinal| bits.insert(ordinal));
            }
            (Container::Array(_) | Container::EliasFano { .. }, Op::AndNot) => {
                self.each_listed(|ordinal| bits.remove(ordinal));
            }
            (Container::Array(_) | Container::EliasFano { .. }, Op::And) => self.retain_listed(bits),
            (Container::Sparse { map, bytes }, _) => fold_words(bits, sparse_words(map, bytes), op),
            (Container::Bitmap(bytes), _) => fold_words(bits, words(bytes), op),
        }
    }

    /// Calls `each` with every member, ascending.
    #[inline]
    pub fn each(&self, mut each: impl FnMut(u16)) {
        match self {
            Container::Empty => {}
            Container::Array(_) | Container::EliasFano { .. } => self.each_listed(each),
            Container::Sparse { map, bytes } => each_bit(sparse_words(map, bytes), &mut each),
            Container::Bitmap(bytes) => each_bit(words(bytes), &mut each),
        }
    }

    /// Keeps in the bits only what the list has: the matches are noted, then the bits are made anew from them.
    fn retain_listed(&self, bits: &mut Bits) {
        let mut kept = Vec::with_capacity(64);
        self.each_listed(|ordinal| {
            if bits.contains(ordinal) {
                kept.push(ordinal);
            }
        });
        bits.clear();
        kept.iter().for_each(|&ordinal| bits.insert(ordinal));
    }

    #[inline]
    fn each_listed(&self, mut each: impl FnMut(u16)) {
        match self {
            Container::Array(bytes) => bytes.chunks_exact(2).for_each(|two| each(u16::from_le_bytes([two[0], two[1]]))),
            Container::EliasFano { unary, lows } => {
                let mut lows = lows.iter().enumerate();
                for (word_index, word) in words(unary).enumerate() {
                    let mut rest = word;
                    while rest != 0 {
                        let at = word_index as u32 * 64 + rest.trailing_zeros();
                        rest &= rest - 1;
                        let Some((index, &low)) = lows.next() else { return };
                        // The position of a one is its index plus its high byte.
                        let high = at.wrapping_sub(index as u32);
                        each((high << 8) as u16 | u16::from(low));
                    }
                }
            }
            Container::Empty | Container::Sparse { .. } | Container::Bitmap(_) => {}
        }
    }
}

#[inline]
fn each_bit(words: impl Iterator<Item = u64>, each: &mut impl FnMut(u16)) {
    for (index, word) in words.enumerate() {
        let mut rest = word;
        while rest != 0 {
            each((index as u32 * 64 + rest.trailing_zeros()) as u16);
            rest &= rest - 1;
        }
    }
}

fn fold_words(bits: &mut Bits, words: impl Iterator<Item = u64>, op: Op) {
    let own = bits.words_mut();
    let mut done = 0;
    match op {
        Op::Or => own.iter_mut().zip(words).for_each(|(own, word)| *own |= word),
        Op::AndNot => own.iter_mut().zip(words).for_each(|(own, word)| *own &= !word),
        Op::And => {
            for (own, word) in own.iter_mut().zip(words) {
                *own &= word;
                done += 1;
            }
            own[done..BLOCK_WORDS].fill(0);
        }
    }
}

/// The words of the bitmap that a sparse container stands for. Missing bytes read as zero.
fn sparse_words<'a>(map: &'a [u8], bytes: &'a [u8]) -> impl Iterator<Item = u64> + 'a {
    let mut bytes = bytes.iter();
    map.iter().map(move |&present| {
        let mut word = 0u64;
        let mut rest = present;
        while rest != 0 {
            let place = rest.trailing_zeros();
            rest &= rest - 1;
            word |= u64::from(bytes.next().copied().unwrap_or(0)) << (8 * place);
        }
        word
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::{Kind, Policy, fixed_size, write};

    fn sample(members: u32, visitors: u32) -> Vec<u16> {
        let mut ordinals: Vec<u16> =
            (0..u64::from(members)).map(|i| (i * u64::from(visitors) / u64::from(members)) as u16).collect();
        ordinals.dedup();
        ordinals
    }

    #[test]
    fn every_kind_folds_as_a_plain_set_does() {
        for visitors in [1u32, 9, 257, 5_000, 65_535, 65_536] {
            for members in
                [1u32, 2, 47, 48, 300, 1_535, 1_536, 8_191, 8_192, 65_536].into_iter().filter(|&k| k <= visitors)
            {
                let ordinals = sample(members, visitors);
                let mut bytes = Vec::new();
                write(Policy::COMPACT, &ordinals, visitors, &mut bytes);
                let kind = Policy::COMPACT.kind(members);
                assert!(fixed_size(kind, members, visitors).is_none_or(|size| size as usize == bytes.len()));
                let container = Container::new(kind, members, visitors, &bytes).expect("whole");
                let mut listed = Vec::new();
                container.each(|ordinal| listed.push(ordinal));
                assert_eq!(listed, ordinals, "{kind:?} of {members} in {visitors}");
                for op in [Op::Or, Op::And, Op::AndNot] {
                    let (mut left, mut right) = (Bits::empty(), Bits::empty());
                    (0..visitors).step_by(3).for_each(|ordinal| left.insert(ordinal as u16));
                    ordinals.iter().for_each(|&ordinal| right.insert(ordinal));
                    let mut folded = left.clone();
                    container.fold_into(&mut folded, op);
                    left.fold(&right, op);
                    assert!(folded == left, "{kind:?} of {members} in {visitors}, {op:?}");
                }
            }
        }
        assert_eq!(Policy::COMPACT.kind(0), Kind::Empty);
    }
}
