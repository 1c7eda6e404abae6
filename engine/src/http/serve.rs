//! The server: a listener, its connections, and the end of both.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use usher_index::{FileError, IdType, Key, State as LiveState, StateError};
use usher_loader::clock::Clock;

use super::app::App;
use super::attend::attend;
use super::budget::Budget;
use super::limits::{ACCEPT_PAUSE, BLOCKING_THREADS, FEEDS_RUNNING, Limits, MAX_BACKLOG};
use super::lookalikes::Seeds;
use super::metrics::{Metrics, State};
use super::pool::Pool;
use super::watch::Watch;
use crate::keep::catalogue::Catalogue;
use crate::keep::disk::Disk;
use crate::keep::fold::fold;
use crate::keep::follow::{self, FollowError, follow};
use crate::keep::recheck::recheck;
use crate::keep::trend::trend;
use crate::keep::{Keeper, Live, Started};

/// How long background work may take to notice the end.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What a server is started with.
pub struct Config {
    /// The data folder; it exists.
    pub data: PathBuf,
    /// The address to listen at; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The pseudonym key.
    pub key: Key,
    /// Where `now` comes from.
    pub clock: Clock,
    /// The bounds.
    pub limits: Limits,
}

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is not of this machine, and there are no keys.
    #[error(
        "{0} can be reached from other machines, and this server has no API keys yet, so it would answer anybody; listen at 127.0.0.1 or [::1] instead"
    )]
    NotLoopback(SocketAddr),
    /// Somebody else listens there.
    #[error(
        "{0} is taken: another program listens there; stop it, or name another address with --listen (port 0 takes any free one)"
    )]
    Taken(SocketAddr),
    /// The address cannot be used.
    #[error("cannot listen at {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The index cannot be opened.
    #[error(transparent)]
    Open(#[from] FollowError),
    /// The live state cannot be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system grants no threads.
    #[error("the system does not grant the threads of a server: {0}")]
    Threads(Box<dyn std::error::Error + Send + Sync>),
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    app: Arc<App>,
    runtime: Runtime,
    stop: oneshot::Sender<()>,
    accepting: JoinHandle<bool>,
    keeping: std::thread::JoinHandle<()>,
    failed: Arc<Notify>,
}

/// How often a starting server asks for the state that another process holds.
const STATE_LOOK: Duration = Duration::from_millis(100);

/// Takes the live state, which the process before may still be letting go.
fn take_state(config: &Config, address: SocketAddr) -> Result<LiveState, StateError> {
    let (began, holder) = (Instant::now(), format!("usher-engine serve at http://{address}"));
    loop {
        match LiveState::open(&config.data, &config.key, &holder) {
            Err(StateError::Held { .. }) if began.elapsed() < config.limits.state => std::thread::sleep(STATE_LOOK),
            taken => return taken,
        }
    }
}

impl Server {
    /// Opens the index, listens and answers, on threads of its own.
    ///
    /// The address is taken before the index is opened: a taken one is told at once, and who connects while a large
    /// index is being opened waits instead of being refused.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<Server, StartError> {
        if !config.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(config.listen));
        }
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("http")
            .build()
            .map_err(|error| StartError::Threads(error.into()))?;
        let listener = runtime.block_on(async { listen(config.listen) }).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => StartError::Taken(config.listen),
            _ => StartError::Listen(config.listen, error),
        })?;
        let address = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
        // Before the first write: on a full disk the reserve is what a start can use.
        let mut disk = Disk::new(&config.data);
        disk.look().map_err(|error| StateError::from(FileError::new("look at the disk of", &config.data)(error)))?;
        let state = Arc::new(take_state(&config, address)?);
        let catalogue = Catalogue::read(&state)?;
        let live = Arc::new(Live::new(follow::open(&config.data, config.key, &state, config.clock.now())?, catalogue));
        let failed = Arc::new(Notify::new());
        let told = failed.clone();
        let started = Keeper::start(state, live.clone(), disk, config.clock, move || told.notify_one());
        let Started { keeper, thread: keeping } = started.map_err(|error| StartError::Threads(error.into()))?;
        let app = Arc::new(App {
            live,
            keeper,
            feeds: Arc::new(Semaphore::new(FEEDS_RUNNING)),
            making: Arc::new(Semaphore::new(1)),
            clock: config.clock,
            metrics: Arc::new(Metrics::default()),
            pool: Pool::new().map_err(|error| StartError::Threads(error.into()))?,
            seeds: Seeds::default(),
            budget: Budget::default(),
            limits: config.limits,
            default_id_type: IdType::default(),
            draining: AtomicBool::new(false),
        });
        let (stop, stopped) = oneshot::channel();
        runtime.spawn(follow(app.live.clone(), app.keeper.clone(), app.clock, app.limits.follow));
        runtime.spawn(trend(app.live.clone(), app.keeper.clone(), app.clock, app.limits.trend));
        runtime.spawn(fold(app.live.clone(), app.keeper.clone(), app.clock, app.limits.fold.clone()));
        runtime.spawn(recheck(app.live.clone(), app.limits.recheck.clone()));
        let accepting = runtime.spawn(accept(listener, app.clone(), stopped));
        Ok(Server { address, app, runtime, stop, accepting, keeping, failed })
    }

    /// The address that it listens at, with the port it got.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it serves now.
    #[must_use]
    pub fn state(&self) -> State {
        State::of(&self.app.live.glance())
    }

    /// Whether the permissive development charter is in force, for want of another.
    #[must_use]
    pub fn is_under_development(&self) -> bool {
        self.app.live.glance().snapshot.charter().is_development()
    }

    /// The runtime, to wait for signals in.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Ends when the state can no longer be written, so that the process should end.
    pub async fn failed(&self) {
        self.failed.notified().await;
    }

    /// Takes no more connections, finishes the requests under way and closes. False: the deadline passed before all
    /// were finished, or `hurry` ended first.
    #[must_use]
    pub fn stop(self, hurry: impl Future<Output = ()>) -> bool {
        let Server { app, runtime, stop, accepting, keeping, .. } = self;
        app.draining.store(true, Ordering::Relaxed);
        // The receiver is gone only when accepting has ended already.
        _ = stop.send(());
        let clean = runtime.block_on(async {
            tokio::select! {
                drained = accepting => drained.unwrap_or(false),
                () = hurry => false,
            }
        });
        runtime.shutdown_timeout(LAST_WAIT);
        // With the last handle the keeper ends, and lets the state go. A build that goes on may hold another.
        let last = Arc::try_unwrap(app).is_ok_and(|app| Arc::into_inner(app.keeper).is_some());
        clean && (!last || keeping.join().is_ok())
    }
}

/// Listens, with room for a burst of connections: what finds none is not refused, but comes again a second later.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As `TcpListener::bind` does: connections of the process before do not keep the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(MAX_BACKLOG)
}

/// Accepts connections until `stopped`, then waits for them to finish. False: they did not in time.
async fn accept(listener: TcpListener, app: Arc<App>, mut stopped: oneshot::Receiver<()>) -> bool {
    let places = Arc::new(Semaphore::new(app.limits.connections));
    let watch = Arc::new(Watch::default());
    tokio::spawn(watch.clone().keep(app.limits.clone()));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = &mut stopped => break,
        };
        match accepted {
            Ok((socket, _)) => {
                let open = app.metrics.connection();
                let connection = attend(socket, app.clone(), watch.open());
                tokio::spawn(async move {
                    // Given back when the socket is closed.
                    let _held = (place, open);
                    connection.await;
                });
            }
            Err(error) => {
                tracing::warn!("a connection could not be taken: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    watch.finish();
    // Who has all places knows that nobody else has one.
    let all = u32::try_from(app.limits.connections).unwrap_or(u32::MAX);
    timeout(app.limits.drain, places.acquire_many(all)).await.is_ok()
}
