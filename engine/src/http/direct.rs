//! A connection that asks the usual ([`super::usual`]) is answered here: all lookups that came in one read, together. The
//! first request that is anything else hands the connection over to hyper, for good, with all that was read and not
//! answered.

use std::cell::RefCell;
use std::io;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use usher_index::lookups::GROUP;
use usher_index::overlay::Touched;
use usher_index::{Pid, Time, VisitorId};
use usher_loader::clock::Clock;
use usher_loader::time::http_date;

use super::app::App;
use super::limits::{DIRECT_BYTES, OUTBOX_BYTES};
use super::outbox::Shared;
use super::pace::{Pace, Phase, Word};
use super::reply::JSON;
use super::route::Route;
use super::usual::{self, Asked};
use crate::ask::lookup::{Lookup, Only, Room};
use crate::keep::Served;

/// How long a `Date` is written before the clock is asked again.
const DATE_KEPT: Duration = Duration::from_millis(100);

/// Such a connection.
pub struct Direct {
    app: Arc<App>,
    pace: Arc<Pace>,
    reads: OwnedReadHalf,
    outbox: Shared<OwnedWriteHalf>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were read and not answered.
    unread: usize,
    /// The client has ended its side.
    ended: bool,
}

/// How it ends.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// There is nothing more to do.
    Closed,
    /// The rest is hyper's.
    Other,
}

/// What stands behind the lookups that were answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Nothing, or the beginning of a lookup.
    Part,
    /// Perhaps further lookups.
    More,
    Other,
}

impl Direct {
    /// Of which nothing has been read yet.
    pub fn new(reads: OwnedReadHalf, outbox: Shared<OwnedWriteHalf>, app: Arc<App>, pace: Arc<Pace>) -> Direct {
        Direct { app, pace, reads, outbox, buffer: vec![0; DIRECT_BYTES], unread: 0, ended: false }
    }

    /// What was read and not answered, and where more comes from.
    pub fn into_parts(mut self) -> (Vec<u8>, OwnedReadHalf) {
        self.buffer.truncate(self.unread);
        (self.buffer, self.reads)
    }

    /// Hears what was said, answers what has come, and sends the answers.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<End>> {
        loop {
            match self.pace.word() {
                Word::GoOn => {}
                Word::Finish if self.unread > 0 => return Poll::Ready(Ok(End::Other)),
                Word::Finish => self.ended = true,
                Word::Leave => return Poll::Ready(Ok(End::Closed)),
            }
            let left = if self.unread > 0 { self.answer() } else { Left::Part };
            if left == Left::Other {
                return Poll::Ready(Ok(End::Other));
            }
            ready!(self.outbox.get().poll_send(cx))?;
            if left == Left::More {
                continue;
            }
            if self.ended {
                return Poll::Ready(Ok(End::Closed));
            }
            if self.unread > 0 {
                // What stands behind the answers is the beginning of a head.
                self.pace.came();
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = ReadBuf::new(&mut self.buffer[self.unread..]);
        ready!(Pin::new(&mut self.reads).poll_read(cx, &mut room))?;
        let came = room.filled().len();
        self.unread += came;
        match came {
            0 => self.ended = true,
            _ => self.pace.came(),
        }
        Poll::Ready(Ok(()))
    }

    /// Answers the lookups that stand at the beginning of what was read, as far as the outbox has room.
    fn answer(&mut self) -> Left {
        let began = Instant::now();
        let (app, mut outbox) = (&*self.app, self.outbox.get());
        let (bytes, into) = (&self.buffer[..self.unread], outbox.bytes());
        let (served, now) = (app.live.glance(), app.now());
        let (mut answered, mut used, mut left) = (0, 0, Left::More);
        while left == Left::More && into.len() < OUTBOX_BYTES {
            let whole = into.len();
            let group = || WORK.with_borrow_mut(|work| work.group(app, &served, (began, now), &bytes[used..], into));
            // What makes lookups panic, hyper meets again, in a place where it is an answer 500.
            let group = catch_unwind(AssertUnwindSafe(group)).unwrap_or(None);
            let Some(group) = group else {
                into.truncate(whole);
                left = Left::Other;
                break;
            };
            (answered, used, left) = (answered + group.answered, used + group.used, group.left);
        }
        if answered > 0 {
            app.metrics.answered(Route::Visitor, StatusCode::OK, began.elapsed(), answered);
            self.pace.enter(Phase::Idle);
        }
        self.buffer.copy_within(used..self.unread, 0);
        self.unread -= used;
        let is_full = left == Left::Part && self.unread == self.buffer.len();
        if is_full { Left::Other } else { left }
    }
}

/// Some lookups that were answered.
struct Group {
    answered: u64,
    used: usize,
    left: Left,
}

/// What a thread answers with. An answer that fails leaves a new room behind.
#[derive(Default)]
struct Work {
    room: Room,
    pids: Vec<Pid>,
    /// Where each one's request ends.
    ends: Vec<usize>,
    touched: Vec<Option<Arc<Touched>>>,
    head: Head,
}

thread_local! {
    static WORK: RefCell<Work> = RefCell::default();
}

impl Work {
    /// Answers up to [`GROUP`] lookups, whose memory accesses overlap, and no more than `into` has room for, but one.
    /// `None`: they cannot be answered here.
    fn group(
        &mut self,
        app: &App,
        served: &Served,
        (began, now): (Instant, Time),
        bytes: &[u8],
        into: &mut Vec<u8>,
    ) -> Option<Group> {
        self.pids.clear();
        self.ends.clear();
        let (mut used, mut left) = (0, Left::More);
        while self.pids.len() < GROUP {
            match usual::read(&bytes[used..]) {
                Asked::Lookup(id, length) => {
                    self.pids.push(served.key.pid(&app.default_id_type, VisitorId::new(id).ok()?));
                    used += length;
                    self.ends.push(used);
                }
                other => {
                    left = if other == Asked::Part { Left::Part } else { Left::Other };
                    break;
                }
            }
        }
        // Like the room: what an answer that fails leaves is no part of the next one.
        let mut touched = take(&mut self.touched);
        if !served.overlay.is_empty() {
            touched.extend(self.pids.iter().map(|&pid| served.overlay.get(pid)));
        }
        self.head.refresh(served.snapshot.generation(), began);
        let mut answered = 0;
        let each = |into: &mut Vec<u8>, write: &mut dyn FnMut(&mut Vec<u8>)| {
            if answered == 0 || into.len() < OUTBOX_BYTES {
                self.head.put(into, write);
                answered += 1;
            }
        };
        let rules = served.rules.load();
        let lookup = Lookup::within(&served.snapshot, &served.names, &served.overlay, take(&mut self.room));
        let mut lookup = lookup.with_rules(rules.as_deref());
        lookup.each(&self.pids, &touched, now, &Only::Everything, into, each).ok()?;
        self.room = lookup.into_room();
        // What an erasure takes away is not kept here.
        touched.clear();
        self.touched = touched;
        if answered < self.pids.len() {
            (used, left) = (self.ends[answered - 1], Left::More);
        }
        Some(Group { answered: answered as u64, used, left })
    }
}

/// The heads of answers: they differ in the length of what follows.
#[derive(Default)]
struct Head {
    generation: u64,
    until: Option<Instant>,
    before_length: Vec<u8>,
    after_length: Vec<u8>,
}

/// Digits that most lengths have.
const LENGTH_DIGITS: &[u8] = b"000";

impl Head {
    fn refresh(&mut self, generation: u64, began: Instant) {
        if generation == self.generation && self.until.is_some_and(|until| began < until) {
            return;
        }
        let date = http_date(Clock::new(None).now());
        (self.generation, self.until) = (generation, Some(began + DATE_KEPT));
        self.before_length = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {JSON}\r\ncache-control: no-store\r\nusher-generation: {generation}\r\n\
             content-length: "
        )
        .into_bytes();
        self.after_length = format!("\r\ndate: {date}\r\n\r\n").into_bytes();
    }

    /// Appends what `write` appends, behind a head.
    fn put(&self, into: &mut Vec<u8>, write: &mut dyn FnMut(&mut Vec<u8>)) {
        into.extend_from_slice(&self.before_length);
        let length_at = into.len()..into.len() + LENGTH_DIGITS.len();
        into.extend_from_slice(LENGTH_DIGITS);
        into.extend_from_slice(&self.after_length);
        let body = into.len();
        write(into);
        let length = into.len() - body;
        if (100..1_000).contains(&length) {
            for (digit, power) in into[length_at].iter_mut().zip([100, 10, 1]) {
                *digit += (length / power % 10) as u8;
            }
        } else {
            into.splice(length_at, length.to_string().into_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_the_length_of_what_follows() {
        let (mut head, began) = (Head::default(), Instant::now());
        head.refresh(7, began);
        for length in [0, 9, 10, 99, 100, 185, 999, 1_000, 123_456] {
            let mut answer = b"before".to_vec();
            head.put(&mut answer, &mut |into| into.resize(into.len() + length, b'x'));
            let text = String::from_utf8(answer).unwrap();
            let (told, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(told.contains("usher-generation: 7\r\n"), "{told}");
            assert!(told.contains(&format!("\r\ncontent-length: {length}\r\ndate: ")), "{told}");
            assert_eq!(body.len(), length);
        }
        head.refresh(8, began);
        assert!(head.before_length.windows(19).any(|bytes| bytes == b"usher-generation: 8"));
    }
}
