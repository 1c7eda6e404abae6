//! Threads that yield to those who answer lookups.
//!
//! Taking feeds in, building and opening yield most. Nothing runs there that holds a lock for which an answer or a commit
//! waits: whoever yields may hold it for long. Commits, counts and the sweeps that counts may wait for yield a little: they
//! keep a quarter of a core that lookups would fill.
//!
//! What such a thread starts yields as it does: the system hands it down.

use std::num::NonZero;
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// How much taking in, building and opening yield: as nice values.
const MUCH: i32 = 10;
/// How much commits, counts and sweeps yield.
const LITTLE: i32 = 5;

/// How many cores this process may use.
pub(crate) fn cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// So many threads of this name that yield to everybody else.
pub(crate) fn yielding(name: &'static str, threads: usize) -> Result<ThreadPool, ThreadPoolBuildError> {
    pool(name, threads, MUCH)
}

/// So many threads of this name that yield a little to lookups.
pub(crate) fn yielding_a_little(name: &'static str, threads: usize) -> Result<ThreadPool, ThreadPoolBuildError> {
    pool(name, threads, LITTLE)
}

fn pool(name: &'static str, threads: usize, niceness: i32) -> Result<ThreadPool, ThreadPoolBuildError> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(move |number| format!("{name}-{number}"))
        .start_handler(move |_| step_back(niceness))
        .build()
}

/// From now on this thread yields a little to lookups.
pub(super) fn yield_a_little() {
    step_back(LITTLE);
}

fn step_back(niceness: i32) {
    if let Err(error) = rustix::process::nice(niceness) {
        tracing::debug!("working at the priority of lookups: {error}");
    }
}
