//! The second walk of a build: the images.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::dictionary::Geometry;
use crate::entry::Entry;
use crate::error::WriteError;
use crate::id::Pid;
use crate::image::{ImageWriter, Shared, WrittenImage};
use crate::times::TimesBuilder;

use super::Progress;
use super::join::{Join, Part, Visitor};
use super::survey::{Input, Plan};

/// About so many visitors are joined before they are written: a megabyte or two.
const STEP_VISITORS: u32 = 4_096;
/// So many steps for each thread are joined while as many are written.
const STEPS_PER_THREAD: usize = 2;

/// The image of one shard, before it is written.
struct Draft {
    part: Part,
    visitors: u64,
    times: TimesBuilder,
}

/// Walks the join again and hands each shard's image to `store`, as many at a time as there are threads.
///
/// # Errors
/// When an image is damaged or beyond a bound, rows on disk cannot be read, or `store` fails.
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
    let mut stored = Vec::new();
    let mut shard = 0..1u32 << plan.shard_bits;
    loop {
        // A thread that waits within one shard must not begin another: each holds an image.
        let wave = shard.by_ref().take(rayon::current_num_threads()).map(|number| {
            let part = Part { number, bits: plan.shard_bits };
            let mut draft = Draft { part, visitors: 0, times: TimesBuilder::default() };
            for part in parts.by_ref().take(per_shard) {
                draft.visitors += part.visitors();
                draft.times.absorb(part.times);
            }
            draft
        });
        let wave: Vec<Draft> = wave.collect();
        if wave.is_empty() {
            return Ok(stored);
        }
        let images = wave.into_par_iter().map(|draft| {
            let number = draft.part.number;
            store(number, freeze_shard(input, draft, shared, finals, progress)?)
        });
        stored.extend(images.collect::<Result<Vec<T>, WriteError>>()?);
    }
}

/// Writes one group of steps while the next is joined.
fn freeze_shard(
    input: &Input<'_>,
    Draft { part, visitors, times }: Draft,
    shared: &Shared,
    finals: &[Option<u32>],
    progress: &dyn Progress,
) -> Result<WrittenImage, WriteError> {
    // At most `MAX_SHARD_VISITORS`: the survey saw to it.
    let geometry = Geometry::new(part.bits, visitors as u32);
    let (times, codes) = times.finish();
    let mut writer = ImageWriter::new(shared, &times, &codes, part.number, geometry);
    let step_bits = geometry.visitors.div_ceil(STEP_VISITORS).max(1).ilog2();
    let first = part.number << step_bits;
    let steps: Vec<Part> =
        (0..1 << step_bits).map(|step| Part { number: first + step, bits: part.bits + step_bits }).collect();
    let join = |steps: &[Part]| {
        let step = |step: &Part| joined(input, *step, finals);
        steps.to_vec().into_par_iter().map(|part| step(&part)).collect::<Result<Vec<Step>, WriteError>>()
    };
    let mut groups = steps.chunks(STEPS_PER_THREAD * rayon::current_num_threads());
    let mut ready = groups.next().map_or(Ok(Vec::new()), join)?;
    while !ready.is_empty() {
        let write = || ready.iter().try_for_each(|step| step.write(&mut writer, progress));
        let (written, next) = rayon::join(write, || groups.next().map_or(Ok(Vec::new()), join));
        written?;
        ready = next?;
    }
    writer.finish()
}

/// The visitors of a small part, with their entries in the order of final ranks.
#[derive(Default)]
struct Step {
    /// Who, and where their entries end.
    visitors: Vec<(Pid, usize)>,
    entries: Vec<(u32, Entry)>,
}

impl Step {
    fn write(&self, writer: &mut ImageWriter<'_>, progress: &dyn Progress) -> Result<(), WriteError> {
        let mut start = 0;
        for &(pid, end) in &self.visitors {
            writer.push(pid, &self.entries[start..end])?;
            start = end;
        }
        progress.advance(self.entries.len() as u64);
        Ok(())
    }
}

fn joined(input: &Input<'_>, part: Part, finals: &[Option<u32>]) -> Result<Step, WriteError> {
    let mut join = Join::new(input, part)?;
    let mut step = Step::default();
    while let Some(Visitor { pid, entries }) = join.next(|_, _| {})? {
        let start = step.entries.len();
        // A rank that left has no entry: the survey counted them.
        step.entries
            .extend(entries.iter().filter_map(|&(rank, entry)| finals[rank as usize].map(|rank| (rank, entry))));
        let own = &mut step.entries[start..];
        if !own.is_sorted_by(|a, b| a.0 < b.0) {
            own.sort_unstable_by_key(|(rank, _)| *rank);
        }
        step.visitors.push((pid, step.entries.len()));
    }
    Ok(step)
}
