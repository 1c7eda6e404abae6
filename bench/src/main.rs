//! `usher-bench`: writes the samples and the synthetic workload.

use std::io;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use usher_bench::{feed_file, golden, load, samples, theatre};

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
    /// Load N synthetic visitors and print rows a second, peak memory, time to open and bytes a membership
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
}

fn main() -> Result<()> {
    let mut out = io::stdout().lock();
    match Args::parse().command {
        Command::Samples { dir, seed } => samples::write(seed, &dir, &mut out),
        Command::Golden { dir } => golden::write(&dir),
        Command::Load { visitors, shuffled, work } => load::run(visitors, shuffled, &work, &mut out),
        Command::Workload { visitors, dir, shuffled } => feed_file::write(visitors, &dir, shuffled, &mut out).map(drop),
    }
}
