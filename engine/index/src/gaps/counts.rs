//! Counts the gaps of a sample and chooses the code for all.

use std::sync::Arc;

use crate::huffman::lengths;

use super::{CONTEXTS, GapCode, Tables, each_gap, symbol_of};

/// A code is kept while it takes at most this part more than a new one would: gaps are two fifths of an image.
const KEPT_MORE: f64 = 0.02;

/// Counts gaps, to find the code for an image from a sample of its profiles.
pub struct GapCounts {
    symbols: usize,
    counts: Vec<u64>,
    nibbles: u64,
    extra_bits: u64,
}

impl GapCounts {
    /// For an image of so many segments.
    #[must_use]
    pub fn new(segments: u32) -> Self {
        let symbols = symbol_of(segments.saturating_sub(1)).0 + 1;
        Self { symbols, counts: vec![0; CONTEXTS * symbols], nibbles: 0, extra_bits: 0 }
    }

    /// Notes a profile.
    pub fn note(&mut self, ranks: impl ExactSizeIterator<Item = u32>) {
        each_gap(ranks, |context, gap| {
            let (symbol, extra, _) = symbol_of(gap);
            self.counts[context * self.symbols + symbol] += 1;
            self.extra_bits += u64::from(extra);
            self.nibbles += u64::from(gap.checked_ilog2().unwrap_or(0) / 3 + 1);
        });
    }

    /// The smaller code for an image of which one part in `share` was counted.
    #[must_use]
    pub fn choose(&self, share: f64) -> GapCode {
        // What the sample did not have may come all the same.
        let counts =
            self.counts.chunks(self.symbols).map(|context| context.iter().map(|&count| count.max(1)).collect());
        let lengths: Vec<u8> = counts.flat_map(|context: Vec<u64>| lengths(&context)).collect();
        let tables = Tables::new(self.symbols, lengths).map(|tables| GapCode::Huffman(Box::new(tables)));
        let smaller = |code: &GapCode| self.bytes(code, share) < self.bytes(&GapCode::Nibbles, share);
        tables.filter(smaller).unwrap_or(GapCode::Nibbles)
    }

    /// The code of a present image as long as it serves, so that profiles need not be coded anew: it codes every gap
    /// there may be, and takes hardly more bytes than the one that [`choose`](Self::choose) makes.
    #[must_use]
    pub fn choose_or_keep(&self, share: f64, kept: Option<&Arc<GapCode>>) -> Arc<GapCode> {
        let chosen = self.choose(share);
        let bound = self.bytes(&chosen, share).map(|bytes| bytes * (1.0 + KEPT_MORE));
        let serves = |code: &&Arc<GapCode>| self.bytes(code, share).is_some_and(|bytes| Some(bytes) <= bound);
        kept.filter(serves).map_or_else(|| Arc::new(chosen), Arc::clone)
    }

    /// The bytes of the gaps and tables of an image of which one part in `share` was counted; `None` when the code has
    /// none for a gap that may come.
    fn bytes(&self, code: &GapCode, share: f64) -> Option<f64> {
        let tables = match code {
            GapCode::Nibbles => return Some(self.nibbles as f64 / 2.0 * share),
            GapCode::Huffman(tables) => tables,
        };
        let mut bits = self.extra_bits;
        for (counts, lengths) in self.counts.chunks(self.symbols).zip(tables.lengths.chunks(tables.symbols)) {
            let lengths = lengths.get(..self.symbols).filter(|lengths| !lengths.contains(&0))?;
            bits += counts.iter().zip(lengths).map(|(count, &length)| count * u64::from(length)).sum::<u64>();
        }
        Some(bits as f64 / 8.0 * share + (tables.lengths.len() / 2) as f64)
    }
}
