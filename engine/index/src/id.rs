//! Who a row is about: ids as they arrive, their type, and the pseudonym that is kept instead of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text::Text;

/// Bytes of a pseudonym.
pub const PID_BYTES: usize = 10;
/// Bits of a pseudonym.
pub const PID_BITS: u32 = 80;
/// The longest visitor id, in bytes of UTF-8.
pub const MAX_VISITOR_ID_BYTES: usize = 256;
/// The longest id type, in bytes.
pub const MAX_ID_TYPE_BYTES: usize = 32;

/// Why an id or an id type was refused. Never carries the id itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// No bytes at all.
    #[error("an id has at least one byte")]
    Empty,
    /// Longer than [`MAX_VISITOR_ID_BYTES`].
    #[error("an id has at most {MAX_VISITOR_ID_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("an id is UTF-8, this one breaks off at byte {0}")]
    NotUtf8(usize),
    /// Not an id type.
    #[error("an id type is 1 to {MAX_ID_TYPE_BYTES} lower-case letters, digits, `_` or `-`, such as `cookie`")]
    BadType,
    /// Not a pseudonym in hexadecimal.
    #[error("a pseudonym is 20 hexadecimal digits")]
    BadPid,
}

/// A visitor id as an ad server or a provider writes it: UTF-8, 1 to 256 bytes.
///
/// It has neither `Debug` nor `Display`, so that it cannot slip into a log line or an error.
#[derive(Clone, Copy)]
pub struct VisitorId<'a>(Text<'a>);

impl<'a> VisitorId<'a> {
    /// Takes text as an id.
    ///
    /// # Errors
    /// When it is empty or longer than [`MAX_VISITOR_ID_BYTES`].
    pub fn new(text: &'a str) -> Result<Self, IdError> {
        match text.len() {
            0 => Err(IdError::Empty),
            n if n > MAX_VISITOR_ID_BYTES => Err(IdError::TooLong(n)),
            _ => Ok(Self(text.into())),
        }
    }

    /// Takes bytes as an id.
    ///
    /// # Errors
    /// As [`VisitorId::new`], and when the bytes are not UTF-8.
    #[inline]
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, IdError> {
        match (bytes.len(), Text::of(bytes)) {
            (0, _) => Err(IdError::Empty),
            (n, _) if n > MAX_VISITOR_ID_BYTES => Err(IdError::TooLong(n)),
            (_, Some(text)) => Ok(Self(text)),
            (_, None) => Err(not_utf8(bytes)),
        }
    }

    /// The raw bytes, for the pseudonym alone.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0.bytes()
    }
}

#[cold]
fn not_utf8(bytes: &[u8]) -> IdError {
    IdError::NotUtf8(std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len))
}

/// What kind of id it is: `cookie` (the default), `maid`, `hem` (a hashed e-mail), ...
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdType(Box<str>);

impl IdType {
    /// Takes text as an id type.
    ///
    /// # Errors
    /// When it is not 1 to 32 of `a-z 0-9 _ -`.
    pub fn new(text: &str) -> Result<Self, IdError> {
        if Self::is_valid(text) { Ok(Self(text.into())) } else { Err(IdError::BadType) }
    }

    /// Whether the text could be an id type.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        let fits = (1..=MAX_ID_TYPE_BYTES).contains(&text.len());
        fits && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for IdType {
    fn default() -> Self {
        Self("cookie".into())
    }
}

impl TryFrom<String> for IdType {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl From<IdType> for String {
    fn from(id_type: IdType) -> Self {
        id_type.0.into()
    }
}

impl FromStr for IdType {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl fmt::Display for IdType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A visitor's pseudonym: the first 80 bits of keyed BLAKE3(key, id type, 0, id).
///
/// Ordered by its bytes, so the leading bits choose shard and bucket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid([u8; PID_BYTES]);

impl Pid {
    /// A pseudonym from its bytes, most significant first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; PID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, most significant first.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; PID_BYTES] {
        self.0
    }

    /// The 80 bits as a number, for shifts.
    #[must_use]
    pub fn bits(self) -> u128 {
        let mut wide = [0u8; 16];
        wide[16 - PID_BYTES..].copy_from_slice(&self.0);
        u128::from_be_bytes(wide)
    }

    /// The pseudonym with these low 80 bits.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        let wide = bits.to_be_bytes();
        let mut bytes = [0u8; PID_BYTES];
        bytes.copy_from_slice(&wide[16 - PID_BYTES..]);
        Self(bytes)
    }

    /// The `width` leading bits (0 to 64) as a number.
    #[must_use]
    pub fn leading(self, width: u32) -> u64 {
        debug_assert!(width <= 64);
        let mut first = [0u8; 8];
        first.copy_from_slice(&self.0[..8]);
        if width == 0 { 0 } else { u64::from_be_bytes(first) >> (64 - width) }
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pid {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let well_formed = text.len() == 2 * PID_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !well_formed {
            return Err(IdError::BadPid);
        }
        u128::from_str_radix(text, 16).map(Self::from_bits).map_err(|_| IdError::BadPid)
    }
}

impl Serialize for Pid {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_to_256_bytes_of_utf8() {
        assert_eq!(VisitorId::new("").err(), Some(IdError::Empty));
        assert!(VisitorId::new(&"x".repeat(256)).is_ok());
        assert_eq!(VisitorId::new(&"x".repeat(257)).err(), Some(IdError::TooLong(257)));
        assert_eq!(VisitorId::from_bytes(b"ab\xff").err(), Some(IdError::NotUtf8(2)));
    }

    #[test]
    fn id_types_are_short_lower_case_words() {
        assert!(IdType::new("cookie").is_ok() && IdType::new("hem-sha256").is_ok());
        for bad in ["", "Cookie", "a b", "é", &"x".repeat(33)] {
            assert!(IdType::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_pid_prints_parses_and_splits() {
        let pid = Pid::from_bytes([0xab, 0xcd, 1, 2, 3, 4, 5, 6, 7, 0xff]);
        assert_eq!(pid.to_string(), "abcd01020304050607ff");
        assert_eq!("abcd01020304050607ff".parse::<Pid>(), Ok(pid));
        assert_eq!(Pid::from_bits(pid.bits()), pid);
        assert_eq!((pid.leading(0), pid.leading(4), pid.leading(16)), (0, 0xa, 0xabcd));
        assert!("+bcd01020304050607ff".parse::<Pid>().is_err());
    }
}
