//! The segment table of an image: rank -> name and source. How many members a segment has, the containers tell.

use std::collections::HashMap;
use std::sync::Arc;

use crate::breath::{BREATH_NAMES, Stride};
use crate::bytes::{Cursor, put_text, put_varint};
use crate::segments::is_segment_name;

/// The segments of an image, by rank.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    names: Vec<Arc<str>>,
    sources: Vec<Arc<str>>,
    ranks: HashMap<Arc<str>, u32>,
}

impl Names {
    /// Adds a segment at the next rank.
    pub fn push(&mut self, name: Arc<str>, source: Arc<str>) {
        self.ranks.insert(Arc::clone(&name), self.names.len() as u32);
        self.names.push(name);
        self.sources.push(source);
    }

    /// The rank of a name.
    #[must_use]
    pub fn rank(&self, name: &str) -> Option<u32> {
        self.ranks.get(name).copied()
    }

    /// The names by rank.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The source of each segment, by rank.
    #[must_use]
    pub fn sources(&self) -> &[Arc<str>] {
        &self.sources
    }

    /// Appends the table: names by rank, then runs of segments with the same source.
    pub fn write(&self, into: &mut Vec<u8>) {
        self.names.iter().for_each(|name| put_text(into, name));
        for run in self.sources.chunk_by(|a, b| a == b) {
            put_varint(into, run.len() as u32);
            put_text(into, &run[0]);
        }
    }

    /// Reads the table of `segments` segments; `None` when it is damaged or a name stands twice.
    #[must_use]
    pub fn read(bytes: &[u8], segments: u32) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let mut stride = Stride::new(BREATH_NAMES);
        let mut name = |cursor: &mut Cursor<'_>| {
            stride.step();
            cursor.text().filter(|name| is_segment_name(name)).map(Arc::from)
        };
        let all: Vec<Arc<str>> = (0..segments).map(|_| name(&mut cursor)).collect::<Option<_>>()?;
        let mut names = Self::default();
        let mut all = all.into_iter();
        while !all.as_slice().is_empty() {
            let run = cursor.varint().filter(|run| (1..=all.len()).contains(&(*run as usize)))?;
            let source: Arc<str> = cursor.text()?.into();
            all.by_ref().take(run as usize).for_each(|name| names.push(name, Arc::clone(&source)));
        }
        (cursor.rest().is_empty() && names.ranks.len() == names.names.len()).then_some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_round_trips() {
        let mut names = Names::default();
        for (name, source) in [("interest.opera", "mag"), ("a \"b\"", "crm"), ("é", "mag"), ("è", "mag")] {
            names.push(name.into(), source.into());
        }
        let mut bytes = Vec::new();
        names.write(&mut bytes);
        assert_eq!(Names::read(&bytes, 4), Some(names.clone()));
        assert_eq!((names.rank("é"), names.rank("x")), (Some(2), None));
        assert!(Names::read(&bytes, 3).is_none() && Names::read(&bytes, 5).is_none());
        (0..bytes.len()).for_each(|cut| assert_eq!(Names::read(&bytes[..cut], 4), None));
    }
}
