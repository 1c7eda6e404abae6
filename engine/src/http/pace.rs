//! How long a connection may take over each of its phases. hyper measures the head of a request alone, and counts the
//! rest between two requests as part of it; here a new connection, a head and a rest have a deadline each.
//!
//! ```text
//! Fresh --first byte--> Head --head complete--> Busy --answered--> Idle --first byte--> Head
//! ```
//!
//! A request that arrived in one piece with the one before it (pipelining) goes from Idle straight to Busy.
//!
//! A connection has no timer: one [`super::watch::Watch`] looks at all of them, and what it finds, it [tells](Pace::tell).

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

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

/// In place of the moment when a phase began, until somebody has looked and counts from there: so that a request passes
/// without a look at the clock.
const UNSEEN: u64 = u64::MAX >> PHASE_BITS;

/// What a connection is told from outside; a later one outdoes the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Word {
    /// Nothing so far.
    GoOn = 0,
    /// Take no further request.
    Finish = 1,
    /// Close now.
    Leave = 2,
}

/// The phase of one connection and since when; shared by its socket, its service and the watch.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    /// Milliseconds since `began`, or [`UNSEEN`], then the phase in the low bits.
    state: AtomicU64,
    word: AtomicU8,
    ear: Mutex<Option<Waker>>,
}

impl Pace {
    /// A connection that was accepted just now.
    #[must_use]
    pub fn new() -> Arc<Pace> {
        Arc::new(Pace {
            began: Instant::now(),
            state: AtomicU64::new(Phase::Fresh as u64),
            word: AtomicU8::new(Word::GoOn as u8),
            ear: Mutex::new(None),
        })
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

    /// Bytes came in.
    pub fn came(&self) {
        if matches!(self.phase(), Phase::Fresh | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    /// Bytes went out: a client that still takes in an answer is not idle.
    pub fn went(&self) {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Idle);
        }
    }

    /// The phase, if it has lasted longer than `limits` allow. A phase is timed from the first look at it.
    #[must_use]
    pub fn overstayed(&self, limits: &Limits) -> Option<Phase> {
        let elapsed = self.began.elapsed();
        let state = self.seen(elapsed);
        let phase = Phase::of(state);
        let wait = match phase {
            Phase::Fresh => limits.first_byte,
            Phase::Head => limits.head,
            Phase::Busy => return None,
            Phase::Idle => limits.idle,
        };
        let lasted = elapsed.saturating_sub(Duration::from_millis(state >> PHASE_BITS));
        (lasted >= wait).then_some(phase)
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

    /// What the connection was told.
    #[must_use]
    pub fn word(&self) -> Word {
        match self.word.load(Ordering::Relaxed) {
            0 => Word::GoOn,
            1 => Word::Finish,
            _ => Word::Leave,
        }
    }

    /// From now on, a word wakes the task that `waker` belongs to. It hears what was said before by asking after this.
    pub fn listen(&self, waker: &Waker) {
        *self.ear.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// Tells the connection, and wakes it.
    pub fn tell(&self, word: Word) {
        self.word.fetch_max(word as u8, Ordering::Relaxed);
        if let Some(waker) = &*self.ear.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

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
                let pace = Pace::new();
                pace.enter(other);
                assert_eq!(pace.overstayed(limits), None, "it is timed from the first look");
                sleep(2 * short);
                assert_eq!(pace.overstayed(limits), (other == *phase).then_some(other), "{other:?} under {phase:?}");
                pace.enter(other);
                assert_eq!(pace.overstayed(limits), None, "it began anew");
            }
        }
    }

    #[test]
    fn a_later_word_outdoes_the_earlier_ones() {
        let pace = Pace::new();
        assert_eq!(pace.word(), Word::GoOn);
        pace.tell(Word::Leave);
        pace.tell(Word::Finish);
        pace.listen(Waker::noop());
        assert_eq!(pace.word(), Word::Leave);
    }
}
