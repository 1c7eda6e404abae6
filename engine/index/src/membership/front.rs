//! The names that come again and again, known by a few words, in front of the map of all names.
//!
//! A slot has one name, the one that came last. A provider who chooses names that share a slot gains no more than the
//! cost of the map, whose hash has a secret.

/// Slots, as a power of two: 640 KiB, within the second cache of a processor.
const SLOT_BITS: u32 = 14;
/// So many names are asked for before there are slots: a request of a few rows needs none.
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
    fn slot(self) -> usize {
        let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(SPREAD).rotate_left(29);
        let sum = self.words.iter().fold(self.length, |sum, &word| mix(sum, word));
        (sum.wrapping_mul(SPREAD) >> (u64::BITS - SLOT_BITS)) as usize
    }
}

/// The names that came last.
#[derive(Default)]
pub(super) struct Front {
    slots: Vec<(Words, u32)>,
    asked: u32,
}

impl Front {
    /// The number of a name, if it is here.
    #[inline]
    pub(super) fn get(&self, name: Words) -> Option<u32> {
        self.slots.get(name.slot()).filter(|(known, _)| *known == name).map(|(_, number)| *number)
    }

    /// Puts a name where the next one who asks will find it.
    pub(super) fn put(&mut self, name: Words, number: u32) {
        if self.asked < PATIENCE {
            self.asked += 1;
            return;
        }
        // No name has a length of 0: so empty slots know none.
        self.slots.resize(1 << SLOT_BITS, (Words::default(), 0));
        self.slots[name.slot()] = (name, number);
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
