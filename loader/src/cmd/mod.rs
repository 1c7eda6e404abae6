//! The loader's commands. [`run`] is the whole program, so that tests can call it within their own process.

mod build;
mod error;
mod export;
mod follow;
mod forget;
mod inspect;
mod intake;
mod load;
mod options;
mod own;
mod policy;
mod progress;
mod verify;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use usher_index::{Charter, Snapshot, Time};

use crate::{key, time};
use error::CommandError;

/// Exit code: everything was done.
pub const OK: u8 = 0;
/// Exit code: something failed, and stderr says what.
pub const FAILED: u8 = 1;
/// Exit code: the command line is wrong.
pub const USAGE: u8 = 2;

/// Where a command reads and writes.
pub struct Streams<'a> {
    /// For the file name `-`.
    pub input: &'a mut dyn Read,
    /// Reports.
    pub out: &'a mut dyn Write,
    /// Warnings and errors.
    pub err: &'a mut dyn Write,
    /// Whether a progress bar may be drawn on the process's stderr.
    pub progress: bool,
}

/// Loads feeds of anonymised interests into an Usher index, and looks after it.
#[derive(Parser)]
#[command(name = "usher-loader", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Loads feeds; each is taken or fails whole.
    Load(load::LoadArgs),
    /// Watches a folder and loads the feeds that come into it, until SIGTERM or SIGINT.
    Follow(follow::FollowArgs),
    /// Builds the index anew: every change is folded in, the erased and the dead that may leave are dropped.
    Build(build::BuildArgs),
    /// Checks every checksum and every invariant of the index, of the live state and of its audit.
    Verify(Common),
    /// Shows what is in the index, or what is held on one visitor.
    Inspect(inspect::InspectArgs),
    /// Erases what was observed of a visitor until now, at his or her wish.
    Forget(forget::ForgetArgs),
    /// Lists who is in a segment: pseudonym, segment and expiry, as TSV, or with --json as JSON lines.
    Export(export::ExportArgs),
}

/// The options of every command.
#[derive(Args)]
struct Common {
    /// The data folder.
    #[arg(long, env = "USHER_DATA", value_name = "DIR")]
    data: PathBuf,
    /// The file with the pseudonym key [default: DIR.key, beside the data folder].
    #[arg(long, env = "USHER_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Starts the clock at this moment, RFC 3339 or Unix seconds, instead of the present one.
    #[arg(long, env = "USHER_NOW", value_name = "TIME", value_parser = time::parse)]
    now: Option<Time>,
    /// Writes JSON only.
    #[arg(long)]
    json: bool,
}

impl Common {
    /// The pseudonym key, if it is there.
    fn find_key(&self) -> Result<Option<usher_index::Key>, CommandError> {
        Ok(key::find(&self.data, self.key_file.as_deref())?.map(|found| found.key))
    }

    /// The pseudonym key of an index that there must be.
    fn need_key(&self) -> Result<usher_index::Key, CommandError> {
        let lost = || -> Result<_, CommandError> {
            let (key, data) = (key::beside(&self.data)?, self.data.clone());
            Err(key::KeyFileError::Lost { key, data }.into())
        };
        self.find_key()?.map_or_else(lost, Ok)
    }

    /// The number of the newest generation; there must be one.
    fn newest_generation(&self) -> Result<u64, CommandError> {
        match Snapshot::newest_generation(&self.data)? {
            0 => Err(CommandError::NoIndex(self.data.clone())),
            generation => Ok(generation),
        }
    }
}

/// Runs the command that the arguments spell, the program's name first, and gives its exit code: [`OK`], [`FAILED`] or
/// [`USAGE`].
pub fn run<I, T>(args: I, streams: &mut Streams<'_>) -> u8
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, streams),
    };
    let done = match &cli.verb {
        Verb::Load(args) => load::run(args, streams),
        Verb::Follow(args) => follow::run(args, streams),
        Verb::Build(args) => build::run(args, streams),
        Verb::Verify(args) => verify::run(args, streams),
        Verb::Inspect(args) => inspect::run(args, streams),
        Verb::Forget(args) => forget::run(args, streams),
        Verb::Export(args) => export::run(args, streams),
    };
    let done = done.and_then(|code| streams.out.flush().map(|()| code).map_err(CommandError::Output));
    done.unwrap_or_else(|error| {
        // Whoever closed stderr does not want to hear of it.
        let _ = writeln!(streams.err, "usher-loader: {error}");
        if matches!(error, CommandError::Usage(_)) { USAGE } else { FAILED }
    })
}

/// Help and version go to stdout and are a success; everything else is a mistake of the command line.
fn usage(error: &clap::Error, streams: &mut Streams<'_>) -> u8 {
    let (to, code): (&mut dyn Write, u8) =
        if error.use_stderr() { (&mut *streams.err, USAGE) } else { (&mut *streams.out, OK) };
    let written = write!(to, "{}", error.render()).and_then(|()| to.flush());
    if written.is_ok() { code } else { FAILED }
}

/// A line for people on stderr.
fn say(streams: &mut Streams<'_>, text: &str) -> Result<(), CommandError> {
    writeln!(streams.err, "usher-loader: {text}").map_err(CommandError::Output)
}

/// Opening falls back from a generation that does not verify; whoever acts on the older one should know.
fn warn_if_older(streams: &mut Streams<'_>, snapshot: &Snapshot) -> Result<(), CommandError> {
    let newest = Snapshot::newest_generation(snapshot.folder().path())?;
    let generation = snapshot.generation();
    if newest > generation {
        let text = "`usher-loader verify` says why; what it added has to be loaded once more";
        say(streams, &format!("warning: generation {newest} is damaged, so generation {generation} is used: {text}"))?;
    }
    Ok(())
}

/// A value as one line of JSON on stdout.
fn print_json(streams: &mut Streams<'_>, value: &impl serde::Serialize) -> Result<(), CommandError> {
    serde_json::to_writer(&mut *streams.out, value).map_err(|error| CommandError::Output(error.into()))?;
    writeln!(streams.out).map_err(CommandError::Output)
}

fn read_charter(path: &Path) -> Result<Charter, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|source| CommandError::File {
        doing: "read the charter",
        path: path.to_path_buf(),
        source,
    })?;
    Charter::parse(&text).map_err(|source| CommandError::Charter { path: path.to_path_buf(), source })
}

/// The ratio for people and machines; nothing when there is nothing to divide by.
fn bytes_per_membership(bytes: u64, memberships: u64) -> Option<f64> {
    (memberships > 0).then(|| (bytes as f64 / memberships as f64 * 1_000.0).round() / 1_000.0)
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a command and gives exit code, stdout and stderr.
    pub(super) fn command(args: &[&str], input: &str) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams { input: &mut input.as_bytes(), out: &mut out, err: &mut err, progress: false };
        let code = run(std::iter::once(&"usher-loader").chain(args), &mut streams);
        (code, String::from_utf8(out).expect("text"), String::from_utf8(err).expect("text"))
    }

    #[test]
    fn the_three_exit_codes() {
        let (code, out, _) = command(&["--help"], "");
        assert!(code == OK && out.contains("load") && out.contains("inspect"));
        let (code, _, err) = command(&["load", "f.csv"], "");
        assert!(code == USAGE && err.contains("--data") && err.contains("--source"));
        let (code, _, err) = command(&["load", "-", "-", "--data", "d", "--source", "s"], "");
        assert!(code == USAGE && err.contains("twice"));
        let (code, _, err) = command(&["verify", "--data", "/nowhere/at/all"], "");
        assert!(code == FAILED && err.contains("no index in /nowhere/at/all"));
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_feed_goes_in_and_is_found() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = dir.path().join("data").display().to_string();
        let on = |args: &[&str], input: &str| {
            command(&[args, &["--data", &data, "--now", "2026-05-04T20:00:00Z"]].concat(), input)
        };
        let load = ["load", "-", "--source", "mag", "--columns", "visitor,segment,ttl"];
        let (code, out, err) = on(&load, "v1\tinterest.theatre\t2h\nv2\tinterest.opera\t\n");
        assert_eq!(code, OK, "{err}");
        assert!(err.contains("development charter") && err.contains("data.key"), "{err}");
        let report: serde_json::Value = serde_json::from_str(out.lines().last().expect("a line")).expect("JSON");
        assert_eq!((&report["new"], &report["generation"]), (&2.into(), &1.into()));
        let (code, out, _) = on(&["inspect", "--json", "--visitor", "v1"], "");
        let expected = r#""memberships":[{"segment":"interest.theatre","source":"mag","observed":"2026-05-04T20:00:00Z","expires":"2026-05-04T22:00:00Z","live":true}]"#;
        assert!(code == OK && out.contains(expected), "{out}");
        let (code, out, _) = on(&["build", "--json"], "");
        assert!(code == OK && out.contains("\"generation\":2"), "{out}");
        let (code, out, _) = on(&["verify"], "");
        assert!(code == OK && out.contains("generation 2: sound"), "{out}");
    }

    #[test]
    fn a_failed_feed_leaves_the_others() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (data, good, bad, twin) = (path("data"), path("good.csv"), path("bad.csv"), path("twin.csv"));
        let rows = "visitor,segment\nv1,s\n";
        for (file, text) in [(&good, rows), (&bad, "uid\n"), (&twin, rows)] {
            std::fs::write(file, text).expect("a writable folder");
        }
        let load =
            |files: &[&str]| command(&[&["load"], files, &["--data", &data, "--source", "mag", "--json"]].concat(), "");
        let (code, _, err) = load(&[&path("none.csv"), &path("")]);
        assert!(code == FAILED && err.contains("no such file") && !dir.path().join("data.key").exists(), "{err}");
        let (code, out, err) = load(&[&bad, &good, &twin]);
        assert_eq!(code, FAILED);
        assert!(err.contains("none of them is `visitor`"), "{err}");
        let reports: Vec<serde_json::Value> =
            out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let seen = |key: &str| reports.iter().map(|report| report[key].to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(seen("taken"), "0 1 1");
        assert_eq!(seen("already_delivered"), "false false true");
        assert_eq!(reports[0]["failed"]["code"], "columns");
    }
}
