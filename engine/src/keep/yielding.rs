//! Threads that yield to those who answer: for building, opening and sweeping.
//!
//! Nothing runs there that holds a lock for which an answer or a commit waits: whoever yields may hold it for long.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// How much they yield to everybody else.
const NICENESS: i32 = 10;

/// So many of them.
pub(super) fn yielding(threads: usize) -> Result<ThreadPool, ThreadPoolBuildError> {
    let yields = |_| {
        if let Err(error) = rustix::process::nice(NICENESS) {
            tracing::debug!("working at the priority of lookups: {error}");
        }
    };
    ThreadPoolBuilder::new().num_threads(threads).start_handler(yields).build()
}
