//! Who is dead at a tick. Containers hold every entry of life > 0; a sweep walks the profiles for those whose end has
//! come, and whoever counts takes them out.

use std::hint::black_box;

use crate::bits::{BLOCK, Bits};
use crate::breath::{BREATH_BUCKETS, BREATH_PAIRS, Stride, pieces};
use crate::error::ImageError;
use crate::image::{Bucket, Image, Section};
use crate::profiles::Profile;
use crate::time::Tick;
use crate::times::Times;

/// A next expiry that is further from the base than two bytes tell: look.
const FAR: u16 = u16::MAX;

/// The mark of an end that has come; no end to come is at tick 0.
const DIED: u32 = 0;
/// So many records are loaded ahead.
const AHEAD: usize = 8;

/// The dead of one image at one tick.
pub struct Sweep {
    tick: Tick,
    segments: u32,
    /// By block.
    dead: Vec<Dead>,
    /// For each bucket the tick of the next death after `tick`, counted from the image's base.
    next: Vec<u16>,
}

/// The dead of one block: of each segment, and after the last one, the visitors who have nothing left.
#[derive(Clone, Default)]
struct Dead {
    /// Where each one's ordinals end; empty when there are none at all.
    ends: Vec<u32>,
    /// Ordinals, ascending within each.
    ordinals: Vec<u16>,
}

impl Sweep {
    /// Walks an image for all that is dead. Buckets of which nothing has died are skipped by their next expiry, profiles
    /// by their codes.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn new(image: &Image, tick: Tick) -> Result<Self, ImageError> {
        let blocks = image.header().geometry.visitors.div_ceil(BLOCK) as usize;
        let next = (0..image.header().geometry.buckets()).map(|bucket| match image.next_expiry(bucket) {
            Some(next) => after(image, next),
            None => FAR,
        });
        let segments = image.header().segments;
        let fresh = Self { tick: Tick::new(0), segments, dead: vec![Dead::default(); blocks], next: next.collect() };
        fresh.advance(image, tick)
    }

    /// The dead of the same image at another tick: at a later one only those are looked for that have died since.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn at(&self, image: &Image, tick: Tick) -> Result<Self, ImageError> {
        if tick < self.tick { Self::new(image, tick) } else { self.advance(image, tick) }
    }

    fn advance(&self, image: &Image, tick: Tick) -> Result<Self, ImageError> {
        let ends = Ends::of(image.times());
        let (before, now) = (self.tick.get(), tick.get());
        let mut walk = Walk { image, ends: &ends, before, now, marks: ends.marks(before, now), found: Vec::new() };
        let mut sweep = Self { tick, segments: self.segments, dead: Vec::new(), next: self.next.clone() };
        let due = after(image, tick);
        let touched = |next: u16| next <= due || next == FAR;
        let looked: Vec<usize> = (0..sweep.next.len()).filter(|&index| touched(sweep.next[index])).collect();
        let mut stride = Stride::new(BREATH_BUCKETS);
        for group in looked.chunks(AHEAD) {
            stride.steps(group.len());
            let buckets = group.iter().map(|&index| image.bucket(index)).collect::<Result<Vec<_>, _>>()?;
            // The misses of a group happen at the same time.
            black_box(buckets.iter().fold(0, |sum: u8, bucket| sum.wrapping_add(bucket.touch())));
            for (&index, bucket) in group.iter().zip(&buckets) {
                let soonest = self.look(image, bucket, &mut sweep.dead, &mut walk)?;
                // Without anyone left there is nothing to look for until counting from the base ends.
                sweep.next[index] = if soonest == u32::MAX { FAR - 1 } else { after(image, Tick::new(soonest)) };
            }
        }
        while sweep.dead.len() < self.dead.len() {
            self.close(&mut sweep.dead, &mut walk.found);
        }
        Ok(sweep)
    }

    /// Looks at the visitors of a bucket, and ends the blocks before them. The soonest death to come.
    fn look(
        &self,
        image: &Image,
        bucket: &Bucket<'_>,
        closed: &mut Vec<Dead>,
        walk: &mut Walk<'_>,
    ) -> Result<u32, ImageError> {
        let mut soonest = u32::MAX;
        for (ordinal, bytes) in (bucket.start..).zip(bucket.profiles()) {
            let block = (ordinal / BLOCK) as usize;
            while closed.len() < block {
                self.close(closed, &mut walk.found);
            }
            let known = ordinal < image.header().geometry.visitors;
            let profile = bytes.and_then(|bytes| image.profile(bytes).ok()).filter(|_| known);
            let visited = profile.and_then(|profile| walk.visit(ordinal as u16, &profile, &mut soonest));
            visited.ok_or_else(|| image.damaged(Section::Records, "sound profiles"))?;
        }
        Ok(soonest)
    }

    /// Ends a block: the dead of before and those found, emptied.
    fn close(&self, closed: &mut Vec<Dead>, found: &mut Vec<(u32, u16)>) {
        let none = Dead::default();
        let old = self.dead.get(closed.len()).unwrap_or(&none);
        closed.push(if found.is_empty() { old.clone() } else { old.with(self.segments, found) });
        found.clear();
    }

    /// The tick at which these are dead.
    #[must_use]
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Whose membership of a segment is dead, of one block: ordinals, ascending. The rank after the last segment: the
    /// visitors who had an entry of life > 0 and have nothing left.
    #[inline]
    #[must_use]
    pub fn dead(&self, block: usize, rank: u32) -> &[u16] {
        self.dead.get(block).map_or(&[], |dead| dead.of(rank as usize))
    }

    /// Whether nobody of the block is dead.
    #[inline]
    #[must_use]
    pub fn is_clean(&self, block: usize) -> bool {
        self.dead.get(block).is_none_or(|dead| dead.ordinals.is_empty())
    }

    /// Takes the dead of a segment (or those who have nothing left) out of a block.
    pub fn bury(&self, rank: u32, block: usize, bits: &mut Bits) {
        self.dead(block, rank).iter().for_each(|&ordinal| bits.remove(ordinal));
    }
}

impl Dead {
    #[inline]
    fn of(&self, rank: usize) -> &[u16] {
        let Some(&end) = self.ends.get(rank) else { return &[] };
        let start = rank.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.ordinals.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// These and more, which are grouped by counting: `found` has ranks with ordinals that ascend for each rank.
    fn with(&self, segments: u32, found: &[(u32, u16)]) -> Self {
        let mut fresh = vec![0u32; segments as usize + 1];
        for found in pieces(found, BREATH_PAIRS) {
            found.iter().for_each(|(rank, _)| fresh[*rank as usize] += 1);
        }
        let mut ends = self.ends.clone();
        ends.resize(fresh.len(), 0);
        let mut ordinals = vec![0u16; self.ordinals.len() + found.len()];
        // The old ones up to a rank with fresh ones are copied at once; the fresh ones come behind those of their rank.
        let (mut added, mut copied) = (0, 0);
        for (end, fresh) in ends.iter_mut().zip(&mut fresh) {
            if *fresh > 0 {
                let old = copied..*end as usize;
                ordinals[old.start + added..old.end + added].copy_from_slice(&self.ordinals[old.clone()]);
                copied = old.end;
                let count = std::mem::replace(fresh, (old.end + added) as u32);
                added += count as usize;
            }
            *end += added as u32;
        }
        ordinals[copied + added..].copy_from_slice(&self.ordinals[copied..]);
        for found in pieces(found, BREATH_PAIRS) {
            for &(rank, ordinal) in found {
                let place = &mut fresh[rank as usize];
                ordinals[*place as usize] = ordinal;
                *place += 1;
            }
        }
        if !self.ordinals.is_empty() {
            let mut start = 0;
            for (rank, (&end, &last)) in ends.iter().zip(&fresh).enumerate() {
                // Two runs that ascend: the stable sort merges them.
                if last == end && !self.of(rank).is_empty() {
                    ordinals[start as usize..end as usize].sort();
                }
                start = end;
            }
        }
        Self { ends, ordinals }
    }
}

/// The expiry that each code stands for; 0 for a removal, which neither lives nor dies.
enum Ends<'t> {
    Table(Vec<u32>),
    /// Too many for a table.
    Times(&'t Times),
}

impl<'t> Ends<'t> {
    fn of(times: &'t Times) -> Self {
        match times {
            Times::Pairs(pairs) => {
                Self::Table(pairs.iter().map(|e| if e.is_removal() { 0 } else { e.expiry.get() }).collect())
            }
            Times::Split { .. } => Self::Times(times),
        }
    }

    /// The marks of a walk.
    fn marks(&self, before: u32, now: u32) -> Vec<u32> {
        let Self::Table(ends) = self else { return Vec::new() };
        let mark = |&end: &u32| match end {
            end if end > now => end,
            end if end > before => DIED,
            _ => u32::MAX,
        };
        ends.iter().map(mark).collect()
    }

    /// `None` for a code that no table has.
    #[inline]
    fn end(&self, code: u64) -> Option<u32> {
        match self {
            Self::Table(ends) => ends.get(code as usize).copied(),
            Self::Times(times) => times.entry(code).map(|e| if e.is_removal() { 0 } else { e.expiry.get() }),
        }
    }
}

/// A walk for those who died after the tick `before`, up to `now`.
struct Walk<'a> {
    image: &'a Image,
    ends: &'a Ends<'a>,
    before: u32,
    now: u32,
    /// What each code means to the walk: [`DIED`], the end that is to come, or the greatest number for what neither lives
    /// nor dies. Empty where codes have no table.
    marks: Vec<u32>,
    /// Rank and ordinal of the present block.
    found: Vec<(u32, u16)>,
}

impl Walk<'_> {
    /// Looks at the codes, and at the ranks only when something has died. Notes the soonest death to come.
    #[inline]
    fn visit(&mut self, ordinal: u16, profile: &Profile<'_>, soonest: &mut u32) -> Option<()> {
        let mut least = if self.marks.is_empty() { DIED } else { u32::MAX };
        if !self.marks.is_empty() {
            profile.each_code(|code| least = least.min(self.marks.get(code as usize).copied().unwrap_or(DIED)));
        }
        if least != DIED {
            *soonest = least.min(*soonest);
            return Some(());
        }
        self.gather(ordinal, profile, soonest)
    }

    /// Looks at every end, and at the ranks when one has come.
    fn gather(&mut self, ordinal: u16, profile: &Profile<'_>, soonest: &mut u32) -> Option<()> {
        let (before, now) = (self.before, self.now);
        let (mut next, mut died, mut known) = (u32::MAX, false, true);
        profile.each_code(|code| {
            let end = self.ends.end(code);
            known &= end.is_some();
            let end = end.unwrap_or(0);
            died |= end > before && end <= now;
            next = if end > now { next.min(end) } else { next };
        });
        *soonest = next.min(*soonest);
        if !died {
            return known.then_some(());
        }
        let segments = self.image.header().segments;
        if next == u32::MAX {
            self.found.push((segments, ordinal));
        }
        let mut place = self.found.len();
        let start = place;
        profile.each_rank(|rank| {
            known &= rank < segments;
            self.found.push((rank, ordinal));
        })?;
        // Every rank stands there now; those that have not died go again.
        let mut at = start;
        profile.each_code(|code| {
            let end = self.ends.end(code).unwrap_or(0);
            self.found[place] = self.found[at];
            place += usize::from(end > before && end <= now);
            at += 1;
        });
        self.found.truncate(place);
        known.then_some(())
    }
}

/// A tick counted from the image's base: 0 before it, [`FAR`] when it is too far.
fn after(image: &Image, tick: Tick) -> u16 {
    u16::try_from(tick.get().saturating_sub(image.header().time_base.get())).unwrap_or(FAR)
}
