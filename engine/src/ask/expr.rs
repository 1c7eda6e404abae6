//! An expression as a tree, and back to text.

use std::fmt;

use super::lex;

/// A set of visitors in words: who is in these segments.
///
/// [`parse`](super::parse::parse) makes it from text and `Display` gives the text back, with parentheses only where
/// the tree needs them and quotes only where a name needs them; parsing that text gives an equal tree. `And` and `Or`
/// then have two operands or more, and names are 1 to 256 bytes without control characters. A tree built by hand may
/// break these rules: an `And` of nothing means everyone, an `Or` of nothing means nobody, and neither has a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// The members of one segment.
    Segment(String),
    /// The members of any segment whose name begins with this text, which ends in a dot (`interest.` of `interest.*`).
    Prefix(String),
    /// a
    Audience(String),
    /// Who is in every operand.
    And(Vec<Expr>),
    /// Who is in at least one operand.
    Or(Vec<Expr>),
    /// Who is not in the operand, among the visitors with at least one live membership.
    Not(Box<Expr>),
}

/// How tightly the outermost operator of a tree binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Not,
    Leaf,
}

impl Expr {
    /// Calls `visit` for every [`Expr::Segment`] and [`Expr::Prefix`], from left to right, repeated ones too.
    pub fn for_each_leaf<'e>(&'e self, visit: &mut impl FnMut(&'e Expr)) {
        match self {
            Expr::Segment(_) | Expr::Prefix(_) | Expr::Audience(_) => visit(self),
            Expr::And(operands) | Expr::Or(operands) => {
                for operand in operands {
                    operand.for_each_leaf(visit);
                }
            }
            Expr::Not(operand) => operand.for_each_leaf(visit),
        }
    }

    fn binding(&self) -> Binding {
        match self {
            Expr::Segment(_) | Expr::Prefix(_) | Expr::Audience(_) => Binding::Leaf,
            Expr::Not(_) => Binding::Not,
            Expr::And(_) => Binding::And,
            Expr::Or(_) => Binding::Or,
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Segment(name) | Expr::Audience(name) => lex::write_name(f, name),
            Expr::Prefix(prefix) => {
                lex::write_name(f, prefix)?;
                f.write_str("*")
            }
            Expr::Not(operand) => {
                f.write_str("not ")?;
                write_operand(f, operand, operand.binding() < Binding::Not)
            }
            Expr::And(operands) => write_joined(f, operands, " and ", Binding::And),
            Expr::Or(operands) => write_joined(f, operands, " or ", Binding::Or),
        }
    }
}

/// An operand of the same operator keeps its parentheses: `(a and b) and c` is another tree than `a and b and c`.
fn write_joined(f: &mut fmt::Formatter<'_>, operands: &[Expr], word: &str, joint: Binding) -> fmt::Result {
    for (i, operand) in operands.iter().enumerate() {
        if i > 0 {
            f.write_str(word)?;
        }
        write_operand(f, operand, operand.binding() <= joint)?;
    }
    Ok(())
}

fn write_operand(f: &mut fmt::Formatter<'_>, operand: &Expr, parentheses: bool) -> fmt::Result {
    if parentheses { write!(f, "({operand})") } else { write!(f, "{operand}") }
}

#[cfg(test)]
mod tests {
    use super::Expr::{self, And, Not, Or, Prefix, Segment};

    fn s(name: &str) -> Expr {
        Segment(name.to_owned())
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
        let tree = Or(vec![And(vec![s("b"), Not(Box::new(s("a")))]), Prefix("c.".to_owned()), s("b")]);
        let mut names = Vec::new();
        tree.for_each_leaf(&mut |leaf| names.push(leaf.to_string()));
        assert_eq!(names, ["b", "a", "c.*", "b"]);
    }
}
