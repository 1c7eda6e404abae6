//! The taken rows of one feed.

use std::sync::Arc;

use crate::membership::Membership;
use crate::segments::Segments;

/// What a feed brought: nothing of it is in the index before the batch is loaded whole.
pub struct Batch {
    source: Arc<str>,
    rows: Vec<Membership>,
    segments: Segments,
}

impl Batch {
    /// An empty batch of a source.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self { source: source.into(), rows: Vec::new(), segments: Segments::default() }
    }

    /// Appends a row. Its segment is a number of the admission that made it.
    pub fn push(&mut self, membership: Membership) {
        self.rows.push(membership);
    }

    /// Completes the batch with the names behind its numbers.
    pub fn finish(&mut self, segments: Segments) {
        self.segments = segments;
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The names behind the numbers of the rows.
    #[must_use]
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The rows.
    #[must_use]
    pub fn into_rows(self) -> Vec<Membership> {
        self.rows
    }
}
