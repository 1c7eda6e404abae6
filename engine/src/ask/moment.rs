//! When a question is asked, in the ticks of its index.

use usher_index::{Span, Tick, TickLength, Time};

/// A moment, and the grain that time has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    now: Time,
    length: TickLength,
}

impl Moment {
    /// The moment `now` in ticks of this length.
    pub fn new(length: TickLength, now: Time) -> Self {
        Moment { now, length }
    }

    /// The tick in which it lies: what ends later is live.
    pub fn tick(self) -> Tick {
        self.length.floor(self.now)
    }

    /// The first tick that begins within the span before it: what was observed then or later is recent.
    pub fn since(self, span: Span) -> Tick {
        self.length.since(self.now, span)
    }
}
