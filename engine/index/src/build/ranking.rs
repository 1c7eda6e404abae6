//! One order of segments for a build, and the way into it from images and batches.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use crate::segments::Segment;
use crate::shard::Shard;

use super::batch::Batch;

/// The segments of a build, by rank.
#[derive(Default)]
pub struct Ranking {
    /// By rank.
    pub segments: Vec<Segment>,
    ranks: HashMap<Arc<str>, u32>,
}

impl Ranking {
    /// The segments of the present images in their order, then those that batches bring.
    #[must_use]
    pub fn provisional(shards: &[Shard], batches: &[Batch]) -> Self {
        let mut ranking = Self::default();
        for shard in shards {
            let names = shard.image().names();
            for (name, source) in names.names().iter().zip(names.sources()) {
                ranking.add(name, source);
            }
        }
        for batch in batches {
            let names = batch.shares().flat_map(|share| share.segments.names());
            names.for_each(|name| ranking.add(name, batch.source()));
        }
        ranking
    }

    fn add(&mut self, name: &Arc<str>, source: &Arc<str>) {
        if !self.ranks.contains_key(name) {
            self.ranks.insert(Arc::clone(name), self.segments.len() as u32);
            self.segments.push(Segment { name: Arc::clone(name), source: Arc::clone(source) });
        }
    }

    /// The rank of each name of another order. Every name of it must have been added.
    #[must_use]
    pub fn map(&self, names: &[Arc<str>]) -> Vec<u32> {
        names.iter().map(|name| self.ranks[name]).collect()
    }

    /// The final order: segments without an entry leave. A merge keeps the first `kept` ranks and puts the new ones
    /// behind them, most popular first; with `kept` 0 all are put in that order.
    #[must_use]
    pub fn settle(self, entries: &[u64], members: &[u64], kept: usize) -> Settled {
        let mut order: Vec<usize> = (0..self.segments.len()).filter(|&rank| rank < kept || entries[rank] > 0).collect();
        // Equal popularity: by name, so that the same input gives the same image.
        let popularity = |rank: usize| (Reverse(members[rank]), &*self.segments[rank].name);
        let fresh = order.partition_point(|&rank| rank < kept);
        order[fresh..].sort_by(|&a, &b| popularity(a).cmp(&popularity(b)));
        let mut ranks = vec![None; self.segments.len()];
        (0u32..).zip(&order).for_each(|(rank, &provisional)| ranks[provisional] = Some(rank));
        Settled { segments: order.iter().map(|&rank| self.segments[rank].clone()).collect(), ranks }
    }
}

/// The final order of segments.
pub struct Settled {
    /// By final rank.
    pub segments: Vec<Segment>,
    /// The final rank of each provisional one; `None`: the segment left.
    pub ranks: Vec<Option<u32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(entries: &[u64], members: &[u64], kept: usize) -> (String, Vec<Option<u32>>) {
        let mut ranking = Ranking::default();
        ["a", "b", "c", "d", "e"].iter().for_each(|name| ranking.add(&Arc::from(*name), &Arc::from("s")));
        let Settled { segments, ranks } = ranking.settle(entries, members, kept);
        (segments.iter().map(|segment| &*segment.name).collect(), ranks)
    }

    #[test]
    fn popular_first_ties_by_name_the_empty_leave() {
        let (order, finals) = settled(&[1, 9, 0, 5, 5], &[1, 9, 0, 5, 5], 0);
        assert_eq!((order.as_str(), finals), ("bdea", vec![Some(3), Some(0), None, Some(1), Some(2)]));
    }

    #[test]
    fn a_merge_keeps_the_ranks_there_are() {
        let (order, finals) = settled(&[1, 2, 0, 5, 9], &[1, 2, 0, 5, 9], 3);
        assert_eq!((order.as_str(), finals), ("abced", vec![Some(0), Some(1), Some(2), Some(4), Some(3)]));
    }
}
