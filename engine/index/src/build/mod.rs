//! Bulk builds: what feeds brought is sorted, joined with the present images, and frozen into new ones.
//!
//! Rows are kept apart by the leading bits of their pseudonyms from the moment they are taken, in memory and, beyond a
//! bound, in a file. A build walks the join twice, in parts of the pseudonym space, and sorts a partition of rows as
//! it comes to it. The *survey* counts visitors, times and outcomes, so that shards, tables and ranks are known; the
//! *freeze* writes the images. Between the two nothing but counts is kept: sorting again what fits into a cache is
//! cheaper than the memory for a second copy. When segments keep their ranks, visitors of whom nothing new came stay as
//! they are: the survey reads their times alone, the freeze copies their gaps.

mod batch;
mod codes;
mod freeze;
mod join;
mod memory;
mod ranking;
mod rows;
mod runs;
mod share;
mod stayed;
mod steps;
mod survey;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use freeze::freeze;
pub use join::MAX_FEEDS;
pub use memory::{DEFAULT_MEMORY_BYTES, MIN_MEMORY_BYTES, Memory};
pub use ranking::{Ranking, Settled};
pub use rows::Rows;
pub use survey::{Input, survey};

use crate::entry::Entry;
use crate::time::{Span, TickLength, Time};

/// Hears how a build goes on.
pub trait Progress: Sync {
    /// A stage of `total` steps begins.
    fn stage(&self, name: &'static str, total: u64);
    /// So many steps of it are done.
    fn advance(&self, steps: u64);
}

/// Hears nothing.
pub struct NoProgress;

impl Progress for NoProgress {
    fn stage(&self, _name: &'static str, _total: u64) {}
    fn advance(&self, _steps: u64) {}
}

/// Which entries leave: the dead whose source's life has passed since they were observed, so that no row that could
/// come now would lose to them.
pub struct Purge {
    /// The moment of the build.
    pub now: Time,
    /// The index's time grain.
    pub tick: TickLength,
    /// The life of each segment's source, by provisional rank.
    pub lives: Vec<Span>,
}

impl Purge {
    /// Whether the entry of the segment leaves.
    #[must_use]
    pub fn drops(&self, rank: u32, entry: Entry) -> bool {
        // The tick is all that is known of the observation: a row of the tick's last second must be too late too.
        let past = |life: &Span| self.tick.end(entry.observed).plus(*life) <= self.now;
        !entry.live(self.tick.floor(self.now)) && self.lives.get(rank as usize).is_some_and(past)
    }
}
