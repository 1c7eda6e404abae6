//! Breaths: where long walks stop for a moment.
//!
//! A thread that yields to others keeps them waiting all the same while it runs: once it has the core, the system looks
//! again whose turn it is when its timer ticks, and Linux ticks every 1 to 10 ms. So walks over visitors and bytes stop now
//! and then, and a thread that was told to offers its core there. (Threads that it starts are to be told, too.)
//!
//! After half a millisecond or so, and not sooner: a thread that offers its core on a busy one is put behind the others by a
//! slice each time, so what is short has no breath at all. And a lock that is held through a breath is held for longer: only
//! a sweep does so, whose result is what others wait for, and a batch of changes, with locks that nobody else writes to.

use std::cell::Cell;
use std::thread;

/// Visitors between two breaths.
pub(crate) const BREATH_VISITORS: usize = 256;
/// Visitors whom a change concerns between two breaths.
pub(crate) const BREATH_TOUCHED: usize = 64;
/// Buckets of visitors that a sweep looks at between two breaths.
pub(crate) const BREATH_BUCKETS: usize = 64;
/// Bytes between two breaths. (To copy into memory that is used for the first time takes longest: the system clears it.)
pub(crate) const BREATH_BYTES: usize = 256 << 10;
/// Names of segments that are read, or gathered, between two breaths.
pub(crate) const BREATH_NAMES: usize = 1 << 10;
/// Places of a directory of containers that are read between two breaths.
pub(crate) const BREATH_SLOTS: usize = 16 << 10;
/// Pairs of a segment and a visitor that are put in order, or written into containers, between two breaths.
pub(crate) const BREATH_PAIRS: usize = 16 << 10;

thread_local! {
    static OFFERS: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread offers its core to others with every breath.
pub fn offer_core() {
    OFFERS.set(true);
}

/// A breath.
#[inline]
pub(crate) fn breathe() {
    if OFFERS.get() {
        #[cfg(test)]
        tests::TAKEN.set(tests::TAKEN.get() + 1);
        thread::yield_now();
    }
}

/// What is to be walked, in pieces, a breath between two of them.
pub(crate) fn pieces<T>(all: &[T], length: usize) -> impl Iterator<Item = &[T]> {
    all.chunks(length).enumerate().map(|(number, piece)| {
        if number > 0 {
            breathe();
        }
        piece
    })
}

/// Breathes whenever so many steps were taken.
pub struct Stride {
    length: usize,
    taken: usize,
}

impl Stride {
    /// Before the first step.
    #[must_use]
    pub fn new(length: usize) -> Self {
        Self { length, taken: 0 }
    }

    /// A step.
    #[inline]
    pub fn step(&mut self) {
        self.steps(1);
    }

    /// So many steps at once.
    #[inline]
    pub fn steps(&mut self, count: usize) {
        self.taken += count;
        if self.taken >= self.length {
            self.taken = 0;
            breathe();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    thread_local! {
        /// Breaths that this thread took.
        pub(super) static TAKEN: Cell<usize> = const { Cell::new(0) };
    }

    /// How many breaths a walk took.
    pub(crate) fn taken(walk: impl FnOnce()) -> usize {
        let before = TAKEN.get();
        walk();
        TAKEN.get() - before
    }

    fn walk(length: usize) {
        let numbers: Vec<usize> = (0..length).collect();
        let walked: Vec<usize> = pieces(&numbers, 10).flatten().copied().collect();
        assert_eq!(walked, numbers);
    }

    #[test]
    fn long_walks_have_breaths_and_short_ones_have_none() {
        assert_eq!(taken(|| walk(100)), 0, "this thread was not told to");
        offer_core();
        for (length, breaths) in [(0, 0), (1, 0), (10, 0), (11, 1), (20, 1), (100, 9)] {
            assert_eq!(taken(|| walk(length)), breaths, "{length} in pieces");
        }
        for (steps, breaths) in [(9, 0), (10, 1), (19, 1), (100, 10)] {
            let mut stride = Stride::new(10);
            assert_eq!(taken(|| (0..steps).for_each(|_| stride.step())), breaths, "{steps} steps");
        }
        let mut stride = Stride::new(10);
        let many = || [7, 2, 1, 25, 3].into_iter().for_each(|count| stride.steps(count));
        assert_eq!(taken(many), 2, "at the tenth step, and once for many at once");
    }
}
