//! Every bound of the server, by name. Tests make some of them smaller; nothing else does.
//!
//! A phase of a connection is timed from the first look at it: first byte, head and idle deadlines are kept up to two
//! [`LOOK_INTERVAL`]s late, never early.

use std::time::Duration;

use crate::keep::fold::Rules;
use crate::keep::recheck::Pace;

/// Connections open at once; further ones wait in the listener's backlog.
pub const MAX_CONNECTIONS: usize = 10_000;

/// Connections that wait in the listener's backlog; the system's own bound (`net.core.somaxconn`) may be lower.
pub const MAX_BACKLOG: u32 = 4_096;

/// How long a new connection may say nothing.
pub const FIRST_BYTE_DEADLINE: Duration = Duration::from_secs(10);

/// How long the head of a request may take from its first byte to its last.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a connection may rest between two requests. Above 150 s, so that a pool or a load balancer in front,
/// which commonly rests for 60 to 120 s, is always the one who closes: a request never meets a closing socket.
pub const IDLE_DEADLINE: Duration = Duration::from_secs(155);

/// How long the body of a request may take.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How long the rest of a body that nobody wants is taken in, so that the client sees the answer; see `body::linger`.
pub const LINGER_DEADLINE: Duration = Duration::from_secs(2);

/// Bytes of such a rest.
pub const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// How long a stopping server waits for the requests that are under way.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// How often all connections are looked at for those that overstay.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Connections looked at before requests get a turn.
pub const LOOK_SLICE: usize = 256;

/// Bytes of answers that are collected before they are sent; a longer answer is sent by itself.
pub const OUTBOX_BYTES: usize = 32 * 1024;

/// Bytes of memory that a connection keeps to collect in, once it has sent everything.
pub const OUTBOX_KEPT_BYTES: usize = 8 * 1024;

/// How often the data folder is looked at for a new generation.
pub const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

/// Pause after the system refused to hand out a connection (usually: no file descriptors left).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of the head of a request, and of hyper's buffers of a connection.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Bytes of a connection's buffer while it asks for nothing but lookups: some forty of them. A longer head is hyper's.
pub const DIRECT_BYTES: usize = 4 * 1024;

/// Bytes of the body of `POST /v1/visitors/segments`: 1,000 ids of 256 bytes, their types and some room for spaces.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// Bytes of the body of `POST /v1/size`: an expression of 4 KiB, however it is escaped.
pub const MAX_SIZE_BYTES: usize = 64 * 1024;

/// Bytes of the body of `POST /v1/memberships`: some 40,000 rows.
pub const MAX_ROWS_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of the body of `POST /v1/feeds/{source}`, as sent.
pub const MAX_FEED_BYTES: u64 = 64 << 30;

/// Frames of such a body that wait to be read.
pub const FEED_FRAMES: usize = 16;

/// Such feeds that are taken in at once: a second one would wait for the first one's build anyway.
pub const FEEDS_RUNNING: usize = 1;

/// How long a feed waits for a build of somebody else.
pub const FEED_PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether it is another day, of which sizes are to be noted.
pub const TREND_INTERVAL: Duration = Duration::from_secs(60);

/// How long a starting server waits for the live state, which another process may still be letting go.
pub const STATE_PATIENCE: Duration = Duration::from_secs(60);

/// Visitors in one `POST /v1/visitors/segments`.
pub const MAX_BATCH_VISITORS: usize = 1_000;

/// Visitors of a batch that are answered before other connections of the same thread get a turn.
pub const BATCH_SLICE: usize = 64;

/// Segments and audiences of one `POST /v1/overlap`.
pub const MAX_OVERLAP: usize = 20;

/// Bytes of the body of `POST /v1/lookalikes`: a seed of a hundred thousand ids and their types.
pub const MAX_SEED_BYTES: usize = 16 * 1024 * 1024;

/// Visitors of a seed.
pub const MAX_SEED_VISITORS: usize = 1_000_000;

/// Seeds that came as a list and are kept in memory.
pub const SEEDS_HELD: usize = 32;

/// Lookalikes that are kept.
pub const MAX_LOOKALIKES: usize = 1_000;

/// Members of a lookalike audience that become live changes; more are built into images.
pub const MAX_LIVE_AUDIENCE: usize = 10_000;

/// Audiences in one answer of `GET /v1/audiences`.
pub const MAX_AUDIENCES_LISTED: usize = 1_000;

/// Questions of planners that are counted at once.
pub const SIZES_RUNNING: usize = 2;

/// Questions of planners that may wait for their turn.
pub const SIZES_WAITING: usize = 32;

/// Who is turned away comes back after 1 to this many seconds.
pub const RETRY_SPREAD_SECS: u64 = 4;

/// How long such a question waits before it is turned away.
pub const SIZE_PATIENCE: Duration = Duration::from_secs(2);

/// Threads for blocking work: counting, opening a generation.
pub const BLOCKING_THREADS: usize = 8;

/// The bounds a test has reason to change; [`Limits::default`] is what a server runs with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// See [`MAX_CONNECTIONS`].
    pub connections: usize,
    /// See [`FIRST_BYTE_DEADLINE`].
    pub first_byte: Duration,
    /// See [`HEAD_DEADLINE`].
    pub head: Duration,
    /// See [`IDLE_DEADLINE`].
    pub idle: Duration,
    /// See [`BODY_DEADLINE`].
    pub body: Duration,
    /// See [`DRAIN_DEADLINE`].
    pub drain: Duration,
    /// See [`FOLLOW_INTERVAL`].
    pub follow: Duration,
    /// See [`STATE_PATIENCE`].
    pub state: Duration,
    /// See [`TREND_INTERVAL`].
    pub trend: Duration,
    /// When changes are folded into images.
    pub fold: Rules,
    /// When images are checked again.
    pub recheck: Pace,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: MAX_CONNECTIONS,
            first_byte: FIRST_BYTE_DEADLINE,
            head: HEAD_DEADLINE,
            idle: IDLE_DEADLINE,
            body: BODY_DEADLINE,
            drain: DRAIN_DEADLINE,
            follow: FOLLOW_INTERVAL,
            state: STATE_PATIENCE,
            trend: TREND_INTERVAL,
            fold: Rules::default(),
            recheck: Pace::default(),
        }
    }
}
