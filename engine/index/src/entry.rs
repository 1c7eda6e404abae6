//! The two times of a membership, and the law by which two of them become one.

use crate::time::Tick;

/// When a fact was seen and until when it holds, in whole ticks. `expiry >= observed`; equal: a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Seen in this tick.
    pub observed: Tick,
    /// Live before this tick begins.
    pub expiry: Tick,
}

impl Entry {
    /// Whether the membership holds at this tick. A removal never does, not even under a clock that went back before it.
    #[must_use]
    #[inline]
    pub fn live(self, now: Tick) -> bool {
        self.expiry > now && !self.is_removal()
    }

    /// Whether it has no life: it says that the visitor left, and shadows what was observed before.
    #[must_use]
    #[inline]
    pub fn is_removal(self) -> bool {
        self.expiry <= self.observed
    }

    /// Whether this entry wins over the other: the latest observed tick; at equal ticks the shorter life.
    #[must_use]
    #[inline]
    pub fn beats(self, other: Self) -> bool {
        (self.observed, std::cmp::Reverse(self.expiry)) > (other.observed, std::cmp::Reverse(other.expiry))
    }

    /// The merge law: commutative, associative, idempotent.
    #[must_use]
    #[inline]
    pub fn merge(self, other: Self) -> Self {
        if other.beats(self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Entry> {
        let ticks = (0..4).flat_map(|o| (o..5).map(move |e| (o, e)));
        ticks.map(|(o, e)| Entry { observed: Tick::new(o), expiry: Tick::new(e) }).collect()
    }

    #[test]
    fn the_law_is_commutative_associative_and_idempotent() {
        for a in all() {
            assert_eq!(a.merge(a), a);
            for b in all() {
                assert_eq!(a.merge(b), b.merge(a));
                for c in all() {
                    assert_eq!(a.merge(b).merge(c), a.merge(b.merge(c)));
                }
            }
        }
    }

    #[test]
    fn later_wins_then_shorter() {
        let entry = |o, e| Entry { observed: Tick::new(o), expiry: Tick::new(e) };
        assert_eq!(entry(1, 9).merge(entry(2, 3)), entry(2, 3));
        assert_eq!(entry(2, 9).merge(entry(2, 2)), entry(2, 2));
        assert!(entry(2, 2).is_removal() && !entry(2, 3).is_removal());
        assert!(entry(2, 3).live(Tick::new(2)) && !entry(2, 3).live(Tick::new(3)));
        assert!(entry(2, 3).live(Tick::new(0)) && !entry(2, 2).live(Tick::new(0)));
    }
}
