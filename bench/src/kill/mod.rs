//! `usher-bench kill`: a server and loaders are killed at random moments while changes are sent on several connections.
//! Each time the server must become ready without help, and show what was acknowledged, of what was pending each
//! operation whole or not at all, and nothing else.

mod check;
mod drive;
pub mod engine;
mod expected;
mod house;
mod killer;
pub mod recover;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::rng::Rng;
use crate::victim::Victim;
use house::House;

/// Lives of one data folder.
const LIVES: u32 = 30;
/// How long a start takes before one was measured.
const FIRST_GUESS: Duration = Duration::from_millis(100);
/// Progress is told after so many kills.
const TELL_EVERY: u64 = 100;

/// How the programs are started as processes of their own.
pub struct Programs<'p> {
    /// `usher-engine` with these arguments.
    pub engine: Victim<'p>,
    /// `usher-loader`.
    pub loader: Victim<'p>,
}

/// What came of the kills.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Servers that were killed.
    pub servers: u64,
    /// Loaders that were killed while they ran.
    pub loaders: u64,
    /// Kills by what was under way; several things may be at once.
    pub during: BTreeMap<&'static str, u64>,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// Pending operations that were there afterwards.
    pub there: u64,
    /// Pending operations that were not.
    pub absent: u64,
    /// From the start of a process to its first answer.
    pub starts: Vec<Duration>,
    /// Violations; a run stops at the first.
    pub violations: u64,
}

impl Tally {
    /// How many were killed.
    #[must_use]
    pub fn kills(&self) -> u64 {
        self.servers + self.loaders
    }

    /// The median of the starts.
    fn usual_start(&self) -> Duration {
        let mut starts = self.starts.clone();
        starts.sort_unstable();
        starts.get(starts.len() / 2).copied().unwrap_or(FIRST_GUESS)
    }
}

/// Kills until `kills` processes were hit.
///
/// # Errors
/// At the first violation, naming seed, kill and the folder that is kept; or when files cannot be written.
pub fn run(kills: u64, seed: u64, programs: &Programs<'_>, out: &mut dyn Write) -> Result<Tally> {
    let (mut rng, mut tally, mut told) = (Rng::new(seed), Tally::default(), 0);
    while tally.kills() < kills {
        let mut house = House::new()?;
        let mut lived = Ok(());
        for _ in 0..LIVES {
            if lived.is_err() || tally.kills() >= kills {
                break;
            }
            lived = house.live(programs, &mut rng, &mut tally);
        }
        let lived = lived.and_then(|()| house.end(programs, &mut rng, &mut tally));
        if let Err(error) = lived {
            let kept = house.keep();
            let place = format!("violation: seed {seed}, after kill {}; kept: {}", tally.kills(), kept.display());
            return Err(error).context(place);
        }
        if tally.kills() / TELL_EVERY > told {
            told = tally.kills() / TELL_EVERY;
            writeln!(out, "{} kills, {} acknowledged", tally.kills(), tally.acknowledged)?;
        }
    }
    let Tally { servers, loaders, during, acknowledged, there, absent, starts, violations } = &tally;
    let longest = starts.iter().max().copied().unwrap_or_default();
    writeln!(out, "seed {seed}: {servers} servers and {loaders} loaders killed, in what was under way: {during:?}")?;
    writeln!(out, "acknowledged: {acknowledged}; pending at a kill: {there} were there, {absent} were not")?;
    let usual = tally.usual_start().as_secs_f64() * 1e3;
    let (count, longest) = (starts.len(), longest.as_secs_f64() * 1e3);
    writeln!(out, "{count} starts, from exec to ready: median {usual:.0} ms, max {longest:.0} ms")?;
    writeln!(out, "violations: {violations}")?;
    Ok(tally)
}
