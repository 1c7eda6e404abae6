//! Files in, one generation out: what `load` does once and `follow` does again and again.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use usher_index::{Charter, Published, Writer};

use super::options::FeedOptions;
use super::own::Own;
use super::progress::Bar;
use super::{CommandError, FAILED, OK, Streams, bytes_per_membership, print_json, say, warn_if_older};
use crate::audit;
use crate::clock::Clock;
use crate::quarantine::OnlyLines;
use crate::report::{Report, Seconds, grouped};
use crate::source::Input;
use crate::turn::{self, BUILD_PATIENCE, For};
use crate::{Delivered, Delivery, key};

/// Rejected rows hold visitor ids: for this user alone.
const REJECTS_MODE: u32 = 0o600;

/// How files are taken in.
pub(super) struct Intake<'a> {
    options: &'a FeedOptions,
    clock: Clock,
    /// The charter to adopt with the next build.
    charter: Option<Charter>,
    /// The lines to look at, instead of all.
    pub(super) only: Option<OnlyLines>,
    /// Whether bytes that came before are read as if they were new.
    pub(super) again: bool,
    /// Where the rows go that are not taken.
    pub(super) rejects: Option<&'a Path>,
    /// What others are told who want to build meanwhile.
    pub(super) holder: &'static str,
    /// How long the build of an engine is waited for.
    pub(super) patience: Duration,
    /// Whether it was said that no charter is in force.
    warned: bool,
}

/// What became of the files.
pub(super) struct Outcome {
    /// A report for each.
    pub(super) reports: Vec<Report>,
    /// The generation, if one was built.
    pub(super) published: Option<Published>,
}

/// What became of one file before the build.
enum Fate {
    /// To be completed by the build, as its n-th feed.
    Built(usize, Report),
    /// The same bytes as the n-th feed of this build.
    Twin(usize, Report),
    /// Delivered before, or failed.
    Done(Report),
}

/// What was read.
#[derive(Default)]
struct Harvest {
    fates: Vec<Fate>,
    feeds: Vec<(usher_index::Batch, usher_index::LedgerLine)>,
}

impl<'a> Intake<'a> {
    /// Files are taken by these options; the first build adopts the charter, if there is one.
    pub(super) fn new(options: &'a FeedOptions, clock: Clock, charter: Option<Charter>) -> Self {
        let (holder, patience) = ("usher-loader load", BUILD_PATIENCE);
        Self { options, clock, charter, only: None, again: false, rejects: None, holder, patience, warned: false }
    }

    /// Takes the files; all that are good become one generation.
    ///
    /// # Errors
    /// When the index cannot be changed, or the source may not deliver. What is wrong with a file is told by its report.
    pub(super) fn take(&mut self, files: &[PathBuf], streams: &mut Streams<'_>) -> Result<Outcome, CommandError> {
        let mut writer = self.open(streams)?;
        warn_if_older(streams, writer.snapshot())?;
        let charter = self.charter.clone();
        let new_charter = charter.map(|charter| writer.adopt_charter(charter)).transpose()?.unwrap_or(false);
        if writer.charter().is_development() && !self.warned {
            self.warned = true;
            say(
                streams,
                "warning: no charter is in force, so the permissive development charter applies; give one with --charter",
            )?;
        }
        let (key, in_force) = (writer.snapshot().key().cloned(), writer.charter().clone());
        let bar = Bar::new(streams.progress);
        let harvest = self.receive(files, streams, &writer, &bar);
        let outcome = harvest.and_then(|harvest| {
            let failed = |fate: &Fate| matches!(fate, Fate::Done(report) if report.failed.is_some());
            let any_failed = harvest.fates.iter().any(failed);
            let publish = !harvest.feeds.is_empty() || (new_charter && !any_failed);
            if new_charter && !publish {
                say(streams, "the charter was not adopted, because no feed was taken")?;
            }
            harvest.build(writer, &self.clock, publish, &bar)
        });
        bar.clear();
        let outcome = outcome?;
        // What others put in force later is not for a second build to undo.
        if !new_charter || outcome.published.is_some() {
            self.charter = None;
        }
        if let (true, Some(published), Some(key)) = (new_charter, &outcome.published, key) {
            // Whoever owns the state otherwise, now or later, writes the line.
            if let Own::Ours(state) = Own::take(&self.options.common.data, &key, "load")? {
                audit::charter(&state, &in_force, published.generation, self.clock.now())?;
            }
        }
        Ok(outcome)
    }

    fn open(&self, streams: &mut Streams<'_>) -> Result<Writer, CommandError> {
        let common = &self.options.common;
        let key = key::obtain(&common.data, common.key_file.as_deref())?;
        if key.created {
            let path = key.path.display();
            say(
                streams,
                &format!(
                    "made the pseudonym key of this index: {path}; without it the index cannot be read, so keep a copy"
                ),
            )?;
        }
        let wait = (For::Engines, self.patience);
        let mut writer = turn::writer(&common.data, &key.key, self.holder, wait, &mut |text| _ = say(streams, text))?;
        writer.limit_memory(self.options.memory.as_u64());
        // While another process owns the state, who opted out is its to know: it masks and drops what this load brings of them.
        if let Own::Ours(state) = Own::take(&common.data, &key.key, "load")? {
            let bars = state.bars(Arc::clone(writer.snapshot().veils()))?;
            writer.bar(bars);
        }
        self.options.policy.into_iter().for_each(|policy| writer.set_policy(policy.into()));
        Ok(writer)
    }

    /// Reads all files, in order.
    fn receive(
        &self,
        files: &[PathBuf],
        streams: &mut Streams<'_>,
        writer: &Writer,
        bar: &Bar,
    ) -> Result<Harvest, CommandError> {
        let (options, shape) = (self.options, self.options.shape());
        let mut rejects = self.rejects.map(create_rejects).transpose()?;
        let mut harvest = Harvest::default();
        for path in files {
            harvest.feeds.iter_mut().for_each(|(batch, _)| batch.make_room());
            let name = path.display().to_string();
            let delivery = Delivery {
                name: &name,
                source: &options.source,
                shape: &shape,
                id_type: &options.id_type,
                as_of: options.as_of,
                only: self.only.as_ref(),
                max_refused: options.max_refused,
                again: self.again,
            };
            let input = Input::file(path, &mut *streams.input, |read| bar.bytes(read));
            bar.file(&name, input.as_ref().ok().and_then(Input::total));
            let to = rejects.as_mut().map(|file| file as &mut dyn Write);
            match delivery.receive(writer, input, self.clock.now(), to)? {
                Delivered::Before(report) | Delivered::Failed(report) => harvest.fates.push(Fate::Done(*report)),
                Delivered::Taken(taken) => harvest.take(*taken, self.again),
            }
        }
        if let (Some(mut file), Some(path)) = (rejects, self.rejects) {
            file.flush().map_err(|source| CommandError::File { doing: "write", path: path.to_path_buf(), source })?;
        }
        Ok(harvest)
    }
}

fn create_rejects(path: &Path) -> Result<BufWriter<File>, CommandError> {
    let file = File::options().write(true).create(true).truncate(true).mode(REJECTS_MODE).open(path);
    let file = file.map_err(|source| CommandError::File { doing: "create", path: path.to_path_buf(), source })?;
    Ok(BufWriter::new(file))
}

impl Harvest {
    fn take(&mut self, taken: crate::Taken, again: bool) {
        let (batch, line, report) = taken.into_parts();
        let twin = self.feeds.iter().position(|(_, earlier)| earlier.key == line.key);
        self.fates.push(match twin.filter(|_| !again) {
            Some(number) => Fate::Twin(number, report),
            None => {
                self.feeds.push((batch, line));
                Fate::Built(self.feeds.len() - 1, report)
            }
        });
    }

    /// Publishes what is to be published and completes the reports.
    fn build(self, writer: Writer, clock: &Clock, publish: bool, bar: &Bar) -> Result<Outcome, CommandError> {
        let Self { fates, feeds } = self;
        let (applied, started) = (clock.now(), Instant::now());
        let published = match (publish, feeds.is_empty()) {
            (false, _) => None,
            (true, true) => Some(writer.publish_charter(applied)?),
            (true, false) => Some(writer.load(feeds, applied, bar)?),
        };
        let (visible, build) = (clock.now(), started.elapsed().as_secs_f64());
        let [sort, survey, freeze, publish] = ["sort", "survey", "freeze", "publish"].map(|stage| bar.seconds(stage));
        let seconds = Seconds { read: 0.0, build, sort, survey, freeze, publish };
        let complete = |number: usize, mut report: Report| {
            if let Some(published) = &published {
                let outcome = published.outcomes.get(number).copied().unwrap_or_default();
                report.publish(outcome, published.generation, applied, visible, seconds);
            }
            report
        };
        let finish = |fate| match fate {
            Fate::Built(number, report) => complete(number, report),
            Fate::Twin(number, report) => Report { already_delivered: true, ..complete(number, report) },
            Fate::Done(report) => report,
        };
        Ok(Outcome { reports: fates.into_iter().map(finish).collect(), published })
    }
}

impl Outcome {
    /// Prints the reports: tables for people, then a line of JSON for each feed. The exit code is that of a command that
    /// took no other files.
    pub(super) fn print(&self, json: bool, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
        let Self { reports, published } = self;
        for report in reports {
            if let Some(failure) = &report.failed {
                say(streams, &format!("{}: {}", report.file, failure.message))?;
            }
            if !json {
                writeln!(streams.out, "{}", report.to_text())?;
            }
        }
        if let (Some(published), false) = (published, json) {
            writeln!(streams.out, "{}", index_text(published))?;
        }
        reports.iter().try_for_each(|report| print_json(streams, report))?;
        reports.iter().try_for_each(Report::check)?;
        let failed = reports.iter().any(|report| report.failed.is_some());
        Ok(if failed { FAILED } else { OK })
    }
}

fn index_text(published: &Published) -> String {
    let &Published { generation, visitors, memberships, bytes, .. } = published;
    let each = bytes_per_membership(bytes, memberships)
        .map_or(String::new(), |each| format!(", {each:.2} bytes a membership"));
    let (visitors, memberships, bytes) = (grouped(visitors), grouped(memberships), ByteSize(bytes));
    format!("The index, generation {generation}: {visitors} visitors, {memberships} memberships, {bytes}{each}")
}
