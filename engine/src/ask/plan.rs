//! How one shard answers an expression: names become ranks, operators become a few set operations a block.
//!
//! A [`Plan`] is in normal form. Leaves of one union are one list of ranks; `and`s within `and`s and `or`s within `or`s
//! are one; an operand that is nobody or everyone in this shard is gone; and complements stand only inside a
//! conjunction, as what it is without, so that `a and not b` never builds the complement of `b`. An [`Evaluator`]
//! counts it block by block in a few bitmaps that it keeps.

use usher_index::{Bits, ImageError, Op, Shard, Sweep};

use super::expr::Expr;

/// An expression in the terms of one shard.
#[derive(Clone, Debug)]
pub struct Plan(Node);

/// A set of live visitors of the shard.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    set: Set,
    /// No more visitors of the present block than this are in the set.
    bound: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Set {
    /// Visitors with at least one live membership.
    Everyone,
    /// Who is in a segment of one of these ranks, ascending; of none: nobody.
    Ranks(Vec<u32>),
    /// Who is in one of these: neither `Everyone` nor `Any`, at most one `Ranks`, at least two in all.
    Any(Vec<Node>),
    /// Who is in every set of `of` and in none of `without`. `of` has no `All`, and `Everyone` only when it has nothing else.
    All { of: Vec<Node>, without: Vec<Node> },
}

impl From<Set> for Node {
    fn from(set: Set) -> Self {
        Node { set, bound: 0 }
    }
}

impl Plan {
    /// Resolves the names of `expr` in `shard`. Time: a search a name, and the number of segments of each prefix.
    pub fn new(expr: &Expr, shard: &Shard) -> Self {
        Plan(resolve(expr, &mut |leaf| match leaf {
            Leaf::Segment(name) => shard.rank(name).into_iter().collect(),
            Leaf::Prefix(prefix) => shard.ranks_with_prefix(prefix),
        }))
    }

    /// Whether no visitor of the shard can be in it.
    pub fn is_nobody(&self) -> bool {
        self.0.is_nobody()
    }
}

impl Node {
    fn nobody() -> Self {
        Set::Ranks(Vec::new()).into()
    }

    fn is_nobody(&self) -> bool {
        matches!(&self.set, Set::Ranks(ranks) if ranks.is_empty())
    }

    fn is_everyone(&self) -> bool {
        self.set == Set::Everyone
    }
}

enum Leaf<'e> {
    Segment(&'e str),
    Prefix(&'e str),
}

fn resolve(expr: &Expr, ranks: &mut impl FnMut(Leaf<'_>) -> Vec<u32>) -> Node {
    match expr {
        Expr::Segment(name) => Set::Ranks(ranks(Leaf::Segment(name))).into(),
        Expr::Prefix(prefix) => any(vec![Set::Ranks(ranks(Leaf::Prefix(prefix))).into()]),
        Expr::Or(operands) => any(operands.iter().map(|operand| resolve(operand, ranks)).collect()),
        Expr::And(operands) => all(operands.iter().map(|operand| resolve(operand, ranks)).collect(), Vec::new()),
        Expr::Not(operand) => all(Vec::new(), vec![resolve(operand, ranks)]),
    }
}

/// The union of the sets, in normal form.
fn any(sets: Vec<Node>) -> Node {
    let (mut ranks, mut others) = (Vec::new(), Vec::new());
    let mut pending = sets;
    while let Some(node) = pending.pop() {
        match node.set {
            Set::Everyone => return node,
            Set::Ranks(more) => ranks.extend(more),
            Set::Any(inner) => pending.extend(inner),
            Set::All { .. } => others.push(node),
        }
    }
    ranks.sort_unstable();
    ranks.dedup();
    if !ranks.is_empty() || others.is_empty() {
        others.push(Set::Ranks(ranks).into());
    }
    if others.len() == 1 { others.swap_remove(0) } else { Set::Any(others).into() }
}

/// Who is in every set of `of` (of none: everyone) and in none of `without`, in normal form.
fn all(of: Vec<Node>, without: Vec<Node>) -> Node {
    let (mut kept, mut ranks_without, mut others_without) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of, mut without) = (of, without);
    loop {
        if let Some(node) = of.pop() {
            match node.set {
                Set::Everyone => {}
                Set::All { of: inner, without: inner_without } => {
                    of.extend(inner);
                    without.extend(inner_without);
                }
                Set::Ranks(_) | Set::Any(_) => kept.push(node),
            }
        } else if let Some(node) = without.pop() {
            match node.set {
                Set::Everyone => return Node::nobody(),
                Set::Ranks(more) => ranks_without.extend(more),
                Set::Any(inner) => without.extend(inner),
                // Every set lies within everyone: to leave out the complement of a set is to keep the set.
                Set::All { of: inner, without: kept } if inner.iter().all(Node::is_everyone) => of.push(any(kept)),
                Set::All { .. } => others_without.push(node),
            }
        } else {
            break;
        }
    }
    if kept.iter().any(Node::is_nobody) {
        return Node::nobody();
    }
    if !ranks_without.is_empty() {
        others_without.push(any(vec![Set::Ranks(ranks_without).into()]));
    }
    if kept.is_empty() {
        kept.push(Set::Everyone.into());
    }
    if kept.len() == 1 && others_without.is_empty() {
        return kept.swap_remove(0);
    }
    Set::All { of: kept, without: others_without }.into()
}

/// Counts a plan block by block. It allocates only while its stack of bitmaps grows to the plan's depth.
pub struct Evaluator<'s> {
    shard: &'s Shard,
    sweep: &'s Sweep,
    plan: Plan,
    result: Bits,
    spare: Vec<Bits>,
}

impl<'s> Evaluator<'s> {
    /// An evaluator of `plan`, which was made for `shard`, among those whom `sweep` leaves alive.
    pub fn new(plan: Plan, shard: &'s Shard, sweep: &'s Sweep) -> Self {
        Evaluator { shard, sweep, plan, result: Bits::empty(), spare: Vec::new() }
    }

    /// How many visitors of the block are in the set. A block where a bound shows that nobody can be is not looked at.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn count(&mut self, block: usize) -> Result<u32, ImageError> {
        let Evaluator { shard, sweep, plan, result, spare } = self;
        if estimate(&mut plan.0, shard, block) == 0 {
            return Ok(0);
        }
        let mut at = BlockOf { shard, sweep, block, spare };
        at.fill(&plan.0, result)?;
        Ok(result.count())
    }
}

/// Bounds every node for this block and puts the smallest operands of conjunctions first.
///
/// What stands behind an operand that is empty here keeps an old bound: nothing looks at it.
fn estimate(node: &mut Node, shard: &Shard, block: usize) -> u32 {
    let everyone = shard.block_len(block);
    node.bound = match &mut node.set {
        Set::Everyone => everyone,
        Set::Ranks(ranks) => at_most(everyone, ranks.iter().map(|&rank| shard.upper_bound(block, rank))),
        Set::Any(sets) => {
            // Not short-circuited: each operand's own bound is looked at later.
            let sum = sets.iter_mut().fold(0, |sum: u32, set| sum.saturating_add(estimate(set, shard, block)));
            sum.min(everyone)
        }
        Set::All { of, without } => {
            if of.iter_mut().any(|set| estimate(set, shard, block) == 0) {
                0
            } else {
                of.sort_unstable_by_key(|set| set.bound);
                for set in without {
                    estimate(set, shard, block);
                }
                of.first().map_or(everyone, |smallest| smallest.bound)
            }
        }
    };
    node.bound
}

/// The sum, or `limit` as soon as it is reached.
fn at_most(limit: u32, mut terms: impl Iterator<Item = u32>) -> u32 {
    let reached = terms.try_fold(0_u32, |sum, term| {
        let sum = sum.saturating_add(term);
        if sum < limit { Ok(sum) } else { Err(limit) }
    });
    reached.unwrap_or_else(|limit| limit)
}

/// One block of a shard, and bitmaps to work in.
struct BlockOf<'a> {
    shard: &'a Shard,
    sweep: &'a Sweep,
    block: usize,
    spare: &'a mut Vec<Bits>,
}

impl BlockOf<'_> {
    /// Makes `into` the set of the node, whatever it held.
    fn fill(&mut self, node: &Node, into: &mut Bits) -> Result<(), ImageError> {
        let Set::All { of, without } = &node.set else {
            into.clear();
            return self.apply(node, into, Op::Or);
        };
        let Some((first, rest)) = of.split_first() else { return Ok(()) };
        self.fill(first, into)?;
        for set in rest {
            if into.is_empty() {
                return Ok(());
            }
            self.apply(set, into, Op::And)?;
        }
        without.iter().try_for_each(|set| self.apply(set, into, Op::AndNot))
    }

    /// Joins the set of the node onto `into`. Unions are joined piece by piece where the operator allows it.
    fn apply(&mut self, node: &Node, into: &mut Bits, op: Op) -> Result<(), ImageError> {
        let by_pieces = matches!(op, Op::Or | Op::AndNot);
        if node.bound == 0 && by_pieces {
            return Ok(());
        }
        match &node.set {
            Set::Everyone => self.shard.everyone(self.block, self.sweep, into, op),
            Set::Ranks(ranks) if by_pieces || ranks.len() == 1 => {
                ranks.iter().try_for_each(|&rank| self.shard.members(self.block, rank, self.sweep, into, op))
            }
            Set::Any(sets) if by_pieces => sets.iter().try_for_each(|set| self.apply(set, into, op)),
            Set::Ranks(_) | Set::Any(_) | Set::All { .. } => {
                let mut own = self.spare.pop().unwrap_or_else(Bits::empty);
                let filled = self.fill(node, &mut own);
                into.fold(&own, op);
                self.spare.push(own);
                filled
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Leaf, Node, Set, at_most, resolve};
    use crate::ask::parse::parse;

    /// The normal form, where the names `a` to `f` have the ranks 0 to 5, `x.*` means `a` to `c`, and others nobody.
    fn planned(text: &str) -> String {
        let mut ranks = |leaf: Leaf<'_>| match leaf {
            Leaf::Segment(name) => "abcdef".find(name).map(|rank| rank as u32).into_iter().collect(),
            Leaf::Prefix("x.") => vec![0, 1, 2],
            Leaf::Prefix(_) => Vec::new(),
        };
        shown(&resolve(&parse(text).unwrap(), &mut ranks))
    }

    fn shown(node: &Node) -> String {
        let list = |nodes: &[Node]| {
            let mut texts: Vec<String> = nodes.iter().map(shown).collect();
            texts.sort();
            texts.join(" ")
        };
        match &node.set {
            Set::Everyone => "everyone".to_owned(),
            Set::Ranks(ranks) => format!("{ranks:?}"),
            Set::Any(sets) => format!("any({})", list(sets)),
            Set::All { of, without } if without.is_empty() => format!("all({})", list(of)),
            Set::All { of, without } => format!("all({} without {})", list(of), list(without)),
        }
    }

    #[test]
    fn plans_are_in_normal_form() {
        for (text, plan) in [
            ("a", "[0]"),
            ("x.*", "[0, 1, 2]"),
            ("nobody", "[]"),
            ("b or x.* or d or a", "[0, 1, 2, 3]"),
            ("a or (b or (c and d)) or nobody", "any([0, 1] all([2] [3]))"),
            ("nobody or (c and d)", "all([2] [3])"),
            ("a and (b and (c or d))", "all([0] [1] [2, 3])"),
            ("a and nobody", "[]"),
            ("a and not nobody", "[0]"),
            ("a and not b and not (c or d)", "all([0] without [1, 2, 3])"),
            ("a and not (b and c)", "all([0] without all([1] [2]))"),
            ("not a", "all(everyone without [0])"),
            ("not a and not b", "all(everyone without [0, 1])"),
            ("not nobody", "everyone"),
            ("a or not nobody", "everyone"),
            ("a and not not nobody", "[]"),
            ("not not a", "[0]"),
            ("not not not (a and b)", "all(everyone without all([0] [1]))"),
            ("c and not (not a and not b)", "all([0, 1] [2])"),
            ("c and not not (a and b)", "all([0] [1] [2])"),
            ("not (not a or b)", "all([0] without [1])"),
            ("a or not b", "any([0] all(everyone without [1]))"),
        ] {
            assert_eq!(planned(text), plan, "{text}");
        }
    }

    #[test]
    fn bounds_stop_at_their_limit() {
        assert_eq!(at_most(9, [3, 4].into_iter()), 7);
        assert_eq!(at_most(9, [3, 7, 1].into_iter()), 9);
        assert_eq!(at_most(u32::MAX, [u32::MAX, 5].into_iter()), u32::MAX);
        assert_eq!(at_most(0, std::iter::empty()), 0);
    }
}
