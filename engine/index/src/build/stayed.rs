//! What the survey must know of visitors who stay as they are: their times alone.

use crate::error::ImageError;
use crate::image::{Image, Section};
use crate::shard::Shard;
use crate::times::Times;

use super::codes::EntryCodes;
use super::join::Same;

/// Counts the times of visitors of one image after the other.
pub struct Stayed<'a> {
    shards: &'a [Shard],
    shard: u32,
    /// Of each code of that image's table of pairs, how often it occurred.
    counts: Vec<u64>,
    /// Entries of no life.
    pub removals: u64,
}

impl<'a> Stayed<'a> {
    /// Before the first visitor of these images.
    #[must_use]
    pub fn new(shards: &'a [Shard]) -> Self {
        Self { shards, shard: 0, counts: Vec::new(), removals: 0 }
    }

    /// Notes the times of a visitor and answers how many entries there are.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn note(&mut self, same: Same<'a>, times: &mut EntryCodes) -> Result<u64, ImageError> {
        if same.shard != self.shard {
            self.finish(times);
            self.shard = same.shard;
        }
        let image = same.image(self.shards);
        let profile = image.profile(same.bytes)?;
        let mut known = true;
        match image.times() {
            Times::Pairs(pairs) => {
                self.counts.resize(pairs.len(), 0);
                profile.each_code(|code| match self.counts.get_mut(code as usize) {
                    Some(count) => *count += 1,
                    None => known = false,
                });
            }
            all @ Times::Split { .. } => profile.each_code(|code| match all.entry(code) {
                Some(entry) => {
                    times.code(entry);
                    self.removals += u64::from(entry.is_removal());
                }
                None => known = false,
            }),
        }
        let length = profile.length() as u64;
        if known { Ok(length) } else { Err(unknown_time(image)) }
    }

    /// Notes what was counted.
    pub fn finish(&mut self, times: &mut EntryCodes) {
        let Some(Times::Pairs(pairs)) = self.shards.get(self.shard as usize).map(|shard| shard.image().times()) else {
            return;
        };
        for (&count, &entry) in self.counts.iter().zip(pairs).filter(|(count, _)| **count > 0) {
            times.code(entry);
            self.removals += if entry.is_removal() { count } else { 0 };
        }
        self.counts.clear();
    }
}

fn unknown_time(image: &Image) -> ImageError {
    image.damaged(Section::Records, "codes of the times that occur")
}
