//! The language of audiences.
//!
//! ```text
//! expression  = conjunction { "or" conjunction }
//! conjunction = negation { "and" negation }
//! negation    = "not" negation | operand
//! operand     = "(" expression ")" | segment | prefix
//! segment     = bare | quoted
//! prefix      = segment that ends in a dot, directly followed by "*"       interest.*   "art & music."*
//! bare        = letters and digits of any script, "_" "." ":" "-"; not a keyword
//! quoted      = '"' any characters, with \" for a quote and \\ for a backslash '"'
//! ```
//! So `or` binds more loosely than `and`, and `and` more loosely than `not`: `a or not b and c` is
//! `a or ((not b) and c)`. Blanks may stand between any two tokens and are needed only between two bare words. Keywords
//! (`and`, `or`, `not`, and `at` and `within`, which are reserved) are read in any mix of ASCII cases; a segment with
//! such a name is written in quotes. Names keep their case.

use thiserror::Error;

use super::expr::Expr;
use super::lex::{Fault, Lexeme, Lexer, Token};

/// The longest expression, in bytes of UTF-8.
pub const MAX_EXPRESSION_BYTES: usize = 4 << 10;
/// How many parentheses and `not`s may be open around one place: bounds the recursion here and in every walk of a tree.
pub const MAX_DEPTH: usize = 64;
/// How many segments and prefixes one expression may name, repeated ones included.
pub const MAX_LEAVES: usize = 256;

const OPERAND: &str = "a segment, `prefix.*`, `not` or `(`";
const OPERATOR: &str = "`and`, `or` or the end of the expression";
const OPERATOR_WITHIN: &str = "`and`, `or` or `)`";

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("column {column}: expected {expected}, found {found}")]
pub struct ParseError {
    /// The character where the mistake is, counted from 1; one past the last when the text ends too early.
    pub column: usize,
    /// What could have stood there.
    pub expected: String,
    /// What stands there, with advice where there is some.
    pub found: String,
}

/// Reads an expression.
///
/// # Errors
/// The first mistake from the left: where, what was expected and what was found. Also when the text is longer than
/// [`MAX_EXPRESSION_BYTES`], deeper than [`MAX_DEPTH`] or names more than [`MAX_LEAVES`] sets.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    whole(text).map_err(|fault| ParseError {
        column: text.char_indices().take_while(|&(at, _)| at < fault.at).count() + 1,
        expected: fault.expected,
        found: fault.found,
    })
}

fn whole(text: &str) -> Result<Expr, Fault> {
    if text.len() > MAX_EXPRESSION_BYTES {
        let (expected, found) = (format!("at most {MAX_EXPRESSION_BYTES} bytes"), format!("{} bytes", text.len()));
        return Err(Fault { at: text.floor_char_boundary(MAX_EXPRESSION_BYTES), expected, found });
    }
    let mut lexer = Lexer::new(text);
    let next = lexer.next_lexeme()?;
    let mut parser = Parser { lexer, next, depth: 0, leaves: 0 };
    let expr = parser.expression()?;
    match parser.next.token {
        Token::End => Ok(expr),
        _ => Err(parser.misplaced(OPERATOR.to_owned())),
    }
}

/// A descent over the grammar with one token of foresight.
struct Parser<'t> {
    lexer: Lexer<'t>,
    next: Lexeme,
    depth: usize,
    leaves: usize,
}

impl Parser<'_> {
    fn expression(&mut self) -> Result<Expr, Fault> {
        self.joined(&Token::Or, Self::conjunction, Expr::Or)
    }

    fn conjunction(&mut self) -> Result<Expr, Fault> {
        self.joined(&Token::And, Self::negation, Expr::And)
    }

    fn joined(
        &mut self,
        operator: &Token,
        operand: impl Fn(&mut Self) -> Result<Expr, Fault>,
        join: impl Fn(Vec<Expr>) -> Expr,
    ) -> Result<Expr, Fault> {
        let first = operand(self)?;
        if self.next.token != *operator {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.next.token == *operator {
            self.bump()?;
            operands.push(operand(self)?);
        }
        Ok(join(operands))
    }

    fn negation(&mut self) -> Result<Expr, Fault> {
        if self.next.token != Token::Not {
            return self.operand();
        }
        self.descend()?;
        self.bump()?;
        let operand = self.negation()?;
        self.depth -= 1;
        Ok(Expr::Not(Box::new(operand)))
    }

    fn operand(&mut self) -> Result<Expr, Fault> {
        let leaf = match &self.next.token {
            Token::Open => return self.parenthesised(),
            Token::Segment(name) => Expr::Segment(name.clone()),
            Token::Prefix(prefix) => Expr::Prefix(prefix.clone()),
            _ => return Err(self.misplaced(OPERAND.to_owned())),
        };
        if self.leaves == MAX_LEAVES {
            return Err(self.misplaced(format!("at most {MAX_LEAVES} segments and prefixes")));
        }
        self.leaves += 1;
        self.bump()?;
        Ok(leaf)
    }

    fn parenthesised(&mut self) -> Result<Expr, Fault> {
        self.descend()?;
        self.bump()?;
        let inner = self.expression()?;
        if self.next.token != Token::Close {
            return Err(self.misplaced(OPERATOR_WITHIN.to_owned()));
        }
        self.depth -= 1;
        self.bump()?;
        Ok(inner)
    }

    fn descend(&mut self) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return Err(self.misplaced(format!("at most {MAX_DEPTH} parentheses and `not`s around one place")));
        }
        self.depth += 1;
        Ok(())
    }

    fn bump(&mut self) -> Result<(), Fault> {
        self.next = self.lexer.next_lexeme()?;
        Ok(())
    }

    /// The fault of the token that comes next.
    fn misplaced(&self, expected: String) -> Fault {
        let mut found = self.lexer.describe(&self.next);
        match self.next.token {
            Token::Close if expected == OPERATOR => found.push_str(" (it closes nothing)"),
            Token::Segment(_) if [OPERATOR, OPERATOR_WITHIN].contains(&expected.as_str()) => {
                found.push_str(" (a name with blanks needs double quotes)");
            }
            _ => {}
        }
        Fault { at: self.next.start, expected, found }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, MAX_EXPRESSION_BYTES, MAX_LEAVES, parse};
    use crate::ask::expr::Expr;
    use crate::ask::expr::Expr::{And, Not, Or, Prefix, Segment};
    use crate::ask::sample::Dice;

    fn s(name: &str) -> Expr {
        Segment(name.to_owned())
    }

    fn not(operand: Expr) -> Expr {
        Not(Box::new(operand))
    }

    #[test]
    fn or_binds_loosest_and_not_tightest() {
        let (a, b, c, d) = (|| s("a"), || s("b"), || s("c"), || s("d"));
        for (text, tree) in [
            ("a or b and c", Or(vec![a(), And(vec![b(), c()])])),
            ("a and b or c", Or(vec![And(vec![a(), b()]), c()])),
            ("a and b or c and d", Or(vec![And(vec![a(), b()]), And(vec![c(), d()])])),
            ("not a and b", And(vec![not(a()), b()])),
            ("not a or b", Or(vec![not(a()), b()])),
            ("a or not b and c", Or(vec![a(), And(vec![not(b()), c()])])),
            ("(a or b) and c", And(vec![Or(vec![a(), b()]), c()])),
            ("not (a or b)", not(Or(vec![a(), b()]))),
            ("NOT not a", not(not(a()))),
            ("((a))", a()),
            ("a and (b and c)", And(vec![a(), And(vec![b(), c()])])),
            ("(a)and(b)", And(vec![a(), b()])),
            (" a\n or\tx.* ", Or(vec![a(), Prefix("x.".to_owned())])),
        ] {
            assert_eq!(parse(text).as_ref(), Ok(&tree), "{text}");
        }
    }

    #[test]
    fn limits_are_errors_at_the_place_where_they_are_passed() {
        let deep = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
        assert!(parse(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(parse(&deep(MAX_DEPTH + 1)).unwrap_err().column, MAX_DEPTH + 1);
        let mixed = format!("{}(a or (b))", "not ".repeat(MAX_DEPTH - 1));
        assert_eq!(parse(&mixed).unwrap_err().column, 4 * (MAX_DEPTH - 1) + 7);
        let siblings = vec!["(not (a))"; 100].join(" and ");
        assert!(parse(&siblings).is_ok(), "depth is about nesting, not about how many");

        let wide = |n: usize| vec!["a"; n].join(" or ");
        assert!(parse(&wide(MAX_LEAVES)).is_ok());
        assert_eq!(parse(&wide(MAX_LEAVES + 1)).unwrap_err().column, 5 * MAX_LEAVES + 1);

        let padded = |n: usize| format!("a{}", " ".repeat(n - 1));
        assert!(parse(&padded(MAX_EXPRESSION_BYTES)).is_ok());
        assert_eq!(parse(&padded(MAX_EXPRESSION_BYTES + 1)).unwrap_err().column, MAX_EXPRESSION_BYTES + 1);
        assert_eq!(parse(&"é".repeat(3000)).unwrap_err().found, "6000 bytes");
    }

    #[test]
    fn columns_count_characters() {
        let error = parse("théâtre and").unwrap_err();
        assert_eq!((error.column, error.found.as_str()), (12, "the end of the expression"));
        let text = error.to_string();
        assert_eq!(text, "column 12: expected a segment, `prefix.*`, `not` or `(`, found the end of the expression");
    }

    /// A segment or prefix with a name of odd characters.
    fn odd_leaf(dice: &mut Dice) -> Expr {
        let pieces =
            ["a", "Z", "9", ".", ":", "-", "_", " ", "\"", "\\", "é", "*", "(", "and", "not", "@", "日", "\u{301}"];
        let name = (0..=dice.below(5)).map(|_| pieces[dice.below(pieces.len() as u64) as usize]).collect();
        if dice.below(2) == 0 { Segment(name) } else { Prefix(name + ".") }
    }

    #[test]
    fn printing_and_parsing_gives_the_tree_back() {
        for seed in 0..5_000 {
            let tree = Dice(seed).tree(4, &odd_leaf);
            let text = tree.to_string();
            assert_eq!(parse(&text).as_ref(), Ok(&tree), "seed {seed}: {text}");
        }
    }
}
