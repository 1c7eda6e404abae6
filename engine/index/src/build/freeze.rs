//! The second walk of a build: the images.

use std::sync::mpsc::sync_channel;
use std::thread;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::dictionary::Geometry;
use crate::entry::Entry;
use crate::error::WriteError;
use crate::files::{Draft, Folder};
use crate::id::Pid;
use crate::image::{
    Encoding, ImagePart, ImageWriter, PartWriter, SAMPLE_VISITORS, Shared, WrittenImage, choose_gap_code,
};
use crate::times::TimesBuilder;

use super::Progress;
use super::join::{Join, Part, Visitor};
use super::share::PARTITION_BITS;
use super::survey::{Input, Plan};

/// About so many visitors are encoded at a time: a megabyte or two of entries.
const STEP_VISITORS: u32 = 4_096;
/// So many steps for each thread are encoded while those before are put together: a block of ordinals for two threads.
const STEPS_PER_THREAD: usize = 8;

/// So many parts wait for the disk, some 16 MiB; then the build waits too.
const QUEUED_PARTS: usize = 64;

/// The image of one shard, before it is written.
struct Outline {
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
    folder: &Folder,
    store: impl Fn(u32, WrittenImage, Draft) -> Result<T, WriteError> + Sync,
) -> Result<Vec<T>, WriteError> {
    let per_shard = 1usize << (plan.part_bits - plan.shard_bits);
    let mut parts = std::mem::take(&mut plan.parts).into_iter();
    let mut stored = Vec::new();
    let mut shard = 0..1u32 << plan.shard_bits;
    loop {
        // A thread that waits within one shard must not begin another: each holds an image.
        let wave = shard.by_ref().take(rayon::current_num_threads()).map(|number| {
            let part = Part { number, bits: plan.shard_bits };
            let mut outline = Outline { part, visitors: 0, times: TimesBuilder::default() };
            for part in parts.by_ref().take(per_shard) {
                outline.visitors += part.visitors();
                outline.times.absorb(part.times);
            }
            outline
        });
        let wave: Vec<Outline> = wave.collect();
        if wave.is_empty() {
            return Ok(stored);
        }
        let images = wave.into_par_iter().map(|outline| {
            let number = outline.part.number;
            let (image, file) = freeze_shard(input, outline, shared, finals, progress, folder)?;
            store(number, image, file)
        });
        stored.extend(images.collect::<Result<Vec<T>, WriteError>>()?);
    }
}

/// Encodes one wave of steps while the one before is put together.
fn freeze_shard(
    input: &Input<'_>,
    Outline { part, visitors, times }: Outline,
    shared: &Shared,
    finals: &[Option<u32>],
    progress: &dyn Progress,
    folder: &Folder,
) -> Result<(WrittenImage, Draft), WriteError> {
    // At most `MAX_SHARD_VISITORS`: the survey saw to it.
    let geometry = Geometry::new(part.bits, visitors as u32);
    let (times, codes) = times.finish();
    let step_bits = geometry.visitors.div_ceil(STEP_VISITORS).max(1).ilog2();
    // A partition of rows is sorted whole, so no two steps share one.
    let step_bits = step_bits.min(PARTITION_BITS.saturating_sub(part.bits));
    let first = part.number << step_bits;
    let steps: Vec<Part> =
        (0..1 << step_bits).map(|step| Part { number: first + step, bits: part.bits + step_bits }).collect();
    let wave = STEPS_PER_THREAD * rayon::current_num_threads();

    let (sample, rest) = sampled(input, &steps, wave, finals)?;
    let segments = shared.segments.len() as u32;
    let gaps = choose_gap_code(segments, geometry.visitors, sample.iter().flat_map(Step::profiles));
    let encoding = Encoding { geometry, times: &times, codes: &codes, gaps, segments };
    let encode = |step: Step| step.encode(&encoding, progress);
    let mut ready: Vec<ImagePart> = sample.into_par_iter().map(encode).collect();
    let mut waves = rest.chunks(wave);
    let mut writer = ImageWriter::new(shared, &encoding, part.number);
    let mut file = Draft::new(folder, writer.records_offset() as u64)?;
    let (to_disk, records) = sync_channel::<Vec<u8>>(QUEUED_PARTS);
    thread::scope(|scope| {
        // Records, the larger half of an image, are on the disk by the time that the rest is known.
        let flusher = scope.spawn(move || records.iter().try_for_each(|bytes| file.write_ahead(&bytes)).map(|()| file));
        let on = |records| {
            // Nobody takes them when the disk failed: that comes out below.
            let _ = to_disk.send(records);
        };
        while !ready.is_empty() {
            let next = || {
                let steps = waves.next().unwrap_or_default().to_vec().into_par_iter();
                steps
                    .map(|step| Ok(encode(joined(input, step, finals)?)))
                    .collect::<Result<Vec<ImagePart>, WriteError>>()
            };
            let (appended, next) = rayon::join(|| writer.append(ready, on), next);
            appended?;
            ready = next?;
        }
        drop(to_disk);
        let image = writer.finish()?;
        let file = flusher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((image, file))
    })
}

/// Joins the first steps, enough of them to choose the code for gaps by; answers which are left.
fn sampled<'s>(
    input: &Input<'_>,
    steps: &'s [Part],
    wave: usize,
    finals: &[Option<u32>],
) -> Result<(Vec<Step>, &'s [Part]), WriteError> {
    let (mut sample, mut rest) = (Vec::new(), steps);
    while !rest.is_empty() && sample.iter().map(|step: &Step| step.visitors.len()).sum::<usize>() < SAMPLE_VISITORS {
        let (own, after) = rest.split_at(wave.min(rest.len()));
        let joined = own.to_vec().into_par_iter().map(|step| joined(input, step, finals));
        sample.extend(joined.collect::<Result<Vec<Step>, WriteError>>()?);
        rest = after;
    }
    Ok((sample, rest))
}

/// The visitors of a small part, with their entries in the order of final ranks.
struct Step {
    part: Part,
    /// Who, and where their entries end.
    visitors: Vec<(Pid, usize)>,
    entries: Vec<(u32, Entry)>,
}

impl Step {
    /// The entries of each visitor.
    fn profiles(&self) -> impl Iterator<Item = &[(u32, Entry)]> {
        let starts = std::iter::once(0).chain(self.visitors.iter().map(|(_, end)| *end));
        starts.zip(&self.visitors).map(|(start, (_, end))| &self.entries[start..*end])
    }

    fn encode(self, encoding: &Encoding<'_>, progress: &dyn Progress) -> ImagePart {
        let geometry = encoding.geometry;
        let buckets = geometry.bucket_bits - (self.part.bits - geometry.shard_bits);
        let first = self.part.number as usize & ((1 << (self.part.bits - geometry.shard_bits)) - 1);
        let mut writer = PartWriter::new(encoding, first << buckets..(first + 1) << buckets);
        self.visitors.iter().zip(self.profiles()).for_each(|(&(pid, _), entries)| writer.push(pid, entries));
        progress.advance(self.entries.len() as u64);
        writer.finish()
    }
}

fn joined(input: &Input<'_>, part: Part, finals: &[Option<u32>]) -> Result<Step, WriteError> {
    let mut join = Join::new(input, part)?;
    let mut step = Step { part, visitors: Vec::new(), entries: Vec::new() };
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
