//! An expression over segments as a tree, and its text. Written apart from the engine's parser on purpose: the
//! questions of the samples and the random questions of the tests are judged without the code that they judge.

use std::fmt;

/// Words that the language keeps for itself, or may come to: a segment of such a name is written in quotes.
const KEYWORDS: [&str; 9] = ["and", "or", "not", "at", "least", "of", "within", "days", "hours"];

/// A question: who is in this set?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// The members of one segment.
    Segment(String),
    /// The members of any segment whose name begins with this and a dot.
    Prefix(String),
    /// Everyone with a live membership who is not in it.
    Not(Box<Expr>),
    /// In both.
    And(Box<Expr>, Box<Expr>),
    /// In one or both.
    Or(Box<Expr>, Box<Expr>),
}

/// One segment.
#[must_use]
pub fn segment(name: &str) -> Expr {
    Expr::Segment(name.to_owned())
}

/// `prefix.*`, without the dot and the star.
#[must_use]
pub fn prefix(name: &str) -> Expr {
    Expr::Prefix(name.to_owned())
}

/// The complement.
#[must_use]
pub fn not(inner: Expr) -> Expr {
    Expr::Not(Box::new(inner))
}

impl Expr {
    /// Both.
    #[must_use]
    pub fn and(self, other: Expr) -> Expr {
        Expr::And(Box::new(self), Box::new(other))
    }

    /// One or both.
    #[must_use]
    pub fn or(self, other: Expr) -> Expr {
        Expr::Or(Box::new(self), Box::new(other))
    }

    /// Who binds tighter: 0 `or`, 1 `and`, 2 `not`, 3 a name.
    fn strength(&self) -> u8 {
        match self {
            Expr::Or(..) => 0,
            Expr::And(..) => 1,
            Expr::Not(_) => 2,
            Expr::Segment(_) | Expr::Prefix(_) => 3,
        }
    }

    /// Writes it, in parentheses where it binds less than `needed`, or everywhere when `full`.
    fn write(&self, f: &mut fmt::Formatter<'_>, needed: u8) -> fmt::Result {
        let strength = self.strength();
        let wrapped = strength < needed || (f.alternate() && strength < 3);
        if wrapped {
            f.write_str("(")?;
        }
        match self {
            Expr::Segment(name) => write_name(f, name)?,
            Expr::Prefix(name) if is_bare(name) => write!(f, "{name}.*")?,
            Expr::Prefix(name) => {
                write_name(f, &format!("{name}."))?;
                f.write_str("*")?;
            }
            Expr::Not(inner) => {
                f.write_str("not ")?;
                inner.write(f, strength)?;
            }
            Expr::And(left, right) | Expr::Or(left, right) => {
                left.write(f, strength)?;
                f.write_str(if strength == 1 { " and " } else { " or " })?;
                right.write(f, strength)?;
            }
        }
        if wrapped { f.write_str(")") } else { Ok(()) }
    }
}

/// As the language reads it: with the fewest parentheses, or with `{:#}` a pair around every operation.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

/// Whether a name can stand without quotes.
#[must_use]
pub fn is_bare(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
    !name.is_empty() && name.bytes().all(plain) && !KEYWORDS.contains(&name.to_ascii_lowercase().as_str())
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    if is_bare(name) {
        return f.write_str(name);
    }
    write!(f, "\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parentheses_stand_only_where_they_matter() {
        let (a, b, c) = (segment("a"), segment("b"), segment("c"));
        let either = a.clone().or(b.clone());
        assert_eq!(either.clone().and(not(c.clone())).to_string(), "(a or b) and not c");
        assert_eq!(a.clone().or(b.clone().and(c.clone())).to_string(), "a or b and c");
        assert_eq!(not(either.clone()).to_string(), "not (a or b)");
        assert_eq!(not(not(a.clone())).to_string(), "not not a");
        assert_eq!(format!("{:#}", a.and(not(b)).or(prefix("x"))), "((a and (not b)) or x.*)");
    }

    #[test]
    fn names_are_quoted_when_they_must_be() {
        let quoted = r#""say \"b\\c\"""#;
        assert_eq!(segment("say \"b\\c\"").to_string(), quoted);
        assert_eq!(segment("And").to_string(), "\"And\"");
        assert_eq!(prefix("art & music").to_string(), "\"art & music.\"*");
        assert_eq!(segment("geo.district.old-town").to_string(), "geo.district.old-town");
    }
}
