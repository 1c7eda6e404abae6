//! From text to tokens, one at a time, so that the first mistake of the text is the one reported.

use std::fmt;

use usher_index::segments::{MAX_SEGMENT_BYTES, is_segment_name};
use winnow::combinator::{dispatch, opt, peek};
use winnow::error::ParserError;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location};
use winnow::token::{any, take_till, take_while};

/// How much of a token an error message repeats, in characters.
const MAX_QUOTED_CHARS: usize = 40;

/// The longest name of an audience, in bytes of UTF-8.
pub const MAX_AUDIENCE_BYTES: usize = 128;

/// Words that are not names unless they stand in quotes, in lower case; any mix of cases is the same word. Others, such as
/// `least` and `days`, are read as words only where a name cannot stand.
const KEYWORDS: [(&str, Token); 5] =
    [("and", Token::And), ("or", Token::Or), ("not", Token::Not), ("at", Token::At), ("within", Token::Within)];

/// The units of a span, ascending, and their seconds. In an expression each may have an `s` behind it.
pub(super) const UNITS: [(&str, u32); 4] = [("minute", 60), ("hour", 3_600), ("day", 86_400), ("week", 604_800)];

/// A word of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// `(`
    Open,
    /// `)`
    Close,
    /// `and`
    And,
    /// `or`
    Or,
    /// `not`
    Not,
    /// A segment's name, unquoted.
    Segment(String),
    /// A name that ends in a dot, directly followed by `*`; the star is dropped, the dot is kept.
    Prefix(String),
    /// `at`, the first word of `at least`.
    At,
    /// `within`
    Within,
    /// `,`
    Comma,
    /// An audience's name, without the `@` in front of it.
    Audience(String),
    /// A character that begins no token.
    Stray(char),
    /// The end of the text.
    End,
}

/// A token and where it stands, in bytes from the start of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lexeme {
    /// What it is.
    pub token: Token,
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// What is wrong with the text, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bytes from the start of the text.
    pub at: usize,
    /// What could have stood there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

type Input<'t> = LocatingSlice<&'t str>;

impl<'t> ParserError<Input<'t>> for Fault {
    type Inner = Self;

    fn from_input(input: &Input<'t>) -> Self {
        let rest: &str = input.as_ref();
        let found = rest.chars().next().map_or_else(|| END.to_owned(), |c| format!("`{c}`"));
        Fault { at: input.current_token_start(), expected: "a name, an operator or a parenthesis".to_owned(), found }
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}

const END: &str = "the end of the expression";

/// Reads tokens from a text.
#[derive(Clone, Debug)]
pub struct Lexer<'t> {
    text: &'t str,
    input: Input<'t>,
}

impl<'t> Lexer<'t> {
    /// A reader at the start of `text`.
    pub fn new(text: &'t str) -> Self {
        Lexer { text, input: LocatingSlice::new(text) }
    }

    /// The next token; [`Token::End`] at the end, however often it is asked.
    ///
    /// # Errors
    /// A quoted name that is not closed, has an unknown escape, or cannot be a segment's name.
    pub fn next_lexeme(&mut self) -> Result<Lexeme, Fault> {
        blanks(&mut self.input)?;
        let start = self.input.current_token_start();
        let token = if start == self.text.len() { Token::End } else { token(&mut self.input)? };
        Ok(Lexeme { token, start, end: self.input.current_token_start() })
    }

    /// The token as the text has it.
    pub fn source(&self, lexeme: &Lexeme) -> &'t str {
        self.text.get(lexeme.start..lexeme.end).unwrap_or_default()
    }

    /// How an error message names this token.
    pub fn describe(&self, lexeme: &Lexeme) -> String {
        let source = self.source(lexeme);
        let mut shown: String = source.chars().take(MAX_QUOTED_CHARS).collect();
        if shown.len() < source.len() {
            shown.push('…');
        }
        match &lexeme.token {
            Token::End => END.to_owned(),
            Token::Stray(c) => describe_stray(*c),
            _ => format!("`{shown}`"),
        }
    }
}

/// Names a stray character and, where people of other languages would write it, says what to write here.
fn describe_stray(c: char) -> String {
    let advice = match c {
        '&' => "write `and`",
        '|' => "write `or`",
        '!' => "write `not`",
        '\'' => "a name is quoted with double quotes",
        '*' => "it stands only directly behind a name that ends in a dot, as in `interest.*`",
        _ => "in a name it needs double quotes around the name",
    };
    if c.is_control() { format!("the control character U+{:04X}", u32::from(c)) } else { format!("`{c}` ({advice})") }
}

fn blanks(input: &mut Input<'_>) -> Result<(), Fault> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}

fn token(input: &mut Input<'_>) -> Result<Token, Fault> {
    dispatch! {peek(any);
        '(' => any.value(Token::Open),
        ')' => any.value(Token::Close),
        ',' => any.value(Token::Comma),
        '@' => audience,
        '"' => quoted,
        c if is_bare(c) => bare,
        _ => any.map(Token::Stray),
    }
    .parse_next(input)
}

/// Whether an audience may be called so: 1 to [`MAX_AUDIENCE_BYTES`] bytes of letters and digits of any script, `_`, `.`,
/// `:` and `-`.
pub fn is_audience_name(name: &str) -> bool {
    (1..=MAX_AUDIENCE_BYTES).contains(&name.len()) && name.chars().all(is_bare)
}

/// Whether a name may have this character without standing in quotes: letters and digits of any script, `_ . : -`.
fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '-')
}

fn keyword(word: &str) -> Option<&'static Token> {
    KEYWORDS.iter().find(|(keyword, _)| keyword.eq_ignore_ascii_case(word)).map(|(_, token)| token)
}

fn bare(input: &mut Input<'_>) -> Result<Token, Fault> {
    let start = input.current_token_start();
    let word = take_while(1.., is_bare).parse_next(input)?;
    match keyword(word) {
        Some(token) => Ok(token.clone()),
        None => name(input, start, word.to_owned()),
    }
}

fn audience(input: &mut Input<'_>) -> Result<Token, Fault> {
    let start = input.current_token_start();
    '@'.parse_next(input)?;
    let name: &str = take_while(0.., is_bare).parse_next(input)?;
    if is_audience_name(name) {
        return Ok(Token::Audience(name.to_owned()));
    }
    let expected =
        format!("an audience's name behind `@` (1 to {MAX_AUDIENCE_BYTES} bytes: letters, digits, `_ . : -`)");
    Err(Fault { at: start, expected, found: format!("one of {} bytes", name.len()) })
}

fn quoted(input: &mut Input<'_>) -> Result<Token, Fault> {
    let start = input.current_token_start();
    '"'.parse_next(input)?;
    let mut text = String::new();
    loop {
        text.push_str(take_till(0.., ['"', '\\']).parse_next(input)?);
        let at = input.current_token_start();
        match opt(any).parse_next(input)? {
            Some('"') => return name(input, start, text),
            None => return Err(fault(at, "a closing `\"` behind the quoted name", END)),
            Some(_) => match opt(any).parse_next(input)? {
                Some(c @ ('"' | '\\')) => text.push(c),
                Some(c) => {
                    return Err(fault(
                        at,
                        "`\\\"` or `\\\\` (a quoted name has no other escapes)",
                        &format!("`\\{c}`"),
                    ));
                }
                None => {
                    return Err(fault(
                        at,
                        "`\\\"` or `\\\\`, then a closing `\"`",
                        "`\\` at the end of the expression",
                    ));
                }
            },
        }
    }
}

/// Makes a segment of a name, or a prefix when it ends in a dot and a star follows at once.
fn name(input: &mut Input<'_>, start: usize, text: String) -> Result<Token, Fault> {
    if !is_segment_name(&text) {
        let expected = format!("a segment's name (1 to {MAX_SEGMENT_BYTES} bytes without control characters)");
        let found = match text.chars().find(|c| c.is_control()) {
            Some(c) => format!("one with the control character U+{:04X}", u32::from(c)),
            None => format!("one of {} bytes", text.len()),
        };
        return Err(Fault { at: start, expected, found });
    }
    if text.ends_with('.') && opt('*').parse_next(input)?.is_some() {
        return Ok(Token::Prefix(text));
    }
    Ok(Token::Segment(text))
}

fn fault(at: usize, expected: &str, found: &str) -> Fault {
    Fault { at, expected: expected.to_owned(), found: found.to_owned() }
}

/// Writes a name as an expression spells it: bare if it can stand bare, else in quotes.
pub(super) fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    if !name.is_empty() && name.chars().all(is_bare) && keyword(name).is_none() {
        return f.write_str(name);
    }
    f.write_str("\"")?;
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::{Fault, Lexer, Token};

    fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            match lexer.next_lexeme()?.token {
                Token::End => return Ok(tokens),
                token => tokens.push(token),
            }
        }
    }

    fn segment(name: &str) -> Token {
        Token::Segment(name.to_owned())
    }

    #[test]
    fn every_kind_of_token_is_read() {
        let text = "(a.b:c_d-9 AnD \"x \\\"y\\\" \\\\\")or\tnot interest.*\u{a0}\"art & more.\"*";
        let expected = [
            Token::Open,
            segment("a.b:c_d-9"),
            Token::And,
            segment("x \"y\" \\"),
            Token::Close,
            Token::Or,
            Token::Not,
            Token::Prefix("interest.".to_owned()),
            Token::Prefix("art & more.".to_owned()),
        ];
        assert_eq!(tokens(text).unwrap(), expected);
    }

    #[test]
    fn words_around_keywords_are_names() {
        assert_eq!(
            tokens("android nota or.x and. at.x").unwrap(),
            ["android", "nota", "or.x", "and.", "at.x"].map(segment)
        );
        assert_eq!(tokens("At WITHIN").unwrap(), [Token::At, Token::Within]);
        assert_eq!(tokens("least of 7 days").unwrap(), ["least", "of", "7", "days"].map(segment));
    }

    #[test]
    fn audiences_begin_with_an_at_sign() {
        let audience = |name: &str| Token::Audience(name.to_owned());
        let expected = [audience("autumn"), Token::Comma, audience("and"), audience("1.a:b_c-d")];
        assert_eq!(tokens("@autumn,@and @1.a:b_c-d").unwrap(), expected);
        assert_eq!(tokens("@a.*").unwrap(), [audience("a."), Token::Stray('*')]);
        assert!(tokens(&format!("@{}", "a".repeat(128))).is_ok());
        for (text, at, found) in [("a @", 2, "0 bytes"), ("@ a", 0, "0 bytes"), ("@\"a\"", 0, "0 bytes")] {
            let fault = tokens(text).unwrap_err();
            assert!(fault.at == at && fault.found.contains(found), "{text}: {fault:?}");
        }
        assert_eq!(tokens(&format!("@{}", "é".repeat(65))).unwrap_err().found, "one of 130 bytes");
    }

    #[test]
    fn a_star_belongs_only_to_a_name_that_ends_in_a_dot() {
        assert_eq!(tokens("a*").unwrap(), [segment("a"), Token::Stray('*')]);
        assert_eq!(tokens("a. *").unwrap(), [segment("a."), Token::Stray('*')]);
        assert_eq!(tokens("a.*").unwrap(), [Token::Prefix("a.".to_owned())]);
        assert_eq!(tokens("\"a.*\"").unwrap(), [segment("a.*")]);
    }

    #[test]
    fn faults_of_quoted_names_say_where() {
        for (text, at) in [("a and \"b", 8), ("\"a\\n\"", 2), ("\"a\\", 2), ("x \"\"", 2), ("\"a\nb\"", 0)] {
            assert_eq!(tokens(text).unwrap_err().at, at, "{text}");
        }
        assert!(tokens(&"a".repeat(256)).is_ok());
        assert_eq!(tokens(&"a".repeat(257)).unwrap_err().found, "one of 257 bytes");
    }

    #[test]
    fn long_tokens_are_cut_in_messages() {
        let text = "é".repeat(50);
        let mut lexer = Lexer::new(&text);
        let lexeme = lexer.next_lexeme().unwrap();
        assert_eq!(lexer.describe(&lexeme), format!("`{}…`", "é".repeat(40)));
    }
}
