//! A delivery: one feed of one source, with the options that say what its bytes mean.
//!
//! [`Delivery::receive`] reads it against an open index and says what it is: rows to be built in, bytes that came
//! before, or a feed that failed whole. Nothing is in the index before the batches of all deliveries are loaded.

use std::io::Write;
use std::thread;

use usher_index::{Batch, FeedKey, IdType, LedgerLine, Time, WriteError, Writer};

use crate::feed::{Feed, FeedError, Shape};
use crate::pipeline::{self, Harvest, Percent, Taker};
use crate::quarantine::OnlyLines;
use crate::report::Report;
use crate::source::{Input, SourceError};

/// The most threads that read one feed; beyond, the thread that cuts it into blocks is what all wait for.
const MAX_THREADS: usize = 16;

/// What is known about a feed before its bytes are read.
#[derive(Debug, Clone)]
pub struct Delivery<'a> {
    /// The file's name, for its extension and for the report.
    pub name: &'a str,
    /// The source that delivers it.
    pub source: &'a str,
    /// How it is to be read.
    pub shape: &'a Shape,
    /// The type of ids that do not name theirs.
    pub id_type: &'a IdType,
    /// The observation of rows that carry none; that of receipt when absent.
    pub as_of: Option<Time>,
    /// The lines to look at, instead of all.
    pub only: Option<&'a OnlyLines>,
    /// The share of rows that may be refused.
    pub max_refused: Percent,
    /// Whether bytes that came before are read as if they were new.
    pub again: bool,
}

/// What became of a delivery.
pub enum Delivered {
    /// Rows to be loaded.
    Taken(Box<Taken>),
    /// The same bytes, with options of the same meaning, came before: the report of the first time.
    Before(Box<Report>),
    /// It failed whole.
    Failed(Box<Report>),
}

/// A delivery that was read and found good.
pub struct Taken {
    /// Its rows.
    pub batch: Batch,
    /// What the ledger knows it by.
    pub key: FeedKey,
    /// When reading began.
    pub received: Time,
    /// The report, without what the build makes of it.
    pub report: Report,
}

impl Taken {
    /// Rows and ledger line, as [`Writer::load`] takes them, and the report to complete.
    #[must_use]
    pub fn into_parts(self) -> (Batch, LedgerLine, Report) {
        let Self { batch, key, received, report } = self;
        // Text, numbers and lists: serialisation cannot fail.
        let kept = serde_json::to_value(&report).unwrap_or_default();
        (batch, LedgerLine { key, received, report: kept, outcome: None }, report)
    }
}

impl Delivery<'_> {
    /// Reads the feed. `now` is the moment of receipt. Rows that are not taken are listed in the quarantine of the data
    /// folder, and their bytes go to `rejects`.
    ///
    /// # Errors
    /// When the source is unknown or may not deliver such ids. What is wrong with the feed is no error but a report.
    pub fn receive(
        &self,
        writer: &Writer,
        input: Result<Input<'_>, SourceError>,
        now: Time,
        rejects: Option<&mut dyn Write>,
    ) -> Result<Delivered, WriteError> {
        let taker = |_| {
            let admission = writer.admission(self.source, self.id_type.clone(), self.as_of, now)?;
            Ok(Taker::new(admission, writer.batch(self.source)))
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let takers = (0..threads).map(taker).collect::<Result<Vec<Taker<'_>>, WriteError>>()?;
        let mut report = Report::new(self.name, self.source, now);
        let opened = input.map_err(FeedError::from).and_then(|input| Feed::open(input, self.name, self.shape));
        let mut feed = match opened {
            Ok(feed) => feed,
            Err(error) => return Ok(failed(report, &error)),
        };
        report.opened(&feed);
        let mut harvest = match pipeline::read(&mut feed, takers, self.only, rejects) {
            Ok(harvest) => harvest,
            Err(error) => return Ok(failed(report, &error)),
        };
        harvest.batch = harvest.batch.whole()?;
        report.read(&harvest);
        let key = self.key(&feed, &harvest);
        // Before the verdict: what was good when it came first may be too old by now, and is still no failure.
        if let Some(line) = writer.delivered(&key).filter(|_| !self.again) {
            return Ok(Delivered::Before(Box::new(first_report(line, report))));
        }
        let verdict = pipeline::verdict(&harvest.counts, &harvest.quarantine, self.max_refused);
        let data = writer.snapshot().folder().path();
        match harvest.quarantine.write(data, self.source, &key.digest) {
            Ok(path) => report.quarantine = path.map(|path| path.display().to_string()),
            Err(error) => return Ok(failed(report, &FeedError::Quarantine(error))),
        }
        match verdict {
            Ok(()) => Ok(Delivered::Taken(Box::new(Taken { batch: harvest.batch, key, received: now, report }))),
            Err(error) => Ok(failed(report, &error)),
        }
    }

    /// The options are one canonical text: two commands that mean the same write the same.
    fn key(&self, feed: &Feed<'_>, harvest: &Harvest) -> FeedKey {
        let mut options = format!("format={} id_type={}", feed.format(), self.id_type);
        if let Some(columns) = &self.shape.columns {
            options += &format!(" columns={columns} header={}", self.shape.header);
        }
        if let Some(as_of) = self.as_of {
            options += &format!(" as_of={}", as_of.unix());
        }
        if let Some(only) = self.only {
            options += &format!(" only_lines={}", only.digest());
        }
        FeedKey { source: self.source.to_owned(), digest: harvest.sent.digest.clone(), options }
    }
}

fn failed(mut report: Report, error: &FeedError) -> Delivered {
    report.fail(error);
    Delivered::Failed(Box::new(report))
}

/// The report that the ledger kept. `fresh` stands in for one that an older version wrote.
fn first_report(line: &LedgerLine, fresh: Report) -> Report {
    let file = fresh.file.clone();
    let kept = serde_json::from_value(line.report.clone()).unwrap_or(fresh);
    Report { file, outcome: line.outcome, already_delivered: true, ..kept }
}

#[cfg(test)]
mod tests {
    use usher_index::{Key, NoProgress, Writer};

    use super::*;
    use crate::source::Bounds;

    const NOW: i64 = 1_777_924_800;

    struct Case {
        dir: tempfile::TempDir,
        now: Time,
    }

    impl Case {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().expect("a temporary folder"), now: Time::from_unix(NOW).expect("in range") }
        }

        fn writer(&self) -> Writer {
            Writer::open(self.dir.path(), Key::from_bytes([7; 32])).expect("a new index")
        }

        fn receive(&self, writer: &Writer, text: &[u8], change: impl FnOnce(&mut Delivery<'_>)) -> Delivered {
            let (shape, id_type) = (Shape::default(), IdType::default());
            let mut delivery = Delivery {
                name: "f.csv",
                source: "mag",
                shape: &shape,
                id_type: &id_type,
                as_of: None,
                only: None,
                max_refused: Percent::default(),
                again: false,
            };
            change(&mut delivery);
            let input = Input::stream(text, |_| {}, Bounds::default());
            delivery.receive(writer, input, self.now, None).expect("a known source")
        }
    }

    const FEED: &[u8] = b"visitor,segment,observed\na,s,1777920000\nb,s,soon\n\"c\",s,\n";

    #[test]
    fn the_second_delivery_is_told_of_the_first() {
        let case = Case::new();
        let writer = case.writer();
        let Delivered::Taken(taken) = case.receive(&writer, FEED, |_| {}) else { panic!("a good feed") };
        let (batch, line, report) = taken.into_parts();
        assert_eq!((report.received, report.taken, report.refused["bad_time"]), (3, 2, 1));
        let list = report.quarantine.clone().expect("one row was refused");
        let list = std::fs::read_to_string(list).expect("it was written");
        assert_eq!(list, "line\tbyte\tcolumn\tcode\n3\t40\tobserved\tbad_time\n");
        let published = writer.load(vec![(batch, line)], case.now, &NoProgress).expect("a build");
        let writer = case.writer();
        let Delivered::Before(before) = case.receive(&writer, FEED, |_| {}) else { panic!("the same bytes") };
        assert!(before.already_delivered);
        assert_eq!(before.outcome, Some(published.outcomes[0]));
        assert_eq!(before.check(), Ok(()));
        let other =
            |change: fn(&mut Delivery<'_>)| !matches!(case.receive(&writer, FEED, change), Delivered::Before(_));
        assert!(other(|delivery| delivery.again = true));
        assert!(other(|delivery| delivery.as_of = Time::from_unix(NOW - 60)));
        assert!(other(|delivery| delivery.source = "guide"), "the ledger keeps sources apart");
    }

    #[test]
    fn only_the_lines_that_were_refused_are_replayed() {
        let case = Case::new();
        let writer = case.writer();
        let Delivered::Taken(taken) = case.receive(&writer, FEED, |_| {}) else { panic!("a good feed") };
        let list = taken.report.quarantine.expect("one row was refused");
        let only = OnlyLines::read(list.as_ref()).expect("what was written");
        let mended = String::from_utf8_lossy(FEED).replace("soon", "1777920000");
        let (shape, id_type) = (Shape::default(), IdType::default());
        let delivery = Delivery {
            name: "f.csv",
            source: "mag",
            shape: &shape,
            id_type: &id_type,
            as_of: None,
            only: Some(&only),
            max_refused: Percent::default(),
            again: false,
        };
        let replay = |text: &str| {
            let input = Input::stream(text.as_bytes(), |_| {}, Bounds::default());
            delivery.receive(&writer, input, case.now, None).expect("a known source")
        };
        let Delivered::Taken(taken) = replay(&mended) else { panic!("mended") };
        assert_eq!((taken.report.received, taken.report.taken, taken.report.skipped), (1, 1, 2));
        let Delivered::Failed(report) = replay("visitor,segment\nx,s\n") else { panic!("it has no third line") };
        assert_eq!(report.failed.expect("why").code, "no_such_lines");
    }

    #[test]
    fn a_failed_feed_leaves_a_report_and_nothing_else() {
        let case = Case::new();
        let writer = case.writer();
        for (text, code) in [
            (&b""[..], "empty"),
            (b"\0", "not_text"),
            (b"a,b\n", "columns"),
            (b"visitor,segment\n", "no_rows"),
            (b"visitor,segment\n,\n", "all_refused"),
            (b"visitor,segment\nv,\"\n", "open_quote"),
        ] {
            let Delivered::Failed(report) = case.receive(&writer, text, |_| {}) else { panic!("{code}") };
            assert_eq!((report.check(), report.failed.expect("why").code.as_str()), (Ok(()), code));
        }
        assert_eq!(writer.snapshot().generation(), 0);
    }
}
