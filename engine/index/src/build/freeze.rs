//! The second walk of a build: the images.

use std::sync::mpsc::sync_channel;
use std::thread;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::dictionary::Geometry;
use crate::entry::Entry;
use crate::error::WriteError;
use crate::files::{Draft, Folder};
use crate::gaps::GapCode;
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
    /// Its first steps, joined already.
    sample: Vec<Step>,
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
    let visitors = plan.visitors();
    let mut parts = std::mem::take(&mut plan.parts).into_iter();
    let mut outlines = (0..1u32 << plan.shard_bits)
        .map(|number| {
            let part = Part { number, bits: plan.shard_bits };
            let mut outline = Outline { part, visitors: 0, times: TimesBuilder::default(), sample: Vec::new() };
            for part in parts.by_ref().take(per_shard) {
                outline.visitors += part.visitors();
                outline.times.absorb(part.times);
            }
            outline
        })
        .peekable();
    // One code for all images: whoever looks into several has one table in the cache. The first shard tells, for
    // pseudonyms are random.
    let segments = shared.segments.len() as u32;
    let sample = outlines.peek_mut().map_or(Ok(Vec::new()), |first| sampled(input, &first.steps(), finals))?;
    let gaps = choose_gap_code(segments, visitors, sample.iter().flat_map(Step::profiles));
    if let Some(first) = outlines.peek_mut() {
        first.sample = sample;
    }
    let freezing = Freezing { input, shared, finals, progress, folder, gaps: &gaps };
    let mut stored = Vec::new();
    loop {
        // A thread that waits within one shard must not begin another: each holds an image.
        let wave: Vec<Outline> = outlines.by_ref().take(rayon::current_num_threads()).collect();
        if wave.is_empty() {
            return Ok(stored);
        }
        let images = wave.into_par_iter().map(|outline| {
            let number = outline.part.number;
            let (image, file) = freezing.shard(outline)?;
            store(number, image, file)
        });
        stored.extend(images.collect::<Result<Vec<T>, WriteError>>()?);
    }
}

/// What all shards of a build share.
struct Freezing<'a> {
    input: &'a Input<'a>,
    shared: &'a Shared,
    finals: &'a [Option<u32>],
    progress: &'a dyn Progress,
    folder: &'a Folder,
    gaps: &'a GapCode,
}

impl Outline {
    fn geometry(&self) -> Geometry {
        // At most `MAX_SHARD_VISITORS`: the survey saw to it.
        Geometry::new(self.part.bits, self.visitors as u32)
    }

    /// The small parts in which the shard is joined.
    fn steps(&self) -> Vec<Part> {
        let part = self.part;
        let step_bits = self.geometry().visitors.div_ceil(STEP_VISITORS).max(1).ilog2();
        // A partition of rows is sorted whole, so no two steps share one.
        let step_bits = step_bits.min(PARTITION_BITS.saturating_sub(part.bits));
        let first = part.number << step_bits;
        (0..1 << step_bits).map(|step| Part { number: first + step, bits: part.bits + step_bits }).collect()
    }
}

/// How many steps are encoded at a time.
fn wave_steps() -> usize {
    STEPS_PER_THREAD * rayon::current_num_threads()
}

impl Freezing<'_> {
    /// Encodes one wave of steps while the one before is put together.
    fn shard(&self, outline: Outline) -> Result<(WrittenImage, Draft), WriteError> {
        let (geometry, steps) = (outline.geometry(), outline.steps());
        let Outline { part, times, sample, .. } = outline;
        let (times, codes) = times.finish();
        let segments = self.shared.segments.len() as u32;
        let encoding = Encoding { geometry, times: &times, codes: &codes, gaps: self.gaps, segments };
        let encode = |step: Step| step.encode(&encoding, self.progress);
        let rest = &steps[sample.len()..];
        let mut waves = rest.chunks(wave_steps());
        let encode_next = |steps: &[Part]| {
            let steps = steps.to_vec().into_par_iter();
            steps
                .map(|step| Ok(encode(joined(self.input, step, self.finals)?)))
                .collect::<Result<Vec<ImagePart>, WriteError>>()
        };
        let mut ready: Vec<ImagePart> = sample.into_par_iter().map(encode).collect();
        if ready.is_empty() {
            ready = encode_next(waves.next().unwrap_or_default())?;
        }
        let mut writer = ImageWriter::new(self.shared, &encoding, part.number);
        let mut file = Draft::new(self.folder, writer.records_offset() as u64)?;
        let (to_disk, records) = sync_channel::<Vec<u8>>(QUEUED_PARTS);
        thread::scope(|scope| {
            // Records, the larger half of an image, are on the disk by the time that the rest is known.
            let flusher =
                scope.spawn(move || records.iter().try_for_each(|bytes| file.write_ahead(&bytes)).map(|()| file));
            let on = |records| {
                // Nobody takes them when the disk failed: that comes out below.
                let _ = to_disk.send(records);
            };
            while !ready.is_empty() {
                let next = || encode_next(waves.next().unwrap_or_default());
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
}

/// Joins the first steps, enough of them to choose the code for gaps by.
fn sampled(input: &Input<'_>, steps: &[Part], finals: &[Option<u32>]) -> Result<Vec<Step>, WriteError> {
    let (mut sample, mut rest) = (Vec::new(), steps);
    while !rest.is_empty() && sample.iter().map(|step: &Step| step.visitors.len()).sum::<usize>() < SAMPLE_VISITORS {
        let (own, after) = rest.split_at(wave_steps().min(rest.len()));
        let joined = own.to_vec().into_par_iter().map(|step| joined(input, step, finals));
        sample.extend(joined.collect::<Result<Vec<Step>, WriteError>>()?);
        rest = after;
    }
    Ok(sample)
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
