//! How one shard answers an expression: names become ranks, operators become a few set operations a block.
//!
//! A [`Plan`] is in normal form. Leaves of one union are one list of ranks; `and`s within `and`s and `or`s within `or`s
//! are one; an operand that is nobody or everyone in this shard is gone; and complements stand only inside a
//! conjunction, as what it is without, so that `a and not b` never builds the complement of `b`. As a [`Conjunction`] it
//! is counted block by block.

use usher_index::Shard;

use super::expr::Expr;

/// An expression in the terms of one shard.
#[derive(Clone, Debug)]
pub struct Plan {
    node: Node,
    knows_all: bool,
}

/// A set of live visitors of the shard.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node(Set);

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
        Node(set)
    }
}

impl Plan {
    /// Resolves the names of `expr` in `shard`. Time: a search a name, and the number of segments of each prefix.
    pub fn new(expr: &Expr, shard: &Shard) -> Self {
        let mut knows_all = true;
        let node = resolve(expr, &mut |leaf| {
            let ranks = match leaf {
                Leaf::Segment(name) => shard.rank(name).map_or(Vec::new(), |rank| vec![rank]),
                Leaf::Prefix(prefix) => shard.ranks_with_prefix(prefix),
            };
            knows_all &= !ranks.is_empty();
            ranks
        });
        Plan { node, knows_all }
    }

    /// Whether the shard has a segment for every name and prefix.
    pub fn knows_all(&self) -> bool {
        self.knows_all
    }

    /// Whether no visitor of the shard can be in it.
    pub fn is_nobody(&self) -> bool {
        self.node.is_nobody()
    }
}

impl Node {
    fn nobody() -> Self {
        Set::Ranks(Vec::new()).into()
    }

    fn is_nobody(&self) -> bool {
        matches!(&self.0, Set::Ranks(ranks) if ranks.is_empty())
    }

    fn is_everyone(&self) -> bool {
        self.0 == Set::Everyone
    }
}

enum Leaf<'e> {
    Segment(&'e str),
    Prefix(&'e str),
}

fn resolve(expr: &Expr, ranks: &mut impl FnMut(Leaf<'_>) -> Vec<u32>) -> Node {
    match expr {
        Expr::Segment(name) => Set::Ranks(ranks(Leaf::Segment(name))).into(),
        Expr::Audience(_) => Node::nobody(),
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
        match node.0 {
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
            match node.0 {
                Set::Everyone => {}
                Set::All { of: inner, without: inner_without } => {
                    of.extend(inner);
                    without.extend(inner_without);
                }
                Set::Ranks(_) | Set::Any(_) => kept.push(node),
            }
        } else if let Some(node) = without.pop() {
            match node.0 {
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

impl Plan {
    /// The plan as unions and intersections of ranks, where *everyone* is the rank `everyone`.
    pub fn into_conjunction(self, everyone: u32) -> Conjunction {
        conjunction(self.node, everyone)
    }
}

/// Who is in every union of `of`, at least one, and not in `without`.
#[derive(Clone, Debug, Default)]
pub struct Conjunction {
    /// The unions.
    pub of: Vec<Union>,
    /// Who is left out.
    pub without: Union,
}

/// Who is in a segment of one of the ranks, or in one of the conjunctions.
#[derive(Clone, Debug, Default)]
pub struct Union {
    /// Ranks of segments, or of *everyone*.
    pub ranks: Vec<u32>,
    /// What is no segment.
    pub nested: Vec<Conjunction>,
}

impl Conjunction {
    /// Calls `each` for every rank, repeated ones too.
    pub fn each_rank(&self, each: &mut impl FnMut(u32)) {
        for union in self.of.iter().chain([&self.without]) {
            union.ranks.iter().for_each(|&rank| each(rank));
            union.nested.iter().for_each(|nested| nested.each_rank(each));
        }
    }
}

fn conjunction(node: Node, everyone: u32) -> Conjunction {
    let Set::All { of, without } = node.0 else {
        return Conjunction { of: vec![union([node], everyone)], without: Union::default() };
    };
    Conjunction { of: of.into_iter().map(|node| union([node], everyone)).collect(), without: union(without, everyone) }
}

fn union(nodes: impl IntoIterator<Item = Node>, everyone: u32) -> Union {
    let mut joined = Union::default();
    for node in nodes {
        match node.0 {
            Set::Everyone => joined.ranks.push(everyone),
            Set::Ranks(ranks) if joined.ranks.is_empty() => joined.ranks = ranks,
            Set::Ranks(ranks) => joined.ranks.extend(ranks),
            Set::Any(sets) => {
                let inner = union(sets, everyone);
                joined.ranks.extend(inner.ranks);
                joined.nested.extend(inner.nested);
            }
            Set::All { .. } => joined.nested.push(conjunction(node, everyone)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::{Leaf, Node, Set, resolve};
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
        match &node.0 {
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
}
