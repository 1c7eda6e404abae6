//! `load`: feeds into the index. Each is taken or fails whole; all that are taken become one generation.

use std::path::{Path, PathBuf};

use clap::Args;
use usher_index::Time;

use super::intake::{Intake, Outcome};
use super::options::FeedOptions;
use super::{CommandError, Streams, read_charter, say};
use crate::clock::Clock;
use crate::feed::FeedError;
use crate::quarantine::OnlyLines;
use crate::report::Report;
use crate::source::{STDIN, check};

/// The options of `load`.
#[derive(Args)]
pub(super) struct LoadArgs {
    /// Feeds: CSV, TSV or JSON lines, plain or packed with gzip or zstd; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    feeds: FeedOptions,
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

pub(super) fn run(args: &LoadArgs, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
    if args.files.iter().filter(|file| *file == Path::new(STDIN)).count() > 1 {
        return Err(CommandError::Usage("`-` is named twice; standard input can be read once".to_owned()));
    }
    let (options, json) = (&args.feeds, args.feeds.common.json);
    let clock = Clock::new(options.common.now);
    let charter = options.charter.as_deref().map(read_charter).transpose()?;
    let only = args.only_lines.as_deref().map(OnlyLines::read).transpose()?;
    if only.as_ref().is_some_and(OnlyLines::is_cut) {
        say(
            streams,
            "warning: more rows were refused than this quarantine lists; only those that it lists are replayed",
        )?;
    }
    // Files that cannot be read at all are found before a folder or a key is made.
    if let Some(reports) = none_readable(args, clock.now()) {
        return Outcome { reports, published: None }.print(json, streams);
    }
    let mut intake = Intake::new(options, clock, charter);
    (intake.only, intake.again, intake.rejects) = (only, args.again, args.rejects.as_deref());
    intake.take(&args.files, streams)?.print(json, streams)
}

/// The reports, if there is not one file that can be opened.
fn none_readable(args: &LoadArgs, now: Time) -> Option<Vec<Report>> {
    let report = |path: &PathBuf| {
        let error = check(path).err()?;
        let mut report = Report::new(&path.display().to_string(), &args.feeds.source, now);
        report.fail(&FeedError::from(error));
        Some(report)
    };
    args.files.iter().map(report).collect()
}
