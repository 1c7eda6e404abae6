//! Whose entries of some segments are live and were observed lately. Containers do not know when an entry was observed:
//! they say whose profiles have to be read.

use crate::bits::{BLOCK, Bits, Op};
use crate::containers::{Container, Policy, write};
use crate::entry::Entry;
use crate::error::ImageError;
use crate::image::{Image, OrdinalCursor, Section};
use crate::profiles::Profile;
use crate::time::Tick;
use crate::times::Times;

/// The visitors of one image whose entry of one of some segments is live at a tick and was observed since another.
pub struct Recent {
    blocks: Vec<Block>,
}

struct Block {
    visitors: u32,
    members: u32,
    /// A container of these members.
    bytes: Box<[u8]>,
}

/// The containers are made for reading: there are few, and they are in memory.
const POLICY: Policy = Policy::FAST;

impl Recent {
    /// Reads the profiles of all members, dead or not, of the segments of these ranks: of a rare segment one by one, of a
    /// frequent one in a walk over the records. Of each profile the codes are read, and the ranks where a code is recent.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn new(image: &Image, ranks: &[u32], since: Tick, now: Tick) -> Result<Self, ImageError> {
        let mut search = Search::new(image, ranks, since, now);
        let (mut cursor, mut candidates, mut ordinals) = (OrdinalCursor::new(image), Bits::empty(), Vec::new());
        let mut blocks = Vec::with_capacity(image.blocks().len());
        for (number, directory) in image.blocks().iter().enumerate() {
            candidates.clear();
            ordinals.clear();
            for &rank in ranks {
                image.container(number, rank)?.fold_into(&mut candidates, Op::Or);
            }
            for ordinal in candidates.iter() {
                let profile = cursor.profile(number as u32 * BLOCK + u32::from(ordinal))?;
                let found = search.find(&profile);
                if found.ok_or_else(|| image.damaged(Section::Records, "a sound profile"))? {
                    ordinals.push(ordinal);
                }
            }
            let mut bytes = Vec::new();
            write(POLICY, &ordinals, directory.visitors(), &mut bytes);
            let members = ordinals.len() as u32;
            blocks.push(Block { visitors: directory.visitors(), members, bytes: bytes.into() });
        }
        Ok(Self { blocks })
    }

    /// The members of a block.
    #[must_use]
    pub fn container(&self, block: usize) -> Container<'_> {
        let container = self.blocks.get(block).and_then(|block| {
            let kind = POLICY.kind(block.members);
            Container::new(kind, block.members, block.visitors, &block.bytes)
        });
        container.unwrap_or(Container::Empty)
    }

    /// How many members the block has.
    #[must_use]
    pub fn members(&self, block: usize) -> u32 {
        self.blocks.get(block).map_or(0, |block| block.members)
    }
}

/// Looks for recent entries of the wanted segments in one profile after the other.
struct Search<'a> {
    codes: Codes<'a>,
    /// By rank.
    wanted: Vec<bool>,
    /// Whether each entry of the present profile is recent.
    recent: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(image: &'a Image, ranks: &[u32], since: Tick, now: Tick) -> Self {
        let mut wanted = vec![false; image.header().segments as usize];
        for &rank in ranks {
            if let Some(slot) = wanted.get_mut(rank as usize) {
                *slot = true;
            }
        }
        Self { codes: Codes::new(image.times(), since, now), wanted, recent: Vec::new() }
    }

    /// Whether a wanted entry is recent; `None` when the profile is damaged.
    #[inline]
    fn find(&mut self, profile: &Profile<'_>) -> Option<bool> {
        let Self { codes, wanted, recent } = self;
        let mut sound = true;
        profile.map_codes(recent, |code| {
            let is_recent = codes.is_recent(code);
            sound &= is_recent.is_some();
            is_recent.unwrap_or(false)
        });
        if !sound || !recent.contains(&true) {
            return sound.then_some(false);
        }
        let (mut found, mut entries) = (false, recent.iter());
        profile.each_rank(|rank| {
            let wanted = wanted.get(rank as usize).copied();
            sound &= wanted.is_some();
            found |= wanted.unwrap_or(false) & *entries.next().unwrap_or(&false);
        })?;
        sound.then_some(found)
    }
}

/// What a code says of an entry.
enum Codes<'t> {
    /// A bit for each code of a table of pairs: whether it is recent.
    Table { words: Vec<u64>, count: usize },
    /// Too many for a table.
    Times { times: &'t Times, since: Tick, now: Tick },
}

impl<'t> Codes<'t> {
    fn new(times: &'t Times, since: Tick, now: Tick) -> Self {
        let Times::Pairs(pairs) = times else { return Self::Times { times, since, now } };
        let mut words = vec![0u64; pairs.len().div_ceil(64)];
        for (code, entry) in pairs.iter().enumerate() {
            words[code / 64] |= u64::from(is_recent(*entry, since, now)) << (code % 64);
        }
        Self::Table { words, count: pairs.len() }
    }

    /// `None` for a code that no table has.
    #[inline]
    fn is_recent(&self, code: u64) -> Option<bool> {
        match self {
            Self::Table { words, count } => {
                let code = usize::try_from(code).ok().filter(|code| code < count)?;
                words.get(code / 64).map(|word| word >> (code % 64) & 1 == 1)
            }
            Self::Times { times, since, now } => times.entry(code).map(|entry| is_recent(entry, *since, *now)),
        }
    }
}

fn is_recent(entry: Entry, since: Tick, now: Tick) -> bool {
    entry.live(now) && entry.observed >= since
}
