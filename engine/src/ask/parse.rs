//! The language of audiences.
//!
//! ```text
//! expression  = conjunction { "or" conjunction }
//! conjunction = negation { "and" negation }
//! negation    = "not" negation | operand
//! operand     = "(" expression ")" | threshold | audience | set [ "within" number unit ]
//! threshold   = "at" "least" number "of" "(" expression { "," expression } ")"      at least 2 of (a, b or c, d)
//! audience    = "@" directly followed by 1 to 128 bytes of what a bare segment has     @autumn
//! set         = segment | prefix
//! segment     = bare | quoted
//! prefix      = segment that ends in a dot, directly followed by "*"       interest.*   "art & music."*
//! bare        = letters and digits of any script, "_" "." ":" "-"; not a keyword
//! quoted      = '"' any characters, with \" for a quote and \\ for a backslash '"'
//! unit        = "minute" | "hour" | "day" | "week", each also with an "s"                interest.* within 7 days
//! ```
//! So `or` binds more loosely than `and`, and `and` more loosely than `not`: `a or not b and c` is
//! `a or ((not b) and c)`. Blanks may stand between any two tokens and are needed only between two bare words. Keywords
//! (`and`, `or`, `not`, `at` and `within`) are read in any mix of ASCII cases; a segment with such a name is written in
//! quotes. Names keep their case. A threshold asks for 1 or more of its operands, and for no more than it has; the number
//! of a span is 1 or more.

use thiserror::Error;
use usher_index::Span;

use super::expr::Expr;
use super::lex::{Fault, Lexeme, Lexer, Token, UNITS};

/// The longest expression, in bytes of UTF-8.
pub const MAX_EXPRESSION_BYTES: usize = 4 << 10;
/// How many parentheses, those of `at least` too, and `not`s may be open around one place: bounds the recursion here and in every walk of a tree.
pub const MAX_DEPTH: usize = 64;
/// How many segments, prefixes and audiences one expression may name, repeated ones included.
pub const MAX_LEAVES: usize = 256;

const OPERAND: &str = "a segment, `prefix.*`, `@audience`, `at least`, `not` or `(`";
const OPERATOR: &str = "`and`, `or` or the end of the expression";
const OPERATOR_WITHIN: &str = "`and`, `or` or `)`";
const OPERATOR_LISTED: &str = "`and`, `or`, `,` or `)`";

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
            Token::At => return self.at_least(),
            Token::Segment(name) => Expr::Segment(name.clone()),
            Token::Prefix(prefix) => Expr::Prefix(prefix.clone()),
            Token::Audience(name) => Expr::Audience(name.clone()),
            _ => return Err(self.misplaced(OPERAND.to_owned())),
        };
        if self.leaves == MAX_LEAVES {
            return Err(self.misplaced(format!("at most {MAX_LEAVES} segments, prefixes and audiences")));
        }
        self.leaves += 1;
        self.bump()?;
        match (&self.next.token, &leaf) {
            (Token::Within, Expr::Segment(_) | Expr::Prefix(_)) => self.within(leaf),
            _ => Ok(leaf),
        }
    }

    fn within(&mut self, leaf: Expr) -> Result<Expr, Fault> {
        self.bump()?;
        let number = self.next.clone();
        let count = self.number("a number of minutes, hours, days or weeks, as in `within 7 days`")?;
        let word = self.lexer.source(&self.next).to_ascii_lowercase();
        let is_word = |(unit, _): &&(&str, u32)| word.strip_prefix(unit).is_some_and(|rest| matches!(rest, "" | "s"));
        let Some((_, seconds)) = UNITS.iter().find(is_word) else {
            return Err(self.misplaced("`minutes`, `hours`, `days` or `weeks`".to_owned()));
        };
        let Some(span) = count.checked_mul(*seconds).map(Span::from_secs) else {
            return Err(self.fault(&number, "a span of at most 136 years".to_owned()));
        };
        self.bump()?;
        Ok(Expr::Within { of: Box::new(leaf), span })
    }

    fn at_least(&mut self) -> Result<Expr, Fault> {
        self.descend()?;
        self.bump()?;
        self.word("least", "`least`, as in `at least 2 of (a, b, c)` (a segment called at is written \"at\")")?;
        let number = self.next.clone();
        let n = self.number("a number from 1 to that of the operands, as in `at least 2 of (a, b, c)`")?;
        self.word("of", "`of`, as in `at least 2 of (a, b, c)`")?;
        if self.next.token != Token::Open {
            return Err(self.misplaced("`(`, as in `at least 2 of (a, b, c)`".to_owned()));
        }
        let mut of = Vec::new();
        while of.is_empty() || self.next.token == Token::Comma {
            self.bump()?;
            of.push(self.expression()?);
        }
        if self.next.token != Token::Close {
            return Err(self.misplaced(OPERATOR_LISTED.to_owned()));
        }
        if n as usize > of.len() {
            return Err(self.fault(&number, format!("a number from 1 to {}, that of the operands", of.len())));
        }
        self.depth -= 1;
        self.bump()?;
        Ok(Expr::AtLeast { n, of })
    }

    /// Passes a word that is none of the keywords.
    fn word(&mut self, word: &str, expected: &str) -> Result<(), Fault> {
        if !self.lexer.source(&self.next).eq_ignore_ascii_case(word) {
            return Err(self.misplaced(expected.to_owned()));
        }
        self.bump()
    }

    /// Passes a whole number of 1 or more.
    fn number(&mut self, expected: &str) -> Result<u32, Fault> {
        let number = self.lexer.source(&self.next).parse().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| self.misplaced(expected.to_owned()))?;
        self.bump()?;
        Ok(number)
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
        let advice = match self.next.token {
            Token::Close if expected == OPERATOR => " (it closes nothing)",
            Token::Segment(_) if is_operator(&expected) => " (a name with blanks needs double quotes)",
            Token::Within if is_operator(&expected) => " (it stands only behind one segment or `prefix.*`)",
            Token::Within => " (a segment of that name is written \"within\")",
            Token::Comma => " (in a name it needs double quotes around the name)",
            _ => "",
        };
        let Fault { at, expected, found } = self.fault(&self.next, expected);
        Fault { at, expected, found: found + advice }
    }

    fn fault(&self, lexeme: &Lexeme, expected: String) -> Fault {
        Fault { at: lexeme.start, expected, found: self.lexer.describe(lexeme) }
    }
}

fn is_operator(expected: &str) -> bool {
    [OPERATOR, OPERATOR_WITHIN, OPERATOR_LISTED].contains(&expected)
}

#[cfg(test)]
mod tests {
    use usher_index::Span;

    use super::{MAX_DEPTH, MAX_EXPRESSION_BYTES, MAX_LEAVES, parse};
    use crate::ask::expr::Expr;
    use crate::ask::expr::Expr::{And, AtLeast, Audience, Not, Or, Prefix, Segment, Within};
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
        let expected = "a segment, `prefix.*`, `@audience`, `at least`, `not` or `(`";
        assert_eq!(text, format!("column 12: expected {expected}, found the end of the expression"));
    }

    fn recent(of: Expr, secs: u32) -> Expr {
        Within { of: Box::new(of), span: Span::from_secs(secs) }
    }

    #[test]
    fn thresholds_spans_and_audiences_are_operands() {
        let (a, b, c) = (|| s("a"), || s("b"), || s("c"));
        let two_of = |of| AtLeast { n: 2, of };
        for (text, tree) in [
            ("at least 2 of (a, b, c)", two_of(vec![a(), b(), c()])),
            ("AT Least 2 OF(a,b or c,not a)", two_of(vec![a(), Or(vec![b(), c()]), not(a())])),
            ("at least 1 of (a)", AtLeast { n: 1, of: vec![a()] }),
            ("not at least 2 of (a, b) and c", And(vec![not(two_of(vec![a(), b()])), c()])),
            ("at least 2 of (at least 2 of (a, b), c)", two_of(vec![two_of(vec![a(), b()]), c()])),
            ("not a within 7 days", not(recent(a(), 7 * 86_400))),
            (
                "a within 1 day and x.* Within 2 WEEKS",
                And(vec![recent(a(), 86_400), recent(Prefix("x.".into()), 1_209_600)]),
            ),
            ("a within 90 minutes or b within 1 hour", Or(vec![recent(a(), 5_400), recent(b(), 3_600)])),
            ("least within 7 days and of and days", And(vec![recent(s("least"), 604_800), s("of"), s("days")])),
            ("@a or @and", Or(vec![Audience("a".into()), Audience("and".into())])),
        ] {
            assert_eq!(parse(text).as_ref(), Ok(&tree), "{text}");
        }
    }

    /// A leaf of any kind with a name of odd characters.
    fn odd_leaf(dice: &mut Dice) -> Expr {
        let pieces = [
            "a", "Z", "9", ".", ":", "-", "_", " ", "\"", "\\", "é", "*", "(", ",", "and", "not", "at", "within", "@",
            "日", "\u{301}",
        ];
        let mut some = |from: &[&str]| -> String {
            (0..=dice.below(5)).map(|_| from[dice.below(from.len() as u64) as usize]).collect()
        };
        let (bare, name) = (some(&pieces[..7]), some(&pieces));
        let named = if dice.below(2) == 0 { Segment(name) } else { Prefix(name + ".") };
        match dice.below(6) {
            0 => Audience(bare),
            1 => recent(named, 60 * (1 + dice.below(20_000) as u32)),
            2 => recent(named, 86_400 * (1 + dice.below(400) as u32)),
            _ => named,
        }
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
