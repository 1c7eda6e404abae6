//! The names that come again and again, known by a few words, in front of the map of all names.
//!
//! Names are numbered as they arrive, so that the popular ones lie together in a few lines of the cache; a small table
//! of numbers tells where to look. A place of it has two names, those that came last. A provider who chooses names that
//! share a place gains no more than the cost of the map, whose hash has a secret.

/// Places, as a power of two: 128 KiB, within the second cache of a processor.
const PLACE_BITS: u32 = 14;
/// Bits of a number; the other bits of a known name are those of its hash.
const NUMBER_BITS: u32 = 20;
/// So many names are asked for before there are places: a request of a few rows needs none.
const PATIENCE: u32 = 4_096;
/// An odd number without pattern (2^64 divided by the golden ratio): spreads what it is multiplied with.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A name of 1 to 32 bytes: with the length, its words say which.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Words {
    words: [u64; 4],
    length: u64,
}

impl Words {
    /// `None` for a name that is longer, or empty.
    #[inline]
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let word = |at: usize| name[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let half = |at: usize| name[at..].first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
        let byte = |at: usize| u64::from(name[at]);
        // Both ends; between 8 and 16 bytes, and so on, they overlap.
        let words = match name.len() {
            length @ 1..=3 => [byte(0) | byte(length / 2) << 8 | byte(length - 1) << 16, 0, 0, 0],
            length @ 4..=7 => [half(0) | half(length - 4) << 32, 0, 0, 0],
            length @ 8..=16 => [word(0), word(length - 8), 0, 0],
            length @ 17..=32 => [word(0), word(8), word(length - 16), word(length - 8)],
            _ => return None,
        };
        Some(Self { words, length: name.len() as u64 })
    }

    #[inline]
    fn hash(self) -> u64 {
        let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(SPREAD).rotate_left(29);
        let sum = self.words.iter().fold(self.length, |sum, &word| mix(sum, word));
        sum.wrapping_mul(SPREAD)
    }

    /// Whether it is the same name, compared as a whole: where the first difference is does not matter.
    #[inline]
    fn is(&self, other: &Self) -> bool {
        let differences = self.words.iter().zip(&other.words).fold(0, |all, (a, b)| all | (a ^ b));
        differences | (self.length ^ other.length) == 0
    }
}

/// The names that came last.
#[derive(Default)]
pub(super) struct Front {
    /// By place, two known names: the higher bits of the hash's lower half, and the number.
    places: Vec<[u32; 2]>,
    /// By number. No name has a length of 0: so a number without a name knows none.
    names: Vec<Words>,
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
        self.names.get(number as usize).filter(|known| known.is(&name)).map(|_| number)
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
        if self.names.len() <= number as usize {
            self.names.resize(number as usize + 1, Words::default());
        }
        self.names[number as usize] = name;
        let (place, bits) = place_of(name.hash());
        let [newer, _] = self.places[place];
        self.places[place] = [bits | number, newer];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn names_of_the_same_words_are_the_same() {
        let mut seen: HashMap<([u64; 4], u64), Vec<u8>> = HashMap::new();
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
                    let known = seen.entry((words.words, words.length)).or_insert_with(|| name.clone());
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
