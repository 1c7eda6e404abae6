//! Numbers of segments and of prefixes that hold for every shard and generation: what rules are made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;
use usher_index::Snapshot;

/// Names and their numbers. It only grows: with every name of an index or a rule that this process has seen.
#[derive(Default)]
pub struct Numbers {
    segments: DashMap<Arc<str>, u32>,
    /// By their text up to the star, which ends in a dot.
    prefixes: DashMap<Arc<str>, u32>,
    next: AtomicU32,
}

impl Numbers {
    /// The number of a segment, given now if it had none.
    pub fn segment(&self, name: &str) -> u32 {
        self.number(&self.segments, name)
    }

    /// The number of a prefix, which ends in a dot, given now if it had none.
    pub fn prefix(&self, prefix: &str) -> u32 {
        self.number(&self.prefixes, prefix)
    }

    /// How many prefixes have a number.
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    fn number(&self, map: &DashMap<Arc<str>, u32>, text: &str) -> u32 {
        if let Some(known) = map.get(text) {
            return *known;
        }
        // 2^29 names, which is what code has room for, would need gigabytes of names first.
        *map.entry(text.into()).or_insert_with(|| self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Calls `each` with the numbers that a member of a segment has by it: the segment's, and those of its prefixes. Only
    /// names that have one.
    pub fn each_of(&self, name: &str, mut each: impl FnMut(u32)) {
        self.segments.get(name).into_iter().for_each(|number| each(*number));
        if self.prefixes.is_empty() {
            return;
        }
        for (dot, _) in name.match_indices('.') {
            self.prefixes.get(&name[..=dot]).into_iter().for_each(|number| each(*number));
        }
    }
}

/// What each rank of a shard means in numbers.
#[derive(Default)]
pub struct ShardNumbers {
    /// Where the numbers of a rank begin, and one more.
    starts: Vec<u32>,
    numbers: Vec<u32>,
}

impl ShardNumbers {
    /// The numbers of every shard of a snapshot, where each segment gets one. Time: a look into the table for each name
    /// and each of its dots.
    pub fn of(snapshot: &Snapshot, numbers: &Numbers) -> Vec<Self> {
        let of_shard = |names: &[Arc<str>]| {
            let mut shard = Self { starts: Vec::with_capacity(names.len() + 1), numbers: Vec::new() };
            for name in names {
                shard.starts.push(shard.numbers.len() as u32);
                numbers.segment(name);
                numbers.each_of(name, |number| shard.numbers.push(number));
            }
            shard.starts.push(shard.numbers.len() as u32);
            shard
        };
        snapshot.shards().iter().map(|shard| of_shard(shard.names())).collect()
    }

    /// The numbers of a rank; none of one that the shard does not have.
    #[inline]
    pub fn of_rank(&self, rank: u32) -> &[u32] {
        let Some(&[start, end]) = self.starts.get(rank as usize..).and_then(|starts| starts.first_chunk()) else {
            return &[];
        };
        self.numbers.get(start as usize..end as usize).unwrap_or_default()
    }
}
