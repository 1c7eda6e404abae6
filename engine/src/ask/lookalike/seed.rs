//! The visitors whom others shall resemble.

use std::collections::HashSet;

use rayon::prelude::*;
use usher_index::{ImageError, Pid};

use super::population::Population;
use super::rows::Rows;

/// The parts that a seed is cut into for an honest curve.
pub const FOLDS: usize = 5;
/// Seed visitors that a thread looks up at a time.
const CHUNK: usize = 4_096;

/// Where a seed visitor is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In an image: shard and ordinal.
    Image(u32, u32),
    /// Among those whom changes concern.
    Touched(u32),
}

/// A seed, as the population knows it.
pub struct Seed {
    given: Vec<Pid>,
    /// Those with a live feature who have not opted out, in the order in which they were given.
    pub(super) members: Vec<(Pid, Place)>,
    /// What each of them has.
    pub(super) rows: Rows,
    /// Ordinals of those found in each shard, ascending.
    ordinals: Vec<Vec<u32>>,
}

impl Seed {
    /// Looks the visitors up; a visitor given twice counts once. Time: a profile each.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn new(population: &Population<'_>, pids: &[Pid]) -> Result<Self, ImageError> {
        let mut known = HashSet::with_capacity(pids.len());
        let once: Vec<Pid> = pids.iter().copied().filter(|&pid| known.insert(pid)).collect();
        let found = once.par_chunks(CHUNK).map(|pids| find(population, pids)).collect::<Result<Vec<_>, _>>()?;
        let (mut members, mut rows) = (Vec::new(), Rows::default());
        for (places, their_rows) in found {
            members.extend(places);
            rows.append(&their_rows);
        }
        let mut ordinals = vec![Vec::new(); population.shards.len()];
        for &(_, place) in &members {
            if let Place::Image(shard, ordinal) = place {
                ordinals[shard as usize].push(ordinal);
            }
        }
        ordinals.iter_mut().for_each(|ordinals| ordinals.sort_unstable());
        let mut given = once;
        given.sort_unstable();
        Ok(Self { given, members, rows, ordinals })
    }

    /// Everyone who was given, once, ascending.
    pub fn given(&self) -> &[Pid] {
        &self.given
    }

    /// Whether the visitor was given.
    pub fn holds(&self, pid: Pid) -> bool {
        self.given.binary_search(&pid).is_ok()
    }

    /// How many were found with a live feature.
    pub fn matched(&self) -> u64 {
        self.members.len() as u64
    }

    /// The part that a member belongs to.
    pub(super) fn fold(member: usize) -> usize {
        member % FOLDS
    }

    /// The ordinals of a shard's members, ascending.
    pub(super) fn ordinals(&self, shard: usize) -> &[u32] {
        &self.ordinals[shard]
    }

    /// How many members have each feature, by fold.
    pub(super) fn counts(&self, features: usize) -> Vec<Vec<u64>> {
        let mut counts = vec![vec![0; features]; FOLDS];
        for member in 0..self.rows.len() {
            let of = &mut counts[Self::fold(member)];
            self.rows.get(member).iter().for_each(|&number| of[number as usize] += 1);
        }
        counts
    }
}

type Found = (Vec<(Pid, Place)>, Rows);

fn find(population: &Population<'_>, pids: &[Pid]) -> Result<Found, ImageError> {
    let (mut places, mut rows) = (Vec::new(), Rows::default());
    let mut profiles = Profiles::default();
    for &pid in pids {
        if let Some(place) = profiles.read(population, pid)? {
            places.push((pid, place));
            rows.push(profiles.numbers.iter().copied());
        }
    }
    Ok((places, rows))
}

/// Reads one visitor's features after the other in the same memory.
#[derive(Default)]
pub struct Profiles {
    codes: Vec<bool>,
    ranks: Vec<u32>,
    /// Of the visitor who was read last.
    pub numbers: Vec<u32>,
}

impl Profiles {
    /// Where the visitor is, `None` when he or she is not eligible.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn read(&mut self, population: &Population<'_>, pid: Pid) -> Result<Option<Place>, ImageError> {
        self.numbers.clear();
        let place = if let Some(touched) = population.touched_place(pid) {
            self.numbers.extend_from_slice(population.rows.get(touched));
            Place::Touched(touched as u32)
        } else {
            let shard = population.snapshot.shard_number(pid);
            let Some(part) = population.shards.get(shard) else { return Ok(None) };
            let image = part.shard.image();
            let Some(found) = image.find(pid)? else { return Ok(None) };
            image.live(found.bytes, population.tick, &mut self.codes, &mut self.ranks)?;
            self.numbers.extend(self.ranks.iter().filter_map(|&rank| part.number(rank)));
            Place::Image(shard as u32, found.ordinal)
        };
        Ok((!self.numbers.is_empty()).then_some(place))
    }
}
