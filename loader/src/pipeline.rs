//! One feed, from records to a batch: read, admitted, counted; nothing is written here.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::time::{Duration, Instant};

use usher_index::{Admission, Batch, Refusal};

use crate::advice::advice;
use crate::feed::{Feed, FeedError, Item, Malformed, Place, Record};
use crate::quarantine::{OnlyLines, Quarantine, Quarantined};
use crate::row::{self, Refused};
use crate::source::Sent;

/// Up to so many rows that are not taken, the share that they make says nothing about a feed.
pub const FEW_ROWS: u64 = 100;

/// What became of the rows of one feed. `received` is the sum of the others, but for `shortened` (a part of `taken`)
/// and `skipped` (rows that `--only-lines` left out, which were not received).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rows read.
    pub received: u64,
    /// Rows without fields to look at, by code.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Rows refused, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Rows admitted.
    pub taken: u64,
    /// Rows admitted with a shorter life than they asked for.
    pub shortened: u64,
    /// Rows that were not asked for.
    pub skipped: u64,
}

impl Counts {
    /// Rows that were not taken.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.malformed.values().chain(self.refused.values()).sum()
    }

    /// The reasons with their counts, most frequent first; where the first such row is; what to do about the first.
    fn why(&self, first: &Quarantined) -> String {
        let mut reasons: Vec<_> = self.malformed.iter().chain(&self.refused).collect();
        reasons.sort_by_key(|(code, count)| (std::cmp::Reverse(**count), **code));
        let texts: Vec<String> = reasons.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let Place { line, offset } = first.place;
        let column = first.column.map_or(String::new(), |column| format!(", column {}", column.name()));
        let advice = reasons.first().and_then(|(code, _)| advice(code).map(|text| format!(". {code}: {text}")));
        format!("{}; the first at line {line}, byte {offset}{column}{}", texts.join(", "), advice.unwrap_or_default())
    }
}

/// A share of rows, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(f64);

impl Percent {
    fn is_below(self, part: u64, whole: u64) -> bool {
        part as f64 * 100.0 > self.0 * whole as f64
    }
}

impl Default for Percent {
    fn default() -> Self {
        Self(20.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
        number.filter(|percent| (0.0..=100.0).contains(percent)).map(Self).ok_or("expected a share from 0% to 100%")
    }
}

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

/// Reads a feed to its end. `only`: the lines to look at, instead of all. The bytes of rows that are not taken go to
/// `rejects`, a line each, but for those too long to be kept.
///
/// # Errors
/// When the stream breaks off or `rejects` cannot be written. Refused rows are no error here: see [`verdict`].
pub fn read(
    feed: &mut Feed<'_>,
    source: &str,
    mut admission: Admission<'_>,
    only: Option<&OnlyLines>,
    rejects: Option<&mut dyn Write>,
) -> Result<Harvest, FeedError> {
    let started = Instant::now();
    let mut batch = Batch::new(source);
    let mut losses = Losses { counts: Counts::default(), quarantine: Quarantine::default(), rejects };
    feed.each(|place, item| {
        if only.is_some_and(|only| !only.contains(place.line)) {
            losses.counts.skipped += 1;
            return Ok(());
        }
        losses.counts.received += 1;
        match item {
            Item::Record(record, bytes) => match admit(&record, &mut admission, &mut batch) {
                Ok(shortened) => {
                    losses.counts.taken += 1;
                    losses.counts.shortened += u64::from(shortened);
                    Ok(())
                }
                Err(refused) => losses.refused(place, refused, Some(bytes)),
            },
            Item::Malformed(why, bytes) => losses.malformed(place, why, bytes),
            Item::BadUtf8(bytes) => losses.refused(place, whole_row(Refusal::BadUtf8), Some(bytes)),
            Item::TooLong => losses.refused(place, whole_row(Refusal::TooLong), None),
        }
    })?;
    let Losses { counts, quarantine, .. } = losses;
    batch.finish(admission.into_segments());
    let (sent, unpacked) = (feed.input().sent(), feed.input().unpacked());
    Ok(Harvest { batch, counts, quarantine, sent, unpacked, elapsed: started.elapsed() })
}

#[inline]
fn admit(record: &Record<'_>, admission: &mut Admission<'_>, batch: &mut Batch) -> Result<bool, Refused> {
    let row = row::read(record)?;
    let admitted = admission.admit(&row).map_err(Refused::by_admission)?;
    batch.push(admitted.membership);
    Ok(admitted.shortened)
}

fn whole_row(refusal: Refusal) -> Refused {
    Refused { refusal, column: None }
}

/// The books on rows that are not taken.
struct Losses<'w> {
    counts: Counts,
    quarantine: Quarantine,
    rejects: Option<&'w mut dyn Write>,
}

impl Losses<'_> {
    fn refused(&mut self, place: Place, refused: Refused, bytes: Option<&[u8]>) -> Result<(), FeedError> {
        let code = refused.refusal.code();
        *self.counts.refused.entry(code).or_default() += 1;
        self.keep(Quarantined { place, column: refused.column, code }, bytes)
    }

    fn malformed(&mut self, place: Place, why: Malformed, bytes: &[u8]) -> Result<(), FeedError> {
        let code = why.code();
        *self.counts.malformed.entry(code).or_default() += 1;
        self.keep(Quarantined { place, column: None, code }, Some(bytes))
    }

    fn keep(&mut self, row: Quarantined, bytes: Option<&[u8]>) -> Result<(), FeedError> {
        self.quarantine.push(row);
        if let (Some(to), Some(bytes)) = (&mut self.rejects, bytes) {
            to.write_all(bytes).and_then(|()| to.write_all(b"\n")).map_err(FeedError::Rejects)?;
        }
        Ok(())
    }
}

/// Whether a feed is good enough to be taken.
///
/// # Errors
/// When it has no rows, none of them was taken, or more than [`FEW_ROWS`] of them and more than `bound` were not.
pub fn verdict(counts: &Counts, quarantine: &Quarantine, bound: Percent) -> Result<(), FeedError> {
    let &Counts { received, skipped, .. } = counts;
    let lost = counts.lost();
    let Some(first) = quarantine.first() else {
        return match (received, skipped) {
            (0, 0) => Err(FeedError::NoRows),
            (0, _) => Err(FeedError::NoSuchLines),
            _ => Ok(()),
        };
    };
    let why = counts.why(first);
    if lost == received {
        return Err(FeedError::AllRefused { received, why });
    }
    if lost > FEW_ROWS && bound.is_below(lost, received) {
        return Err(FeedError::TooManyRefused { received, lost, bound: bound.to_string(), why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(received: u64, lost: u64, bound: &str) -> Result<(), FeedError> {
        let refused = BTreeMap::from([("bad_time", lost)]);
        let counts = Counts { received, refused, taken: received - lost, ..Counts::default() };
        let mut quarantine = Quarantine::default();
        if lost > 0 {
            let place = Place { line: 2, offset: 16 };
            quarantine.push(Quarantined { place, column: None, code: "bad_time" });
        }
        verdict(&counts, &quarantine, bound.parse().expect("a share"))
    }

    #[test]
    fn a_feed_fails_whole_beyond_a_hundred_rows_and_the_share() {
        assert!(judge(1_000, 0, "0%").is_ok());
        assert!(judge(101, 100, "20%").is_ok(), "a hundred rows are few");
        assert!(judge(505, 101, "20%").is_ok(), "at the share");
        assert!(matches!(judge(504, 101, "20%"), Err(FeedError::TooManyRefused { lost: 101, .. })));
        assert!(judge(504, 101, "20.1%").is_ok());
        assert!(matches!(judge(7, 7, "100%"), Err(FeedError::AllRefused { received: 7, .. })));
        assert!(matches!(judge(0, 0, "20%"), Err(FeedError::NoRows)));
    }

    #[test]
    fn the_reasons_are_named_in_order() {
        let error = judge(3, 3, "20%").expect_err("all are refused").to_string();
        let expected = "every row was refused (3 of 3); bad_time 3; the first at line 2, byte 16. bad_time: a time is ";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn shares_are_percent() {
        assert_eq!("20%".parse(), Ok(Percent::default()));
        assert_eq!("20".parse(), Ok(Percent::default()));
        for bad in ["", "%", "101%", "-1%", "NaN", "a"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad:?}");
        }
    }
}
