//! The taken rows of one feed.

use std::sync::Arc;

use crate::error::FileError;
use crate::membership::Membership;
use crate::segments::Segments;

use super::memory::Memory;
use super::share::Share;

/// What a feed brought: nothing of it is in the index before the batch is loaded whole.
///
/// Several admissions may read one feed side by side, each into a batch of its own; [`Batch::absorb`] makes them one.
/// 16 bytes a row, in memory or, beyond what [`Memory`] allows, in a temporary file that has no name.
pub struct Batch {
    source: Arc<str>,
    share: Share,
    absorbed: Vec<Share>,
}

impl Batch {
    /// An empty batch of a source, all in memory.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self { source: source.into(), share: Share::new(None), absorbed: Vec::new() }
    }

    /// An empty batch of a source, whose rows go to disk when there are too many.
    #[must_use]
    pub fn within(memory: &Arc<Memory>, source: &str) -> Self {
        Self { share: Share::new(Some(Arc::clone(memory))), ..Self::new(source) }
    }

    /// Appends a row. Its segment is a number of the admission that made it.
    #[inline]
    pub fn push(&mut self, membership: Membership) {
        self.share.push(membership);
    }

    /// Completes the batch with the names behind its numbers.
    pub fn finish(&mut self, segments: Segments) {
        self.share.segments = segments;
        self.share.seal();
    }

    /// Makes room for the rows of another batch within the same bound: sends these to disk when there is little left.
    pub fn make_room(&mut self) {
        std::iter::once(&mut self.share).chain(&mut self.absorbed).for_each(Share::make_room);
    }

    /// Takes the rows of another finished batch of the same source.
    pub fn absorb(&mut self, other: Self) {
        debug_assert_eq!(self.source, other.source);
        self.absorbed.push(other.share);
        self.absorbed.extend(other.absorbed);
    }

    /// The batch, if all rows could be kept.
    ///
    /// # Errors
    /// When the disk did not take the rows beyond the bound on memory. The build refuses such a batch too.
    pub fn whole(mut self) -> Result<Self, FileError> {
        let failed = std::iter::once(&mut self.share).chain(&mut self.absorbed).find_map(|share| share.failed.take());
        failed.map_or(Ok(self), Err)
    }

    /// Why rows could not be kept, if so.
    #[must_use]
    pub fn failure(&self) -> Option<&FileError> {
        self.shares().find_map(|share| share.failed.as_ref())
    }

    /// How many rows, once the batch is finished.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.shares().map(|share| share.len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    pub(super) fn shares(&self) -> impl Iterator<Item = &Share> {
        std::iter::once(&self.share).chain(&self.absorbed)
    }

    pub(super) fn into_shares(self) -> impl Iterator<Item = Share> {
        std::iter::once(self.share).chain(self.absorbed)
    }
}
