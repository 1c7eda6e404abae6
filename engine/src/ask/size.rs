//! How many visitors an expression means, exactly.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;
use usher_index::overlay::{Overlay, View};
use usher_index::{SegmentInfo, Shard, Snapshot, Sweep, Tick, Time};

use super::error::AskError;
use super::evaluate::{Evaluator, Workspace};
use super::expr::Expr;
use super::nearest::Nearest;
use super::plan::{Conjunction, Plan};
use super::touched::Change;

/// From how much estimated work on a question is shared between threads. To wake a sleeping thread and to wait for it
/// takes 5 to 50 us, and a pool that is busy with small questions answers none of them sooner. Of 160 blocks on two
/// threads, questions of 0.65 ms took 0.6 of the time, those of 0.8 ms and more half of it.
const PARALLEL_FROM: Nanos = 100_000;
/// How many blocks one thread takes at least.
const MIN_BLOCKS_A_TASK: usize = 4;
/// Roughly what a segment costs in a block, however few its members.
const SET_COST: Nanos = 10;
/// Roughly how many members of a list cost a nanosecond.
const MEMBERS_A_NANO: Nanos = 4;
/// Roughly what a bitmap of a block costs: 90 in the second cache, 150 in the third.
const BITMAP_COST: Nanos = 150;
/// For how many unknown names of one expression the nearest known one is looked for: each looks through every name.
const MAX_SUGGESTIONS: usize = 8;

/// Estimated time.
type Nanos = u64;

thread_local! {
    /// Kept from question to question: a workspace is half a megabyte.
    static WORKSPACE: Cell<Option<Box<Workspace>>> = const { Cell::new(None) };
}

/// The answer to an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many visitors, exactly.
    pub visitors: u64,
    /// The names of the expression that no segment has, sorted by their UTF-8 bytes. They count as empty sets.
    pub unknown: Vec<Unknown>,
}

/// A name in an expression that no segment has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unknown {
    /// The segment's name, or a prefix with its star (`intrest.*`).
    pub name: String,
    /// The known name, or prefix with its star, that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

/// Counts the visitors of an expression among those with at least one live membership at `now`, after all changes of
/// the overlay that lies over the snapshot.
///
/// Time: that of [`count_images`], and some set operations over the touched visitors.
///
/// # Errors
/// When an image is damaged.
pub fn count(snapshot: &Snapshot, overlay: &Overlay, expr: &Expr, now: Time) -> Result<Count, AskError> {
    let tick = snapshot.tick().floor(now);
    // The view is gone before the images are counted: a thread that waits for others may take on another count meanwhile.
    let change = if overlay.is_empty() { Change::default() } else { Change::of(&overlay.at(tick), expr) };
    let (visitors, all_known) = count_frozen(snapshot, expr, tick)?;
    let unknown = match (all_known, overlay.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => unknown(snapshot, None, expr),
        (false, false) => unknown(snapshot, Some(&overlay.at(tick)), expr),
    };
    Ok(Count { visitors: change.apply(visitors), unknown })
}

/// Counts the visitors of an expression as the images alone have them.
///
/// Time: for each name and block with members of it, some nanoseconds for a few and up to 0.3 us for many, where no other
/// name of a conjunction is without members; more where members are dead. Long questions are shared between the threads
/// of the current rayon pool, short ones are answered by the caller's.
///
/// # Errors
/// When an image is damaged.
pub fn count_images(snapshot: &Snapshot, expr: &Expr, tick: Tick) -> Result<u64, AskError> {
    count_frozen(snapshot, expr, tick).map(|(visitors, _)| visitors)
}

/// The count, and whether one shard knows every name: then no name is unknown.
fn count_frozen(snapshot: &Snapshot, expr: &Expr, tick: Tick) -> Result<(u64, bool), AskError> {
    let (mut shards, mut all_known) = (Vec::with_capacity(snapshot.shards().len()), false);
    for shard in snapshot.shards() {
        let plan = Plan::new(expr, shard);
        all_known |= plan.knows_all();
        if !plan.is_nobody() {
            shards.push((shard, plan.into_conjunction(shard.everyone_rank())));
        }
    }
    let cost: Nanos = shards.iter().map(|(shard, plan)| cost(shard, plan)).sum();
    let sweeps = sweeps(&shards, tick)?;
    if cost < PARALLEL_FROM {
        let visitors = shards.iter().zip(&sweeps).try_fold(0, |sum, ((shard, plan), sweep)| {
            let evaluator = Evaluator::new(plan, shard, sweep);
            Ok::<u64, AskError>(sum + count_blocks(&evaluator, 0..shard.blocks())?)
        })?;
        return Ok((visitors, all_known));
    }
    let counts = shards.par_iter().zip(&sweeps).map(|((shard, plan), sweep)| {
        let evaluator = Evaluator::new(plan, shard, sweep);
        let tasks = (0..shard.blocks().div_ceil(MIN_BLOCKS_A_TASK)).into_par_iter();
        let counts = tasks.map(|task| {
            let first = task * MIN_BLOCKS_A_TASK;
            count_blocks(&evaluator, first..shard.blocks().min(first + MIN_BLOCKS_A_TASK))
        });
        counts.try_reduce(|| 0, |a, b| Ok(a + b))
    });
    Ok((counts.try_reduce(|| 0, |a, b| Ok(a + b))?, all_known))
}

/// Who is dead in each shard; walked by several threads where it is not known yet.
fn sweeps(shards: &[(&Shard, Conjunction)], tick: Tick) -> Result<Vec<Arc<Sweep>>, AskError> {
    let known: Option<Vec<_>> = shards.iter().map(|(shard, _)| shard.known_at(tick)).collect();
    match known {
        Some(known) => Ok(known),
        None => Ok(shards.par_iter().map(|(shard, _)| shard.at(tick)).collect::<Result<_, _>>()?),
    }
}

fn count_blocks(evaluator: &Evaluator<'_>, blocks: Range<usize>) -> Result<u64, AskError> {
    WORKSPACE.with(|kept| {
        let mut workspace = kept.take().unwrap_or_default();
        let mut sum = 0;
        for block in blocks {
            sum += u64::from(evaluator.count(block, &mut workspace)?);
        }
        kept.set(Some(workspace));
        Ok(sum)
    })
}

fn cost(shard: &Shard, plan: &Conjunction) -> Nanos {
    let (blocks, mut sum) = (shard.blocks() as u64, 0);
    plan.each_rank(&mut |rank| {
        // The first block stands for all: visitors are in random order.
        let members = u64::from(shard.upper_bound(0, rank));
        sum += blocks * (SET_COST + (members / MEMBERS_A_NANO).min(BITMAP_COST));
    });
    sum
}

/// The names of the expression that no segment has, of the images or of the changes, each with the nearest that one has.
fn unknown(snapshot: &Snapshot, view: Option<&View<'_>>, expr: &Expr) -> Vec<Unknown> {
    let segments = snapshot.segments();
    let mut missing = Vec::new();
    expr.for_each_leaf(&mut |leaf| {
        let known = match leaf {
            Expr::Prefix(prefix) => has_prefix(segments, prefix) || view.is_some_and(|view| view.knows_prefix(prefix)),
            Expr::Segment(name) => snapshot.segment(name).is_some() || view.is_some_and(|view| view.knows(name)),
            _ => true,
        };
        if !known {
            missing.push(leaf);
        }
    });
    if missing.is_empty() {
        return Vec::new();
    }
    let mut known: Vec<&str> = segments.iter().map(|segment| &*segment.name).collect();
    if let Some(view) = view {
        known.extend(view.segments().map(|segment| &*segment.name));
        known.sort_unstable();
    }
    missing.sort_unstable_by_key(|leaf| plain_name(leaf));
    missing.dedup();
    let suggest = |(i, leaf): (usize, &Expr)| {
        let nearest = if i < MAX_SUGGESTIONS { nearest(&known, leaf) } else { None };
        Unknown { name: plain_name(leaf), nearest }
    };
    missing.into_iter().enumerate().map(suggest).collect()
}

fn has_prefix(known: &[SegmentInfo], prefix: &str) -> bool {
    let first = known.partition_point(|segment| &*segment.name < prefix);
    known.get(first).is_some_and(|segment| segment.name.starts_with(prefix))
}

/// The name without the quotes it has in an expression.
fn plain_name(leaf: &Expr) -> String {
    match leaf {
        Expr::Segment(name) => name.clone(),
        Expr::Prefix(prefix) => format!("{prefix}*"),
        other => other.to_string(),
    }
}

fn nearest(known: &[&str], leaf: &Expr) -> Option<String> {
    let Expr::Prefix(prefix) = leaf else {
        let mut search = Nearest::new(&plain_name(leaf));
        known.iter().for_each(|name| search.offer(name));
        return search.finish();
    };
    let mut search = Nearest::new(prefix);
    let mut last = "";
    for &name in known {
        let prefixes = name.match_indices('.').map(|(dot, _)| &name[..=dot]);
        // Names are sorted: a prefix that the last one shares was offered with it.
        prefixes.filter(|prefix| !last.starts_with(prefix)).for_each(|prefix| search.offer(prefix));
        last = name;
    }
    search.finish().map(|prefix| prefix + "*")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use usher_index::Overlay;
    use usher_index::containers::Policy;

    use super::{Unknown, count};
    use crate::ask::expr::Expr;
    use crate::ask::parse::parse;
    use crate::ask::sample::{Dice, Sample, holds};

    fn some_leaf(dice: &mut Dice) -> Expr {
        let leaves = ["a.x", "a.y", "b.x", "b.y.z", "c", "nobody", "a.*", "b.*", "b.y.*", "nobody.*"];
        parse(leaves[dice.below(leaves.len() as u64) as usize]).unwrap()
    }

    /// Counts random trees while memberships die, and gives the sum of the counts.
    fn check_against_the_naive_model(world: u64, visitors: usize, trees: u64) -> u64 {
        let mut dice = Dice(world);
        let visitors: Vec<String> = (0..visitors).map(|i| format!("v{i}")).collect();
        let mut rows = Vec::new();
        for visitor in &visitors {
            for (segment, one_in) in [("a.x", 2), ("a.y", 3), ("b.x", 5), ("b.y.z", 8), ("c", 9)] {
                if dice.below(one_in) == 0 {
                    rows.push((visitor.as_str(), segment, dice.below(6) as u32));
                }
            }
        }
        let sample = Sample::new(rows.iter().copied());
        let mut sum = 0;
        for seed in 0..trees {
            let mut dice = Dice(seed);
            let tree = dice.tree(4, &some_leaf);
            let hours = dice.below(7);
            let live_of = |visitor: &str| -> BTreeSet<&str> {
                let live = rows.iter().filter(|&&(v, _, life)| v == visitor && u64::from(life) > hours);
                live.map(|&(_, segment, _)| segment).collect()
            };
            let profiles = visitors.iter().map(|visitor| live_of(visitor)).filter(|live| !live.is_empty());
            let expected = profiles.filter(|live| holds(&tree, live)).count() as u64;
            let counted = count(&sample.snapshot, &Overlay::default(), &tree, Sample::at(hours as i64)).unwrap();
            assert_eq!(counted.visitors, expected, "world {world}, tree {seed}, {hours} hours: {tree}");
            sum += expected;
        }
        sum
    }

    #[test]
    fn counts_agree_with_a_naive_model_while_memberships_die() {
        let sum = check_against_the_naive_model(0, 300, 1_000);
        assert!(sum > 10_000, "most trees must mean someone");
        // In worlds of a few visitors bounds are 0 or 1, and a block is often passed over.
        (1..50).for_each(|world| _ = check_against_the_naive_model(world, 1 + world as usize % 12, 100));
    }

    #[test]
    fn blocks_are_summed_in_every_policy() {
        let visitors: Vec<(u32, String)> = (0..140_000).map(|i| (i, format!("v{i}"))).collect();
        let mut rows: Vec<(&str, &str, u32)> = visitors.iter().map(|(_, v)| (v.as_str(), "all", 9)).collect();
        for (name, step) in [("even", 2), ("third", 3), ("tenth", 10), ("200th", 200), ("rare", 20_000)] {
            rows.extend(visitors.iter().filter(|(i, _)| i % step == 0).map(|(_, v)| (v.as_str(), name, 9)));
        }
        let sample = Sample::new(rows);
        let fast = sample.rebuilt(Some(Policy::FAST));
        let kept = sample.rebuilt(None);
        let policies = [&sample.snapshot, &fast, &kept].map(|snapshot| snapshot.shards()[0].image().header().policy);
        assert_eq!(policies, [Policy::COMPACT, Policy::FAST, Policy::FAST]);
        for (text, expected) in [
            ("all", 140_000),
            ("even", 70_000),
            ("even and third", 23_334),
            ("even or third", 93_333),
            ("not even", 70_000),
            ("even and not third", 46_666),
            ("rare and even and not third", 4),
            ("not (even or third)", 46_667),
            ("rare and not all", 0),
            ("tenth", 14_000),
            ("tenth and third", 4_667),
            ("\"200th\" and tenth and third", 234),
            ("\"200th\" and third", 234),
            ("(tenth or third) and (\"200th\" or rare) and not even", 0),
            ("third and (\"200th\" or rare)", 234),
            ("tenth or \"200th\" or rare", 14_000),
        ] {
            for snapshot in [&sample.snapshot, &fast] {
                let counted = count(snapshot, &Overlay::default(), &parse(text).unwrap(), Sample::at(0)).unwrap();
                assert_eq!(counted.visitors, expected, "{text}");
            }
        }
    }

    #[test]
    fn unknown_names_are_listed_with_the_nearest() {
        let names = ["crm.spectator", "interest.theatre", "interest.ticketing"];
        let sample = Sample::new(names.map(|name| ("v", name, 9)));
        let text = "\"zoo\" or interest.theater and not (intrest.* or interest.* or crm.*) or zoo or crm.spectator";
        let counted = count(&sample.snapshot, &Overlay::default(), &parse(text).unwrap(), Sample::at(0)).unwrap();
        let unknown =
            |name: &str, nearest: Option<&str>| Unknown { name: name.to_owned(), nearest: nearest.map(str::to_owned) };
        let expected = [
            unknown("interest.theater", Some("interest.theatre")),
            unknown("intrest.*", Some("interest.*")),
            unknown("zoo", None),
        ];
        assert_eq!(counted.unknown, expected);
        assert_eq!(counted.visitors, 1);
    }

    #[test]
    fn nobody_is_counted_where_there_is_nothing() {
        let sample = Sample::new([]);
        let counted = count(&sample.snapshot, &Overlay::default(), &parse("not a").unwrap(), Sample::at(0)).unwrap();
        assert_eq!((counted.visitors, counted.unknown.len()), (0, 1));
    }
}
