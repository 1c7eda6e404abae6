//! Every order of a small set of acts that the law lets come in any: rows, removals, rows sent again, feeds beside the
//! state, erasures and opt-outs.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use usher_index::Folder;

use super::Tally;
use crate::life::act::{Act, Deed, Fact, fact};
use crate::life::model::Model;
use crate::life::world::World;
use crate::life::{VISITORS, memory, pid};
use crate::rng::Rng;

/// Visitors of a set: few, so that rows meet.
const CROWD: u32 = 2;
/// Acts of a set, at most.
const MOST: u32 = 6;
/// Feeds of a set, at most: each is a build.
const MOST_FEEDS: u32 = 2;

/// Tries every order of the set of a seed. The end is all that is kept of each visitor: times too, and what is dead.
pub(super) fn every(seed: u64) -> Result<Tally> {
    let mut rng = Rng::new(seed);
    let acts = set(&mut rng);
    let (mut orders, mut end) = (Vec::new(), None);
    permute(&mut Vec::new(), acts.len(), &mut orders);
    for order in &orders {
        let told = || format!("{:?}", order.iter().map(|&place| &acts[place]).collect::<Vec<_>>());
        let (model, kept) = live(order.iter().map(|&place| &acts[place])).with_context(told)?;
        let (first, entries) = end.get_or_insert_with(|| (model.clone(), kept.clone()));
        ensure!(*first == model, "the models differ:\n{first:?}\n{model:?}\nafter {}", told());
        ensure!(*entries == kept, "what is kept differs:\n{entries:?}\n{kept:?}\nafter {}", told());
    }
    Ok(Tally { sets: 1, orders: orders.len() as u64, ..Tally::default() })
}

fn set(rng: &mut Rng) -> Vec<Act> {
    let mut feeds = 0;
    let acts = (0..3 + rng.below(MOST - 2)).map(|_| match rng.below(10) {
        0 => Act::Commit(vec![Deed::Erase(rng.below(CROWD), rng.below(4))]),
        1 => Act::Commit(vec![Deed::OptOut(rng.below(CROWD))]),
        2 | 3 if feeds < MOST_FEEDS => {
            feeds += 1;
            Act::Load { facts: (0..3).map(|_| row(rng)).collect(), barred: rng.percent(50) }
        }
        _ => Act::Commit(vec![Deed::Row(row(rng))]),
    });
    acts.collect()
}

/// A row of the crowd that names itself, whatever came before it.
fn row(rng: &mut Rng) -> Fact {
    loop {
        if let Fact::Fresh { visitor, kind, age, hours } = fact(rng) {
            // Few segments and ages: rows are to meet, and some are the same row again.
            break Fact::Fresh { visitor: visitor % CROWD, kind: kind % 2, age: age % 3, hours: hours % 4 };
        }
    }
}

fn permute(begun: &mut Vec<usize>, length: usize, orders: &mut Vec<Vec<usize>>) {
    if begun.len() == length {
        orders.push(begun.clone());
        return;
    }
    for place in (0..length).filter(|place| !begun.contains(place)).collect::<BTreeSet<_>>() {
        begun.push(place);
        permute(begun, length, orders);
        begun.pop();
    }
}

/// All that is kept of a visitor: segment, observation and end.
type Kept = Vec<(u32, String, u32, u32)>;

/// Does the acts, and gives what the overlay and the images keep together, and what the images keep after a fold.
fn live<'a>(acts: impl Iterator<Item = &'a Act>) -> Result<(Model, [Kept; 2])> {
    let dir = tempfile::tempdir_in(memory()).context("a temporary folder")?;
    let mut world = World::found(Folder::open(&dir.path().join("data"))?, VISITORS)?;
    for act in acts {
        world.act(act)?;
    }
    world.act(&Act::Adopt)?;
    let before = kept(&world)?;
    world.act(&Act::Fold { anew: false })?;
    world.act(&Act::Settle)?;
    world.act(&Act::Reopen)?;
    Ok((world.whole().clone(), [before, kept(&world)?]))
}

fn kept(world: &World) -> Result<Kept> {
    let served = world.served().context("a world in which something is served")?;
    let mut kept = Kept::new();
    for visitor in 0..VISITORS {
        let mut note = |name: &str, entry: usher_index::Entry| {
            kept.push((visitor, name.to_owned(), entry.observed.get(), entry.expiry.get()));
        };
        served.entries(pid(visitor), |name, _, entry| note(name, entry))?;
    }
    kept.sort_unstable();
    let model = world.whole().rows().iter();
    let expected: Kept = model.map(|(&(v, name), row)| (v, name.to_owned(), row.observed, row.expiry)).collect();
    ensure!(kept == expected, "kept is {kept:?} and should be {expected:?}");
    Ok(kept)
}
