//! From an expression to code for one visitor, and to the segments of which every member has one.
//!
//! Code is the tree in prefix order, a word a node, so that an operand is passed over by its length.

use usher_index::Span;

use super::numbers::Numbers;
use crate::ask::expr::Expr;

/// A node: the kind in the low bits, above them a number, or the words of its operands.
pub(super) type Word = u32;

const KIND_BITS: u32 = 3;
const LEAF: Word = 0;
const AND: Word = 1;
/// Of nothing: nobody.
const OR: Word = 2;
const NOT: Word = 3;
/// A word with the least number of operands comes before them.
const AT_LEAST: Word = 4;
/// A word with the span's seconds follows.
const WITHIN: Word = 5;

/// A visitor, as code asks about one.
pub(super) trait Facts {
    /// Whether he or she has a live membership that goes by this number.
    fn has(&self, number: u32) -> bool;

    /// Whether one of those was observed within the span before now.
    fn has_recent(&self, number: u32, span: Span) -> bool;
}

/// Appends the code of an expression. An audience in it, which nothing stands for, is nobody.
pub(super) fn compile(expr: &Expr, numbers: &Numbers, into: &mut Vec<Word>) {
    match expr {
        Expr::Segment(_) | Expr::Prefix(_) | Expr::Audience(_) => match number(expr, numbers) {
            Some(number) => into.push(number << KIND_BITS | LEAF),
            None => into.push(OR),
        },
        Expr::Within { of, span } => match number(of, numbers) {
            Some(number) => into.extend([number << KIND_BITS | WITHIN, span.secs()]),
            None => into.push(OR),
        },
        Expr::And(operands) => node(AND, None, operands, numbers, into),
        Expr::Or(operands) => node(OR, None, operands, numbers, into),
        Expr::AtLeast { n, of } => node(AT_LEAST, Some(*n), of, numbers, into),
        Expr::Not(operand) => {
            into.push(NOT);
            compile(operand, numbers, into);
        }
    }
}

fn number(leaf: &Expr, numbers: &Numbers) -> Option<u32> {
    match leaf {
        Expr::Segment(name) => Some(numbers.segment(name)),
        Expr::Prefix(prefix) => Some(numbers.prefix(prefix)),
        _ => None,
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

/// Whether the visitor is meant. `at` is moved behind the expression.
pub(super) fn holds(code: &[Word], at: &mut usize, visitor: &impl Facts) -> bool {
    let word = code[*at];
    *at += 1;
    let above = word >> KIND_BITS;
    let kind = word & ((1 << KIND_BITS) - 1);
    match kind {
        LEAF => return visitor.has(above),
        NOT => return !holds(code, at, visitor),
        WITHIN => {
            let span = Span::from_secs(code[*at]);
            *at += 1;
            return visitor.has(above) && visitor.has_recent(above, span);
        }
        _ => {}
    }
    let end = *at + above as usize;
    let answer = match kind {
        AND => all(code, at, end, visitor),
        OR => any(code, at, end, visitor),
        _ => {
            let mut left = code[*at];
            *at += 1;
            while left > 0 && *at < end {
                left -= u32::from(holds(code, at, visitor));
            }
            left == 0
        }
    };
    *at = end;
    answer
}

fn all(code: &[Word], at: &mut usize, end: usize, visitor: &impl Facts) -> bool {
    while *at < end {
        if !holds(code, at, visitor) {
            return false;
        }
    }
    true
}

fn any(code: &[Word], at: &mut usize, end: usize, visitor: &impl Facts) -> bool {
    while *at < end {
        if holds(code, at, visitor) {
            return true;
        }
    }
    false
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
        Expr::Segment(_) | Expr::Prefix(_) | Expr::Audience(_) => {
            let visitors = size(expr);
            Some(Required { numbers: number(expr, numbers).into_iter().collect(), visitors })
        }
        Expr::Within { of, .. } => required(of, numbers, size),
        Expr::And(operands) => {
            let each = operands.iter().filter_map(|operand| required(operand, numbers, size));
            each.min_by_key(|required| required.visitors)
        }
        Expr::Or(operands) => {
            let each: Option<Vec<_>> = operands.iter().map(|operand| required(operand, numbers, size)).collect();
            each.map(joined)
        }
        Expr::AtLeast { n, of } => {
            // Whoever lacks all but `n - 1` of the operands lacks too many: so many have one that a member has.
            let enough = (of.len() + 1).saturating_sub(*n as usize);
            let mut each: Vec<_> = of.iter().filter_map(|operand| required(operand, numbers, size)).collect();
            each.sort_by_key(|required| required.visitors);
            each.truncate(enough);
            (*n > 0 && each.len() == enough).then(|| joined(each))
        }
        Expr::Not(_) => None,
    }
}

fn joined(each: Vec<Required>) -> Required {
    let visitors = each.iter().map(|required| required.visitors).sum();
    let mut numbers: Vec<u32> = each.into_iter().flat_map(|required| required.numbers).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Required { numbers, visitors }
}
