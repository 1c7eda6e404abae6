//! The one thread that changes the state. Group commit without a waiting window: what gathered while the last flush ran
//! is the next batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;
use usher_index::breath::offer_core;
use usher_index::state::MAX_COMMIT_CHANGES;
use usher_index::{Segment, State};
use usher_loader::clock::Clock;

use super::adopt::Candidate;
use super::batch::Batch;
use super::disk::Disk;
use super::served::{Live, Served};
use super::wish::{Done, KeepError, Task, Wish};
use super::yielding::yield_a_little;

/// Wishes that may wait.
pub const MAX_WAITING: usize = 4_096;
/// Of the places in the queue these are for opt-outs and erasures alone.
pub const RESERVED_WAITING: usize = 1_024;
/// Rows that may wait, over all wishes.
pub const MAX_WAITING_ROWS: usize = 1 << 20;
/// Changes after which a commit takes no further wish: about a mebibyte on disk.
const COMMIT_CHANGES: usize = 40_000;
/// The same while the disk is nearly full: each of them may need a page of its own, and the reserve has 4,096.
const TIGHT_COMMIT_CHANGES: usize = 512;

/// Bytes of changes that no build has folded, and rows are turned away: a start reads them all.
pub const MAX_UNFOLDED_BYTES: u64 = 128 << 20;

/// Takes wishes and sees to it that they last.
pub struct Keeper {
    queue: SyncSender<Task>,
    shared: Arc<Shared>,
}

struct Shared {
    state: Arc<State>,
    waiting: AtomicUsize,
    waiting_rows: AtomicUsize,
    disk: Mutex<Disk>,
    /// The disk is nearly full.
    tight: AtomicBool,
    ended: AtomicBool,
    /// Of [`State::taken_bytes`] these are folded.
    folded_bytes: AtomicU64,
}

/// A keeper, and its thread.
pub struct Started {
    /// For those who have wishes.
    pub keeper: Arc<Keeper>,
    /// Ends when the last handle of the keeper is dropped, or when a write failed.
    pub thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts the thread. `failed` is called once, on that thread, when a write failed or the thread panicked: nothing is
    /// acknowledged from then on, and the process should end.
    pub fn start(
        state: Arc<State>,
        live: Arc<Live>,
        disk: Disk,
        clock: Clock,
        failed: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Started> {
        let (queue, tasks) = sync_channel(MAX_WAITING);
        let shared = Arc::new(Shared {
            state,
            waiting: AtomicUsize::new(0),
            waiting_rows: AtomicUsize::new(0),
            disk: Mutex::new(disk),
            tight: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            folded_bytes: AtomicU64::new(0),
        });
        let desk = Desk { shared: shared.clone(), live, clock };
        let thread = thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            yield_a_little();
            offer_core();
            let ended = catch_unwind(AssertUnwindSafe(|| desk.work(&tasks)));
            desk.shared.ended.store(true, Ordering::Release);
            match ended {
                Ok(true) => {}
                Ok(false) | Err(_) => failed(),
            }
        })?;
        Ok(Started { keeper: Arc::new(Keeper { queue, shared }), thread })
    }

    /// The state, for reading.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.shared.state
    }

    /// Bytes of the changes that no build has folded. Rows that come again and again for the same visitors make many of
    /// them, and touch few.
    #[must_use]
    pub fn unfolded_bytes(&self) -> u64 {
        self.shared.unfolded_bytes()
    }

    /// Which share of the changes that may wait for a build is waiting; from 1 on rows are turned away.
    #[must_use]
    pub fn fullness(&self, served: &Served) -> f64 {
        self.shared.fullness(served)
    }

    /// Notes that a build folded what had been taken when [`State::taken_bytes`] was `taken`.
    pub fn note_folded(&self, taken: u64) {
        self.shared.folded_bytes.store(taken, Ordering::Release);
    }

    /// Whether wishes are still fulfilled.
    #[must_use]
    pub fn is_well(&self) -> bool {
        !self.shared.ended.load(Ordering::Acquire) && !self.shared.state.is_poisoned()
    }

    /// Looks at the disk, and sets the reserve aside when there is room.
    pub fn look_at_disk(&self) {
        self.shared.look_at_disk();
        if let Err(error) = self.shared.disk().set_aside() {
            tracing::error!("no room could be set aside for opt-outs and erasures: {error}");
        }
    }

    /// Whether a build that writes so many bytes leaves room for opt-outs and erasures. A disk that cannot be looked at
    /// has it: the build will tell.
    #[must_use]
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.shared.disk().has_room_for(bytes).unwrap_or(true)
    }

    /// Whether the disk is nearly full: then rows are turned away, and no wish of a visitor is.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.shared.tight.load(Ordering::Relaxed)
    }

    /// Fulfils a wish: when this returns, it is on disk and in force.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn fulfil(&self, wish: Wish) -> Result<Done, KeepError> {
        let rows = match &wish {
            Wish::Rows(rows) => rows.rows.len(),
            _ => 0,
        };
        let shared = &self.shared;
        let yields = !wish.is_of_a_visitor();
        if yields && shared.tight.load(Ordering::Relaxed) {
            return Err(KeepError::Disk);
        }
        let waiting = shared.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting_rows = shared.waiting_rows.fetch_add(rows, Ordering::Relaxed);
        let _place = Place { shared, rows };
        let bound = if yields { MAX_WAITING - RESERVED_WAITING } else { MAX_WAITING };
        if waiting >= bound || (rows > 0 && waiting_rows > 0 && waiting_rows + rows > MAX_WAITING_ROWS) {
            return Err(KeepError::Busy);
        }
        let (reply, done) = oneshot::channel();
        self.queue.try_send(Task::Wish(wish, reply)).map_err(|error| match error {
            TrySendError::Full(_) => KeepError::Busy,
            TrySendError::Disconnected(_) => KeepError::Ended,
        })?;
        done.await.unwrap_or(Err(KeepError::Ended))
    }

    /// Puts a newer generation in force, with every change that was committed meanwhile. Blocks until it is.
    ///
    /// # Errors
    /// [`KeepError::Ended`].
    pub fn adopt(&self, candidate: Candidate) -> Result<(), KeepError> {
        let (reply, done) = oneshot::channel();
        self.queue.send(Task::Adopt(Box::new(candidate), reply)).map_err(|_| KeepError::Ended)?;
        done.blocking_recv().unwrap_or(Err(KeepError::Ended))
    }
}

impl Shared {
    fn unfolded_bytes(&self) -> u64 {
        self.state.taken_bytes().saturating_sub(self.folded_bytes.load(Ordering::Acquire))
    }

    fn fullness(&self, served: &Served) -> f64 {
        let bytes = self.unfolded_bytes() as f64 / MAX_UNFOLDED_BYTES as f64;
        served.overlay.fullness(served.snapshot.visitors()).max(bytes)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the disk is nearly full, now.
    fn look_at_disk(&self) -> bool {
        match self.disk().look() {
            Ok(tight) => self.tight.store(tight, Ordering::Relaxed),
            Err(error) => tracing::error!("the disk cannot be looked at: {error}"),
        }
        self.tight.load(Ordering::Relaxed)
    }
}

/// A place in the queue, given back when the caller has an answer or goes away.
struct Place<'s> {
    shared: &'s Shared,
    rows: usize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        self.shared.waiting_rows.fetch_sub(self.rows, Ordering::Relaxed);
    }
}

type Reply = oneshot::Sender<Result<Done, KeepError>>;

/// What the thread works with.
struct Desk {
    shared: Arc<Shared>,
    live: Arc<Live>,
    clock: Clock,
}

impl Desk {
    /// Works until nobody can wish any more (true), or a write fails (false).
    fn work(&self, tasks: &Receiver<Task>) -> bool {
        let mut next = None;
        loop {
            let Some(task) = next.take().or_else(|| tasks.recv().ok()) else { return true };
            let well = match task {
                Task::Adopt(candidate, reply) => self.adopt(*candidate, reply),
                Task::Wish(wish, reply) => {
                    let mut wishes = vec![(wish, reply)];
                    let mut changes = size(&wishes[0].0);
                    let tight = self.shared.look_at_disk();
                    let enough = if tight { TIGHT_COMMIT_CHANGES } else { COMMIT_CHANGES };
                    while changes < enough {
                        match tasks.try_recv() {
                            Ok(Task::Wish(wish, reply)) if changes + size(&wish) <= MAX_COMMIT_CHANGES => {
                                changes += size(&wish);
                                wishes.push((wish, reply));
                            }
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.fulfil(wishes, tight)
                }
            };
            if !well {
                return false;
            }
        }
    }

    /// One commit for all. False: it failed, and nobody is told that it was done.
    fn fulfil(&self, wishes: Vec<(Wish, Reply)>, tight: bool) -> bool {
        let served = self.live.hold();
        let now = self.clock.now();
        let (mut told, mut refused) = (Vec::with_capacity(wishes.len()), Vec::new());
        let mut audiences = self.live.catalogue.change();
        let bars = served.overlay.bars();
        let mut batch = Batch::new(&bars, now, served.snapshot.tick());
        let full = self.shared.fullness(&served) >= 1.0;
        let refusal = |wish: &Wish| match wish {
            wish if tight && !wish.is_of_a_visitor() => Some(KeepError::Disk),
            Wish::Rows(_) if full => Some(KeepError::Full),
            _ => None,
        };
        for (wish, reply) in wishes {
            let reason = refusal(&wish).or_else(|| match &wish {
                Wish::Audience(change) if !audiences.take(change) => Some(KeepError::Conflict),
                _ => None,
            });
            match reason {
                Some(reason) => refused.push((reply, reason)),
                None => {
                    let done = batch.add(wish);
                    told.push((reply, done));
                }
            }
        }
        let (committed, Batch { changes, segments, .. }) = (self.shared.state.commit(&batch.commit()), batch);
        drop(bars);
        refused.into_iter().for_each(|(reply, reason)| _ = reply.send(Err(reason)));
        if let Err(error) = committed {
            tracing::error!("a change could not be written, so nothing more is acknowledged: {error}");
            told.into_iter().for_each(|(reply, _)| _ = reply.send(Err(KeepError::Ended)));
            return false;
        }
        let name = |number: u32| segments.get(number as usize).map(names);
        if let Err(error) = served.overlay.apply(&served.snapshot, &name, &changes) {
            // It is on disk: the next start puts it in force.
            tracing::error!("a change was written but cannot be put in force: {error}");
            told.into_iter().for_each(|(reply, _)| _ = reply.send(Err(KeepError::Ended)));
            return false;
        }
        audiences.rule(&served);
        // Whoever gave up waiting does not need to be told.
        told.into_iter().for_each(|(reply, done)| _ = reply.send(Ok(done)));
        true
    }

    fn adopt(&self, candidate: Candidate, reply: oneshot::Sender<Result<(), KeepError>>) -> bool {
        match candidate.complete(&self.shared.state) {
            Ok(served) => {
                self.live.catalogue.rule(&served);
                self.live.replace(served);
                _ = reply.send(Ok(()));
                true
            }
            Err(error) => {
                tracing::error!("the changes cannot be put over the new generation: {error}");
                _ = reply.send(Err(KeepError::Ended));
                false
            }
        }
    }
}

fn size(wish: &Wish) -> usize {
    match wish {
        Wish::Rows(rows) => rows.rows.len(),
        _ => 1,
    }
}

fn names(segment: &Segment) -> (Arc<str>, Arc<str>) {
    (Arc::clone(&segment.name), Arc::clone(&segment.source))
}
