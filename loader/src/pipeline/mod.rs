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

#[cfg(test)]
mod tests {
    use usher_index::{IdType, Key, Time, Writer};

    use super::*;
    use crate::feed::Shape;
    use crate::source::{Bounds, Input};

    /// Some three blocks of rows, good and bad ones of every kind.
    fn feed() -> String {
        let mut text = "visitor,segment,expires\n".to_owned();
        for number in 0..60_000 {
            text += &match number % 1_000 {
                7 => "\"a\"b,s,1\n".to_owned(),
                500 => "v,s\n\n".to_owned(),
                900 => format!("v{number},\"s\n{number}\",tomorrow\n"),
                _ => format!("visitor-{},\"seg{}\",1800086400\n", number / 9, number % 50),
            };
        }
        text
    }

    #[test]
    fn any_number_of_threads_tells_the_same() {
        let (dir, text) = (tempfile::tempdir().expect("a temporary folder"), feed());
        let writer = Writer::open(dir.path(), Key::from_bytes([1; 32])).expect("a new index");
        let now = Time::from_unix(1_800_000_000).expect("in range");
        let read = |threads: usize| {
            let input = Input::stream(text.as_bytes(), |_| {}, Bounds::default()).expect("memory");
            let mut feed = Feed::open(input, "f.csv", &Shape::default()).expect("a header");
            let admission = || writer.admission("s", IdType::default(), None, now).expect("development");
            let takers = (0..threads).map(|_| Taker::new(admission(), writer.batch("s"))).collect();
            let mut rejects = Vec::new();
            let harvest = super::read(&mut feed, takers, None, Some(&mut rejects)).expect("it is whole");
            (harvest, rejects)
        };
        let (one, rejects) = read(1);
        assert_eq!((one.counts.received, one.counts.lost()), (60_000, 180));
        assert_eq!(one.batch.len(), one.counts.taken);
        for threads in [2, 3, 8] {
            let (several, also) = read(threads);
            assert_eq!((several.counts, several.sent), (one.counts.clone(), one.sent.clone()), "{threads} threads");
            assert_eq!(format!("{:?}", several.quarantine), format!("{:?}", one.quarantine));
            assert_eq!(also, rejects);
            assert_eq!(several.batch.len(), one.batch.len());
        }
    }
}
