//! The second walk of a build: the images.

use std::sync::mpsc::sync_channel;
use std::thread;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::breath::{BREATH_VISITORS, Stride};
use crate::dictionary::Geometry;
use crate::error::WriteError;
use crate::files::{Draft, Folder};
use crate::gaps::GapCode;
use crate::image::{Encoding, ImagePart, ImageWriter, PartWriter, Recode, Section, Shared, WrittenImage};
use crate::times::{TimeCodes, TimesBuilder};

use super::Progress;
use super::join::{Kept, Part};
use super::share::PARTITION_BITS;
use super::steps::{Finals, Step, wave_steps};
use super::survey::{Input, Plan};

/// About so many visitors are encoded at a time: a megabyte or two of entries.
const STEP_VISITORS: u32 = 4_096;
/// So many parts wait for the disk, some 16 MiB; then the build waits too.
const QUEUED_PARTS: usize = 64;

/// The image of one shard, before it is written.
struct Outline<'a> {
    part: Part,
    visitors: u64,
    times: TimesBuilder,
    /// Its first steps, joined already.
    sample: Vec<Step<'a>>,
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
    store: impl Fn(u32, Draft) -> Result<T, WriteError> + Sync,
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
    let finals = Finals { input, finals };
    // One code for all images: whoever looks into several has one table in the cache. The first shard tells, for
    // pseudonyms are random.
    let segments = shared.segments.len() as u32;
    let sample = outlines.peek_mut().map_or(Ok(Vec::new()), |first| finals.sample(&first.steps()))?;
    let gaps = finals.choose_gap_code(segments, visitors, &sample)?;
    if let Some(first) = outlines.peek_mut() {
        first.sample = sample;
    }
    let copies = input.shards.iter().zip(input.maps).map(|(shard, map)| {
        let same = (0..).zip(map).all(|(rank, &provisional)| finals.of(provisional) == Some(rank));
        same && input.keeps_ranks && shard.image().gap_code().is_same(&gaps)
    });
    let copies = copies.collect();
    let freezing = Freezing { finals, copies, shared, progress, folder, gaps: &gaps };
    let mut stored = Vec::new();
    loop {
        // A thread that waits within one shard must not begin another: each holds an image.
        let wave: Vec<Outline<'_>> = outlines.by_ref().take(rayon::current_num_threads()).collect();
        if wave.is_empty() {
            return Ok(stored);
        }
        let images = wave.into_par_iter().map(|outline| {
            let number = outline.part.number;
            store(number, freezing.shard(outline)?)
        });
        stored.extend(images.collect::<Result<Vec<T>, WriteError>>()?);
    }
}

/// What all shards of a build share.
struct Freezing<'a> {
    finals: Finals<'a>,
    /// Of each present image, whether its gaps are in the code and the ranks of the new ones.
    copies: Vec<bool>,
    shared: &'a Shared,
    progress: &'a dyn Progress,
    folder: &'a Folder,
    gaps: &'a GapCode,
}

impl Outline<'_> {
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

impl Freezing<'_> {
    /// Encodes one wave of steps while the one before is put together.
    fn shard(&self, outline: Outline<'_>) -> Result<Draft, WriteError> {
        let (geometry, steps) = (outline.geometry(), outline.steps());
        let Outline { part, times, sample, .. } = outline;
        let (times, codes) = times.finish();
        let segments = self.shared.segments.len() as u32;
        let encoding = Encoding { geometry, times: &times, codes: &codes, gaps: self.gaps, segments };
        let recodes = self.recodes(part, &codes);
        let encode = |step: Step<'_>| self.encode(&step, &encoding, &recodes);
        let rest = &steps[sample.len()..];
        let mut waves = rest.chunks(wave_steps());
        let encode_next = |steps: &[Part]| {
            let steps = steps.to_vec().into_par_iter();
            steps.map(|step| encode(self.finals.joined(step)?)).collect::<Result<Vec<ImagePart>, WriteError>>()
        };
        let ready = sample.into_par_iter().map(encode).collect::<Result<Vec<ImagePart>, WriteError>>();
        let mut ready = ready?;
        if ready.is_empty() {
            ready = encode_next(waves.next().unwrap_or_default())?;
        }
        let mut writer = ImageWriter::new(self.shared, &encoding, part.number);
        let mut file = Draft::new(self.folder, writer.records_offset() as u64)?;
        let (to_disk, records) = sync_channel::<Vec<u8>>(QUEUED_PARTS);
        thread::scope(|scope| {
            // Records, the larger half of an image, are on the disk by the time that the rest is known.
            let flusher = scope.spawn(move || records.iter().try_for_each(|bytes| file.append(&bytes)).map(|()| file));
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
            let WrittenImage { head, tail } = writer.finish()?;
            let mut file = flusher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            tail.iter().try_for_each(|bytes| file.append(bytes))?;
            file.write_head(&head)?;
            Ok(file)
        })
    }

    /// Of each present image that may be copied into this shard, the way of its codes into those of the shard.
    fn recodes<'c>(&'c self, shard: Part, codes: &'c TimeCodes) -> Vec<Option<Recode<'c>>> {
        let shards = self.finals.input.shards;
        let bits = shards.len().max(1).ilog2();
        let meets = |number: usize| {
            (number as u64) << shard.bits >> bits == u64::from(shard.number)
                || u64::from(shard.number) << bits >> shard.bits == number as u64
        };
        let of = |number: usize| Recode::new(shards[number].image().times(), codes);
        (0..shards.len()).map(|number| (self.copies[number] && meets(number)).then(|| of(number))).collect()
    }

    fn encode(
        &self,
        step: &Step<'_>,
        encoding: &Encoding<'_>,
        recodes: &[Option<Recode<'_>>],
    ) -> Result<ImagePart, WriteError> {
        let (geometry, part) = (encoding.geometry, step.part);
        let buckets = geometry.bucket_bits - (part.bits - geometry.shard_bits);
        let first = part.number as usize & ((1 << (part.bits - geometry.shard_bits)) - 1);
        let mut writer = PartWriter::new(encoding, first << buckets..(first + 1) << buckets);
        let (mut read, mut stride) = (Vec::new(), Stride::new(BREATH_VISITORS));
        step.each(|pid, kept| {
            stride.step();
            match kept {
                Kept::Entries(entries) => writer.push(pid, entries),
                Kept::Same(same) => {
                    let image = same.image(self.finals.input.shards);
                    if let Some(recode) = &recodes[same.shard as usize] {
                        let copied = writer.copy(pid, &image.profile(same.bytes)?, recode);
                        return copied.ok_or_else(|| image.damaged(Section::Records, "a sound profile"));
                    }
                    read.clear();
                    self.finals.read(same, &mut read)?;
                    writer.push(pid, &read);
                }
            }
            Ok(())
        })?;
        let part = writer.finish();
        self.progress.advance(part.entries());
        Ok(part)
    }
}
