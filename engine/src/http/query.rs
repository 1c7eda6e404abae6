//! Percent escapes and query parameters.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use thiserror::Error;

use super::problem::{Kind, Problem};

/// Characters of a parameter's name that a problem repeats.
const SHOWN_NAME_CHARS: usize = 40;

/// Why a text cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A `%` without its two digits.
    #[error("a % must be followed by two hexadecimal digits (write %25 for the sign itself)")]
    Escape,
    /// The bytes behind the escapes are no text.
    #[error("the percent escapes do not spell UTF-8")]
    Utf8,
}

/// Decodes the percent escapes of `raw`; text without any is borrowed.
///
/// # Errors
/// On an incomplete escape, and when the result is not UTF-8.
pub fn decode(raw: &str) -> Result<Cow<'_, str>, DecodeError> {
    let bytes = raw.as_bytes();
    let incomplete = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        !digits.is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    };
    if bytes.iter().enumerate().any(|(at, &byte)| byte == b'%' && incomplete(at)) {
        return Err(DecodeError::Escape);
    }
    percent_decode(bytes).decode_utf8().map_err(|_| DecodeError::Utf8)
}

/// The parameters of a query, decoded, each given at most once.
#[derive(Debug)]
pub struct Params<'q> {
    pairs: Vec<(&'static str, Cow<'q, str>)>,
}

impl<'q> Params<'q> {
    /// Reads `query`, which may hold the parameters `known` and no other: a misspelt one is refused rather than ignored.
    ///
    /// # Errors
    /// [`Kind::BadParameter`] for one that is unknown, given twice, or does not decode.
    pub fn read(query: Option<&'q str>, known: &[&'static str]) -> Result<Params<'q>, Problem> {
        let mut pairs = Vec::new();
        for pair in query.unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = known.iter().find(|name| **name == raw_name).ok_or_else(|| unknown(raw_name, known))?;
            if pairs.iter().any(|(earlier, _)| earlier == name) {
                return Err(bad(format!("The parameter {name} is given twice; give it once.")));
            }
            pairs
                .push((*name, form_decode(raw_value).map_err(|error| bad(format!("The parameter {name}: {error}.")))?));
        }
        Ok(Params { pairs })
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }
}

/// As forms and `URLSearchParams` write a value: `+` is a space.
fn form_decode(raw: &str) -> Result<Cow<'_, str>, DecodeError> {
    if raw.contains('+') {
        return decode(&raw.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()));
    }
    decode(raw)
}

/// A [`Kind::BadParameter`].
pub(crate) fn bad(detail: String) -> Problem {
    Problem::new(Kind::BadParameter, detail)
}

fn unknown(name: &str, known: &[&'static str]) -> Problem {
    let shown: String = name.chars().take(SHOWN_NAME_CHARS).collect();
    let takes = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    bad(format!("There is no parameter {shown}; this address takes {takes}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_whole_and_spell_text() {
        assert_eq!(decode("a%2Fb+%C3%A9").as_deref(), Ok("a/b+é"));
        assert!(matches!(decode("plain"), Ok(Cow::Borrowed("plain"))));
        for raw in ["%", "a%4", "%zz", "%4%41"] {
            assert_eq!(decode(raw), Err(DecodeError::Escape), "{raw}");
        }
        assert_eq!(decode("%ff"), Err(DecodeError::Utf8));
    }

    #[test]
    fn parameters_are_known_single_and_decoded() {
        let params = Params::read(Some("only=a%26b+c&&id_type="), &["only", "id_type"]).unwrap();
        assert_eq!((params.get("only"), params.get("id_type"), params.get("gdpr")), (Some("a&b c"), Some(""), None));
        for query in ["onyl=x", "only=a&only=b", "only=%f", "only=%ff"] {
            assert!(Params::read(Some(query), &["only"]).is_err(), "{query}");
        }
    }
}
