//! Who is dead at a tick. Containers hold every entry of life > 0; a sweep walks the profiles for those whose end has
//! come, and whoever counts takes them out.

use crate::bits::{BLOCK, Bits};
use crate::error::ImageError;
use crate::image::{Image, Section};
use crate::profiles::Profile;
use crate::time::Tick;
use crate::times::Times;

/// A next expiry that is further from the base than two bytes tell: look.
const FAR: u16 = u16::MAX;

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
        let mut walk = Walk { image, ends: &ends, before: self.tick.get(), now: tick.get(), found: Vec::new() };
        let mut sweep = Self { tick, segments: self.segments, dead: Vec::new(), next: self.next.clone() };
        let due = after(image, tick);
        let visitors = image.header().geometry.visitors;
        for (index, next) in sweep.next.iter_mut().enumerate() {
            if *next > due && *next != FAR {
                continue;
            }
            let bucket = image.bucket(index)?;
            let mut soonest = u32::MAX;
            for (ordinal, bytes) in (bucket.start..).zip(bucket.profiles()) {
                let block = (ordinal / BLOCK) as usize;
                while sweep.dead.len() < block {
                    self.close(&mut sweep.dead, &mut walk.found);
                }
                let profile = bytes.and_then(|bytes| image.profile(bytes).ok()).filter(|_| ordinal < visitors);
                let visited = profile.and_then(|profile| walk.visit(ordinal as u16, &profile, &mut soonest));
                visited.ok_or_else(|| image.damaged(Section::Records, "sound profiles"))?;
            }
            // Without anyone left there is nothing to look for until counting from the base ends.
            *next = if soonest == u32::MAX { FAR - 1 } else { after(image, Tick::new(soonest)) };
        }
        while sweep.dead.len() < self.dead.len() {
            self.close(&mut sweep.dead, &mut walk.found);
        }
        Ok(sweep)
    }

    /// Ends a block: the dead of before and those found, emptied.
    fn close(&self, closed: &mut Vec<Dead>, found: &mut Vec<(u32, u16)>) {
        let old = self.dead.get(closed.len()).cloned().unwrap_or_default();
        closed.push(if found.is_empty() { old } else { old.with(self.segments, found) });
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
        let mut counts = vec![0u32; segments as usize + 1];
        found.iter().for_each(|(rank, _)| counts[*rank as usize] += 1);
        let mut sum = 0;
        for (rank, count) in counts.iter_mut().enumerate() {
            let total = *count + self.of(rank).len() as u32;
            *count = sum;
            sum += total;
        }
        let (mut places, mut ordinals) = (counts, vec![0u16; sum as usize]);
        let mut ends = places.clone();
        let mut put = |rank: usize, ordinal: u16| {
            ordinals[places[rank] as usize] = ordinal;
            places[rank] += 1;
        };
        (0..=segments as usize).for_each(|rank| self.of(rank).iter().for_each(|&ordinal| put(rank, ordinal)));
        found.iter().for_each(|&(rank, ordinal)| put(rank as usize, ordinal));
        let starts = std::mem::replace(&mut ends, places);
        for (rank, (&start, &end)) in starts.iter().zip(&ends).enumerate() {
            if !self.of(rank).is_empty() {
                // Two runs that ascend: the stable sort merges them.
                ordinals[start as usize..end as usize].sort();
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
    /// Rank and ordinal of the present block.
    found: Vec<(u32, u16)>,
}

impl Walk<'_> {
    /// Looks at the codes, and at the ranks only when something has died. Notes the soonest death to come.
    #[inline]
    fn visit(&mut self, ordinal: u16, profile: &Profile<'_>, soonest: &mut u32) -> Option<()> {
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
