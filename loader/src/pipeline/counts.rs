//! What became of the rows of a feed, and whether that is good enough.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::advice::advice;
use crate::feed::{FeedError, Place};
use crate::quarantine::{Quarantine, Quarantined};

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

    /// Adds what became of other rows.
    pub(super) fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.taken += other.taken;
        self.shortened += other.shortened;
        self.skipped += other.skipped;
        for (sums, counts) in [(&mut self.malformed, &other.malformed), (&mut self.refused, &other.refused)] {
            counts.iter().for_each(|(code, count)| *sums.entry(code).or_default() += count);
        }
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
