//! The second walk of a build: the images.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::dictionary::Geometry;
use crate::entry::Entry;
use crate::error::WriteError;
use crate::image::{ImageWriter, Shared, WrittenImage};
use crate::times::TimesBuilder;

use super::Progress;
use super::join::{Join, Part, Visitor};
use super::survey::{Input, Plan};

/// Walks the join again and hands each shard's image to `store`, as many at a time as there are cores.
///
/// # Errors
/// When an image is damaged or beyond a bound, or `store` fails.
pub fn freeze<T: Send>(
    input: &Input<'_>,
    mut plan: Plan,
    shared: &Shared,
    finals: &[Option<u32>],
    progress: &dyn Progress,
    store: impl Fn(u32, WrittenImage) -> Result<T, WriteError> + Sync,
) -> Result<Vec<T>, WriteError> {
    let per_shard = 1usize << (plan.part_bits - plan.shard_bits);
    let mut parts = std::mem::take(&mut plan.parts).into_iter();
    let mut shards = Vec::new();
    for shard in 0..1u32 << plan.shard_bits {
        let mut times = TimesBuilder::default();
        let mut visitors = 0;
        for part in parts.by_ref().take(per_shard) {
            visitors += part.visitors();
            times.absorb(part.times);
        }
        shards.push((Part { number: shard, bits: plan.shard_bits }, visitors, times));
    }
    let images = shards.into_par_iter().map(|(part, visitors, times)| {
        // At most `MAX_SHARD_VISITORS`: the survey saw to it.
        let geometry = Geometry::new(part.bits, visitors as u32);
        let image = freeze_shard(input, part, geometry, times, shared, finals, progress)?;
        store(part.number, image)
    });
    images.collect()
}

fn freeze_shard(
    input: &Input<'_>,
    part: Part,
    geometry: Geometry,
    times: TimesBuilder,
    shared: &Shared,
    finals: &[Option<u32>],
    progress: &dyn Progress,
) -> Result<WrittenImage, WriteError> {
    let (times, codes) = times.finish();
    let mut writer = ImageWriter::new(shared, &times, &codes, part.number, geometry);
    let mut join = Join::new(input.shards, input.maps, input.rows, input.purge, part)?;
    let mut settled: Vec<(u32, Entry)> = Vec::new();
    while let Some(Visitor { pid, entries }) = join.next(|_, _| {})? {
        settled.clear();
        // A rank that left has no entry: the survey counted them.
        settled.extend(entries.iter().filter_map(|&(rank, entry)| finals[rank as usize].map(|rank| (rank, entry))));
        if !settled.is_sorted_by(|a, b| a.0 < b.0) {
            settled.sort_unstable_by_key(|(rank, _)| *rank);
        }
        writer.push(pid, &settled)?;
        progress.advance(settled.len() as u64);
    }
    writer.finish()
}
