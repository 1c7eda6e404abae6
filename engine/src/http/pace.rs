//! How long a connection may take over each of its phases. hyper measures the head of a request alone, and counts the
//! rest between two requests as part of it; here a new connection, a head and a rest have a deadline each.
//!
//! ```text
//! Fresh --first byte--> Head --head complete--> Busy --answered--> Idle --first byte--> Head
//! ```
//!
//! A request that arrived in one piece with the one before it (pipelining) goes from Idle straight to Busy.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

use super::limits::Limits;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Phase {
    /// The first byte of all.
    Fresh = 0,
    /// The rest of a head.
    Head = 1,
    /// An answer of ours; its own bounds hold.
    Busy = 2,
    /// The next request.
    Idle = 3,
}

impl Phase {
    fn of(bits: u64) -> Phase {
        [Phase::Fresh, Phase::Head, Phase::Busy, Phase::Idle][(bits & PHASE_MASK) as usize]
    }
}

const PHASE_BITS: u32 = 2;
const PHASE_MASK: u64 = (1 << PHASE_BITS) - 1;

/// Between two looks at the phase: one may begin unseen, and overstays by at most this, or by the deadline of a head.
const LONGEST_SLEEP: Duration = Duration::from_secs(2);

/// In place of the moment when a phase began, until the watchdog has seen the phase and counts from there: so that a
/// request passes without a look at the clock.
const UNSEEN: u64 = u64::MAX >> PHASE_BITS;

/// The phase of one connection and since when; shared by its socket, its service and its watchdog.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    /// Milliseconds since `began`, or [`UNSEEN`], then the phase in the low bits.
    state: AtomicU64,
}

impl Pace {
    /// A connection that was accepted just now.
    #[must_use]
    pub fn new() -> Arc<Pace> {
        Arc::new(Pace { began: Instant::now(), state: AtomicU64::new(Phase::Fresh as u64) })
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::of(self.state.load(Ordering::Relaxed))
    }

    /// The connection enters `phase` now.
    pub fn enter(&self, phase: Phase) {
        self.state.store(UNSEEN << PHASE_BITS | phase as u64, Ordering::Relaxed);
    }

    /// The state, with the present moment in place of [`UNSEEN`].
    fn seen(&self, elapsed: Duration) -> u64 {
        let state = self.state.load(Ordering::Relaxed);
        if state >> PHASE_BITS != UNSEEN {
            return state;
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(UNSEEN).min(UNSEEN - 1);
        let stamped = millis << PHASE_BITS | state & PHASE_MASK;
        // Another phase may have begun meanwhile: it is seen at the next look.
        _ = self.state.compare_exchange(state, stamped, Ordering::Relaxed, Ordering::Relaxed);
        stamped
    }

    /// Ends when a phase has lasted longer than `limits` allow, with that phase.
    pub async fn overstayed(&self, limits: &Limits) -> Phase {
        loop {
            let elapsed = self.began.elapsed();
            let state = self.seen(elapsed);
            let phase = Phase::of(state);
            let wait = match phase {
                Phase::Fresh => limits.first_byte,
                Phase::Head => limits.head,
                Phase::Busy => Duration::MAX,
                Phase::Idle => limits.idle,
            };
            let lasted = elapsed.saturating_sub(Duration::from_millis(state >> PHASE_BITS));
            match wait.checked_sub(lasted) {
                None | Some(Duration::ZERO) => return phase,
                Some(left) => sleep(left.min(limits.head).min(LONGEST_SLEEP)).await,
            }
        }
    }
}

/// A socket that tells its [`Pace`] what passes.
#[derive(Debug)]
pub struct Paced<S> {
    socket: S,
    pace: Arc<Pace>,
}

impl<S> Paced<S> {
    /// Wraps `socket`.
    pub fn new(socket: S, pace: Arc<Pace>) -> Paced<S> {
        Paced { socket, pace }
    }

    /// A client that still takes in an answer is not idle.
    fn wrote(&self) {
        if self.pace.phase() == Phase::Idle {
            self.pace.enter(Phase::Idle);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if buf.filled().len() > before && matches!(self.pace.phase(), Phase::Fresh | Phase::Idle) {
            self.pace.enter(Phase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.wrote();
        Poll::Ready(Ok(wrote))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, slices))?;
        self.wrote();
        Poll::Ready(Ok(wrote))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;
    use tokio::time::timeout;

    use super::*;

    fn overstays(phase: Phase, limits: &Limits) -> bool {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let pace = Pace::new();
            pace.enter(phase);
            timeout(Duration::from_millis(100), pace.overstayed(limits)).await == Ok(phase)
        })
    }

    #[test]
    fn each_phase_has_its_own_deadline_and_busy_has_none() {
        let long = Limits::default();
        let short = Duration::from_millis(5);
        let cases = [
            (Phase::Fresh, Limits { first_byte: short, ..long.clone() }),
            (Phase::Head, Limits { head: short, ..long.clone() }),
            (Phase::Idle, Limits { idle: short, ..long.clone() }),
        ];
        for (phase, limits) in &cases {
            for other in [Phase::Fresh, Phase::Head, Phase::Busy, Phase::Idle] {
                assert_eq!(overstays(other, limits), other == *phase, "{other:?} under {phase:?}");
            }
        }
    }
}
