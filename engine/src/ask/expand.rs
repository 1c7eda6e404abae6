//! Audiences in an expression, replaced by what their names stand for.

use thiserror::Error;

use super::expr::{Binding, Expr};
use super::nearest::Nearest;
use super::parse::{MAX_DEPTH, MAX_EXPRESSION_BYTES, MAX_LEAVES};
use super::unknown::{MAX_SUGGESTIONS, Unknown};

/// Why the audiences of an expression cannot be put in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExpandError {
    /// An audience is part of itself.
    #[error("the audience `{name}` is part of itself: {path}; take one of them out of the one before it")]
    Cycle {
        /// Its name.
        name: String,
        /// The names from it back to it: `a -> b -> a`.
        path: String,
    },
    /// More than the language allows.
    #[error("with its audiences put in, the expression {found}; at most {bound} are allowed: take some out{}", at(.path))]
    Limit {
        /// What it has, as it goes on behind *the expression*.
        found: String,
        /// How many there may be.
        bound: usize,
        /// The audience within an audience where that was found; empty: in the expression itself or everywhere.
        path: String,
    },
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(", or change `{path}`") }
}

/// An expression with every audience that `audience` knows put in its place, and those within them. What is unknown stays,
/// and means nobody: [`suggest`] finds the name that was meant.
///
/// Time: linear in the result, and what `audience` takes for each name.
///
/// # Errors
/// When an audience is part of itself, or the result has more than [`MAX_LEAVES`] leaves, is deeper than [`MAX_DEPTH`] or
/// longer than [`MAX_EXPRESSION_BYTES`]: what comes out could also have been written.
pub fn expand(expr: &Expr, audience: &dyn Fn(&str) -> Option<Expr>) -> Result<Expr, ExpandError> {
    let mut walk = Walk { audience, path: Vec::new(), leaves: 0 };
    // Nothing stands around it, as in the parentheses of an `at least`.
    let expanded = walk.expand(expr, Binding::Leaf, 0)?;
    let bytes = expanded.to_string().len();
    if bytes > MAX_EXPRESSION_BYTES {
        return Err(walk.limit(format!("is {bytes} bytes long"), MAX_EXPRESSION_BYTES));
    }
    Ok(expanded)
}

/// Looks for the audience that was meant by each name with an `@`, as far as names have a suggestion.
pub fn suggest<'n>(unknown: &mut [Unknown], audiences: &(impl Iterator<Item = &'n str> + Clone)) {
    for unknown in unknown.iter_mut().take(MAX_SUGGESTIONS).filter(|unknown| unknown.nearest.is_none()) {
        let Some(name) = unknown.name.strip_prefix('@') else { continue };
        let mut search = Nearest::new(name);
        audiences.clone().for_each(|audience| search.offer(audience));
        unknown.nearest = search.finish().map(|name| format!("@{name}"));
    }
}

struct Walk<'c> {
    audience: &'c dyn Fn(&str) -> Option<Expr>,
    /// The audiences around the present place.
    path: Vec<String>,
    leaves: usize,
}

impl Walk<'_> {
    /// `joint` is the operator around the place, `depth` the parentheses and `not`s.
    fn expand(&mut self, expr: &Expr, joint: Binding, depth: usize) -> Result<Expr, ExpandError> {
        if let Expr::Audience(name) = expr
            && let Some(found) = self.enter(name)?
        {
            let expanded = self.expand(&found, joint, depth);
            self.path.pop();
            return expanded;
        }
        let depth = depth
            + usize::from(expr.binding() < joint.least_within())
            + usize::from(matches!(expr, Expr::Not(_) | Expr::AtLeast { .. }));
        if depth > MAX_DEPTH {
            return Err(self.limit("is too deep in parentheses and `not`s".to_owned(), MAX_DEPTH));
        }
        Ok(match expr {
            Expr::Segment(_) | Expr::Prefix(_) | Expr::Audience(_) | Expr::Within { .. } => {
                self.leaves += 1;
                if self.leaves > MAX_LEAVES {
                    return Err(self.limit("has too many segments, prefixes and audiences".to_owned(), MAX_LEAVES));
                }
                expr.clone()
            }
            Expr::And(operands) => Expr::And(self.each(operands, Binding::And, depth)?),
            Expr::Or(operands) => Expr::Or(self.each(operands, Binding::Or, depth)?),
            Expr::AtLeast { n, of } => Expr::AtLeast { n: *n, of: self.each(of, Binding::Leaf, depth)? },
            Expr::Not(operand) => Expr::Not(Box::new(self.expand(operand, Binding::Not, depth)?)),
        })
    }

    fn each(&mut self, operands: &[Expr], joint: Binding, depth: usize) -> Result<Vec<Expr>, ExpandError> {
        operands.iter().map(|operand| self.expand(operand, joint, depth)).collect()
    }

    /// What the name stands for, and the name added to the path.
    fn enter(&mut self, name: &str) -> Result<Option<Expr>, ExpandError> {
        if let Some(first) = self.path.iter().position(|around| around == name) {
            let path = self.path[first..].iter().map(String::as_str).chain([name]);
            let path = path.collect::<Vec<_>>().join(" -> ");
            return Err(ExpandError::Cycle { name: name.to_owned(), path });
        }
        let Some(found) = (self.audience)(name) else { return Ok(None) };
        if self.path.len() == MAX_DEPTH {
            return Err(self.limit("has too many audiences within audiences".to_owned(), MAX_DEPTH));
        }
        self.path.push(name.to_owned());
        Ok(Some(found))
    }

    fn limit(&self, found: String, bound: usize) -> ExpandError {
        ExpandError::Limit { found, bound, path: self.path.join(" -> ") }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{ExpandError, MAX_DEPTH, expand, suggest};
    use crate::ask::expr::Expr;
    use crate::ask::parse::parse;
    use crate::ask::sample::Dice;
    use crate::ask::unknown::Unknown;

    fn catalogue(audiences: &[(&str, &str)]) -> HashMap<String, Expr> {
        audiences.iter().map(|(name, text)| ((*name).to_owned(), parse(text).unwrap())).collect()
    }

    fn expanded(text: &str, audiences: &[(&str, &str)]) -> Result<String, ExpandError> {
        let catalogue = catalogue(audiences);
        expand(&parse(text).unwrap(), &|name| catalogue.get(name).cloned()).map(|expr| expr.to_string())
    }

    #[test]
    fn audiences_are_put_in_with_parentheses_where_they_are_needed() {
        let audiences =
            [("either", "a or b"), ("both", "a and b"), ("deep", "not @either and c"), ("one", "z within 1 day")];
        for (text, expected) in [
            ("@either", "a or b"),
            ("@either and @both", "(a or b) and (a and b)"),
            ("@either or x", "(a or b) or x"),
            ("@both or x", "a and b or x"),
            ("not @both", "not (a and b)"),
            ("not @one", "not z within 1 day"),
            ("@deep or @nobody", "not (a or b) and c or @nobody"),
            (
                "at least 2 of (@either, @deep, x within 2 days)",
                "at least 2 of (a or b, not (a or b) and c, x within 2 days)",
            ),
        ] {
            let found = expanded(text, &audiences).unwrap();
            assert_eq!(found, expected, "{text}");
            assert!(parse(&found).is_ok());
        }
    }

    #[test]
    fn an_audience_within_itself_is_told_with_the_way_back() {
        let audiences = [("x", "s or @a"), ("a", "p and @b"), ("b", "not @a"), ("self", "@self")];
        let cycle = |text| match expanded(text, &audiences).unwrap_err() {
            ExpandError::Cycle { name, path } => (name, path),
            other => panic!("{other}"),
        };
        assert_eq!(cycle("@x"), ("a".to_owned(), "a -> b -> a".to_owned()));
        assert_eq!(cycle("q and @self"), ("self".to_owned(), "self -> self".to_owned()));
        assert_eq!(expanded("@a", &audiences[..2]).unwrap(), "p and @b");
        let twice = [("a", "@c or @b"), ("b", "@c"), ("c", "s")];
        assert_eq!(expanded("@a and @a", &twice).unwrap(), "(s or s) and (s or s)", "twice is no cycle");
    }

    #[test]
    fn what_comes_out_is_within_the_limits_of_the_language() {
        let refused = |text: &str, audiences: &[(&str, &str)]| match expanded(text, audiences).unwrap_err() {
            ExpandError::Limit { found, bound, path } => (found, bound, path),
            other => panic!("{other}"),
        };
        // Each doubles the one before: 2^40 leaves, if anybody wrote them out.
        let names: Vec<String> = (0..=40).map(|i| format!("d{i}")).collect();
        let texts: Vec<String> =
            (0..40).map(|i| format!("@d{} or @d{}", i + 1, i + 1)).chain(["s".to_owned()]).collect();
        let doubled: Vec<(&str, &str)> = names.iter().zip(&texts).map(|(name, text)| (&**name, &**text)).collect();
        assert_eq!(refused("@d0", &doubled).1, 256);
        assert!(expanded("@d32", &doubled).is_ok() && expanded("@d31", &doubled).is_err());

        let nots = |n: usize| format!("{}@x", "not ".repeat(n));
        assert!(expanded(&nots(MAX_DEPTH - 1), &[("x", "a or b")]).is_ok());
        let (_, bound, path) = refused(&nots(MAX_DEPTH), &[("x", "a or b")]);
        assert_eq!((bound, path.as_str()), (MAX_DEPTH, "x"));
        assert!(expanded(&nots(MAX_DEPTH), &[("x", "a")]).is_ok());

        let long = format!("\"{}\"", "é".repeat(128));
        let six = [long.as_str(); 6].join(" or ");
        assert!(expanded("@x or @x", &[("x", &six)]).is_ok());
        assert!(refused("@x or @x or @x", &[("x", &six)]).0.contains("bytes long"));

        let chain: Vec<(String, String)> = (0..100).map(|i| (format!("c{i}"), format!("@c{}", i + 1))).collect();
        let chain: Vec<(&str, &str)> = chain.iter().map(|(name, text)| (&**name, &**text)).collect();
        assert!(refused("@c0", &chain).0.contains("within audiences"));
        assert_eq!(expanded("@c50", &chain).unwrap(), "@c100");
    }

    /// Random audiences, each of those after it: what comes out means the same and could have been written.
    #[test]
    fn random_expansions_can_be_written() {
        let mut refused = 0;
        for seed in 0..2_000 {
            let mut dice = Dice(seed);
            let catalogue: HashMap<String, Expr> = (0..6)
                .map(|i| {
                    let leaf = |dice: &mut Dice| match dice.below(3) {
                        0 => Expr::Audience(format!("n{}", i + 1 + dice.below(6))),
                        _ => Expr::Segment("s".repeat(1 + dice.below(3) as usize)),
                    };
                    (format!("n{i}"), dice.tree(2, &leaf))
                })
                .collect();
            match expand(&Expr::Audience("n0".to_owned()), &|name| catalogue.get(name).cloned()) {
                Ok(tree) => assert_eq!(parse(&tree.to_string()).as_ref(), Ok(&tree), "seed {seed}: {tree}"),
                Err(ExpandError::Limit { .. }) => refused += 1,
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        assert!(refused < 1_000, "{refused}");
    }

    #[test]
    fn the_audience_that_was_meant_is_found() {
        let name = |name: &str| Unknown { name: name.to_owned(), nearest: None };
        let mut unknown = [name("@autum"), name("@zzz"), name("autum")];
        suggest(&mut unknown, &["winter", "autumn"].into_iter());
        assert_eq!(unknown.map(|unknown| unknown.nearest), [Some("@autumn".to_owned()), None, None]);
    }
}
