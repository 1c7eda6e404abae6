//! `build`: everything anew.

use std::path::PathBuf;
use std::time::Instant;

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;
use usher_index::Published;

use super::own::{Own, settle};
use super::policy::PolicyName;
use super::progress::Bar;
use super::{CommandError, Common, OK, Streams, bytes_per_membership, print_json, read_charter, say, warn_if_older};
use crate::audit;
use crate::clock::Clock;
use crate::report::grouped;
use crate::turn::{self, BUILD_PATIENCE, For};

/// The options of `build`.
#[derive(Args)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    common: Common,
    /// The data charter to keep from now on.
    #[arg(long, env = "USHER_CHARTER", value_name = "FILE")]
    charter: Option<PathBuf>,
    /// The form of the segments' sets from now on [default: as the index has it].
    #[arg(long, env = "USHER_POLICY", value_name = "POLICY", value_enum)]
    policy: Option<PolicyName>,
}

/// What a build made.
#[derive(Serialize)]
struct Built {
    generation: u64,
    visitors: u64,
    memberships: u64,
    bytes: u64,
    bytes_per_membership: Option<f64>,
    purged: u64,
    /// Batches of the live state that every kept generation holds now, and that it forgot.
    batches: u64,
    /// Erasures of which no byte is left.
    erasures: u64,
    seconds: f64,
}

pub(super) fn run(args: &BuildArgs, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
    args.common.newest_generation()?;
    let charter = args.charter.as_deref().map(read_charter).transpose()?;
    let clock = Clock::new(args.common.now);
    let key = args.common.need_key()?;
    // Whoever serves owns the state, and a build that it has to itself is not waited for.
    let own = Own::take(&args.common.data, &key, "build")?;
    let state = own.need("no route: it builds by itself within a day; stop it to build now")?;
    let wait = (For::Engines, BUILD_PATIENCE);
    let say_so = &mut |text: &str| _ = say(streams, text);
    let mut writer = turn::writer(&args.common.data, &key, "usher-loader build", wait, say_so)?;
    warn_if_older(streams, writer.snapshot())?;
    charter.map(|charter| writer.adopt_charter(charter)).transpose()?;
    let in_force = writer.charter().clone();
    if let Some(state) = &state {
        writer.fold(state)?;
    }
    args.policy.into_iter().for_each(|policy| writer.set_policy(policy.into()));
    let (bar, started) = (Bar::new(streams.progress), Instant::now());
    let published = writer.rebuild(clock.now(), clock.is_chosen(), &bar);
    bar.clear();
    let Published { generation, visitors, memberships, bytes, purged, erasures, .. } = published?;
    let mut batches = 0;
    if let Some(state) = &state {
        audit::charter(state, &in_force, generation, clock.now())?;
        batches = settle(state, &args.common.data)?.batches;
    }
    let seconds = started.elapsed().as_secs_f64();
    let bytes_per_membership = bytes_per_membership(bytes, memberships);
    let built =
        Built { generation, visitors, memberships, bytes, bytes_per_membership, purged, batches, erasures, seconds };
    if !args.common.json {
        writeln!(streams.out, "{}", to_text(&built))?;
    }
    print_json(streams, &built)?;
    Ok(OK)
}

fn to_text(built: &Built) -> String {
    let &Built { generation, visitors, memberships, bytes, purged, seconds, .. } = built;
    let (visitors, memberships, purged) = (grouped(visitors), grouped(memberships), grouped(purged));
    let bytes = ByteSize(bytes);
    let erased = match built.erasures {
        0 => String::new(),
        erasures => format!("; {} erased to the byte", grouped(erasures)),
    };
    format!(
        "generation {generation}: {visitors} visitors, {memberships} memberships, {bytes}; {purged} entries left{erased}, in {seconds:.2} s"
    )
}
