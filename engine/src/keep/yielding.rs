//! Threads that yield to those who answer lookups.
//!
//! Building, opening and sweeping yield most. Nothing runs there that holds a lock for which an answer or a commit waits:
//! whoever yields may hold it for long. Commits and counts yield a little: they keep a quarter of a core that lookups
//! would fill.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// How much building, opening and sweeping yield: as nice values.
const MUCH: i32 = 10;
/// How much commits and counts yield.
const LITTLE: i32 = 5;

/// So many threads that yield to everybody else.
pub(super) fn yielding(threads: usize) -> Result<ThreadPool, ThreadPoolBuildError> {
    ThreadPoolBuilder::new().num_threads(threads).start_handler(|_| step_back(MUCH)).build()
}

/// From now on this thread yields a little to lookups.
pub(crate) fn yield_a_little() {
    step_back(LITTLE);
}

fn step_back(niceness: i32) {
    if let Err(error) = rustix::process::nice(niceness) {
        tracing::debug!("working at the priority of lookups: {error}");
    }
}
