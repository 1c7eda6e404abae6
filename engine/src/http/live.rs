//! What is served, and how it follows the data folder: another process publishes a generation, this one opens it beside
//! the present one and swaps a pointer. A question holds what it began with, so no answer mixes two generations.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use usher_index::{ImageError, Key, OpenError, Overlay, Snapshot, Tick, Time};
use usher_loader::clock::Clock;

use super::limits::FOLLOW_RETRY;
use super::metrics::State;
use crate::ask::lookup::NameTable;

/// One generation and the changes over it, ready for questions.
pub struct Served {
    /// The generation.
    pub snapshot: Snapshot,
    /// Its names as lookups write them.
    pub names: NameTable,
    /// What changed since.
    pub overlay: Overlay,
    /// The key of its pseudonyms.
    pub key: Key,
    /// The exact size of each segment in the images alone, in the order of [`Snapshot::segments`], at the tick that was last asked for.
    pub sizes: Mutex<Option<(Tick, Arc<[u64]>)>>,
}

impl Served {
    /// A generation whose checksums were checked while it was opened.
    #[must_use]
    pub fn new(snapshot: Snapshot, key: Key) -> Served {
        let names = NameTable::new(&snapshot);
        Served { snapshot, names, overlay: Overlay::default(), key, sizes: Mutex::new(None) }
    }

    /// Finds out who is dead at `now`, so that the first count after it need not.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn warm(&self, now: Time) -> Result<(), ImageError> {
        let tick = self.snapshot.tick().floor(now);
        if !self.overlay.is_empty() {
            drop(self.overlay.at(tick));
        }
        self.snapshot.shards().iter().try_for_each(|shard| shard.at(tick).map(drop))
    }

    /// What `/metrics` tells about it.
    #[must_use]
    pub fn state(&self) -> State {
        State {
            generation: self.snapshot.generation(),
            visitors: self.snapshot.visitors(),
            memberships: self.snapshot.memberships(),
            segments: self.snapshot.segments().len() as u64,
        }
    }
}

/// The generation that answers now.
pub struct Live(ArcSwap<Served>);

impl Live {
    /// Starts with `served`.
    #[must_use]
    pub fn new(served: Served) -> Live {
        Live(ArcSwap::from_pointee(served))
    }

    /// For a question that is answered at once: without a lock and without touching a shared counter.
    #[must_use]
    pub fn glance(&self) -> Guard<Arc<Served>> {
        self.0.load()
    }

    /// For a question that takes a while.
    #[must_use]
    pub fn hold(&self) -> Arc<Served> {
        self.0.load_full()
    }
}

/// Follows the data folder for as long as it is polled.
pub async fn follow(live: Arc<Live>, clock: Clock, interval: Duration) {
    let follower = Arc::new(Mutex::new(Follower::default()));
    loop {
        sleep(interval).await;
        let (live, follower) = (live.clone(), follower.clone());
        let step = spawn_blocking(move || {
            let mut follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
            follower.step(&live, clock.now(), Instant::now());
        });
        if step.await.is_err() {
            tracing::error!("following the data folder panicked; the present generation goes on serving");
        }
    }
}

/// What following remembers from one look at the folder to the next.
#[derive(Default)]
struct Follower {
    /// The generation that could not be opened, and when.
    refused: Option<(u64, Instant)>,
    /// Generations that were replaced and that some question still holds. The last owner unmaps and frees them, which
    /// takes a while, so that is to be this thread and not a question.
    retired: Vec<Arc<Served>>,
}

impl Follower {
    fn step(&mut self, live: &Live, now: Time, when: Instant) {
        self.retired.retain(|served| Arc::strong_count(served) > 1);
        let present = live.hold();
        if let Err(error) = present.warm(now) {
            tracing::error!(generation = present.snapshot.generation(), "counting is disturbed: {error}");
        }
        let newest = match Snapshot::newest_generation(present.snapshot.folder().path()) {
            Ok(newest) => newest,
            Err(error) => return tracing::error!("the data folder cannot be looked at: {error}"),
        };
        let known = present.snapshot.generation();
        let tried = self.refused.is_some_and(|(generation, at)| generation == newest && when - at < FOLLOW_RETRY);
        if newest <= known || tried {
            return;
        }
        match open_newer(&present, newest) {
            Ok(served) => {
                if let Err(error) = served.warm(now) {
                    tracing::error!(generation = newest, "counting is disturbed: {error}");
                }
                let State { generation, visitors, memberships, .. } = served.state();
                self.retired.push(live.0.swap(Arc::new(served)));
                tracing::info!(generation, visitors, memberships, "serving a new generation");
            }
            Err(error) => {
                self.refused = Some((newest, when));
                tracing::error!(
                    generation = newest,
                    serving = known,
                    "a new generation cannot be opened, the present one goes on serving: {error}"
                );
            }
        }
    }
}

/// Opens the newest generation after `present`'s that verifies; the error is the newest one's.
fn open_newer(present: &Served, newest: u64) -> Result<Served, OpenError> {
    let open = |generation| {
        let snapshot = Snapshot::open_generation(present.snapshot.folder(), generation, Some(present.key.clone()))?;
        Ok(Served::new(snapshot, present.key.clone()))
    };
    open(newest).or_else(|error| {
        let before = newest - 1;
        if before > present.snapshot.generation() { open(before).map_err(|_| error) } else { Err(error) }
    })
}

/// Opens what the folder holds, to begin with.
///
/// # Errors
/// When no generation verifies, or `key` is not the index's.
pub fn open(data: &Path, key: Key) -> Result<Served, OpenError> {
    Ok(Served::new(Snapshot::open(data, Some(key.clone()))?, key))
}
