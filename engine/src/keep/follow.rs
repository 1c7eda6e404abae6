//! Follows the data folder: whoever publishes a generation, it is opened beside the present one, gets the changes that its
//! images lack, and takes the place of the present one without a request noticing.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rayon::ThreadPool;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use usher_index::state::oldest_folded;
use usher_index::writer::sweep_left;
use usher_index::{Key, OpenError, Snapshot, Span, State, StateError, Time};
use usher_loader::audit;
use usher_loader::clock::Clock;

use super::adopt::{AdoptError, Candidate, overlay};
use super::keeper::Keeper;
use super::served::{Live, Served};
use super::wish::KeepError;
use super::yielding::yielding_a_little;

/// How long a generation that could not be opened is left alone before it is tried again.
pub const FOLLOW_RETRY: Duration = Duration::from_secs(30);

/// The dead of a tick are looked for so long before it begins: a walk takes some tens of milliseconds, and as long as it
/// takes when the machine is busy.
pub const SWEEP_AHEAD: Span = Span::from_secs(10);

/// Why a generation is not served.
#[derive(Debug, Error)]
pub enum FollowError {
    /// It does not verify, or its key is another's.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The changes cannot be put over it.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// Nobody puts it in force any more.
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// Opens what the folder holds, to begin with, under all that the state holds. A charter that came meanwhile is audited.
///
/// # Errors
/// When no generation verifies, `key` is not the index's, or the state cannot be read.
pub fn open(data: &Path, key: Key, state: &State, now: Time) -> Result<Served, FollowError> {
    let mut snapshot = Snapshot::open(data, Some(key.clone()))?;
    hold(&mut snapshot);
    // What was erased may stand in them, and the state remembers whose they are until they are gone.
    if let Err(error) = sweep_left(&snapshot) {
        tracing::error!("older generations could not be removed: {error}");
    }
    audit::charter(state, snapshot.charter(), snapshot.generation(), now).map_err(AdoptError::from)?;
    match settle(&snapshot, state) {
        Err(error) if state.is_poisoned() => return Err(AdoptError::from(error).into()),
        Err(error) => unsettled(&error),
        Ok(_) => {}
    }
    let (overlay, _) = overlay(&snapshot, state)?;
    Ok(Served::new(snapshot, key, overlay))
}

/// Holds in memory what lookups read; without the memory for it they read the mapped files.
fn hold(snapshot: &mut Snapshot) {
    if let Err(error) = snapshot.hold() {
        tracing::warn!("lookups read the mapped files: {error}");
    }
}

/// The state forgets what every kept generation holds. Returns up to which batch that is.
fn settle(snapshot: &Snapshot, state: &State) -> Result<u64, StateError> {
    let folded = oldest_folded(snapshot.folder())?;
    let settled = state.settle(folded)?;
    if settled != usher_index::state::Settled::default() {
        let usher_index::state::Settled { batches, erasures, rewritten } = settled;
        tracing::info!(batches, erasures, rewritten, "the state forgot what the images hold");
    }
    Ok(folded)
}

/// What is not forgotten now is with the next generation, or at the next start.
fn unsettled(error: &StateError) {
    tracing::error!("the state could not forget what the images hold: {error}");
}

/// Follows the data folder for as long as it is polled.
pub async fn follow(live: Arc<Live>, keeper: Arc<Keeper>, clock: Clock, interval: Duration) {
    let thread = match yielding_a_little("follow", 1) {
        Ok(thread) => thread,
        Err(error) => return tracing::error!("no thread to follow the data folder with: {error}"),
    };
    let follower = Follower { live, keeper, thread, refused: None, settled: 0, retired: Vec::new() };
    let follower = Arc::new(Mutex::new(follower));
    loop {
        let follower = follower.clone();
        let step = spawn_blocking(move || {
            let mut follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
            follower.step(clock.now(), Instant::now());
        });
        if step.await.is_err() {
            tracing::error!("following the data folder panicked; the present generation goes on serving");
        }
        sleep(interval).await;
    }
}

/// What following remembers from one look at the folder to the next.
struct Follower {
    live: Arc<Live>,
    keeper: Arc<Keeper>,
    /// Sweeps what is served now, and opens what is to be served next. A count that comes too early waits for the sweep, so
    /// it yields no more than counts do.
    thread: ThreadPool,
    /// The generation that could not be opened, and when.
    refused: Option<(u64, Instant)>,
    /// Generations that were replaced and that some question still holds. The last owner unmaps and frees them, which
    /// takes a while, so that is to be this thread and not a question.
    retired: Vec<Arc<Served>>,
    /// Up to which batch the state has forgotten what every kept generation holds.
    settled: u64,
}

impl Follower {
    fn step(&mut self, now: Time, when: Instant) {
        self.retired.retain(|served| Arc::strong_count(served) > 1);
        self.keeper.look_at_disk();
        let present = self.live.hold();
        present.warm_overlay(now);
        self.thread.install(|| sweep(&present, now));
        let newest = match Snapshot::newest_generation(present.snapshot.folder().path()) {
            Ok(newest) => newest,
            Err(error) => return tracing::error!("the data folder cannot be looked at: {error}"),
        };
        let known = present.snapshot.generation();
        let tried = self.refused.is_some_and(|(generation, at)| generation == newest && when - at < FOLLOW_RETRY);
        if newest <= known || tried {
            return self.settle(&present);
        }
        match self.adopt(&present, newest, now) {
            Ok(()) => {
                self.retired.push(present);
                let served = self.live.hold();
                let (generation, visitors) = (served.snapshot.generation(), served.snapshot.visitors());
                tracing::info!(generation, visitors, "serving a new generation");
                if let Err(error) = audit::charter(self.keeper.state(), served.snapshot.charter(), generation, now) {
                    tracing::error!("the audit could not be told of the charter: {error}");
                }
                // A full disk must not be found out by a write to the state.
                self.keeper.look_at_disk();
                self.settle(&served);
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

    /// A builder sweeps away the older generations after its own is there, so what they keep from being forgotten is looked at
    /// again until it is gone.
    fn settle(&mut self, served: &Served) {
        let snapshot = &served.snapshot;
        let folded = snapshot.manifest().map_or(0, |manifest| manifest.folded);
        if self.settled >= folded || oldest_folded(snapshot.folder()).is_ok_and(|oldest| oldest <= self.settled) {
            return;
        }
        match settle(snapshot, self.keeper.state()) {
            Ok(settled) => self.settled = settled,
            Err(error) => {
                // Not at every look: what it could not forget is with the next generation.
                self.settled = folded;
                unsettled(&error);
            }
        }
    }

    fn adopt(&self, present: &Served, newest: u64, now: Time) -> Result<(), FollowError> {
        let candidate = self.thread.install(|| {
            let mut snapshot = open_newer(present, newest)?;
            hold(&mut snapshot);
            let (overlay, up_to) = overlay(&snapshot, self.keeper.state())?;
            let served = Served::new(snapshot, present.key.clone(), overlay);
            self.live.catalogue.rule(&served);
            served.warm_overlay(now);
            sweep(&served, now);
            let mut candidate = Candidate::new(served, up_to);
            candidate.catch_up(self.keeper.state())?;
            Ok::<_, FollowError>(candidate)
        })?;
        Ok(self.keeper.adopt(candidate)?)
    }
}

/// Finds out who is dead now, and soon.
fn sweep(served: &Served, now: Time) {
    for at in [now, now.plus(SWEEP_AHEAD)] {
        if let Err(error) = served.warm(at) {
            tracing::error!(generation = served.snapshot.generation(), "counting is disturbed: {error}");
        }
    }
}

/// Opens the newest generation after `present`'s that verifies; the error is the newest one's.
fn open_newer(present: &Served, newest: u64) -> Result<Snapshot, OpenError> {
    let open = |generation| Snapshot::open_generation(present.snapshot.folder(), generation, Some(present.key.clone()));
    open(newest).or_else(|error| {
        let before = newest - 1;
        if before > present.snapshot.generation() { open(before).map_err(|_| error) } else { Err(error) }
    })
}
