//! What goes out. The answers of one turn of a connection are collected and leave in one write: sixteen pipelined
//! requests that came in one read cost one system call each way.
//!
//! hyper writes and flushes into the outbox, which takes both as done. The bytes cannot be left lying: whoever polls
//! the connection calls [`Outbox::poll_send`] at the end of every turn, before the task can sleep, whatever the
//! connection waits for.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::limits::{OUTBOX_BYTES, OUTBOX_KEPT_BYTES};
use super::pace::Pace;
use super::problem;

/// The outgoing side of a connection.
#[derive(Debug)]
pub struct Outbox<W> {
    socket: W,
    pace: Arc<Pace>,
    /// Collected; what stands before `sent` has left.
    bytes: Vec<u8>,
    sent: usize,
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    /// Collects for `socket`.
    pub fn new(socket: W, pace: Arc<Pace>) -> Outbox<W> {
        Outbox { socket, pace, bytes: Vec::new(), sent: 0 }
    }

    /// Sends everything that was collected.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.bytes[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
            self.pace.went();
        }
        self.bytes.clear();
        self.bytes.shrink_to(OUTBOX_KEPT_BYTES);
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// What is collected, to append to: up to [`OUTBOX_BYTES`], and one answer beyond.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Collects `bytes`, or sends them at once when they are many and nothing stands before them.
    fn poll_take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.bytes.len() + bytes.len() > OUTBOX_BYTES {
            ready!(self.poll_send(cx))?;
            if bytes.len() > OUTBOX_BYTES {
                let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
                self.pace.went();
                return Poll::Ready(Ok(sent));
            }
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
}

/// An outbox that hyper and the connection's task share. They are one task: the lock is always free.
pub struct Shared<W>(Arc<Mutex<Outbox<W>>>);

impl<W> Clone for Shared<W> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<W: AsyncWrite + Unpin> Shared<W> {
    /// Shares an outbox.
    pub fn new(outbox: Outbox<W>) -> Shared<W> {
        Shared(Arc::new(Mutex::new(outbox)))
    }

    /// The outbox.
    pub fn get(&self) -> MutexGuard<'_, Outbox<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's two sides as hyper sees them. What hyper says by itself goes out as a problem.
pub struct Wire<R, W> {
    /// What was read before.
    ahead: Vec<u8>,
    reads: R,
    outbox: Shared<W>,
    pace: Arc<Pace>,
}

impl<R, W> Wire<R, W> {
    /// Reads what was read `ahead` and then from `reads`, writes into `outbox`, and tells `pace` what comes.
    pub fn new(ahead: Vec<u8>, reads: R, outbox: Shared<W>, pace: Arc<Pace>) -> Wire<R, W> {
        Wire { ahead, reads, outbox, pace }
    }
}

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Wire<R, W> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            if self.ahead.is_empty() {
                self.ahead = Vec::new();
            }
            self.pace.came();
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.reads).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.pace.came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Wire<R, W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut outbox = self.outbox.get();
        let Some(problem) = problem::in_place_of(bytes) else { return outbox.poll_take(cx, bytes) };
        // Short, so it is taken whole.
        ready!(outbox.poll_take(cx, &problem))?;
        Poll::Ready(Ok(bytes.len()))
    }

    /// Done at once: see the module's head for who sends.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = self.outbox.get();
        ready!(outbox.poll_send(cx))?;
        Pin::new(&mut outbox.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes so many bytes, then no more until it is given room.
    #[derive(Default)]
    struct Narrow {
        room: usize,
        writes: Vec<Vec<u8>>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.writes.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn outbox(room: usize) -> Outbox<Narrow> {
        Outbox::new(Narrow { room, writes: Vec::new() }, Pace::new())
    }

    #[test]
    fn what_is_collected_leaves_in_one_write() {
        let (mut outbox, mut cx) = (outbox(usize::MAX), Context::from_waker(Waker::noop()));
        for number in 0..16 {
            assert!(matches!(outbox.poll_take(&mut cx, &[number; 300]), Poll::Ready(Ok(300))));
        }
        assert!(outbox.socket.writes.is_empty());
        assert!(outbox.poll_send(&mut cx).is_ready() && outbox.poll_send(&mut cx).is_ready());
        assert_eq!(outbox.socket.writes.iter().map(Vec::len).collect::<Vec<_>>(), [16 * 300]);
    }

    #[test]
    fn nothing_is_lost_or_kept_without_bound_when_the_client_is_slow() {
        let (mut outbox, mut cx) = (outbox(1_000), Context::from_waker(Waker::noop()));
        let all: Vec<u8> = (0..200_000_u32).map(|number| (number * 7 / 8) as u8).collect();
        let (mut at, mut refused) = (0, 0);
        for size in [700, 5_000, 40_000, 1].into_iter().cycle() {
            let piece = &all[at..(at + size).min(all.len())];
            if piece.is_empty() {
                break;
            }
            match outbox.poll_take(&mut cx, piece) {
                Poll::Ready(taken) => at += taken.unwrap(),
                Poll::Pending => {
                    refused += 1;
                    outbox.socket.room += 10_000;
                }
            }
            assert!(outbox.bytes.len() <= OUTBOX_BYTES);
        }
        assert!(refused > 5, "{refused}");
        while outbox.poll_send(&mut cx).is_pending() {
            outbox.socket.room += 10_000;
        }
        assert!(outbox.socket.writes.concat() == all);
        assert!(outbox.bytes.capacity() <= OUTBOX_KEPT_BYTES);
    }
}
