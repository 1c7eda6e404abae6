//! `usher-engine demo`: a theatre's world in a temporary folder, served, with something to try.

use std::fs;
use std::io::{Write, empty};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use tempfile::TempDir;
use usher_index::{Key, Time};
use usher_loader::clock::Clock;
use usher_loader::cmd::Streams;
use usher_loader::report::grouped;
use usher_loader::{key, time};

use super::serve::Signals;
use crate::config::{self, Log};
use crate::http::limits::Limits;
use crate::http::serve::{Config, Server};

const CHARTER: (&str, &[u8]) = ("charter.toml", include_bytes!("../../../data-samples/charter.toml"));

/// The question the demo asks: who might become a spectator.
const QUESTION: &str = "interest.theatre and interest.ticketing and not crm.spectator";

/// A feed as its source delivers it.
struct Sample {
    file: &'static str,
    bytes: &'static [u8],
    source: &'static str,
    columns: Option<&'static str>,
}

const SAMPLES: [Sample; 4] = [
    Sample {
        file: "citymag.csv",
        bytes: include_bytes!("../../../data-samples/citymag.csv"),
        source: "citymag",
        columns: None,
    },
    Sample {
        file: "seatfinder.jsonl",
        bytes: include_bytes!("../../../data-samples/seatfinder.jsonl"),
        source: "seatfinder",
        columns: None,
    },
    Sample {
        file: "cityguide.tsv.gz",
        bytes: include_bytes!("../../../data-samples/cityguide.tsv.gz"),
        source: "cityguide",
        columns: Some("visitor,segment,ttl"),
    },
    Sample {
        file: "spectators.csv",
        bytes: include_bytes!("../../../data-samples/spectators.csv"),
        source: "crm",
        columns: None,
    },
];

/// The arguments of `usher-engine demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// The address of this machine and the port to listen at; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", env = "USHER_LISTEN", default_value = "127.0.0.1:8080", value_parser = config::listen)]
    listen: SocketAddr,
    /// Starts the clock at this moment, RFC 3339 or Unix seconds, instead of the present one
    #[arg(long, value_name = "TIME", env = "USHER_NOW", value_parser = time::parse)]
    now: Option<Time>,
}

/// Loads the samples, serves them until SIGTERM or SIGINT, and removes what it made. The exit code: 0 when every
/// request under way was finished, else 1.
///
/// # Errors
/// When the samples cannot be loaded or the address not be listened at.
pub fn run(args: &DemoArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    Log::Text.begin();
    let world = World::load(args.now, out)?;
    let config = Config {
        data: world.data.clone(),
        listen: args.listen,
        key: world.key.clone(),
        clock: Clock::new(args.now),
        limits: Limits::default(),
    };
    let server = Server::start(config)?;
    let mut signals = Signals::new(&server)?;
    writeln!(out, "{}", world.suggestions(server.address()))?;
    writeln!(out, "\nlistening on http://{}; Ctrl-C ends it and removes the folder", server.address())?;
    out.flush()?;
    let code = signals.until_stopped(server, err);
    let folder = world.folder.path().to_path_buf();
    world.folder.close().with_context(|| format!("{} could not be removed", folder.display()))?;
    writeln!(out, "removed {}", folder.display())?;
    Ok(code)
}

/// The theatre's world, loaded into a folder that goes with it.
pub struct World {
    folder: TempDir,
    /// The data folder in it.
    pub data: PathBuf,
    /// The key of its pseudonyms.
    pub key: Key,
}

impl World {
    /// Unpacks the samples and loads them as a loader would, with a line about each on `out`.
    ///
    /// # Errors
    /// When the temporary folder cannot be written, or a sample is not taken.
    pub fn load(now: Option<Time>, out: &mut dyn Write) -> anyhow::Result<World> {
        let folder = tempfile::Builder::new().prefix("usher-demo-").tempdir().context("no temporary folder")?;
        let (feeds, data) = (folder.path().join("feeds"), folder.path().join("theatre"));
        fs::create_dir(&feeds)?;
        let files = SAMPLES.iter().map(|sample| (sample.file, sample.bytes)).chain([CHARTER]);
        for (file, bytes) in files {
            fs::write(feeds.join(file), bytes).with_context(|| format!("cannot write {file}"))?;
        }
        let key = key::obtain(&data, None)?;
        writeln!(out, "loading the samples into {}", data.display())?;
        for sample in &SAMPLES {
            let report = load(sample, &feeds, &data, &key.path, now)?;
            writeln!(out, "{}", summary(sample, &report))?;
        }
        Ok(World { folder, data, key: key.key })
    }

    /// What to try, each line as it can be pasted into a shell.
    #[must_use]
    pub fn suggestions(&self, address: SocketAddr) -> String {
        let (url, visitor) = (format!("http://{address}"), known_visitor());
        format!(
            "\n# Where does this visitor belong?\n\
             curl {url}/v1/visitors/{visitor}/segments\n\
             # How many people love theatre, compare tickets and have never been here?\n\
             curl {url}/v1/size -d '{{\"expression\": \"{QUESTION}\"}}'\n\
             # The same, exactly, for whoever may know:\n\
             curl {url}/v1/size -d '{{\"expression\": \"{QUESTION}\", \"exact\": true}}'\n\
             # What is there to plan with, and who may bring what?\n\
             curl {url}/v1/segments\n\
             curl {url}/v1/charter\n\
             # The page for planners, in a browser:\n\
             {url}/\n\
             # How is the server doing?\n\
             curl {url}/metrics\n\
             # What is held on this visitor, and: leave me out\n\
             curl {url}/v1/visitors/{visitor}\n\
             curl -X PUT {url}/v1/visitors/{visitor}/opt-out"
        )
    }
}

/// Runs `usher-loader load` in this process and gives its report.
fn load(sample: &Sample, feeds: &Path, data: &Path, key: &Path, now: Option<Time>) -> anyhow::Result<Value> {
    let path = |path: &Path| path.display().to_string();
    let mut args = ["usher-loader", "load", "--json", "--source", sample.source].map(str::to_owned).to_vec();
    args.extend([path(&feeds.join(sample.file)), "--data".to_owned(), path(data)]);
    args.extend(["--charter".to_owned(), path(&feeds.join(CHARTER.0)), "--key-file".to_owned(), path(key)]);
    args.extend(sample.columns.iter().flat_map(|columns| ["--columns", columns]).map(str::to_owned));
    args.extend(now.iter().flat_map(|now| ["--now".to_owned(), now.unix().to_string()]));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = Streams { input: &mut empty(), out: &mut out, err: &mut err, progress: false };
    if usher_loader::cmd::run(args, &mut streams) != usher_loader::cmd::OK {
        bail!("{} was not loaded: {}", sample.file, String::from_utf8_lossy(&err).trim_end());
    }
    serde_json::from_slice(&out).with_context(|| format!("the report on {} cannot be read", sample.file))
}

/// One line about a load.
fn summary(sample: &Sample, report: &Value) -> String {
    let number = |value: &Value| grouped(value.as_u64().unwrap_or(0));
    let refused = report["refused"].as_object().into_iter().flatten();
    let refused: Vec<String> = refused.map(|(code, rows)| format!("{} {code}", number(rows))).collect();
    let refused = if refused.is_empty() { String::new() } else { format!(", refused {}", refused.join(", ")) };
    let (received, taken) = (number(&report["received"]), number(&report["taken"]));
    format!("  {:<17} {received:>6} rows of {:<11} taken {taken}{refused}", sample.file, sample.source)
}

/// A visitor with segments: the first that the magazine delivers.
fn known_visitor() -> &'static str {
    let text = std::str::from_utf8(SAMPLES[0].bytes).unwrap_or_default();
    text.lines().nth(1).and_then(|line| line.split(',').next()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use usher_index::{IdType, VisitorId};

    use super::*;
    use crate::ask::lookup::{Lookup, Only};
    use usher_index::State;

    use crate::keep::follow;

    #[test]
    fn the_samples_load_and_the_first_suggestion_is_a_known_visitor() {
        let mut out = Vec::new();
        let world = World::load(None, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(SAMPLES.iter().all(|sample| text.contains(sample.file)), "{text}");
        let suggestions = world.suggestions(([127, 0, 0, 1], 8080).into());
        let first = suggestions.split_whitespace().find(|word| word.starts_with("http")).unwrap();
        assert_eq!(first, format!("http://127.0.0.1:8080/v1/visitors/{}/segments", known_visitor()));
        let state = State::open(&world.data, &world.key, "test").unwrap();
        let served = follow::open(&world.data, world.key.clone(), &state, Clock::new(None).now()).unwrap();
        let pid = world.key.pid(&IdType::default(), VisitorId::new(known_visitor()).unwrap());
        let mut answer = Vec::new();
        let mut lookup = Lookup::new(&served.snapshot, &served.names, &served.overlay);
        lookup.answer(pid, Clock::new(None).now(), &Only::Everything, &mut answer).unwrap();
        assert!(String::from_utf8(answer).unwrap().contains("interest."));
        let folder = world.folder.path().to_path_buf();
        drop(world);
        assert!(!folder.exists());
    }
}
