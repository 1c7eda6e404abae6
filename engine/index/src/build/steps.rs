//! Small parts of a build, joined: what the freeze encodes at a time.

use std::sync::Arc;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::breath::{BREATH_VISITORS, Stride};
use crate::entry::Entry;
use crate::error::{ImageError, WriteError};
use crate::gaps::GapCode;
use crate::id::Pid;
use crate::image::{GapSample, SAMPLE_VISITORS};

use super::join::{Join, Kept, Part, Same, Visitor, sort};
use super::survey::Input;

/// So many steps for each thread are encoded while those before are put together: a block of ordinals for two threads.
const STEPS_PER_THREAD: usize = 8;

/// How many steps are encoded at a time.
pub(super) fn wave_steps() -> usize {
    STEPS_PER_THREAD * rayon::current_num_threads()
}

/// The visitors of a small part.
pub(super) struct Step<'a> {
    /// Which part.
    pub(super) part: Part,
    visitors: Vec<(Pid, Held<'a>)>,
    /// In the order of final ranks.
    entries: Vec<(u32, Entry)>,
}

/// What a step holds of a visitor.
enum Held<'a> {
    Same(Same<'a>),
    /// Where among the entries theirs end.
    Entries(usize),
}

impl<'a> Step<'a> {
    /// Calls `each` with every visitor, until it fails.
    pub(super) fn each(
        &self,
        mut each: impl FnMut(Pid, Kept<'a, '_>) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let mut start = 0;
        for &(pid, ref held) in &self.visitors {
            match *held {
                Held::Same(same) => each(pid, Kept::Same(same))?,
                Held::Entries(end) => {
                    each(pid, Kept::Entries(&self.entries[start..end]))?;
                    start = end;
                }
            }
        }
        Ok(())
    }
}

/// What is joined, and the final ranks.
#[derive(Clone, Copy)]
pub(super) struct Finals<'a> {
    /// What is joined.
    pub(super) input: &'a Input<'a>,
    /// By provisional rank; `None`: the segment left.
    pub(super) finals: &'a [Option<u32>],
}

impl<'a> Finals<'a> {
    /// The final rank of a provisional one; `None`: it left.
    pub(super) fn of(self, provisional: u32) -> Option<u32> {
        self.finals[provisional as usize]
    }

    /// Appends entries in the order of final ranks. A rank that left has no entry: the survey counted them.
    fn extend(self, entries: impl Iterator<Item = (u32, Entry)>, into: &mut Vec<(u32, Entry)>) {
        let start = into.len();
        into.extend(entries.filter_map(|(rank, entry)| self.of(rank).map(|rank| (rank, entry))));
        sort(&mut into[start..]);
    }

    /// Appends the entries of a profile in the order of final ranks.
    pub(super) fn read(self, same: Same<'_>, into: &mut Vec<(u32, Entry)>) -> Result<(), ImageError> {
        let (mut entries, map) = (Vec::new(), &self.input.maps[same.shard as usize]);
        same.entries(self.input.shards, &mut entries)?;
        self.extend(entries.into_iter().map(|(rank, entry)| (map[rank as usize], entry)), into);
        Ok(())
    }

    /// Joins a part.
    pub(super) fn joined(self, part: Part) -> Result<Step<'a>, WriteError> {
        let mut join = Join::new(self.input, part)?;
        let mut step = Step { part, visitors: Vec::new(), entries: Vec::new() };
        while let Some(Visitor { pid, kept }) = join.next(|_, _| {})? {
            step.visitors.push((
                pid,
                match kept {
                    Kept::Same(same) => Held::Same(same),
                    Kept::Entries(entries) => {
                        self.extend(entries.iter().copied(), &mut step.entries);
                        Held::Entries(step.entries.len())
                    }
                },
            ));
        }
        Ok(step)
    }

    /// Joins the first steps, enough of them to choose the code for gaps by.
    pub(super) fn sample(self, steps: &[Part]) -> Result<Vec<Step<'a>>, WriteError> {
        let (mut sample, mut rest) = (Vec::new(), steps);
        while !rest.is_empty()
            && sample.iter().map(|step: &Step<'_>| step.visitors.len()).sum::<usize>() < SAMPLE_VISITORS
        {
            let (own, after) = rest.split_at(wave_steps().min(rest.len()));
            let joined = own.to_vec().into_par_iter().map(|step| self.joined(step));
            sample.extend(joined.collect::<Result<Vec<Step<'_>>, WriteError>>()?);
            rest = after;
        }
        Ok(sample)
    }

    /// One code for all images, by the sample.
    pub(super) fn choose_gap_code(
        self,
        segments: u32,
        visitors: u64,
        steps: &[Step<'a>],
    ) -> Result<Arc<GapCode>, ImageError> {
        let (mut sample, mut read) = (GapSample::new(segments), Vec::new());
        let mut stride = Stride::new(BREATH_VISITORS);
        for step in steps {
            step.each(|_, kept| {
                if sample.is_full() {
                    return Ok(());
                }
                stride.step();
                read.clear();
                match kept {
                    Kept::Same(same) => self.read(same, &mut read)?,
                    Kept::Entries(entries) => read.extend_from_slice(entries),
                }
                sample.note(read.iter().map(|(rank, _)| *rank));
                Ok(())
            })?;
        }
        let kept = self.input.shards.first().filter(|_| self.input.keeps_ranks).map(|shard| shard.image().gap_code());
        Ok(sample.choose(visitors, kept))
    }
}
