//! The names that come again and again, known by a few words, in front of the map of all names.
//!
//! Names are numbered as they arrive, so that the popular ones lie together in a few lines of the cache; a small table
//! of numbers tells where to look. A place of it has two names, those that came last. A provider who chooses names that
//! share a place gains no more than the cost of the map, whose hash has a secret.

/// Places, as a power of two: 256 KiB, within the second cache of a processor.
const PLACE_BITS: u32 = 15;
/// Bits of a number; the other bits of a known name are those of its hash.
const NUMBER_BITS: u32 = 20;
/// So many names are asked for before there are places: a request of a few rows needs none.
const PATIENCE: u32 = 4_096;
/// An odd number without pattern (2^64 divided by the golden ratio): spreads what it is multiplied with.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A name of 1 to 32 bytes: its words say which.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Up to 15 bytes, and the length in the highest byte.
    Short([u64; 2]),
    /// Both ends, which may overlap, and the length.
    Long([u64; 5]),
}

impl Words {
    /// `None` for a name that is longer, or empty.
    #[inline]
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let word = |at: usize| name[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let half = |at: usize| name[at..].first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
        let byte = |at: usize| u64::from(name[at]);
        let length = name.len() as u64;
        // Of a few bytes both ends, which may overlap, too.
        let (low, high) = match name.len() {
            length @ 1..=3 => (byte(0) | byte(length / 2) << 8 | byte(length - 1) << 16, 0),
            length @ 4..=7 => (half(0) | half(length - 4) << 32, 0),
            8 => (word(0), 0),
            length @ 9..=15 => (word(0), word(length - 8) >> (8 * (16 - length))),
            16..=32 => {
                return Some(Self::Long([word(0), word(8), word(name.len() - 16), word(name.len() - 8), length]));
            }
            _ => return None,
        };
        Some(Self::Short([low, high | length << 56]))
    }

    #[inline]
    fn hash(self) -> u64 {
        let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(SPREAD).rotate_left(29);
        let sum = match self {
            Self::Short([low, high]) => mix(mix(0, low), high),
            Self::Long(words) => words.into_iter().fold(0, mix),
        };
        sum.wrapping_mul(SPREAD)
    }
}

/// The names that came last.
#[derive(Default)]
pub(super) struct Front {
    /// By place, two known names: the higher bits of the hash's lower half, and the number.
    places: Vec<[u32; 2]>,
    /// By number. No name has a length of 0: so a number without a name knows none.
    short: Vec<[u64; 2]>,
    long: Vec<[u64; 5]>,
    asked: u32,
}

/// Where a name is kept, and the bits that go with its number.
#[inline]
fn place_of(hash: u64) -> (usize, u32) {
    ((hash >> (u64::BITS - PLACE_BITS)) as usize, (hash as u32) >> NUMBER_BITS << NUMBER_BITS)
}

impl Front {
    /// The number of a name, if it is here.
    #[inline]
    pub(super) fn get(&self, name: Words) -> Option<u32> {
        let (place, bits) = place_of(name.hash());
        let known = self.places.get(place)?;
        // Which of the two it is cannot be foreseen: an index instead of a branch.
        let known = known[usize::from(known[0] >> NUMBER_BITS != bits >> NUMBER_BITS)];
        let number = known & ((1 << NUMBER_BITS) - 1);
        let is_it = match name {
            Words::Short(words) => is_same(self.short.get(number as usize)?, &words),
            Words::Long(words) => is_same(self.long.get(number as usize)?, &words),
        };
        is_it.then_some(number)
    }

    /// Puts a name where the next one who asks will find it.
    pub(super) fn put(&mut self, name: Words, number: u32) {
        if self.asked < PATIENCE {
            self.asked += 1;
            return;
        }
        if number >> NUMBER_BITS != 0 {
            return;
        }
        self.places.resize(1 << PLACE_BITS, [0; 2]);
        match name {
            Words::Short(words) => set(&mut self.short, number as usize, words),
            Words::Long(words) => set(&mut self.long, number as usize, words),
        }
        let (place, bits) = place_of(name.hash());
        let [newer, _] = self.places[place];
        self.places[place] = [bits | number, newer];
    }
}

/// Compared as a whole: where the first difference is does not matter.
#[inline]
fn is_same<const N: usize>(a: &[u64; N], b: &[u64; N]) -> bool {
    a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn set<const N: usize>(names: &mut Vec<[u64; N]>, number: usize, words: [u64; N]) {
    if names.len() <= number {
        names.resize(number + 1, [0; N]);
    }
    names[number] = words;
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn names_of_the_same_words_are_the_same() {
        let mut seen: HashMap<Vec<u64>, Vec<u8>> = HashMap::new();
        for length in 0..40usize {
            // Every byte of a name counts.
            for at in 0..length.max(1) {
                let mut name = vec![b'a'; length];
                for byte in [b'a', b'b', 0, 0xff] {
                    name.iter_mut().skip(at).take(1).for_each(|place| *place = byte);
                    let Some(words) = Words::of(&name) else {
                        assert!(!(1..=32).contains(&length));
                        continue;
                    };
                    let words = match words {
                        Words::Short(words) => words.to_vec(),
                        Words::Long(words) => words.to_vec(),
                    };
                    let known = seen.entry(words).or_insert_with(|| name.clone());
                    assert_eq!(*known, name);
                }
            }
        }
    }

    #[test]
    fn a_name_has_its_own_number_whoever_came_before() {
        let mut front = Front::default();
        let name = |number: u32| Words::of(format!("segment.{number}").as_bytes()).expect("short");
        let mut found = 0;
        for round in 0..3u32 {
            for number in 0..40_000 {
                let known = front.get(name(number));
                assert!(known.is_none_or(|known| known == number), "round {round}, {number}");
                found += u32::from(known.is_some());
                front.put(name(number), number);
                let now = front.get(name(number));
                assert_eq!(now.is_some(), round > 0 || number >= PATIENCE, "round {round}, {number}");
            }
        }
        assert!(found > 0);
    }
}
