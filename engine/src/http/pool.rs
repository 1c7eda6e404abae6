//! Planners' questions: on threads of their own, a few at a time, so that lookups are never late because of them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use rayon::ThreadPool;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::limits::{SIZE_PATIENCE, SIZES_RUNNING, SIZES_WAITING};
use super::problem::{Kind, Problem};
use crate::keep::{Job, cores, one_yielding_a_little, yielding_a_little};

/// The threads that count, and the queue in front of them.
pub struct Pool {
    threads: Threads,
    places: Semaphore,
    running: Arc<Semaphore>,
}

/// Who counts.
enum Threads {
    One(Sender<Job>),
    Several(Arc<ThreadPool>),
}

impl Pool {
    /// Half of the machine's cores, so that the other half stays with lookups.
    ///
    /// # Errors
    /// When the system grants no threads.
    pub fn new() -> io::Result<Pool> {
        let threads = match cores() / 2 {
            0 | 1 => Threads::One(one_yielding_a_little("count")?),
            several => Threads::Several(Arc::new(yielding_a_little("count", several).map_err(io::Error::other)?)),
        };
        let (places, running) = (Semaphore::new(SIZES_RUNNING + SIZES_WAITING), Semaphore::new(SIZES_RUNNING));
        Ok(Pool { threads, places, running: Arc::new(running) })
    }

    /// Runs `count` when its turn comes.
    ///
    /// # Errors
    /// [`Kind::Busy`] when the queue is full or the turn does not come in time; [`Kind::Internal`] when `count` panics.
    pub async fn run<T, F>(&self, count: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let turn = timeout(SIZE_PATIENCE, self.running.clone().acquire_owned());
        let Ok(Ok(turn)) = turn.await else { return Err(busy()) };
        let count = move || {
            let _turn = turn;
            count()
        };
        match &self.threads {
            Threads::One(jobs) => {
                let (reply, counted) = oneshot::channel();
                let job = move || {
                    // Without a reply the caller hears of the panic; who went away does not need one.
                    if let Ok(counted) = catch_unwind(AssertUnwindSafe(count)) {
                        _ = reply.send(counted);
                    }
                };
                jobs.send(Box::new(job)).map_err(|_| Problem::internal())?;
                counted.await.map_err(|_| Problem::internal())
            }
            Threads::Several(threads) => {
                let threads = Arc::clone(threads);
                spawn_blocking(move || threads.install(count)).await.map_err(|_| Problem::internal())
            }
        }
    }
}

fn busy() -> Problem {
    let detail = "Too many questions are being counted at once; ask this one again in a few seconds.";
    Problem::new(Kind::Busy, detail).retry_soon()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use tokio::runtime::Builder;

    use super::super::limits::RETRY_SPREAD_SECS;
    use super::*;

    #[test]
    fn beyond_the_queue_questions_are_turned_away_with_a_time_to_come_back() {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let pool = Arc::new(Pool::new().unwrap());
        assert_eq!(runtime.block_on(pool.run(|| 7)).unwrap(), 7);
        assert_eq!(
            runtime.block_on(pool.run(|| panic!("for the test"))).map(|()| 0).unwrap_err().reply().status(),
            500
        );
        let (start, blocked) = channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let questions: Vec<_> = (0..SIZES_RUNNING + SIZES_WAITING)
            .map(|_| {
                let (pool, blocked) = (pool.clone(), blocked.clone());
                runtime.spawn(async move { pool.run(move || blocked.lock().unwrap().recv().is_err()).await.unwrap() })
            })
            .collect();
        while pool.places.available_permits() > 0 {
            std::thread::yield_now();
        }
        let reply = runtime.block_on(pool.run(|| ())).unwrap_err().reply();
        assert_eq!(reply.status(), 503);
        let seconds: u64 = reply.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=RETRY_SPREAD_SECS).contains(&seconds));
        drop(start);
        for question in questions {
            assert!(runtime.block_on(question).unwrap());
        }
    }
}
