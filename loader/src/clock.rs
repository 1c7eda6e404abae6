//! The only place where a moment comes from: the system's clock, or one that starts at `--now` and runs on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use usher_index::{Span, Time};

/// A clock. Cheap to copy; copies agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Origin);

#[derive(Debug, Clone, Copy)]
enum Origin {
    /// The system's clock, which may jump either way.
    System,
    /// Started at a moment of the operator's choice; never goes back.
    Started { at: Time, when: Instant },
}

impl Clock {
    /// The system's clock, or one that shows `start` now and runs on from there.
    #[must_use]
    pub fn new(start: Option<Time>) -> Self {
        Self(start.map_or(Origin::System, |at| Origin::Started { at, when: Instant::now() }))
    }

    /// The moment it shows. A system clock outside 1970 to 2106 shows the nearer end.
    #[must_use]
    pub fn now(&self) -> Time {
        match self.0 {
            Origin::System => clamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Origin::Started { at, when } => at.plus(seconds(when.elapsed())),
        }
    }

    /// Whether the operator chose the start, so that the moment shown may be far from the system's.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        matches!(self.0, Origin::Started { .. })
    }
}

fn seconds(elapsed: Duration) -> Span {
    Span::from_secs(u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX))
}

fn clamp(since_epoch: Duration) -> Time {
    let seconds = i64::from(seconds(since_epoch).secs());
    Time::from_unix(seconds).expect("32 bits of Unix seconds are always in range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_clock_starts_there_and_runs_on() {
        let start = Time::from_unix(1_000).expect("in range");
        let earlier = Instant::now().checked_sub(Duration::from_secs(90)).expect("the machine has run for longer");
        let clock = Clock(Origin::Started { at: start, when: earlier });
        assert!(clock.now() >= start.plus(Span::from_secs(90)));
        assert!(Clock::new(Some(start)).now().since(start) < Span::from_secs(60));
    }

    #[test]
    fn the_system_clock_is_in_this_century() {
        assert!(Clock::new(None).now() > Time::from_unix(1_700_000_000).expect("in range"));
    }
}
