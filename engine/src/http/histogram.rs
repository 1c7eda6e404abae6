//! A histogram of latencies without a lock: fixed buckets, one copy per thread group, added up when somebody asks.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Upper ends of the buckets in microseconds; what is slower falls into a last one. They are close where a lookup's
/// answer lies and wide where a planner waits.
pub const BOUNDS_MICROS: [u64; 16] =
    [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000, 10_000_000];

/// How many buckets there are, the open one included.
pub const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

/// Copies of everything that is counted; threads spread over them. A power of two near the cores of a large machine.
pub const SHARDS: usize = 16;

/// The copy that this thread counts in. Threads take turns, so that two of them rarely write to one cache line.
#[must_use]
pub fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        mine.get()
    })
}

/// One copy of a histogram.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// Histograms added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Observations by bucket, not cumulative.
    pub buckets: [u64; BUCKETS],
    /// All observations together, in nanoseconds.
    pub nanos: u64,
}

impl Histogram {
    /// Counts so many observations of the same latency.
    pub fn record(&self, latency: Duration, times: u64) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|&bound| bound * 1_000 < nanos);
        self.buckets[bucket].fetch_add(times, Ordering::Relaxed);
        self.nanos.fetch_add(nanos.saturating_mul(times), Ordering::Relaxed);
    }

    /// Adds what was counted here to `sum`.
    pub fn add_to(&self, sum: &mut Sum) {
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.load(Ordering::Relaxed);
        }
        sum.nanos += self.nanos.load(Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_falls_into_the_bucket_that_ends_at_or_above_it() {
        let histogram = Histogram::default();
        for micros in [0, 5, 6, 10_000_000, 10_000_001] {
            histogram.record(Duration::from_micros(micros), 1);
        }
        let mut sum = Sum::default();
        histogram.add_to(&mut sum);
        histogram.add_to(&mut sum);
        assert_eq!((sum.buckets[0], sum.buckets[1], sum.buckets[15], sum.buckets[16]), (4, 2, 2, 2));
        assert_eq!(sum.nanos, 2 * 20_000_012_000);
        assert_eq!(sum.buckets.iter().sum::<u64>(), 10);
    }
}
