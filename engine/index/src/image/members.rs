//! The members of a part: of each visitor in turn, the segments in which they have an entry of life > 0.

use std::ops::Range;

/// Ranks, visitor by visitor.
#[derive(Default)]
pub struct Members {
    ranks: Vec<u32>,
    /// Of each visitor, where among the ranks theirs end.
    ends: Vec<u32>,
}

impl Members {
    /// Appends segments of the visitor who is not closed yet.
    pub fn extend(&mut self, ranks: impl Iterator<Item = u32>) {
        self.ranks.extend(ranks);
    }

    /// Appends a segment of the visitor who is not closed yet.
    #[inline]
    pub fn push(&mut self, rank: u32) {
        self.ranks.push(rank);
    }

    /// Closes a visitor. Answers how many segments they have.
    pub fn close(&mut self) -> usize {
        let start = self.ends.last().map_or(0, |end| *end as usize);
        // Parts are some thousand visitors: 2^32 ranks would be 16 GiB of one.
        self.ends.push(self.ranks.len() as u32);
        self.ranks.len() - start
    }

    /// How many visitors.
    pub fn visitors(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The ranks of some visitors, one after another.
    pub fn all(&self, visitors: Range<u32>) -> &[u32] {
        &self.ranks[self.start(visitors.start)..self.start(visitors.end)]
    }

    /// The ranks of each of some visitors.
    pub fn each(&self, visitors: Range<u32>) -> impl Iterator<Item = &[u32]> {
        let mut start = self.start(visitors.start);
        self.ends[visitors.start as usize..visitors.end as usize].iter().map(move |&end| {
            let own = &self.ranks[start..end as usize];
            start = end as usize;
            own
        })
    }

    fn start(&self, visitor: u32) -> usize {
        visitor.checked_sub(1).map_or(0, |before| self.ends[before as usize] as usize)
    }
}
