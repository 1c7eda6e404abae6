//! Who is dead at a tick. Containers hold every entry of life > 0; a sweep walks the profiles for those whose end has
//! come, and the evaluator takes them out.

use roaring::RoaringBitmap;

use crate::bits::{BLOCK, Bits};
use crate::error::ImageError;
use crate::image::Image;
use crate::profiles::Profile;
use crate::time::Tick;

/// The dead of one image at one tick.
pub struct Sweep {
    tick: Tick,
    /// The ordinals whose membership of the segment is dead, by rank.
    dead: Vec<RoaringBitmap>,
    /// The visitors who have nothing left.
    gone: RoaringBitmap,
}

impl Sweep {
    /// Walks an image. Buckets of which nothing has died are skipped by their next expiry, profiles by their codes.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn new(image: &Image, tick: Tick) -> Result<Self, ImageError> {
        let mut sweep = Self { tick, dead: Vec::new(), gone: RoaringBitmap::new() };
        let mut lives = Vec::new();
        for index in 0..image.header().geometry.buckets() {
            if image.next_expiry(index).is_some_and(|next| next > tick) {
                continue;
            }
            let bucket = image.bucket(index)?;
            for (ordinal, bytes) in (bucket.start..).zip(bucket.profiles()) {
                let profile = bytes.and_then(|bytes| Profile::new(bytes, image.times()));
                let visited = profile.and_then(|profile| sweep.visit(image, ordinal, &profile, &mut lives));
                visited.ok_or_else(|| image.damaged(crate::image::Section::Records, "sound profiles"))?;
            }
        }
        Ok(sweep)
    }

    fn visit(&mut self, image: &Image, ordinal: u32, profile: &Profile<'_>, lives: &mut Vec<Life>) -> Option<()> {
        lives.clear();
        let mut known = true;
        let times = image.times();
        profile.each_code(times, |code| match times.entry(code) {
            Some(entry) if entry.live(self.tick) => lives.push(Life::Live),
            Some(entry) if entry.is_removal() => lives.push(Life::Removal),
            Some(_) => lives.push(Life::Dead),
            None => known = false,
        });
        if !lives.contains(&Life::Dead) {
            return known.then_some(());
        }
        if !lives.contains(&Life::Live) {
            self.gone.insert(ordinal);
        }
        let segments = image.header().segments as usize;
        let mut lives = lives.iter();
        profile.each_rank(|rank| {
            if lives.next() == Some(&Life::Dead) {
                self.dead.resize_with(segments, RoaringBitmap::new);
                match self.dead.get_mut(rank as usize) {
                    Some(dead) => _ = dead.insert(ordinal),
                    None => known = false,
                }
            }
        })?;
        known.then_some(())
    }

    /// The tick at which these are dead.
    #[must_use]
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Takes the dead of a segment out of a block.
    pub fn bury(&self, rank: u32, block: usize, bits: &mut Bits) {
        if let Some(dead) = self.dead.get(rank as usize) {
            bury(dead, block, bits);
        }
    }

    /// How many memberships of the segment are dead.
    #[must_use]
    pub fn dead(&self, rank: u32) -> u64 {
        self.dead.get(rank as usize).map_or(0, RoaringBitmap::len)
    }

    /// Whether any visitor has nothing left.
    #[must_use]
    pub fn any_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Takes the visitors who have nothing left out of a block.
    pub fn bury_gone(&self, block: usize, bits: &mut Bits) {
        bury(&self.gone, block, bits);
    }
}

#[derive(PartialEq, Eq)]
enum Life {
    Live,
    Removal,
    Dead,
}

fn bury(dead: &RoaringBitmap, block: usize, bits: &mut Bits) {
    let first = block as u32 * BLOCK;
    if dead.is_empty() {
        return;
    }
    dead.range(first..=first + (BLOCK - 1)).for_each(|ordinal| bits.remove((ordinal - first) as u16));
}
