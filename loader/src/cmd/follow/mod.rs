//! `follow`: a folder that senders put feeds into, loaded as they come.

mod pace;
mod watch;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use usher_index::{Span, TimeError, WriteError};

use super::intake::{Intake, Outcome};
use super::options::FeedOptions;
use super::{CommandError, OK, Streams, read_charter, say};
use crate::clock::Clock;
use crate::key;
use pace::{Pace, Stop};
use watch::Watch;

/// How often the folder is looked at. Looking works on every file system, also where nobody tells of changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a file must have stayed the same to be whole.
const SETTLE: &str = "2s";
/// How long arrivals are gathered for one build.
const GATHER: &str = "10s";

/// The options of `follow`.
#[derive(Args)]
pub(super) struct FollowArgs {
    /// The folder that senders rename feeds into. Names that begin with `.` or end in .tmp, .part or .partial are left alone.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    #[command(flatten)]
    feeds: FeedOptions,
    /// How long a file must have stayed the same to be whole; FILE.done beside it, no older than the file, makes it so at once.
    #[arg(long, env = "USHER_SETTLE", value_name = "SPAN", default_value = SETTLE, value_parser = span)]
    settle: Duration,
    /// Takes only files that FILE.done stands beside.
    #[arg(long)]
    done: bool,
    /// How long arrivals are gathered for one build.
    #[arg(long, env = "USHER_GATHER", value_name = "SPAN", default_value = GATHER, value_parser = span)]
    gather: Duration,
    /// Takes what is there and ends.
    #[arg(long)]
    once: bool,
}

fn span(text: &str) -> Result<Duration, TimeError> {
    Ok(Duration::from_secs(Span::parse(text)?.secs().into()))
}

pub(super) fn run(args: &FollowArgs, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
    let options = &args.feeds;
    let clock = Clock::new(options.common.now);
    let charter = options.charter.as_deref().map(read_charter).transpose()?;
    refuse_own_folder(args)?;
    let mut intake = Intake::new(options, clock, charter);
    // Who builds is waited for between looks at the folder, so that a signal is heard.
    (intake.holder, intake.patience) = ("usher-loader follow", Duration::ZERO);
    let mut follower = Follower {
        intake,
        watch: Watch::new(&args.folder, args.settle, args.done),
        folder: &args.folder,
        json: options.common.json,
        complained: None,
    };
    if args.once { follower.once(args.settle, streams) } else { follower.on_and_on(args.gather, streams) }
}

/// A key or an image is no feed, and what is refused of a feed is copied.
fn refuse_own_folder(args: &FollowArgs) -> Result<(), CommandError> {
    let common = &args.feeds.common;
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let key = match &common.key_file {
        Some(path) => path.clone(),
        None => key::beside(&common.data)?,
    };
    let of_key = key.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let folder = real(&args.folder);
    if [real(&common.data), real(of_key)].contains(&folder) {
        let text = "holds the index or its key; feeds need a folder of their own";
        return Err(CommandError::Usage(format!("{} {text}", args.folder.display())));
    }
    Ok(())
}

/// The folder and the index that it is loaded into.
struct Follower<'a> {
    intake: Intake<'a>,
    watch: Watch,
    folder: &'a Path,
    json: bool,
    /// What stands in the way and was told, so that it is told once.
    complained: Option<String>,
}

impl Follower<'_> {
    /// Takes what is there. Who else builds is waited for.
    fn once(&mut self, settle: Duration, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
        self.look()?;
        if self.watch.unsettled() > 0 {
            std::thread::sleep(settle);
            self.look()?;
        }
        if self.watch.unsettled() > 0 {
            let text = "may be unfinished; left for the next time";
            say(streams, &format!("{} of the files in {} {text}", self.watch.unsettled(), self.folder.display()))?;
        }
        loop {
            let files = self.watch.whole();
            if files.is_empty() {
                return Ok(OK);
            }
            match self.take(&files, streams)? {
                Some(outcome) => return outcome.print(self.json, streams),
                None => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Takes what comes until a signal does.
    fn on_and_on(&mut self, gather: Duration, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
        let (mut pace, mut stop) = (Pace::new(gather), Stop::new()?);
        // A folder that is not there to begin with is a mistake; later, a disk that comes back.
        self.look()?;
        say(streams, &format!("following {}", self.folder.display()))?;
        loop {
            let began = Instant::now();
            match self.look() {
                Ok(()) => self.step(began, &mut pace, streams)?,
                Err(error) => self.complain(error.to_string(), streams)?,
            }
            if stop.within(LOOK_EVERY) {
                say(streams, "stopped")?;
                return Ok(OK);
            }
        }
    }

    fn step(&mut self, began: Instant, pace: &mut Pace, streams: &mut Streams<'_>) -> Result<(), CommandError> {
        let files = self.watch.whole();
        if !pace.is_due(began, !files.is_empty()) {
            return Ok(());
        }
        if let Some(outcome) = self.take(&files, streams)? {
            pace.built(began, Instant::now());
            outcome.print(self.json, streams)?;
            streams.out.flush()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), CommandError> {
        let unread =
            |source| CommandError::File { doing: "look at the folder", path: self.folder.to_path_buf(), source };
        self.watch.look(Instant::now()).map_err(unread)
    }

    /// Nothing while somebody else builds.
    fn take(&mut self, files: &[PathBuf], streams: &mut Streams<'_>) -> Result<Option<Outcome>, CommandError> {
        match self.intake.take(files, streams) {
            Ok(outcome) => {
                self.complained = None;
                self.watch.looked_at(files);
                Ok(Some(outcome))
            }
            Err(CommandError::Write(WriteError::Locked { holder, .. })) => {
                self.complain(format!("waits for {holder}"), streams)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn complain(&mut self, text: String, streams: &mut Streams<'_>) -> Result<(), CommandError> {
        if self.complained.as_ref() != Some(&text) {
            say(streams, &text)?;
            self.complained = Some(text);
        }
        Ok(())
    }
}
