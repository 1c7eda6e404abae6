//! What became of a feed: a waterfall that sums exactly, for people and for machines.

mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use usher_index::{Outcome, Time};

use crate::feed::{Feed, FeedError};
use crate::pipeline::{Counts, Harvest};
use crate::time;
pub use text::grouped;

/// The report on one feed. It is kept in the ledger, and printed again when the same bytes come a second time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The file, as the command named it.
    pub file: String,
    /// The source that delivered it.
    pub source: String,
    /// XXH3-128 of the bytes as sent, 32 hexadecimal digits; empty when they were not read to the end.
    pub digest: String,
    /// `csv`, `tsv` or `jsonl`; empty when it could not be told.
    pub format: String,
    /// `plain`, `gzip` or `zstd`; empty when it could not be told.
    pub packing: String,
    /// Bytes as sent.
    pub bytes: u64,
    /// Bytes of text.
    pub unpacked_bytes: u64,
    /// Rows read: malformed + refused + taken.
    pub received: u64,
    /// Rows without fields to look at.
    pub malformed: u64,
    /// Rows refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Rows admitted: new + renewed + unchanged + removed.
    pub taken: u64,
    /// What the taken rows changed; absent until they are in the index.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Taken rows that asked for a longer life than their source may give.
    pub shortened: u64,
    /// Rows that `--only-lines` left out.
    pub skipped: u64,
    /// Names of the header line that are not read.
    pub ignored_columns: Vec<String>,
    /// When it was received, applied and visible.
    pub times: Times,
    /// Seconds spent on reading and on building.
    pub seconds: Seconds,
    /// Rows received for each second of both.
    pub rows_per_second: u64,
    /// The file that lists the rows that were not taken.
    pub quarantine: Option<String>,
    /// The generation in which the rows are visible.
    pub generation: Option<u64>,
    /// Whether the same bytes had been delivered before, so that nothing was done.
    pub already_delivered: bool,
    /// Why the feed failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failure>,
}

/// Three times apart, as RFC 3339.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// When reading began: the observation of rows that carry none.
    pub received: String,
    /// When building began.
    pub applied: Option<String>,
    /// When the new generation was published.
    pub visible: Option<String>,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Reading and admission of this feed.
    pub read: f64,
    /// The build that all feeds of the command share: the stages below, and what lies between them.
    pub build: f64,
    /// Of the build: putting the rows in order.
    #[serde(default)]
    pub sort: f64,
    /// Of the build: counting visitors, times and segments.
    #[serde(default)]
    pub survey: f64,
    /// Of the build: making the images, and writing them to disk.
    #[serde(default)]
    pub freeze: f64,
    /// Of the build: the manifest.
    #[serde(default)]
    pub publish: f64,
}

/// Why a feed failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word.
    pub code: String,
    /// What a person can act on.
    pub message: String,
}

/// A report whose sums do not hold: a mistake of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the report on a feed does not add up: {what} is {found}, its parts are {parts}")]
pub struct SumError {
    what: &'static str,
    found: u64,
    parts: u64,
}

impl Report {
    /// A report on a feed of which nothing is known yet but its name and when it came.
    #[must_use]
    pub fn new(file: &str, source: &str, received: Time) -> Self {
        Self {
            file: file.to_owned(),
            source: source.to_owned(),
            digest: String::new(),
            format: String::new(),
            packing: String::new(),
            bytes: 0,
            unpacked_bytes: 0,
            received: 0,
            malformed: 0,
            refused: BTreeMap::new(),
            taken: 0,
            outcome: None,
            shortened: 0,
            skipped: 0,
            ignored_columns: Vec::new(),
            times: Times { received: time::format(received), ..Times::default() },
            seconds: Seconds::default(),
            rows_per_second: 0,
            quarantine: None,
            generation: None,
            already_delivered: false,
            failed: None,
        }
    }

    /// Enters how the feed was read.
    pub fn opened(&mut self, feed: &Feed<'_>) {
        self.format = feed.format().to_string();
        self.packing = feed.input().packing().to_string();
        self.ignored_columns = feed.columns().map(|columns| columns.ignored().to_vec()).unwrap_or_default();
    }

    /// Enters what reading it to the end gave.
    pub fn read(&mut self, harvest: &Harvest) {
        let Counts { received, malformed, refused, taken, shortened, skipped } = &harvest.counts;
        self.digest.clone_from(&harvest.sent.digest);
        (self.bytes, self.unpacked_bytes) = (harvest.sent.bytes, harvest.unpacked);
        (self.received, self.taken, self.shortened, self.skipped) = (*received, *taken, *shortened, *skipped);
        self.malformed = malformed.values().sum();
        self.refused = refused.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect();
        self.seconds.read = harvest.elapsed.as_secs_f64();
    }

    /// Enters why it failed.
    pub fn fail(&mut self, error: &FeedError) {
        self.failed = Some(Failure { code: error.code().to_owned(), message: error.to_string() });
    }

    /// Enters what the build made of it, and where its time went.
    pub fn publish(&mut self, outcome: Outcome, generation: u64, applied: Time, visible: Time, build: Seconds) {
        self.outcome = Some(outcome);
        self.generation = Some(generation);
        self.times.applied = Some(time::format(applied));
        self.times.visible = Some(time::format(visible));
        self.seconds = Seconds { read: self.seconds.read, ..build };
        let seconds = self.seconds.read + build.build;
        self.rows_per_second = if seconds > 0.0 { (self.received as f64 / seconds) as u64 } else { 0 };
    }

    /// Whether the waterfall sums exactly.
    ///
    /// # Errors
    /// The first sum that does not hold.
    pub fn check(&self) -> Result<(), SumError> {
        let sum = |what, found, parts| if found == parts { Ok(()) } else { Err(SumError { what, found, parts }) };
        sum("received", self.received, self.malformed + self.refused.values().sum::<u64>() + self.taken)?;
        match self.outcome {
            Some(Outcome { new, renewed, unchanged, removed }) => {
                sum("taken", self.taken, new + renewed + unchanged + removed)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn report() -> Report {
        let received = Time::from_unix(0).expect("in range");
        let refused = BTreeMap::from([("bad_time".to_owned(), 2), ("expired".to_owned(), 3)]);
        let outcome = Some(Outcome { new: 1, renewed: 1, unchanged: 1, removed: 1 });
        Report { received: 10, malformed: 1, refused, taken: 4, outcome, ..Report::new("f.tsv", "mag", received) }
    }

    #[test]
    fn the_waterfall_sums_or_is_a_mistake() {
        assert_eq!(report().check(), Ok(()));
        let wrong = Report { malformed: 2, ..report() };
        assert_eq!(wrong.check(), Err(SumError { what: "received", found: 10, parts: 11 }));
        let wrong = Report { taken: 5, malformed: 0, ..report() };
        assert_eq!(wrong.check(), Err(SumError { what: "taken", found: 5, parts: 4 }));
    }

    #[test]
    fn what_the_ledger_keeps_is_read_again() {
        for report in [report(), Report { outcome: None, ..report() }] {
            let kept = serde_json::to_value(&report).expect("plain values");
            assert_eq!(serde_json::from_value::<Report>(kept).expect("what was written"), report);
        }
        assert_eq!(serde_json::to_value(report()).expect("plain values")["unchanged"], 1, "side by side with `taken`");
    }
}
