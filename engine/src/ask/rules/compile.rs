//! From an expression to code for one visitor, and to the segments of which every member has one.
//!
//! Code is the tree in prefix order, a word a node, so that an operand is passed over by its length.

use super::numbers::Numbers;
use crate::ask::expr::Expr;

/// A node: the kind in the low bits, above them a number, or the words of its operands.
pub(super) type Word = u32;

const KIND_BITS: u32 = 3;
const LEAF: Word = 0;
const AND: Word = 1;
const OR: Word = 2;
const NOT: Word = 3;
/// Followed by a word with the number of operands that it takes.
const AT_LEAST: Word = 4;

/// Appends the code of an expression without audiences.
pub(super) fn compile(expr: &Expr, numbers: &Numbers, into: &mut Vec<Word>) {
    match expr {
        Expr::Segment(name) => into.push(numbers.segment(name) << KIND_BITS | LEAF),
        Expr::Prefix(prefix) => into.push(numbers.prefix(prefix) << KIND_BITS | LEAF),
        Expr::And(operands) => node(AND, None, operands, numbers, into),
        Expr::Or(operands) => node(OR, None, operands, numbers, into),
        Expr::Audience(_) => into.push(OR),
        Expr::Not(operand) => {
            into.push(NOT);
            compile(operand, numbers, into);
        }
    }
}

fn node(kind: Word, least: Option<u32>, operands: &[Expr], numbers: &Numbers, into: &mut Vec<Word>) {
    let place = into.len();
    into.push(kind);
    into.extend(least);
    for operand in operands {
        compile(operand, numbers, into);
    }
    into[place] |= ((into.len() - place - 1) as Word) << KIND_BITS;
}

/// Whether a visitor is meant who has the numbers of which `has` is true. `at` is moved behind the expression.
pub(super) fn holds(code: &[Word], at: &mut usize, has: &impl Fn(u32) -> bool) -> bool {
    let word = code[*at];
    *at += 1;
    let above = word >> KIND_BITS;
    let kind = word & ((1 << KIND_BITS) - 1);
    if kind == LEAF {
        return has(above);
    }
    if kind == NOT {
        return !holds(code, at, has);
    }
    let end = *at + above as usize;
    let answer = match kind {
        AND => loop {
            if *at == end {
                break true;
            }
            if !holds(code, at, has) {
                break false;
            }
        },
        OR => loop {
            if *at == end {
                break false;
            }
            if holds(code, at, has) {
                break true;
            }
        },
        _ => {
            let mut left = code[*at];
            *at += 1;
            while left > 0 && *at < end {
                left -= u32::from(holds(code, at, has));
            }
            left == 0
        }
    };
    *at = end;
    answer
}

/// Numbers of which every member of a set has at least one, and how many visitors have one at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Required {
    pub(super) numbers: Vec<u32>,
    pub(super) visitors: u64,
}

/// The rarest that is found; `None` when nothing of the kind is required. `size` tells about how many visitors have a
/// segment or prefix.
pub(super) fn required(expr: &Expr, numbers: &Numbers, size: &impl Fn(&Expr) -> u64) -> Option<Required> {
    match expr {
        Expr::Segment(name) => Some(Required { numbers: vec![numbers.segment(name)], visitors: size(expr) }),
        Expr::Prefix(prefix) => Some(Required { numbers: vec![numbers.prefix(prefix)], visitors: size(expr) }),
        Expr::And(operands) => {
            let each = operands.iter().filter_map(|operand| required(operand, numbers, size));
            each.min_by_key(|required| required.visitors)
        }
        Expr::Or(operands) => {
            let each: Option<Vec<_>> = operands.iter().map(|operand| required(operand, numbers, size)).collect();
            each.map(joined)
        }
        Expr::Not(_) | Expr::Audience(_) => None,
    }
}

fn joined(each: Vec<Required>) -> Required {
    let visitors = each.iter().map(|required| required.visitors).sum();
    let mut numbers: Vec<u32> = each.into_iter().flat_map(|required| required.numbers).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Required { numbers, visitors }
}
