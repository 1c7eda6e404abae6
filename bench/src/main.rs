//! `usher-bench`: writes the samples and the synthetic workload.

use std::io;
use std::path::PathBuf;
use std::process::exit;

use anyhow::Result;
use clap::{Parser, Subcommand};
use usher_bench::{
    abuse, bytes, crash, damage, feed_file, golden, history, kill, live, load, lookalike, lookup, power, publish,
    rules, samples, serve, size, theatre, victim,
};

/// Generators and measurements for Usher.
#[derive(Debug, Parser)]
#[command(name = "usher-bench", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the theatre's feeds, charter and questions into a folder
    Samples {
        /// The folder; `data-samples` in the repository
        dir: PathBuf,
        /// Another town: the committed samples have the default
        #[arg(long, default_value_t = theatre::SEED)]
        seed: u64,
    },
    /// Write the golden index of this format, and its key beside it, as `data-samples/golden/FORMAT` keeps them
    Golden {
        /// The folder, absent or empty
        dir: PathBuf,
    },
    /// Load the real sets, each membership with a random expiry, and print their bytes beside the least possible
    Bytes {
        /// The folder with the sets (`msweb-train.tsv.gz`, ...)
        #[arg(long, env = "USHER_SHARED_DATA", default_value = "../shared/data")]
        data: PathBuf,
    },
    /// Load N synthetic visitors five times and print rows a second, peak memory, time to open and bytes a membership
    Load {
        /// How many visitors
        #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        visitors: u64,
        /// Rows in random order, not grouped by visitor
        #[arg(long)]
        shuffled: bool,
        /// Where to make the temporary folder: about 1.8 KB a visitor, as much again when shuffled
        #[arg(long, default_value_os_t = std::env::temp_dir())]
        work: PathBuf,
    },
    /// Lookups in process over N synthetic visitors, beside a hash table with offsets and varints
    Lookup {
        /// How many visitors
        #[arg(default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        visitors: u64,
        #[command(flatten)]
        place: lookup::Place,
    },
    /// Exact sizes over N synthetic visitors, beside croaring and roaring, and the sweep for the dead
    Size {
        /// How many visitors
        #[arg(default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        visitors: u64,
        /// Where to make the temporary folder
        #[arg(long, default_value_os_t = std::env::temp_dir())]
        work: PathBuf,
        /// Keep the indexes in this folder, and use those that are there
        #[arg(long)]
        keep: Option<PathBuf>,
    },
    /// The time to open an index of N synthetic visitors, to the first right answer
    Open {
        /// How many visitors
        #[arg(default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        visitors: u64,
        #[command(flatten)]
        place: lookup::Place,
    },
    /// The time to a first lookalike curve, and to choose an audience, over N synthetic visitors
    Lookalike {
        /// How many visitors
        #[arg(default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        visitors: u64,
        #[command(flatten)]
        place: lookup::Place,
    },
    /// Which of 1,000 to 50,000 audiences a visitor is in, beside a-tree, over N synthetic visitors
    Rules {
        /// How many visitors
        #[arg(default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2_000..=100_000_000))]
        visitors: u64,
        #[command(flatten)]
        place: lookup::Place,
    },
    /// Lookups over HTTP of N synthetic visitors, beside a static answer and, where redis-server is installed, Redis
    Serve {
        /// How many visitors
        #[arg(default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        visitors: u64,
        /// Latencies at so many requests a second, sent at fixed moments, instead of the most requests a second
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rate: Option<u32>,
        /// Where to make the temporary folder
        #[arg(long, default_value_os_t = std::env::temp_dir())]
        work: PathBuf,
    },
    /// Opt-outs, live rows, and lookups while all of it happens at once, over N synthetic visitors
    Live {
        /// How many visitors
        #[arg(default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        visitors: u64,
        /// Only a part of it
        #[arg(long, value_enum)]
        only: Option<live::Part>,
        /// Lookups a second among changes [default: half of the peak]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rate: Option<u32>,
        /// Another build of this program, whose server is measured
        #[arg(long)]
        server: Option<PathBuf>,
        #[command(flatten)]
        place: lookup::Place,
    },
    /// The server of `live`
    #[command(hide = true)]
    LiveServer {
        /// The data folder
        data: PathBuf,
        /// Where its clock starts, Unix seconds
        now: i64,
        /// Seconds that an opt-out waits to be folded into images
        fold: u64,
    },
    /// The engine's own commands, for the server of `serve`
    #[command(hide = true)]
    Engine {
        /// As usher-engine takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The static answer of `serve`
    #[command(hide = true)]
    Answer {
        /// Bytes of the answer
        bytes: usize,
        /// Meanwhile append 4 KiB so many times a second to a file in this folder, and flush each time
        #[arg(default_value_t = 0)]
        flushes: u32,
    },
    /// Write `feed.tsv` of N synthetic visitors, about 30 rows each: uuid, segment, expiry
    Workload {
        /// How many visitors
        #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        visitors: u64,
        /// The folder
        dir: PathBuf,
        /// Rows in random order, not grouped by visitor (takes the feed's size once more on disk while it runs)
        #[arg(long)]
        shuffled: bool,
    },
    /// Cut the power at every step of random lives of an index; what is left must open and show what was acknowledged
    Power {
        /// How many images of a cut disk to open
        #[arg(long, default_value_t = 100_000)]
        images: u64,
        /// The seed of the first life; each further one has the next
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The negative control: a disk that forgets what it flushed. Fails unless losses are found
        #[arg(long)]
        without_flushes: bool,
    },
    /// Random lives of an index beside a naive model: changes, feeds, builds, swaps, reopenings, a clock that jumps
    History {
        /// How many lives
        #[arg(long, default_value_t = 10_000)]
        histories: u64,
        /// Steps of each
        #[arg(long, default_value_t = 100)]
        steps: u32,
        /// The seed of the first life; each further one has the next
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Kill loaders at random moments; what they leave must be the index before or after, whole
    Crash {
        /// How many
        #[arg(long, default_value_t = 200)]
        kills: u32,
        /// Of the moments and the rows
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Rows of each feed
        #[arg(long, default_value_t = 20_000)]
        rows: u32,
    },
    /// Kill a server and loaders at random moments while changes are sent; what was acknowledged must be there
    Kill {
        /// How many
        #[arg(long, default_value_t = 1_000)]
        kills: u64,
        /// Of the changes and the moments
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// From exec to ready after a kill with the most unfolded changes, over N synthetic visitors
    Recover {
        /// How many visitors
        #[arg(default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(200_000..=100_000_000))]
        visitors: u64,
        #[command(flatten)]
        place: lookup::Place,
    },
    /// The loader, for the commands that kill it
    #[command(hide = true)]
    Loader {
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Damage the samples' index; each damage must be refused when it is opened, or change nothing
    Damage {
        /// Flips at random places
        #[arg(long, default_value_t = 10_000)]
        flips: u32,
        /// Of the places
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Publish generations while a server answers; no answer may fail, or mix two generations
    Publish {
        /// How many
        #[arg(long, default_value_t = 20)]
        generations: u32,
        /// Lookups a second
        #[arg(long, default_value_t = 10_000)]
        rate: u32,
        /// Visitors of each generation
        #[arg(long, default_value_t = 20_000)]
        visitors: u32,
    },
    /// Open silent, slow, garbled and cut connections while lookups go on
    Abuse {
        /// Connections of each sort
        #[arg(long, default_value_t = 1_000)]
        connections: u32,
    },
}

/// This program as the loader.
fn victim(args: &[&str]) -> std::process::Command {
    again("loader", args)
}

/// This program as usher-engine.
fn engine(args: &[&str]) -> std::process::Command {
    again("engine", args)
}

fn again(role: &str, args: &[&str]) -> std::process::Command {
    let program = std::env::current_exe().unwrap_or_else(|_| std::env::args_os().next().unwrap_or_default().into());
    let mut command = std::process::Command::new(program);
    command.args([role, "--"]).args(args);
    command
}

const PROGRAMS: kill::Programs<'static> = kill::Programs { engine: &engine, loader: &victim };

fn main() -> Result<()> {
    let mut out = io::stdout().lock();
    match Args::parse().command {
        Command::Samples { dir, seed } => samples::write(seed, &dir, &mut out),
        Command::Power { images, seed, without_flushes } => {
            power::run(images, seed, !without_flushes, &mut out).map(drop)
        }
        Command::Kill { kills, seed } => kill::run(kills, seed, &PROGRAMS, &mut out).map(drop),
        Command::Recover { visitors, place } => {
            let index = place.index(visitors, &mut out)?;
            kill::recover::run(visitors, &index, place.work(), &PROGRAMS, &mut out)
        }
        Command::History { histories, steps, seed } => {
            history::run(history::Plan { histories, steps, seed }, &mut out).map(drop)
        }
        Command::Crash { kills, seed, rows } => crash::run(kills, seed, rows, &victim, &mut out).map(drop),
        Command::Loader { args } => victim::load(&args.iter().map(String::as_str).collect::<Vec<_>>()),
        Command::Bytes { data } => bytes::run(&data, &mut out),
        Command::Damage { flips, seed } => damage::run(flips, seed, &mut out).map(drop),
        Command::Publish { generations, rate, visitors } => {
            publish::run(generations, rate, visitors, &victim, &mut out).map(drop)
        }
        Command::Abuse { connections } => abuse::run(&abuse::Plan::new(connections), &mut out).map(drop),
        Command::Golden { dir } => golden::write(&dir),
        Command::Load { visitors, shuffled, work } => load::run(visitors, shuffled, &work, &mut out),
        Command::Size { visitors, work, keep } => size::run(visitors, &work, keep.as_deref(), &mut out),
        Command::Lookup { visitors, place } => lookup::run(visitors, &place, &mut out),
        Command::Lookalike { visitors, place } => lookalike::run(visitors, &place, &mut out),
        Command::Rules { visitors, place } => rules::run(visitors, &place, &mut out),
        Command::Open { visitors, place } => lookup::open(visitors, &place, &mut out),
        Command::Serve { visitors, rate, work } => serve::run(visitors, rate, &work, &mut out),
        Command::Live { visitors, only, rate, server, place } => {
            let server = Some(server.map_or_else(std::env::current_exe, Ok)?);
            let index = place.index(visitors, &mut out)?;
            live::run(&index, &live::Plan { rate, server, ..live::Plan::new(visitors, only) }, &mut out)
        }
        Command::LiveServer { data, now, fold } => live::server::run(&data, now, fold, &mut out),
        Command::Engine { args } => {
            let args = std::iter::once("usher-engine".to_owned()).chain(args);
            exit(usher_engine::run(args, &mut out, &mut io::stderr()).into())
        }
        Command::Answer { bytes, flushes } => serve::answer::run(bytes, flushes, &mut out),
        Command::Workload { visitors, dir, shuffled } => feed_file::write(visitors, &dir, shuffled, &mut out).map(drop),
    }
}
