//! How many visitors an expression means, exactly.

use rayon::prelude::*;
use serde::Serialize;
use usher_index::{Shard, Snapshot, Tick, Time};

use super::error::AskError;
use super::expr::Expr;
use super::nearest::Nearest;
use super::plan::{Evaluator, Plan};

/// How many blocks one thread takes at least: below this, handing work around costs more than the work.
const MIN_BLOCKS_A_TASK: usize = 2;
/// For how many unknown names of one expression the nearest known one is looked for: each looks through every name.
const MAX_SUGGESTIONS: usize = 8;

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

/// Counts the visitors of an expression among those with at least one live membership at `now`.
///
/// Time: a few operations on 65,536 bits for each name and block where no bound shows that nobody can be; shards and
/// their blocks are shared between the threads of the current rayon pool.
///
/// # Errors
/// When an image is damaged.
pub fn count(snapshot: &Snapshot, expr: &Expr, now: Time) -> Result<Count, AskError> {
    let tick = snapshot.tick().floor(now);
    let counts = snapshot.shards().par_iter().map(|shard| count_shard(shard, expr, tick));
    let visitors = counts.try_reduce(|| 0, |a, b| Ok(a + b))?;
    Ok(Count { visitors, unknown: unknown(snapshot, expr) })
}

fn count_shard(shard: &Shard, expr: &Expr, now: Tick) -> Result<u64, AskError> {
    let plan = Plan::new(expr, shard);
    if plan.is_nobody() {
        return Ok(0);
    }
    let sweep = shard.at(now)?;
    let blocks = (0..shard.blocks()).into_par_iter().with_min_len(MIN_BLOCKS_A_TASK);
    let counts = blocks.map_init(
        || Evaluator::new(plan.clone(), shard, &sweep),
        |evaluator, block| Ok(u64::from(evaluator.count(block)?)),
    );
    counts.try_reduce(|| 0, |a, b| Ok(a + b))
}

/// The names of the expression that no segment of the snapshot has, each with the nearest that one has.
fn unknown(snapshot: &Snapshot, expr: &Expr) -> Vec<Unknown> {
    let known: Vec<&str> = snapshot.segments().iter().map(|segment| &*segment.name).collect();
    let mut missing = Vec::new();
    expr.for_each_leaf(&mut |leaf| match leaf {
        Expr::Segment(name) if known.binary_search(&name.as_str()).is_err() => missing.push(leaf),
        Expr::Prefix(prefix) if !has_prefix(&known, prefix) => missing.push(leaf),
        _ => {}
    });
    missing.sort_unstable_by_key(|leaf| plain_name(leaf));
    missing.dedup();
    let suggest = |(i, leaf): (usize, &Expr)| {
        let nearest = if i < MAX_SUGGESTIONS { nearest(&known, leaf) } else { None };
        Unknown { name: plain_name(leaf), nearest }
    };
    missing.into_iter().enumerate().map(suggest).collect()
}

fn has_prefix(known: &[&str], prefix: &str) -> bool {
    known.get(known.partition_point(|&name| name < prefix)).is_some_and(|name| name.starts_with(prefix))
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

    use super::{Unknown, count};
    use crate::ask::expr::Expr;
    use crate::ask::parse::parse;
    use crate::ask::sample::{Dice, Sample};

    fn holds(expr: &Expr, of: &BTreeSet<&str>) -> bool {
        match expr {
            Expr::Segment(name) => of.contains(name.as_str()),
            Expr::Prefix(prefix) => of.iter().any(|name| name.starts_with(prefix)),
            Expr::And(operands) => operands.iter().all(|operand| holds(operand, of)),
            Expr::Or(operands) => operands.iter().any(|operand| holds(operand, of)),
            Expr::Not(operand) => !holds(operand, of),
        }
    }

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
            let counted = count(&sample.snapshot, &tree, Sample::at(hours as i64)).unwrap();
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
    fn blocks_are_summed() {
        let visitors: Vec<(u32, String)> = (0..140_000).map(|i| (i, format!("v{i}"))).collect();
        let mut rows: Vec<(&str, &str, u32)> = visitors.iter().map(|(_, v)| (v.as_str(), "all", 9)).collect();
        for (name, step) in [("even", 2), ("third", 3), ("rare", 20_000)] {
            rows.extend(visitors.iter().filter(|(i, _)| i % step == 0).map(|(_, v)| (v.as_str(), name, 9)));
        }
        let sample = Sample::new(rows);
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
        ] {
            let counted = count(&sample.snapshot, &parse(text).unwrap(), Sample::at(0)).unwrap();
            assert_eq!(counted.visitors, expected, "{text}");
        }
    }

    #[test]
    fn unknown_names_are_listed_with_the_nearest() {
        let names = ["crm.spectator", "interest.theatre", "interest.ticketing"];
        let sample = Sample::new(names.map(|name| ("v", name, 9)));
        let text = "\"zoo\" or interest.theater and not (intrest.* or interest.* or crm.*) or zoo or crm.spectator";
        let counted = count(&sample.snapshot, &parse(text).unwrap(), Sample::at(0)).unwrap();
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
        let counted = count(&sample.snapshot, &parse("not a").unwrap(), Sample::at(0)).unwrap();
        assert_eq!((counted.visitors, counted.unknown.len()), (0, 1));
    }
}
