//! Segment names, and the numbers that stand for them inside one batch or one image.

use std::collections::HashMap;
use std::sync::Arc;

/// The longest segment name, in bytes of UTF-8.
pub const MAX_SEGMENT_BYTES: usize = 256;

/// What the names of segments begin with that hold the members of lookalike audiences. No provider may bring one.
pub const LOOKALIKE_PREFIX: &str = "lookalike.";
/// The built-in source of those segments.
pub const LOOKALIKE_SOURCE: &str = "lookalike";

/// Whether the text can name a segment: 1 to 256 bytes without control characters.
#[must_use]
pub fn is_segment_name(text: &str) -> bool {
    (1..=MAX_SEGMENT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A segment: its name, and the one source that brings it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Segment {
    /// The name.
    pub name: Arc<str>,
    /// The source.
    pub source: Arc<str>,
}

/// Gives each name a number in the order of arrival. Numbers are private to the batch that holds the table.
#[derive(Debug, Default, Clone)]
pub struct Segments {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Segments {
    /// The number of the name, a new one if it has none. Expected constant time.
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        // A batch of 2^32 distinct names would need a terabyte of names first.
        let number = self.names.len() as u32;
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        number
    }

    /// The number of the name, if it has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// A table of one name, whose number is 0.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let mut segments = Self::default();
        segments.number(name);
        segments
    }

    /// The names by number.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_number() {
        let mut segments = Segments::default();
        assert_eq!((segments.number("b"), segments.number("a"), segments.number("b")), (0, 1, 0));
        assert_eq!((segments.get("a"), segments.get("c")), (Some(1), None));
        assert_eq!(segments.names().len(), 2);
    }

    #[test]
    fn control_characters_and_lengths_are_bounded() {
        assert!(is_segment_name("intérêt théâtre <=50K") && is_segment_name(&"x".repeat(256)));
        assert!(!is_segment_name("") && !is_segment_name("a\tb") && !is_segment_name(&"x".repeat(257)));
    }
}
