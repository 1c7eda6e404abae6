//! The segment table of an image: rank -> name, source, cardinality.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bytes::{Cursor, put_text, put_varint};
use crate::segments::is_segment_name;

/// The segments of an image, by rank.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    names: Vec<Arc<str>>,
    sources: Vec<Arc<str>>,
    members: Vec<u32>,
    ranks: HashMap<Arc<str>, u32>,
}

impl Names {
    /// Adds a segment at the next rank.
    pub fn push(&mut self, name: Arc<str>, source: Arc<str>, members: u32) {
        self.ranks.insert(Arc::clone(&name), self.names.len() as u32);
        self.names.push(name);
        self.sources.push(source);
        self.members.push(members);
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

    /// How many visitors of the shard have an entry of life > 0, by rank.
    #[must_use]
    pub fn members(&self) -> &[u32] {
        &self.members
    }

    /// Appends the table: the source names, then (name, source, cardinality) by rank.
    pub fn write(&self, into: &mut Vec<u8>) {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut sources: Vec<&str> = Vec::new();
        for source in &self.sources {
            numbers.entry(source).or_insert_with(|| {
                sources.push(source);
                sources.len() as u32 - 1
            });
        }
        put_varint(into, sources.len() as u32);
        sources.iter().for_each(|source| put_text(into, source));
        for ((name, source), members) in self.names.iter().zip(&self.sources).zip(&self.members) {
            put_text(into, name);
            put_varint(into, numbers[&**source]);
            put_varint(into, *members);
        }
    }

    /// Reads the table of `segments` segments; `None` when it is damaged or a name stands twice.
    #[must_use]
    pub fn read(bytes: &[u8], segments: u32) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.varint()?;
        let sources: Vec<Arc<str>> = (0..count).map(|_| cursor.text().map(Into::into)).collect::<Option<_>>()?;
        let mut names = Self::default();
        for _ in 0..segments {
            let name = cursor.text().filter(|name| is_segment_name(name))?;
            let source = sources.get(cursor.varint()? as usize)?;
            names.push(name.into(), Arc::clone(source), cursor.varint()?);
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
        for (name, source, members) in [("interest.opera", "mag", 7), ("a \"b\"", "crm", 0), ("é", "mag", u32::MAX)] {
            names.push(name.into(), source.into(), members);
        }
        let mut bytes = Vec::new();
        names.write(&mut bytes);
        assert_eq!(Names::read(&bytes, 3), Some(names.clone()));
        assert_eq!((names.rank("é"), names.rank("x")), (Some(2), None));
        assert!(Names::read(&bytes, 2).is_none() && Names::read(&bytes, 4).is_none());
        (0..bytes.len()).for_each(|cut| assert_eq!(Names::read(&bytes[..cut], 3), None));
    }
}
