//! One feed, from blocks to a batch: read, admitted, counted; nothing is written here but to `rejects`.

mod counts;
mod crew;
mod taker;

use std::io::Write;
use std::time::{Duration, Instant};

use usher_index::Batch;

use crate::feed::{Feed, FeedError};
use crate::quarantine::{OnlyLines, Quarantine};
use crate::source::Sent;
pub use counts::{Counts, FEW_ROWS, Percent, verdict};
pub use taker::Taker;
use taker::{Gleaned, Wanted};

/// What reading a feed gave.
pub struct Harvest {
    /// The memberships.
    pub batch: Batch,
    /// What became of the rows.
    pub counts: Counts,
    /// Where the rows stand that were not taken.
    pub quarantine: Quarantine,
    /// What was read, as sent.
    pub sent: Sent,
    /// Bytes of text.
    pub unpacked: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Reads a feed to its end with as many threads as there are takers, of which there is one at least. `only`: the lines
/// to look at, instead of all. The bytes of rows that are not taken go to `rejects`, a line each, but for those too
/// long to be kept.
///
/// Counts, quarantine and rejects are the same for any number of takers; the batch has the same rows in another order.
///
/// # Errors
/// When the stream breaks off or `rejects` cannot be written. Refused rows are no error here: see [`verdict`]. Nor are
/// rows that found no room: see [`Batch::whole`].
pub fn read(
    feed: &mut Feed<'_>,
    mut takers: Vec<Taker<'_>>,
    only: Option<&OnlyLines>,
    mut rejects: Option<&mut dyn Write>,
) -> Result<Harvest, FeedError> {
    let started = Instant::now();
    let parser = feed.parser().clone();
    let wanted = Wanted { parser: &parser, only, rejects: rejects.is_some() };
    let (mut counts, mut quarantine) = (Counts::default(), Quarantine::default());
    crew::work(feed, &mut takers, &wanted, |gleaned: Gleaned| {
        counts.add(&gleaned.counts);
        gleaned.lost.into_iter().for_each(|row| quarantine.push(row));
        if let Some(to) = &mut rejects {
            to.write_all(&gleaned.rejects).map_err(FeedError::Rejects)?;
        }
        gleaned.failed.map_or(Ok(()), Err)
    })?;
    let batch = takers.into_iter().map(Taker::finish).reduce(|mut all, batch| {
        all.absorb(batch);
        all
    });
    // The first taker is that of the thread that reads.
    let batch = batch.unwrap_or_else(|| Batch::new(""));
    let (sent, unpacked) = (feed.input().sent(), feed.input().unpacked());
    Ok(Harvest { batch, counts, quarantine, sent, unpacked, elapsed: started.elapsed() })
}
