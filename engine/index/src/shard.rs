//! One shard of a snapshot: an image, and who of it is dead now.

use std::sync::{Arc, Mutex, PoisonError};

use crate::bits::{BLOCK, Bits, Op};
use crate::entry::Entry;
use crate::error::{FileError, ImageError};
use crate::id::Pid;
use crate::image::{Image, OrdinalCursor};
use crate::recent::Recent;
use crate::sweep::Sweep;
use crate::time::Tick;

/// So many sweeps are kept: that of the present tick, and the one after or before it.
const KEPT: usize = 2;
/// So many sets of recent members are kept, those that were asked for last. Of a shard of 2^20 visitors each is at most
/// 128 KiB.
const KEPT_RECENT: usize = 64;

/// A shard.
pub struct Shard {
    image: Image,
    /// The one made last is the first.
    sweeps: Mutex<Vec<Arc<Sweep>>>,
    /// Held by who walks the image.
    walking: Mutex<()>,
    /// The one asked for last is the first.
    recent: Mutex<Vec<(RecentKey, Arc<Recent>)>>,
    /// Held by who looks for recent members.
    recalling: Mutex<()>,
}

/// What a set of recent members is of.
#[derive(PartialEq, Eq)]
struct RecentKey {
    ranks: Box<[u32]>,
    since: Tick,
    now: Tick,
}

impl Shard {
    /// A shard over its image.
    #[must_use]
    pub fn new(image: Image) -> Self {
        let (sweeps, recent) = (Mutex::default(), Mutex::default());
        Self { image, sweeps, walking: Mutex::default(), recent, recalling: Mutex::default() }
    }

    /// Holds in memory what lookups read: see [`Image::hold`].
    ///
    /// # Errors
    /// When the system grants no memory.
    pub fn hold(&mut self) -> Result<(), FileError> {
        self.image.hold()
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Visitors, live or not.
    #[must_use]
    pub fn visitors(&self) -> u32 {
        self.image.header().geometry.visitors
    }

    /// How many blocks of 65,536 ordinals.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.image.blocks().len()
    }

    /// Visitors of a block.
    #[must_use]
    pub fn block_len(&self, block: usize) -> u32 {
        self.visitors().saturating_sub(block as u32 * BLOCK).min(BLOCK)
    }

    /// The rank of a segment in this shard.
    #[must_use]
    pub fn rank(&self, name: &str) -> Option<u32> {
        self.image.names().rank(name)
    }

    /// The names of the segments, by rank.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        self.image.names().names()
    }

    /// The ranks of all segments whose name begins so, ascending.
    #[must_use]
    pub fn ranks_with_prefix(&self, prefix: &str) -> Vec<u32> {
        (0u32..).zip(self.names()).filter(|(_, name)| name.starts_with(prefix)).map(|(rank, _)| rank).collect()
    }

    /// Calls `each` with every entry of the visitor, dead ones too, ascending in rank. False: the visitor is unknown.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn lookup(&self, pid: Pid, mut each: impl FnMut(u32, Entry)) -> Result<bool, ImageError> {
        let mut entries = Vec::new();
        let known = self.profile(pid, &mut entries)?;
        entries.into_iter().for_each(|(rank, entry)| each(rank, entry));
        Ok(known)
    }

    /// Reads the visitor's entries, dead ones too, ascending in rank, into a buffer that is emptied first. False: the
    /// visitor is unknown. Allocates nothing when the buffer is large enough.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn profile(&self, pid: Pid, into: &mut Vec<(u32, Entry)>) -> Result<bool, ImageError> {
        into.clear();
        let Some(found) = self.image.find(pid)? else { return Ok(false) };
        self.image.entries(found.bytes, into)?;
        Ok(true)
    }

    /// How many visitors of the block have an entry of life > 0 of the segment, dead or not.
    #[must_use]
    pub fn upper_bound(&self, block: usize, rank: u32) -> u32 {
        self.image.blocks().get(block).map_or(0, |block| block.members(rank as usize))
    }

    /// Who is dead at this tick. The last two that were made are kept, so that one is made before its tick comes while the
    /// present one is asked for; a later one is reached from the nearest before it.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn at(&self, now: Tick) -> Result<Arc<Sweep>, ImageError> {
        if let Some(known) = self.known_at(now) {
            return Ok(known);
        }
        // Who asks for the same tick meanwhile waits for the walk instead of walking too; who asks for one that is known
        // does not wait.
        let _walking = self.walking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.known_at(now) {
            return Ok(known);
        }
        let kept = self.sweeps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let before = kept.iter().filter(|sweep| sweep.tick() < now).max_by_key(|sweep| sweep.tick());
        let sweep = Arc::new(match before {
            Some(sweep) => sweep.at(&self.image, now)?,
            None => Sweep::new(&self.image, now)?,
        });
        let mut sweeps = self.sweeps.lock().unwrap_or_else(PoisonError::into_inner);
        sweeps.insert(0, Arc::clone(&sweep));
        sweeps.truncate(KEPT);
        Ok(sweep)
    }

    /// Who is dead at this tick, if that is one of the two that are kept.
    #[must_use]
    pub fn known_at(&self, now: Tick) -> Option<Arc<Sweep>> {
        let kept = self.sweeps.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|sweep| sweep.tick() == now).map(Arc::clone)
    }

    /// Whose entry of one of the segments is live at `now` and was observed at `since` or later. The last
    /// [`KEPT_RECENT`] answers are kept.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn recent(&self, ranks: &[u32], since: Tick, now: Tick) -> Result<Arc<Recent>, ImageError> {
        let key = RecentKey { ranks: ranks.into(), since, now };
        if let Some(known) = self.recall(&key) {
            return Ok(known);
        }
        // Who asks for the same meanwhile waits instead of looking too.
        let _recalling = self.recalling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.recall(&key) {
            return Ok(known);
        }
        let found = Arc::new(Recent::new(&self.image, ranks, since, now)?);
        let mut kept = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(0, (key, Arc::clone(&found)));
        kept.truncate(KEPT_RECENT);
        Ok(found)
    }

    fn recall(&self, key: &RecentKey) -> Option<Arc<Recent>> {
        let mut kept = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(known, _)| known == key)?;
        kept[..=place].rotate_right(1);
        kept.first().map(|(_, found)| Arc::clone(found))
    }

    /// Calls `each` with the pseudonyms of these ordinals of a block, which ascend, as then the pseudonyms do.
    ///
    /// # Errors
    /// When the image is damaged or has no such ordinal.
    pub fn pids(
        &self,
        block: usize,
        ordinals: impl IntoIterator<Item = u16>,
        mut each: impl FnMut(Pid),
    ) -> Result<(), ImageError> {
        let (mut cursor, first) = (OrdinalCursor::new(&self.image), block as u32 * BLOCK);
        ordinals.into_iter().try_for_each(|ordinal| {
            each(cursor.pid(first + u32::from(ordinal))?);
            Ok(())
        })
    }

    /// The rank after the last segment: in containers and sweeps that of the visitors with any entry of life > 0.
    #[must_use]
    pub fn everyone_rank(&self) -> u32 {
        self.image.header().segments
    }

    /// Folds the live members of a segment in a block into the bits. The plain way: whoever counts uses a
    /// [`Counter`](crate::Counter).
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn members(&self, block: usize, rank: u32, sweep: &Sweep, into: &mut Bits, op: Op) -> Result<(), ImageError> {
        // The dead must not touch what else is in the bits: make the live set by itself first.
        let mut live = Bits::empty();
        self.image.container(block, rank)?.fold_into(&mut live, Op::Or);
        sweep.bury(rank, block, &mut live);
        into.fold(&live, op);
        Ok(())
    }

    /// Folds the visitors with at least one live membership in a block into the bits.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn everyone(&self, block: usize, sweep: &Sweep, into: &mut Bits, op: Op) -> Result<(), ImageError> {
        self.members(block, self.everyone_rank(), sweep, into, op)
    }
}
