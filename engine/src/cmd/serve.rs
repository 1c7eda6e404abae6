//! `usher-engine serve`: an index over HTTP.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use usher_index::files::Folder;
use usher_index::{Charter, Key, Snapshot, Time};
use usher_loader::clock::Clock;
use usher_loader::turn::{self, For};
use usher_loader::{key, time};

use super::{FAILED, OK};
use crate::config::{self, Log};
use crate::http::limits::{Limits, STATE_PATIENCE};
use crate::http::serve::{Config, Server};
use crate::keep::fold::Rules;

/// The arguments of `usher-engine serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// The data folder; an absent one is made, and answers nothing until a loader fills it
    #[arg(long, value_name = "DIR", env = "USHER_DATA")]
    data: PathBuf,
    /// The address of this machine and the port to listen at; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", env = "USHER_LISTEN", default_value = "127.0.0.1:8080", value_parser = config::listen)]
    listen: SocketAddr,
    /// The data charter to keep from now on
    #[arg(long, value_name = "FILE", env = "USHER_CHARTER")]
    charter: Option<PathBuf>,
    /// The file with the pseudonym key [default: DIR.key, beside the data folder]
    #[arg(long, value_name = "FILE", env = "USHER_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// Starts the clock at this moment, RFC 3339 or Unix seconds, instead of the present one
    #[arg(long, value_name = "TIME", env = "USHER_NOW", value_parser = time::parse)]
    now: Option<Time>,
    /// How long a change may wait before it is folded into the images, such as 90s, 30m or 6h
    #[arg(long, value_name = "TIME", env = "USHER_FOLD_AFTER", default_value = "6h", value_parser = wait)]
    fold_after: Duration,
    /// How long an opt-out or an erasure may; an erased visitor's bytes must be gone within a day
    #[arg(long, value_name = "TIME", env = "USHER_FOLD_ERASURE", default_value = "1h", value_parser = wait)]
    fold_erasure: Duration,
    /// The form of the log on standard error
    #[arg(long, value_enum, env = "USHER_LOG", default_value = "text")]
    log: Log,
}

/// The longest that anything may wait to be folded: past it, bytes of an erased visitor could outlive their day.
const MAX_WAIT: Duration = Duration::from_secs(23 * 3_600);

/// Reads how long something may wait: a whole number of ms, s, m or h.
fn wait(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let number = text[..digits].parse().ok().filter(|_| millis > 0);
    let wait = number.and_then(|number: u64| number.checked_mul(millis)).map(Duration::from_millis);
    match wait {
        Some(wait) if wait <= MAX_WAIT => Ok(wait),
        Some(_) => Err(format!("at most {} hours", MAX_WAIT.as_secs() / 3_600)),
        None => Err("expected a whole number and ms, s, m or h, such as 30m".to_owned()),
    }
}

impl ServeArgs {
    /// When changes are folded; whoever wants it sooner than the usual look has it looked at as often.
    fn rules(&self) -> Rules {
        let rules = Rules::default();
        let look = rules.look.min(self.fold_after).min(self.fold_erasure).max(LEAST_LOOK);
        Rules { look, change: self.fold_after, erasure: self.fold_erasure, ..rules }
    }
}

/// How often it is looked at most whether changes are to be folded.
const LEAST_LOOK: Duration = Duration::from_millis(10);

/// Serves until SIGTERM or SIGINT. The exit code: 0 when every request under way was finished, else 1.
///
/// # Errors
/// When the index cannot be opened or the address not be listened at.
pub fn run(args: &ServeArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    args.log.begin();
    let clock = Clock::new(args.now);
    let charter = args.charter.as_deref().map(config::charter).transpose()?;
    Folder::open(&args.data)?.create()?;
    let found = key::obtain(&args.data, args.key_file.as_deref())?;
    // Whoever closed stderr does not want to hear of it, and is served all the same.
    let mut say = |text: &str| _ = writeln!(err, "{text}");
    if found.created {
        let path = found.path.display();
        say(&format!(
            "made the pseudonym key of this index: {path}; without it the index cannot be read, so keep a copy"
        ));
    }
    if let Some(charter) = charter {
        adopt(&args.data, &found.key, charter, clock.now(), &mut say)?;
    }
    let limits = Limits { fold: args.rules(), ..Limits::default() };
    let config = Config { data: args.data.clone(), listen: args.listen, key: found.key, clock, limits };
    let server = Server::start(config)?;
    let state = server.state();
    let (data, generation) = (args.data.display(), state.generation);
    let (visitors, memberships) = (state.visitors, state.memberships);
    say(&format!("serving generation {generation} of {data}: {visitors} visitors, {memberships} memberships"));
    if server.is_under_development() {
        say("warning: no charter is in force, so the permissive development charter applies; give one with --charter");
    }
    say("there are no API keys, so only requests made on this machine are answered");
    let mut signals = Signals::new(&server)?;
    writeln!(out, "listening on http://{}", server.address())?;
    out.flush()?;
    Ok(signals.until_stopped(server, err))
}

/// Puts a charter in force, as a new generation; the bytes that are in force already change nothing, and nobody is waited
/// for then. Else a build that goes on is.
fn adopt(data: &Path, key: &Key, charter: Charter, now: Time, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let snapshot = Snapshot::open(data, Some(key.clone()))?;
    if snapshot.generation() > 0 && snapshot.charter().digest() == charter.digest() {
        return Ok(());
    }
    let wait = (For::Anybody, STATE_PATIENCE);
    let mut writer = turn::writer(data, key, "usher-engine serve, which adopts a charter", wait, say)?;
    if writer.adopt_charter(charter)? {
        writer.publish_charter(now).context("the charter could not be put in force")?;
    }
    Ok(())
}

/// SIGTERM and SIGINT. From when it is made, neither ends the process by itself.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    pub(super) fn new(server: &Server) -> anyhow::Result<Signals> {
        let _inside = server.runtime().enter();
        Ok(Signals { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Serves until the first signal, then finishes the requests under way; a second signal ends that at once.
    pub(super) fn until_stopped(&mut self, server: Server, err: &mut dyn Write) -> u8 {
        let runtime = server.runtime().handle().clone();
        let failed = runtime.block_on(async {
            tokio::select! {
                () = self.next() => false,
                () = server.failed() => true,
            }
        });
        if failed {
            _ = writeln!(err, "the live state can no longer be written: ending; start again once the disk is well");
            _ = server.stop(std::future::ready(()));
            return FAILED;
        }
        // Whoever closed stderr does not want to hear of it; the requests under way are finished all the same.
        _ = writeln!(err, "stopping: finishing the requests under way; a second signal ends at once");
        if server.stop(self.next()) {
            _ = writeln!(err, "stopped");
            return OK;
        }
        _ = writeln!(err, "stopped before every request under way was finished");
        FAILED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_and_bounded() {
        assert_eq!(wait("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(wait("6h"), Ok(Duration::from_secs(21_600)));
        assert_eq!((wait("0s"), wait("90s")), (Ok(Duration::ZERO), wait("90000ms")));
        for text in ["", "6", "h", "-1s", "1.5h", "6 h", "1d", "24h", "99999999999999999999h", "5124095576030432h"] {
            assert!(wait(text).is_err(), "{text}");
        }
    }
}
