//! Threads that yield to those who answer lookups.
//!
//! Taking feeds in, checking images again and the like yield most. Nothing runs there that holds a lock for which an answer
//! or a commit waits: whoever yields may hold it for long. Commits, counts, the sweeps that counts may wait for, and folds
//! with the opening of what they publish, without which the changes become too many, yield a little: they keep a quarter of
//! a core that lookups would fill.
//!
//! Pools offer their core with every breath ([`usher_index::breath`]), too: niceness says who is next, and not when.
//!
//! What such a thread starts yields as it does: the system hands it down.

use std::io;
use std::num::NonZero;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, available_parallelism};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use usher_index::breath::offer_core;

/// How much taking in and checking again yield: as nice values.
const MUCH: i32 = 10;
/// How much commits, counts, sweeps, folds and openings yield.
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

/// What a thread is to do.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// One thread of this name that yields a little to lookups and takes one job after the other, which must not panic; it
/// ends with the sender. A pool of one is the worse for it: when its thread has nothing to do it gives up the core some
/// tens of times before it sleeps, and the scheduler of Linux (EEVDF, `yield_task_fair`) puts it back by a slice each time,
/// so that on a busy core the next job waits for as long as all of them.
pub(crate) fn one_yielding_a_little(name: &'static str) -> io::Result<Sender<Job>> {
    let (jobs, next) = channel::<Job>();
    // What is parallel in a job is done by this thread, too.
    let start = || ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    let (started, ready) = channel();
    Builder::new().name(format!("{name}-0")).spawn(move || {
        step_back(LITTLE);
        let pool = start();
        let failed = pool.as_ref().err().map(ToString::to_string);
        if started.send(failed).is_ok() && pool.is_ok() {
            next.into_iter().for_each(|job| job());
        }
    })?;
    match ready.recv() {
        Ok(None) => Ok(jobs),
        Ok(Some(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::Error::other("the thread ended")),
    }
}

fn pool(name: &'static str, threads: usize, niceness: i32) -> Result<ThreadPool, ThreadPoolBuildError> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(move |number| format!("{name}-{number}"))
        .start_handler(move |_| {
            step_back(niceness);
            offer_core();
        })
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
