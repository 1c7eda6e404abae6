//! When to build, and how to wait for it.

use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cmd::CommandError;

/// What arrives within a while becomes one build, and after a build there is a rest as long as it took.
pub(super) struct Pace {
    gather: Duration,
    /// Since when a file is waiting.
    waiting: Option<Instant>,
    /// When the rest is over.
    rested: Option<Instant>,
}

impl Pace {
    pub(super) fn new(gather: Duration) -> Self {
        Self { gather, waiting: None, rested: None }
    }

    /// Whether to build now; `any` says whether a file is waiting.
    pub(super) fn is_due(&mut self, when: Instant, any: bool) -> bool {
        if !any {
            self.waiting = None;
            return false;
        }
        let since = *self.waiting.get_or_insert(when);
        when.duration_since(since) >= self.gather && self.rested.is_none_or(|rested| when >= rested)
    }

    /// A build lasted from one moment to another.
    pub(super) fn built(&mut self, began: Instant, ended: Instant) {
        self.waiting = None;
        self.rested = ended.checked_add(ended.duration_since(began));
    }
}

/// SIGTERM and SIGINT. From when it is made, neither ends the process by itself: what is under way is finished.
pub(super) struct Stop {
    runtime: Runtime,
    term: Signal,
    int: Signal,
}

impl Stop {
    pub(super) fn new() -> Result<Self, CommandError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(CommandError::Signals)?;
        let inside = runtime.enter();
        let (term, int) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        drop(inside);
        Ok(Self { term: term.map_err(CommandError::Signals)?, int: int.map_err(CommandError::Signals)?, runtime })
    }

    /// Waits, and says whether a signal came, now or since the last time.
    pub(super) fn within(&mut self, time: Duration) -> bool {
        let Self { runtime, term, int } = self;
        let stopped = async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        runtime.block_on(async { tokio::time::timeout(time, stopped).await.is_ok() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gathers_is_built_at_once_and_then_there_is_a_rest() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut pace = Pace::new(Duration::from_secs(10));
        assert!(!pace.is_due(at(0), false) && !pace.is_due(at(1), true));
        assert!(!pace.is_due(at(10), true) && pace.is_due(at(11), true));
        pace.built(at(11), at(41));
        assert!(!pace.is_due(at(42), true) && !pace.is_due(at(60), true), "it gathered, and rests");
        assert!(pace.is_due(at(71), true));
        pace.built(at(71), at(72));
        assert!(!pace.is_due(at(73), true) && !pace.is_due(at(80), false));
        assert!(!pace.is_due(at(85), true), "those that went away do not count");
    }
}
