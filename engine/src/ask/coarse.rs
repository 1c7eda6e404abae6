//! Questions that differ by a few people become one question: what hardly changes its part of an expression is left out.
//!
//! Else whoever may ask for sizes could ask with and without one visitor's peculiarities, and read the difference.

use super::expr::Expr;

/// An expression without what hardly matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coarse {
    /// What is left; an `And` of nothing when it means everyone.
    pub expression: Expr,
    /// The operands that were left out, in the order of their texts.
    pub ignored: Vec<String>,
}

/// Leaves out, from the innermost node to the outermost, operands whose effect on their node, together, is below `floor`
/// visitors. They are tried in the order of their texts, so that another order of words changes nothing; a node keeps one,
/// and one below the floor keeps all.
/// `prefix.*` is one operand. `count` tells how many visitors an expression means.
///
/// Time: at most a count for each operand, and one for each node.
///
/// # Errors
/// Those of `count`.
pub fn coarsen<E>(expr: &Expr, floor: u64, count: &mut impl FnMut(&Expr) -> Result<u64, E>) -> Result<Coarse, E> {
    let mut ignored = Vec::new();
    let expression = coarse(expr, floor, count, &mut ignored)?;
    ignored.sort_unstable();
    ignored.dedup();
    Ok(Coarse { expression, ignored })
}

fn coarse<E>(
    expr: &Expr,
    floor: u64,
    count: &mut impl FnMut(&Expr) -> Result<u64, E>,
    ignored: &mut Vec<String>,
) -> Result<Expr, E> {
    match expr {
        Expr::Segment(_) | Expr::Prefix(_) | Expr::Audience(_) | Expr::Within { .. } => Ok(expr.clone()),
        Expr::Not(operand) => {
            let inner = coarse(operand, floor, count, ignored)?;
            if count(&inner)? < floor {
                ignored.push(format!("not {}", in_words(operand)));
                return Ok(Expr::And(Vec::new()));
            }
            Ok(Expr::Not(Box::new(inner)))
        }
        Expr::And(operands) => thin(operands, 1, &Expr::And, floor, count, ignored),
        Expr::Or(operands) => thin(operands, 1, &Expr::Or, floor, count, ignored),
        Expr::AtLeast { n, of } => {
            let node = |of: Vec<Expr>| Expr::AtLeast { n: *n, of };
            thin(of, *n as usize, &node, floor, count, ignored)
        }
    }
}

fn thin<E>(
    operands: &[Expr],
    least: usize,
    node: &dyn Fn(Vec<Expr>) -> Expr,
    floor: u64,
    count: &mut impl FnMut(&Expr) -> Result<u64, E>,
    ignored: &mut Vec<String>,
) -> Result<Expr, E> {
    let mut kept = Vec::with_capacity(operands.len());
    for operand in operands {
        kept.push((operand.to_string(), coarse(operand, floor, count, ignored)?));
    }
    kept.sort_by_cached_key(|(_, operand)| operand.to_string());
    let all = |kept: &[(String, Expr)]| node(kept.iter().map(|(_, operand)| operand.clone()).collect());
    let visitors = count(&all(&kept))?;
    // Of a node below the floor nothing is told but that; and leaving out parts of it would make it larger than it is.
    if visitors < floor {
        return Ok(all(&kept));
    }
    let mut place = 0;
    while place < kept.len() && kept.len() > least.max(1) {
        let mut without = kept.clone();
        without.remove(place);
        let left = count(&all(&without))?;
        // One set holds the other, so the difference of the counts is the count of the difference: of all that is left out
        // together, so that many small parts do not add up to a large one.
        if left.abs_diff(visitors) < floor {
            ignored.push(kept[place].0.clone());
            kept = without;
        } else {
            place += 1;
        }
    }
    Ok(if kept.len() == 1 && least <= 1 { kept.swap_remove(0).1 } else { all(&kept) })
}

/// An operand of a `not`, with the parentheses that it needs there.
fn in_words(operand: &Expr) -> String {
    let text = Expr::Not(Box::new(operand.clone())).to_string();
    text.strip_prefix("not ").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Coarse, coarsen};
    use crate::ask::expr::Expr;
    use crate::ask::parse::parse;

    /// 1,000 visitors: `a` are the first 500, `b` the even ones, `few` five of them, `many` everyone, `most` all but three.
    fn members(expr: &Expr) -> BTreeSet<u32> {
        let everyone = || (0..1_000).collect::<BTreeSet<u32>>();
        match expr {
            Expr::Segment(name) => everyone()
                .into_iter()
                .filter(|visitor| match name.as_str() {
                    "a" => *visitor < 500,
                    "b" => visitor % 2 == 0,
                    "few" => visitor % 200 == 7,
                    "most" => *visitor > 2,
                    // Each leaves out sixty of `a`, and not the same.
                    "late" => *visitor >= 60,
                    "later" => !(60..120).contains(visitor),
                    _ => true,
                })
                .collect(),
            Expr::Or(operands) => operands.iter().flat_map(members).collect(),
            Expr::And(operands) => operands.iter().map(members).fold(everyone(), |all, set| &all & &set),
            Expr::Not(operand) => &everyone() - &members(operand),
            Expr::AtLeast { n, of } => {
                let sets: Vec<_> = of.iter().map(members).collect();
                let held = |visitor: &u32| sets.iter().filter(|set| set.contains(visitor)).count() as u32 >= *n;
                everyone().into_iter().filter(held).collect()
            }
            other => panic!("{other}"),
        }
    }

    fn coarse(text: &str) -> (String, Vec<String>) {
        let expr = parse(text).unwrap();
        let Coarse { expression, ignored } =
            coarsen(&expr, 100, &mut |expr| Ok::<_, ()>(members(expr).len() as u64)).unwrap();
        let text = if expression == Expr::And(Vec::new()) { "everyone".to_owned() } else { expression.to_string() };
        (text, ignored)
    }

    #[test]
    fn what_changes_a_few_visitors_is_left_out() {
        for (text, expected, ignored) in [
            ("a and b", "a and b", vec![]),
            ("few", "few", vec![]),
            ("a or few", "a", vec!["few"]),
            ("few or a", "a", vec!["few"]),
            ("a and not few", "a", vec!["not few"]),
            ("most and a", "a", vec!["most"]),
            ("a and (b or few)", "a and b", vec!["few"]),
            ("not few", "everyone", vec!["not few"]),
            ("not a", "not a", vec![]),
            ("at least 1 of (a, few)", "a", vec!["few"]),
            ("at least 2 of (a, b, few)", "at least 2 of (a, b)", vec!["few"]),
            ("at least 2 of (a, few)", "at least 2 of (a, few)", vec![]),
            ("few and a and b", "a and b and few", vec![]),
            ("a and most and many", "a", vec!["many", "most"]),
            ("a and late and later", "a and later", vec!["late"]),
        ] {
            let (found, left_out) = coarse(text);
            assert_eq!(
                (found.as_str(), left_out),
                (expected, ignored.iter().map(ToString::to_string).collect()),
                "{text}"
            );
        }
    }

    #[test]
    fn the_order_of_words_changes_nothing() {
        let one = coarse("(few or a) and b and not few");
        assert_eq!(one, coarse("not few and b and (a or few)"));
        assert_eq!(one.0, "a and b");
    }
}
