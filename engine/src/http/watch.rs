//! The watch over all open connections: it lets go those that overstay, and tells all of them when the server stops.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::task::yield_now;
use tokio::time::sleep;

use super::limits::{LOOK_INTERVAL, LOOK_SLICE, Limits};
use super::pace::{Pace, Word};

/// The open connections, and some that were closed since the last look.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Vec<Weak<Pace>>>);

impl Watch {
    /// A connection that was accepted just now. It is watched for as long as its pace is held.
    #[must_use]
    pub fn open(&self) -> Arc<Pace> {
        let pace = Pace::new();
        self.paces().push(Arc::downgrade(&pace));
        pace
    }

    /// Tells all connections to take no further request.
    pub fn finish(&self) {
        self.paces().iter().filter_map(Weak::upgrade).for_each(|pace| pace.tell(Word::Finish));
    }

    /// Looks at all connections again and again, for as long as it is polled.
    pub async fn keep(self: Arc<Watch>, limits: Limits) {
        loop {
            sleep(LOOK_INTERVAL).await;
            let mut next = Some(0);
            while let Some(at) = next {
                next = self.look(at, &limits);
                yield_now().await;
            }
        }
    }

    /// Looks at up to [`LOOK_SLICE`] connections from a place on; the next place, if there are more.
    fn look(&self, mut at: usize, limits: &Limits) -> Option<usize> {
        let mut paces = self.paces();
        for _ in 0..LOOK_SLICE {
            let Some(pace) = paces.get(at)?.upgrade() else {
                paces.swap_remove(at);
                continue;
            };
            at += 1;
            if let Some(phase) = pace.overstayed(limits) {
                tracing::debug!(?phase, "a connection is closed for being slow");
                pace.tell(Word::Leave);
            }
        }
        Some(at)
    }

    fn paces(&self) -> MutexGuard<'_, Vec<Weak<Pace>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_connection_is_looked_at_and_closed_ones_are_forgotten() {
        let watch = Watch::default();
        let mut paces: Vec<_> = (0..3 * LOOK_SLICE).map(|_| watch.open()).collect();
        let mut number = 0;
        paces.retain(|_| {
            number += 1;
            number % 3 == 0
        });
        let limits = Limits { first_byte: Duration::ZERO, ..Limits::default() };
        let (mut next, mut looks) = (Some(0), 0);
        while let Some(at) = next {
            next = watch.look(at, &limits);
            looks += 1;
        }
        assert!(looks <= 4, "{looks}");
        assert_eq!(watch.paces().len(), LOOK_SLICE);
        assert!(paces.iter().all(|pace| pace.word() == Word::Leave));
    }
}
