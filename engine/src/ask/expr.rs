//! An expression as a tree, and back to text.

use std::fmt;

use usher_index::Span;

use super::lex;

/// A set of visitors in words: who is in these segments.
///
/// [`parse`](super::parse::parse) makes it from text and `Display` gives the text back, with parentheses only where
/// the tree needs them and quotes only where a name needs them; parsing that text gives an equal tree. `And` and `Or`
/// then have two operands or more, an `AtLeast` asks for no more than it has, spans are whole minutes, and names are 1 to
/// 256 bytes without control characters. A tree built by hand may break these rules: an `And` of nothing and an `AtLeast`
/// of 0 mean everyone, an `Or` of nothing, an `AtLeast` of more than there are and a `Within` of anything but a segment
/// or a prefix mean nobody, and none of them has a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// The members of one segment.
    Segment(String),
    /// The members of any segment whose name begins with this text, which ends in a dot (`interest.` of `interest.*`).
    Prefix(String),
    /// Who is in a named expression: nobody, unless [`expand`](super::expand::expand) has put that in its place.
    Audience(String),
    /// Whose membership of the segment, or of any of the prefix, was observed within the span before now, and is live.
    Within {
        /// An [`Expr::Segment`] or [`Expr::Prefix`].
        of: Box<Expr>,
        /// How long ago it may have been.
        span: Span,
    },
    /// Who is in every operand.
    And(Vec<Expr>),
    /// Who is in at least one operand.
    Or(Vec<Expr>),
    /// Who is in so many of the operands at least; one that stands there twice counts twice.
    AtLeast {
        /// How many, from 1 to the number of operands.
        n: u32,
        /// The operands.
        of: Vec<Expr>,
    },
    /// Who is not in the operand, among the visitors with at least one live membership.
    Not(Box<Expr>),
}

/// How tightly the outermost operator of a tree binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Binding {
    Or,
    And,
    Not,
    Leaf,
}

impl Binding {
    /// The loosest that an operand of this one may have without parentheses around it. An operand of the same operator
    /// keeps them: `(a and b) and c` is another tree than `a and b and c`.
    pub(super) fn least_within(self) -> Binding {
        match self {
            Binding::Or => Binding::And,
            Binding::And | Binding::Not => Binding::Not,
            // The operands of an `at least` stand in its own parentheses.
            Binding::Leaf => Binding::Or,
        }
    }
}

impl Expr {
    /// Calls `visit` for every [`Expr::Segment`], [`Expr::Prefix`] and [`Expr::Audience`], from left to right, repeated
    /// ones and those of an [`Expr::Within`] too.
    pub fn for_each_leaf<'e>(&'e self, visit: &mut impl FnMut(&'e Expr)) {
        match self {
            Expr::Segment(_) | Expr::Prefix(_) | Expr::Audience(_) => visit(self),
            Expr::And(operands) | Expr::Or(operands) | Expr::AtLeast { of: operands, .. } => {
                for operand in operands {
                    operand.for_each_leaf(visit);
                }
            }
            Expr::Not(operand) | Expr::Within { of: operand, .. } => operand.for_each_leaf(visit),
        }
    }

    /// How tightly it binds.
    pub(super) fn binding(&self) -> Binding {
        match self {
            Expr::Segment(_) | Expr::Prefix(_) | Expr::Audience(_) | Expr::Within { .. } | Expr::AtLeast { .. } => {
                Binding::Leaf
            }
            Expr::Not(_) => Binding::Not,
            Expr::And(_) => Binding::And,
            Expr::Or(_) => Binding::Or,
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Segment(name) => lex::write_name(f, name),
            Expr::Prefix(prefix) => {
                lex::write_name(f, prefix)?;
                f.write_str("*")
            }
            Expr::Audience(name) => write!(f, "@{name}"),
            Expr::Within { of, span } => {
                write!(f, "{of} within ")?;
                write_span(f, *span)
            }
            Expr::Not(operand) => {
                f.write_str("not ")?;
                write_operand(f, operand, Binding::Not)
            }
            Expr::And(operands) => write_joined(f, operands, " and ", Binding::And),
            Expr::Or(operands) => write_joined(f, operands, " or ", Binding::Or),
            Expr::AtLeast { n, of } => {
                write!(f, "at least {n} of (")?;
                write_joined(f, of, ", ", Binding::Leaf)?;
                f.write_str(")")
            }
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, operands: &[Expr], word: &str, joint: Binding) -> fmt::Result {
    for (i, operand) in operands.iter().enumerate() {
        if i > 0 {
            f.write_str(word)?;
        }
        write_operand(f, operand, joint)?;
    }
    Ok(())
}

fn write_operand(f: &mut fmt::Formatter<'_>, operand: &Expr, joint: Binding) -> fmt::Result {
    if operand.binding() < joint.least_within() { write!(f, "({operand})") } else { write!(f, "{operand}") }
}

/// Writes a span in the longest unit that divides it, weeks as days: `14 days`.
fn write_span(f: &mut fmt::Formatter<'_>, span: Span) -> fmt::Result {
    let divides = |(_, seconds): &&(&str, u32)| span.secs().is_multiple_of(*seconds);
    let (unit, seconds) = lex::UNITS.iter().rev().skip(1).find(divides).unwrap_or(&lex::UNITS[0]);
    let count = span.secs().div_ceil(*seconds);
    write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use usher_index::Span;

    use super::Expr::{self, And, AtLeast, Audience, Not, Or, Prefix, Segment, Within};

    fn s(name: &str) -> Expr {
        Segment(name.to_owned())
    }

    fn within(of: Expr, seconds: u32) -> Expr {
        Within { of: Box::new(of), span: Span::from_secs(seconds) }
    }

    #[test]
    fn spans_are_written_in_the_longest_unit_but_weeks() {
        for (seconds, text) in [
            (604_800, "7 days"),
            (86_400, "1 day"),
            (90_000, "25 hours"),
            (3_600, "1 hour"),
            (5_400, "90 minutes"),
            (60, "1 minute"),
        ] {
            assert_eq!(within(Prefix("a.".into()), seconds).to_string(), format!("a.* within {text}"));
        }
    }

    #[test]
    fn parentheses_stand_only_where_the_tree_needs_them() {
        let a_and_b = || And(vec![s("a"), s("b")]);
        let a_or_b = || Or(vec![s("a"), s("b")]);
        for (tree, text) in [
            (s("a"), "a"),
            (Or(vec![a_and_b(), s("c")]), "a and b or c"),
            (And(vec![a_or_b(), s("c")]), "(a or b) and c"),
            (And(vec![a_and_b(), s("c")]), "(a and b) and c"),
            (Or(vec![s("c"), a_or_b()]), "c or (a or b)"),
            (Not(Box::new(a_or_b())), "not (a or b)"),
            (Not(Box::new(Not(Box::new(s("a"))))), "not not a"),
            (And(vec![Not(Box::new(s("a"))), s("b")]), "not a and b"),
            (Not(Box::new(a_and_b())), "not (a and b)"),
            (
                AtLeast { n: 2, of: vec![a_or_b(), Not(Box::new(s("c"))), Audience("x".into())] },
                "at least 2 of (a or b, not c, @x)",
            ),
            (And(vec![AtLeast { n: 1, of: vec![s("a")] }, s("b")]), "at least 1 of (a) and b"),
            (Not(Box::new(within(s("a"), 86_400))), "not a within 1 day"),
        ] {
            assert_eq!(tree.to_string(), text);
        }
    }

    #[test]
    fn quotes_stand_only_where_the_name_needs_them() {
        for (tree, text) in [
            (s("interest.theatre"), "interest.theatre"),
            (s("crm:past-2024_a"), "crm:past-2024_a"),
            (s("théâtre"), "théâtre"),
            (s("night life"), "\"night life\""),
            (s("say \"hi\" \\ bye"), r#""say \"hi\" \\ bye""#),
            (s("and"), "\"and\""),
            (s("Not"), "\"Not\""),
            (s("within"), "\"within\""),
            (s("at"), "\"at\""),
            (s("least"), "least"),
            (s("interest.*"), "\"interest.*\""),
            (Prefix("interest.".to_owned()), "interest.*"),
            (Prefix("night life.".to_owned()), "\"night life.\"*"),
        ] {
            assert_eq!(tree.to_string(), text);
        }
    }

    #[test]
    fn leaves_come_from_left_to_right() {
        let tree = Or(vec![
            And(vec![s("b"), Not(Box::new(s("a")))]),
            within(Prefix("c.".to_owned()), 60),
            s("b"),
            AtLeast { n: 1, of: vec![Audience("d".into())] },
        ]);
        let mut names = Vec::new();
        tree.for_each_leaf(&mut |leaf| names.push(leaf.to_string()));
        assert_eq!(names, ["b", "a", "c.*", "b", "@d"]);
    }
}
