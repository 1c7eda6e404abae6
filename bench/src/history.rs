//! `usher-bench history`: random lives of an index, and after each step every lookup and a few random questions beside
//! the naive model; and small sets of rows and wishes that must come to one end in whatever order they come.

mod judge;
mod orders;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use rayon::prelude::*;
use usher_index::Folder;

use crate::life::act::{Act, Deed};
use crate::life::memory;
use crate::life::world::World;
use crate::rng::Rng;

use judge::Judge;

/// One small set of orders for so many histories.
const HISTORIES_A_SET: u64 = 50;
/// Shards of a life are of so many visitors, or a few more: there are several.
const SHARD_VISITORS: u32 = 2;
/// A life that failed is told again at most so many times to find a shorter one that fails too.
const RETELLINGS: u32 = 400;

/// What is to be compared.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many lives.
    pub histories: u64,
    /// Steps of each.
    pub steps: u32,
    /// The seed of the first; each further one has the next.
    pub seed: u64,
}

/// What was compared.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Lives lived to their end.
    pub histories: u64,
    /// Steps, by kind.
    pub steps: BTreeMap<&'static str, u64>,
    /// Changes of the live state, by kind.
    pub deeds: BTreeMap<&'static str, u64>,
    /// Answers to lookups that were compared.
    pub lookups: u64,
    /// Counts that were compared.
    pub counts: u64,
    /// Segments that were found in lookups; far above 0, or nothing was compared.
    pub found: u64,
    /// Small sets of which every order was tried.
    pub sets: u64,
    /// Orders of them.
    pub orders: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.lookups += other.lookups;
        self.counts += other.counts;
        self.found += other.found;
        self.sets += other.sets;
        self.orders += other.orders;
        for (kind, count) in &other.steps {
            *self.steps.entry(kind).or_default() += count;
        }
        for (kind, count) in &other.deeds {
            *self.deeds.entry(kind).or_default() += count;
        }
    }
}

/// Lives so many histories, and tries every order of some small sets.
///
/// # Errors
/// At the first difference, naming seed and step, with the shortest life found that differs too; or when the temporary folder
/// cannot be written.
pub fn run(plan: Plan, out: &mut dyn Write) -> Result<Tally> {
    let sum = Mutex::new(Tally::default());
    let note = |tally: &Tally| sum.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
    (0..plan.histories).into_par_iter().try_for_each(|number| {
        let seed = plan.seed.wrapping_add(number);
        note(&history(seed, plan.steps)?);
        if number % HISTORIES_A_SET == 0 {
            note(&orders::every(seed).with_context(|| format!("seed {seed}, every order"))?);
        }
        Ok::<(), anyhow::Error>(())
    })?;
    let tally = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Tally { histories, steps, deeds, lookups, counts, found, sets, orders } = &tally;
    let (seed, total) = (plan.seed, steps.values().sum::<u64>());
    writeln!(out, "seeds from {seed}: {histories} histories of {} steps, {total} steps", plan.steps)?;
    writeln!(out, "steps {steps:?}")?;
    writeln!(out, "changes of the live state {deeds:?}")?;
    writeln!(out, "{lookups} lookups ({found} segments found) and {counts} counts agreed with the model")?;
    writeln!(out, "{sets} small sets in every order, {orders} orders: one end each")?;
    writeln!(out, "differences: 0")?;
    Ok(tally)
}

/// The life of a seed.
fn acts(seed: u64, steps: u32) -> Vec<Act> {
    let mut rng = Rng::new(seed);
    (0..steps).map(|_| Act::random(&mut rng)).collect()
}

fn history(seed: u64, steps: u32) -> Result<Tally> {
    let acts = acts(seed, steps);
    let (step, error) = match live(seed, &acts) {
        Ok(tally) => return Ok(tally),
        Err(failed) => failed,
    };
    let (fewer, error) = shorter(seed, acts[..=step].to_vec(), error);
    let told: Vec<String> = fewer.iter().map(|act| format!("  {act:?}")).collect();
    bail!("seed {seed}, step {step}; {} steps differ too:\n{}\n{error:#}", fewer.len(), told.join("\n"))
}

/// Lives it in a folder of its own. An error comes with the step after which something differed.
fn live(seed: u64, acts: &[Act]) -> Result<Tally, (usize, anyhow::Error)> {
    let mut rng = Rng::new(!seed);
    let lived = |rng: &mut Rng, step: &mut usize| -> Result<Tally> {
        let dir = tempfile::tempdir_in(memory()).context("a temporary folder")?;
        let mut world = World::found(Folder::open(&dir.path().join("data"))?, SHARD_VISITORS + rng.below(5))?;
        world.act(&Act::Adopt)?;
        let (mut judge, mut tally) = (Judge::default(), Tally::default());
        for (number, act) in acts.iter().enumerate() {
            *step = number;
            world.act(act)?;
            judge.compare(&world, rng)?;
            *tally.steps.entry(act.kind()).or_default() += 1;
            if let Act::Commit(deeds) = act {
                deeds.iter().for_each(|deed| *tally.deeds.entry(kind(*deed)).or_default() += 1);
            }
        }
        world.act(&Act::Reopen)?;
        judge.compare(&world, rng)?;
        let Judge { lookups, counts, found, .. } = judge;
        Ok(Tally { histories: 1, lookups, counts, found, ..tally })
    };
    let mut step = 0;
    lived(&mut rng, &mut step).map_err(|error| (step, error))
}

fn kind(deed: Deed) -> &'static str {
    match deed {
        Deed::Row(_) => "row",
        Deed::OptOut(_) => "opt-out",
        Deed::Revoke(_) => "revocation",
        Deed::Erase(..) => "erasure",
    }
}

/// Leaves out one act after the other for as long as something still differs.
fn shorter(seed: u64, mut acts: Vec<Act>, mut error: anyhow::Error) -> (Vec<Act>, anyhow::Error) {
    let mut left = RETELLINGS;
    loop {
        let before = acts.len();
        for place in (0..before).rev() {
            if left == 0 || acts.len() == 1 {
                return (acts, error);
            }
            left -= 1;
            let mut fewer = acts.clone();
            fewer.remove(place);
            if let Err((step, differs)) = live(seed, &fewer) {
                fewer.truncate(step + 1);
                (acts, error) = (fewer, differs);
                break;
            }
        }
        if acts.len() == before {
            return (acts, error);
        }
    }
}
