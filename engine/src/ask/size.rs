//! How many visitors an expression means, exactly.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use usher_index::overlay::Overlay;
use usher_index::{Snapshot, Time};

use super::conjunction::Conjunction;
use super::error::AskError;
use super::evaluate::{Evaluator, Workspace};
use super::expr::Expr;
use super::moment::Moment;
use super::sets::{Prepared, Sets};
use super::touched::Change;
use super::unknown::{Unknown, unknown};

/// From how much estimated work on a question is shared between threads. To wake a sleeping thread and to wait for it
/// takes 5 to 50 us, and a pool that is busy with small questions answers none of them sooner. With two threads, of which
/// the other had slept for 2 ms, questions of 0.11 ms took 1.5 of the time, those of 0.16 ms 0.8 and those of 0.8 ms half.
const PARALLEL_FROM: Nanos = 120_000;
/// How many blocks a thread takes at a time.
const BLOCKS_A_TASK: usize = 2;
/// Roughly what a segment costs in a block, however few its members.
const SET_COST: Nanos = 20;
/// Roughly how many members of a list a union takes in a nanosecond.
const MEMBERS_A_NANO: Nanos = 2;
/// Roughly what a bitmap of a block costs: 90 in the second cache, 150 to 340 in the third.
const BITMAP_COST: Nanos = 250;

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
    /// The names of the expression that no segment has, and audiences that nobody has put in; sorted by their UTF-8 bytes.
    /// They count as empty sets.
    pub unknown: Vec<Unknown>,
}

/// Counts the visitors of an expression among those with at least one live membership at `now`, after all changes of
/// the overlay that lies over the snapshot.
///
/// Time: that of [`count_images`], and some set operations over the touched visitors.
///
/// # Errors
/// When an image is damaged.
pub fn count(snapshot: &Snapshot, overlay: &Overlay, expr: &Expr, now: Time) -> Result<Count, AskError> {
    let at = Moment::new(snapshot.tick(), now);
    // The view is gone before the images are counted: a thread that waits for others may take on another count meanwhile.
    let change = if overlay.is_empty() { Change::default() } else { Change::of(&overlay.at(at.tick()), expr, at) };
    let (visitors, all_known) = count_frozen(snapshot, expr, at)?;
    let unknown = match (all_known, overlay.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => unknown(snapshot, None, expr),
        (false, false) => unknown(snapshot, Some(&overlay.at(at.tick())), expr),
    };
    Ok(Count { visitors: change.apply(visitors), unknown })
}

/// Counts the visitors of an expression as the images alone have them.
///
/// Time: for each name and block with members of it, some nanoseconds for a few and up to 0.3 us for many, where no other
/// name of a conjunction is without members; more where members are dead. A `within` takes a look at the profile of each
/// member, once a tick. Long questions are shared by the caller's thread and those of the current rayon pool, short ones are
/// answered by the caller's alone.
///
/// # Errors
/// When an image is damaged.
pub fn count_images(snapshot: &Snapshot, expr: &Expr, now: Time) -> Result<u64, AskError> {
    count_frozen(snapshot, expr, Moment::new(snapshot.tick(), now)).map(|(visitors, _)| visitors)
}

/// The count, and whether one shard knows every name: then no name is unknown.
fn count_frozen(snapshot: &Snapshot, expr: &Expr, at: Moment) -> Result<(u64, bool), AskError> {
    let Prepared { parts, knows_all } = Prepared::new(snapshot, expr, at)?;
    let cost: Nanos = parts.iter().map(|(sets, plan)| cost(sets, plan)).sum();
    if cost < PARALLEL_FROM {
        let visitors = parts.iter().try_fold(0, |sum, (sets, plan)| {
            let evaluator = Evaluator::new(plan, sets);
            Ok::<u64, AskError>(sum + count_blocks(&evaluator, 0..sets.shard().blocks())?)
        })?;
        return Ok((visitors, knows_all));
    }
    let parts: Vec<_> = parts.iter().map(|(sets, plan)| (Evaluator::new(plan, sets), sets.shard().blocks())).collect();
    Ok((count_together(&parts)?, knows_all))
}

/// Counts blocks by the calling thread and those of the pool that come to its help, each taking the next few that nobody
/// has. The caller does not wait for a thread to wake before it begins.
fn count_together(parts: &[(Evaluator<'_>, usize)]) -> Result<u64, AskError> {
    let tasks: Vec<(usize, Range<usize>)> = parts
        .iter()
        .enumerate()
        .flat_map(|(part, (_, blocks))| {
            let firsts = (0..*blocks).step_by(BLOCKS_A_TASK);
            firsts.map(move |first| (part, first..(first + BLOCKS_A_TASK).min(*blocks)))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<u64, AskError> {
        let mut sum = 0;
        while let Some((part, blocks)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            sum += count_blocks(&parts[*part].0, blocks.clone())?;
        }
        Ok(sum)
    };
    let helpers = rayon::current_num_threads().min(tasks.len()).saturating_sub(1);
    let mut helped: Vec<Result<u64, AskError>> = (0..helpers).map(|_| Ok(0)).collect();
    let own = rayon::in_place_scope(|scope| {
        for helped in &mut helped {
            scope.spawn(|_| *helped = work());
        }
        work()
    });
    Ok(own? + helped.into_iter().sum::<Result<u64, _>>()?)
}

fn count_blocks(evaluator: &Evaluator<'_>, blocks: Range<usize>) -> Result<u64, AskError> {
    with_workspace(|workspace| {
        blocks.map(|block| Ok(u64::from(evaluator.count(block, workspace)?))).sum::<Result<u64, AskError>>()
    })
}

/// Lends the memory that this thread keeps from question to question.
pub(super) fn with_workspace<R>(work: impl FnOnce(&mut Workspace) -> R) -> R {
    WORKSPACE.with(|kept| {
        let mut workspace = kept.take().unwrap_or_default();
        let done = work(&mut workspace);
        kept.set(Some(workspace));
        done
    })
}

fn cost(sets: &Sets<'_>, plan: &Conjunction) -> Nanos {
    let (blocks, mut sum) = (sets.shard().blocks() as u64, 0);
    plan.each_rank(&mut |rank| {
        // The first block stands for all: visitors are in random order.
        let members = u64::from(sets.upper_bound(0, rank));
        sum += blocks * (SET_COST + (members / MEMBERS_A_NANO).min(BITMAP_COST));
    });
    sum
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use usher_index::containers::Policy;
    use usher_index::{Overlay, Pid};

    use super::{BLOCKS_A_TASK, Evaluator, Moment, Prepared, count, count_together};
    use crate::ask::expr::Expr;
    use crate::ask::members::{MembersError, each_member, members};
    use crate::ask::parse::parse;
    use crate::ask::sample::{Dice, Sample, holds, with_spans};

    fn some_leaf(dice: &mut Dice) -> Expr {
        let leaves = ["a.x", "a.y", "b.x", "b.y.z", "c", "nobody", "a.*", "b.*", "b.y.*", "nobody.*"];
        let leaf = parse(leaves[dice.below(leaves.len() as u64) as usize]).unwrap();
        if dice.below(40) == 0 { Expr::Audience("nobody".to_owned()) } else { with_spans(dice, leaf) }
    }

    /// Counts random trees while memberships die, lists their members, and gives the sum of the counts.
    fn check_against_the_naive_model(world: u64, visitors: usize, trees: u64) -> u64 {
        let mut dice = Dice(world);
        let visitors: Vec<String> = (0..visitors).map(|i| format!("v{i}")).collect();
        let mut rows = Vec::new();
        for visitor in &visitors {
            for (segment, one_in) in [("a.x", 2), ("a.y", 3), ("b.x", 5), ("b.y.z", 8), ("c", 9)] {
                if dice.below(one_in) == 0 {
                    let ago = dice.below(4) as u32;
                    rows.push((visitor.as_str(), segment, ago, ago + dice.below(6) as u32));
                }
            }
        }
        let sample = Sample::dated(rows.iter().copied());
        let mut sum = 0;
        for seed in 0..trees {
            let mut dice = Dice(seed);
            let tree = dice.tree(4, &some_leaf);
            let hours = dice.below(7) as i64;
            let live_of = |visitor: &str| -> BTreeMap<&str, i64> {
                let own = rows.iter().filter(|row| row.0 == visitor);
                let live = own.filter(|row| i64::from(row.3) - i64::from(row.2) > hours);
                live.map(|row| (row.1, hours + i64::from(row.2))).collect()
            };
            let profiles = visitors.iter().map(|visitor| (visitor, live_of(visitor)));
            let inside = profiles.filter(|(_, live)| !live.is_empty() && holds(&tree, live));
            let mut expected: Vec<Pid> = inside.map(|(visitor, _)| sample.pid(visitor)).collect();
            expected.sort_unstable();
            let (now, case) = (Sample::at(hours), format!("world {world}, tree {seed}, {hours} hours: {tree}"));
            let counted = count(&sample.snapshot, &Overlay::default(), &tree, now).unwrap();
            assert_eq!(counted.visitors, expected.len() as u64, "{case}");
            let found = members(&sample.snapshot, &Overlay::default(), &tree, now, expected.len()).unwrap();
            assert!(found == expected, "{case}");
            sum += counted.visitors;
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
            ("at least 2 of (even, third, tenth)", 32_667),
            ("at least 2 of (even, third, tenth, \"200th\", rare)", 32_667),
            ("at least 3 of (even, third, tenth, \"200th\") and not rare", 5_126),
            ("even within 1 hour", 70_000),
            ("third within 2 days and not even within 1 day and not nobody within 7 days", 23_333),
        ] {
            for snapshot in [&sample.snapshot, &fast] {
                let (overlay, tree) = (Overlay::default(), parse(text).unwrap());
                let counted = count(snapshot, &overlay, &tree, Sample::at(0)).unwrap();
                assert_eq!(counted.visitors, expected, "{text}");
                let (mut told, mut last) = (0, None);
                each_member(snapshot, &overlay, &tree, Sample::at(0), |pid| {
                    assert!(last < Some(pid), "{text}: ascending");
                    (told, last) = (told + 1, Some(pid));
                })
                .unwrap();
                assert_eq!(told, expected, "{text}");
            }
        }
        let too_many = members(&fast, &Overlay::default(), &parse("even").unwrap(), Sample::at(0), 69_999);
        assert!(matches!(too_many, Err(MembersError::TooMany { bound: 69_999 })));
    }

    #[test]
    fn threads_that_help_count_the_blocks_that_the_caller_does_not() {
        let visitors: Vec<(u32, String)> = (0..500_000).map(|i| (i, format!("v{i}"))).collect();
        let all = visitors.iter().map(|(_, visitor)| (visitor.as_str(), "all", 9));
        let thirds = visitors.iter().filter(|(i, _)| i % 3 == 0).map(|(_, visitor)| (visitor.as_str(), "third", 9));
        let sample = Sample::new(all.chain(thirds));
        let (tree, at) = (parse("all and not third").unwrap(), Moment::new(sample.snapshot.tick(), Sample::at(0)));
        let Prepared { parts, .. } = Prepared::new(&sample.snapshot, &tree, at).unwrap();
        let parts: Vec<_> =
            parts.iter().map(|(sets, plan)| (Evaluator::new(plan, sets), sets.shard().blocks())).collect();
        assert!(parts.iter().map(|(_, blocks)| blocks).sum::<usize>() > 3 * BLOCKS_A_TASK);
        // Who takes which blocks differs from one time to the next.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| (0..1_000).for_each(|_| assert_eq!(count_together(&parts).unwrap(), 333_333)));
    }

    #[test]
    fn nobody_is_counted_where_there_is_nothing() {
        let sample = Sample::new([]);
        let counted = count(&sample.snapshot, &Overlay::default(), &parse("not a").unwrap(), Sample::at(0)).unwrap();
        assert_eq!((counted.visitors, counted.unknown.len()), (0, 1));
    }
}
