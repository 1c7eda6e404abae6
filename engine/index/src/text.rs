//! Text that came as bytes.

/// Bytes that are UTF-8.
///
/// A `str` would be the same, but to make one of bytes a general check is called for each; ids and names are short and
/// nearly always ASCII, which takes a few instructions in place. It has neither `Debug` nor `Display`: it may be an id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// The bytes as text; `None` when they are none.
    #[inline]
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        (is_ascii(bytes) || std::str::from_utf8(bytes).is_ok()).then_some(Self(bytes))
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text, at the cost of a check.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        std::str::from_utf8(self.0).expect("it was checked when it was made")
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

/// Whether no byte has its highest bit set.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<{ size_of::<u64>() }>();
    match bytes.last_chunk() {
        // The last word overlaps the one before.
        Some(last) => {
            words.iter().fold(u64::from_le_bytes(*last), |all, word| all | u64::from_le_bytes(*word)) & HIGHEST == 0
        }
        None => rest.iter().fold(0, |all, byte| all | byte) < 0x80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length around the words, with each byte of it in turn wrong, and with a letter of two bytes everywhere.
    #[test]
    fn text_is_what_the_standard_library_takes() {
        for length in 0..70 {
            let plain = vec![b'x'; length];
            assert!(Text::of(&plain).is_some_and(|text| text.bytes() == plain && text.as_str().len() == length));
            for at in 0..length {
                for bad in [0x80, 0xc3, 0xff] {
                    let mut bytes = plain.clone();
                    bytes[at] = bad;
                    assert!(Text::of(&bytes).is_none(), "{length}, {at}");
                }
                let letter = [&plain[..at], "\u{e9}".as_bytes(), &plain[at..]].concat();
                assert_eq!(Text::of(&letter).map(Text::as_str), std::str::from_utf8(&letter).ok());
            }
        }
    }
}
