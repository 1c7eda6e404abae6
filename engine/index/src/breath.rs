//! Breaths: where long walks stop for a moment.
//!
//! A thread that yields to others keeps them waiting all the same while it runs: once it has the core, the system looks
//! again whose turn it is when its timer ticks, and Linux ticks every 1 to 10 ms. So walks over visitors and bytes stop now
//! and then, and a thread that was told to offers its core there.
//!
//! Not too often: a thread that offers its core on a busy one is put behind the others by a slice each time. And a lock that
//! is held through a breath is held for longer: only a sweep does so, whose result is what others wait for.

use std::cell::Cell;
use std::thread;

/// Visitors between two breaths.
pub(crate) const BREATH_VISITORS: usize = 256;
/// Buckets of visitors that a sweep looks at between two breaths.
pub(crate) const BREATH_BUCKETS: usize = 64;
/// Bytes between two breaths.
pub(crate) const BREATH_BYTES: usize = 1 << 20;
/// Pairs of a segment and a visitor that are put in order, or written into containers, between two breaths.
pub(crate) const BREATH_PAIRS: usize = 64 << 10;

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
        thread::yield_now();
    }
}

/// What is to be walked, in pieces, a breath before each.
pub(crate) fn pieces<T>(all: &[T], length: usize) -> impl Iterator<Item = &[T]> {
    all.chunks(length).inspect(|_| breathe())
}

/// Breathes whenever so many steps were taken.
pub(crate) struct Stride {
    length: usize,
    taken: usize,
}

impl Stride {
    /// Before the first step.
    pub(crate) fn new(length: usize) -> Self {
        Self { length, taken: 0 }
    }

    /// A step.
    #[inline]
    pub(crate) fn step(&mut self) {
        self.steps(1);
    }

    /// So many steps at once.
    #[inline]
    pub(crate) fn steps(&mut self, count: usize) {
        self.taken += count;
        if self.taken >= self.length {
            self.taken = 0;
            breathe();
        }
    }
}
