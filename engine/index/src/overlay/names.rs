//! The overlay's own numbers for segments: ranks of images and numbers of the state never mix with them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::segments::Segment;

/// A segment with its number in one overlay.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    pub(super) number: u32,
    /// The segment.
    pub segment: Segment,
}

impl Name {
    /// The overlay's own number of the segment, counted from 0 without gaps.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// Gives each name a number in the order of arrival. Whoever brings a name first is its source.
#[derive(Default)]
pub(super) struct Interner {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<Name>>,
}

impl Interner {
    pub(super) fn number(&mut self, name: &Arc<str>, source: &Arc<str>) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        // A number for each of 2^32 distinct names would need a terabyte of names first.
        let number = self.names.len() as u32;
        let segment = Segment { name: Arc::clone(name), source: Arc::clone(source) };
        self.names.push(Arc::new(Name { number, segment }));
        self.numbers.insert(Arc::clone(name), number);
        number
    }

    /// The source of a name.
    pub(super) fn source(&self, name: &str) -> Option<Arc<str>> {
        let number = *self.numbers.get(name)?;
        self.names.get(number as usize).map(|name| Arc::clone(&name.segment.source))
    }

    /// The names by number.
    pub(super) fn names(&self) -> &[Arc<Name>] {
        &self.names
    }
}
