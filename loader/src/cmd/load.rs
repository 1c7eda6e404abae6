//! `load`: feeds into the index. Each is taken or fails whole; all that are taken become one generation.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytesize::ByteSize;
use clap::Args;
use usher_index::build::{DEFAULT_MEMORY_BYTES, MIN_MEMORY_BYTES};
use usher_index::{IdType, Published, Time, Writer};

use super::own::Own;
use super::policy::PolicyName;
use super::progress::Bar;
use super::{
    CommandError, Common, FAILED, OK, Streams, bytes_per_membership, print_json, read_charter, say, warn_if_older,
};
use crate::clock::Clock;
use crate::feed::{Columns, FeedError, Format, Shape};
use crate::pipeline::Percent;
use crate::quarantine::OnlyLines;
use crate::report::{Report, Seconds, grouped};
use crate::source::{Input, STDIN, check};
use crate::{Delivered, Delivery, key, time};

/// Rejected rows hold visitor ids: for this user alone.
const REJECTS_MODE: u32 = 0o600;

/// The options of `load`.
#[derive(Args)]
pub(super) struct LoadArgs {
    /// Feeds: CSV, TSV or JSON lines, plain or packed with gzip or zstd; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// The source that delivers them, as the charter names it.
    #[arg(long, env = "USHER_SOURCE", value_name = "NAME")]
    source: String,
    /// The data charter to keep from now on.
    #[arg(long, env = "USHER_CHARTER", value_name = "FILE")]
    charter: Option<PathBuf>,
    /// The columns of files without a header line, such as visitor,segment,expires; `_` leaves a field out.
    #[arg(long, value_name = "LIST")]
    columns: Option<Columns>,
    /// With --columns: the files have a header line all the same; pass over it.
    #[arg(long, requires = "columns")]
    header: bool,
    /// The format [default: told by the file's name, else by its first line].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The type of ids that do not name theirs.
    #[arg(long, env = "USHER_ID_TYPE", value_name = "TYPE", default_value_t, value_parser = IdType::new)]
    id_type: IdType,
    /// When rows were observed that do not say so [default: when they are received].
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    as_of: Option<Time>,
    /// The share of rows that may be refused before a feed fails whole.
    #[arg(long, env = "USHER_MAX_REFUSED", value_name = "PERCENT", default_value_t)]
    max_refused: Percent,
    /// Memory for the load, such as 512MiB; rows beyond half of it wait in a temporary file in the data folder.
    #[arg(long, env = "USHER_MEMORY", value_name = "SIZE", default_value_t = ByteSize(DEFAULT_MEMORY_BYTES), value_parser = memory)]
    memory: ByteSize,
    /// The form of the segments' sets [default: as the index has it, compact for a new one].
    #[arg(long, env = "USHER_POLICY", value_name = "POLICY", value_enum)]
    policy: Option<PolicyName>,
    /// Loads bytes once more that were delivered before.
    #[arg(long)]
    again: bool,
    /// Writes the rows that are not taken to this file as they came. They hold visitor ids.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Looks only at the lines that this quarantine lists.
    #[arg(long, value_name = "QUARANTINE")]
    only_lines: Option<PathBuf>,
}

fn memory(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse()?;
    let least = ByteSize(MIN_MEMORY_BYTES);
    if size < least { Err(format!("a load takes {least} at least")) } else { Ok(size) }
}

/// What became of one file.
enum Fate {
    /// To be completed by the build, as its n-th feed.
    Built(usize, Report),
    /// The same bytes as the n-th feed of this build.
    Twin(usize, Report),
    /// Delivered before, or failed.
    Done(Report),
}

/// What one command read.
#[derive(Default)]
struct Intake {
    fates: Vec<Fate>,
    feeds: Vec<(usher_index::Batch, usher_index::LedgerLine)>,
}

pub(super) fn run(args: &LoadArgs, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
    if args.files.iter().filter(|file| *file == Path::new(STDIN)).count() > 1 {
        return Err(CommandError::Usage("`-` is named twice; standard input can be read once".to_owned()));
    }
    let clock = Clock::new(args.common.now);
    let charter = args.charter.as_deref().map(read_charter).transpose()?;
    let only = args.only_lines.as_deref().map(OnlyLines::read).transpose()?;
    if only.as_ref().is_some_and(OnlyLines::is_cut) {
        say(
            streams,
            "warning: more rows were refused than this quarantine lists; only those that it lists are replayed",
        )?;
    }
    // Files that cannot be read at all are found before a folder or a key is made.
    if let Some(reports) = none_readable(args, clock.now()) {
        return finish(args, streams, &reports, None);
    }
    let mut writer = open(args, streams)?;
    warn_if_older(streams, writer.snapshot())?;
    let new_charter = charter.map(|charter| writer.adopt_charter(charter)).transpose()?.unwrap_or(false);
    if writer.charter().is_development() {
        say(
            streams,
            "warning: no charter is in force, so the permissive development charter applies; give one with --charter",
        )?;
    }
    let bar = Bar::new(streams.progress);
    let intake = receive(args, streams, &writer, &clock, only.as_ref(), &bar);
    let built = intake.and_then(|intake| {
        let any_failed = intake.fates.iter().any(|fate| matches!(fate, Fate::Done(report) if report.failed.is_some()));
        let publish = !intake.feeds.is_empty() || (new_charter && !any_failed);
        if new_charter && !publish {
            say(streams, "the charter was not adopted, because no feed was taken")?;
        }
        build(intake, writer, &clock, publish, &bar)
    });
    bar.clear();
    let (reports, published) = built?;
    finish(args, streams, &reports, published.as_ref())
}

/// The reports, if there is not one file that can be opened.
fn none_readable(args: &LoadArgs, now: Time) -> Option<Vec<Report>> {
    let report = |path: &PathBuf| {
        let error = check(path).err()?;
        let mut report = Report::new(&path.display().to_string(), &args.source, now);
        report.fail(&FeedError::from(error));
        Some(report)
    };
    args.files.iter().map(report).collect()
}

fn open(args: &LoadArgs, streams: &mut Streams<'_>) -> Result<Writer, CommandError> {
    let key = key::obtain(&args.common.data, args.common.key_file.as_deref())?;
    if key.created {
        let path = key.path.display();
        say(
            streams,
            &format!(
                "made the pseudonym key of this index: {path}; without it the index cannot be read, so keep a copy"
            ),
        )?;
    }
    let mut writer = Writer::open(&args.common.data, key.key.clone())?;
    writer.limit_memory(args.memory.as_u64());
    // While another process owns the state, who opted out is its to know: it masks and drops what this load brings of them.
    if let Own::Ours(state) = Own::take(&args.common.data, &key.key, "load")? {
        let bars = state.bars(Arc::clone(writer.snapshot().veils()))?;
        writer.bar(bars);
    }
    args.policy.into_iter().for_each(|policy| writer.set_policy(policy.into()));
    Ok(writer)
}

/// Reads all files, in order.
fn receive(
    args: &LoadArgs,
    streams: &mut Streams<'_>,
    writer: &Writer,
    clock: &Clock,
    only: Option<&OnlyLines>,
    bar: &Bar,
) -> Result<Intake, CommandError> {
    let shape = Shape { format: args.format, columns: args.columns.clone(), header: args.header };
    let mut rejects = args.rejects.as_deref().map(create_rejects).transpose()?;
    let mut intake = Intake::default();
    for path in &args.files {
        intake.feeds.iter_mut().for_each(|(batch, _)| batch.make_room());
        let name = path.display().to_string();
        let delivery = Delivery {
            name: &name,
            source: &args.source,
            shape: &shape,
            id_type: &args.id_type,
            as_of: args.as_of,
            only,
            max_refused: args.max_refused,
            again: args.again,
        };
        let input = Input::file(path, &mut *streams.input, |read| bar.bytes(read));
        bar.file(&name, input.as_ref().ok().and_then(Input::total));
        let to = rejects.as_mut().map(|file| file as &mut dyn Write);
        match delivery.receive(writer, input, clock.now(), to)? {
            Delivered::Before(report) | Delivered::Failed(report) => intake.fates.push(Fate::Done(*report)),
            Delivered::Taken(taken) => intake.take(*taken, args.again),
        }
    }
    if let (Some(mut file), Some(path)) = (rejects, &args.rejects) {
        file.flush().map_err(|source| CommandError::File { doing: "write", path: path.clone(), source })?;
    }
    Ok(intake)
}

impl Intake {
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
}

fn create_rejects(path: &Path) -> Result<BufWriter<File>, CommandError> {
    let file = File::options().write(true).create(true).truncate(true).mode(REJECTS_MODE).open(path);
    let file = file.map_err(|source| CommandError::File { doing: "create", path: path.to_path_buf(), source })?;
    Ok(BufWriter::new(file))
}

/// Publishes what is to be published and completes the reports.
fn build(
    intake: Intake,
    writer: Writer,
    clock: &Clock,
    publish: bool,
    bar: &Bar,
) -> Result<(Vec<Report>, Option<Published>), CommandError> {
    let Intake { fates, feeds } = intake;
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
    Ok((fates.into_iter().map(finish).collect(), published))
}

/// Prints the reports: tables for people, then a line of JSON for each feed.
fn finish(
    args: &LoadArgs,
    streams: &mut Streams<'_>,
    reports: &[Report],
    published: Option<&Published>,
) -> Result<u8, CommandError> {
    for report in reports {
        if let Some(failure) = &report.failed {
            say(streams, &format!("{}: {}", report.file, failure.message))?;
        }
        if !args.common.json {
            writeln!(streams.out, "{}", report.to_text())?;
        }
    }
    if let (Some(published), false) = (published, args.common.json) {
        writeln!(streams.out, "{}", index_text(published))?;
    }
    reports.iter().try_for_each(|report| print_json(streams, report))?;
    reports.iter().try_for_each(Report::check)?;
    let failed = reports.iter().any(|report| report.failed.is_some());
    Ok(if failed { FAILED } else { OK })
}

fn index_text(published: &Published) -> String {
    let &Published { generation, visitors, memberships, bytes, .. } = published;
    let each = bytes_per_membership(bytes, memberships)
        .map_or(String::new(), |each| format!(", {each:.2} bytes a membership"));
    let (visitors, memberships, bytes) = (grouped(visitors), grouped(memberships), ByteSize(bytes));
    format!("The index, generation {generation}: {visitors} visitors, {memberships} memberships, {bytes}{each}")
}
