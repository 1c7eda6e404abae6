//! The changes that no build has folded, in memory, over the images.
//!
//! A visitor whom a change concerns is *touched*. For each the overlay keeps what the images alone say (*before*) and
//! what is (*after*: images and changes merged, without what is barred). Then a lookup of a touched visitor is answered
//! from here, and a count is that of the images, less the touched ones before, plus the touched ones after: exact, and
//! the images need not know.
//!
//! One writer, [`Overlay::apply`]; everybody else goes on meanwhile. A batch of changes becomes visible at once to
//! whoever holds a [`View`] or asks for [many](Overlay::many) visitors, and visitor by visitor to single lookups.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::bars::Bars;
use crate::breath::{BREATH_TOUCHED, Stride, breathe};
use crate::change::Change;
use crate::error::ImageError;
use crate::id::Pid;
use crate::snapshot::Snapshot;
use crate::time::Tick;

mod answers;
mod live;
mod names;
mod sets;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub use answers::{Held, Touched};
pub use names::Name;
pub use view::{Side, View};

use answers::Answers;
use live::Live;
use writer::{Brought, Settled, Writer};

/// One touched visitor in so many of the index, and the overlay is full.
pub const FULL_ONE_IN: u64 = 20;
/// So many bytes, and the overlay is full.
pub const FULL_BYTES: usize = 256 << 20;
/// So few touched visitors never make it full: a small index is not to be built anew all the time.
pub const NEVER_FULL_VISITORS: u64 = 10_000;

/// The names behind the numbers of [`Change::Row`]: a name and the source that brings it.
pub type NameOf<'n> = dyn Fn(u32) -> Option<(Arc<str>, Arc<str>)> + 'n;

/// Changes over a snapshot. Default: none.
#[derive(Default)]
pub struct Overlay {
    answers: Answers,
    live: RwLock<Live>,
    bars: RwLock<Bars>,
    writer: Mutex<Writer>,
}

impl Overlay {
    /// An overlay that keeps out who is barred, and has no rows yet.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn new(snapshot: &Snapshot, bars: Bars) -> Result<Self, ImageError> {
        let barred = bars.all_opted_out().chain(bars.all_erased().map(|(pid, _)| pid));
        let brought: BTreeMap<Pid, Brought> = barred.map(|pid| (pid, Brought::default())).collect();
        let overlay = Self { bars: RwLock::new(bars), ..Self::default() };
        overlay.bring(snapshot, &mut overlay.lock_writer(), brought, &[])?;
        Ok(overlay)
    }

    /// Puts a batch of changes into force. `snapshot` is the one that the overlay lies over, always the same.
    ///
    /// Time: some microseconds a visitor. Counts and batch lookups wait while it becomes visible, a fraction of that.
    ///
    /// # Errors
    /// When an image is damaged, or a number has no name; then nothing of the batch is in force.
    pub fn apply(&self, snapshot: &Snapshot, name: &NameOf<'_>, changes: &[Change]) -> Result<(), ImageError> {
        let mut writer = self.lock_writer();
        let mut brought: BTreeMap<Pid, Brought> = BTreeMap::new();
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        for change in changes {
            let of = brought.entry(change.pid()).or_default();
            let Change::Row { segment, entry, .. } = *change else { continue };
            let number = match numbers.get(&segment) {
                Some(&number) => number,
                None => {
                    let (text, source) = name(segment).ok_or_else(|| nameless(segment))?;
                    let number = writer.names.number(&text, &source);
                    numbers.insert(segment, number);
                    number
                }
            };
            of.rows.push((number, entry));
        }
        self.bring(snapshot, &mut writer, brought, changes)
    }

    fn bring(
        &self,
        snapshot: &Snapshot,
        writer: &mut Writer,
        mut brought: BTreeMap<Pid, Brought>,
        changes: &[Change],
    ) -> Result<(), ImageError> {
        let mut stride = Stride::new(BREATH_TOUCHED);
        for (&pid, of) in &mut brought {
            stride.step();
            if !writer.ordinals.contains_key(&pid) {
                of.before = writer.read(snapshot, pid)?;
            }
        }
        writer.names.sort();
        // Nothing fails from here on.
        let mut bars = write_lock(&self.bars);
        changes.iter().for_each(|&change| bars.apply(change));
        let bars = RwLockWriteGuard::downgrade(bars);
        let settle = |(pid, of)| {
            stride.step();
            (pid, writer.settle(&self.answers, &bars, pid, of))
        };
        let settled: Vec<(Pid, Settled)> = brought.into_iter().map(settle).collect();
        drop(bars);
        let mut live = write_lock(&self.live);
        live.learn(writer.names.names());
        for (pid, settled) in settled {
            let answer = match settled {
                Settled::Untouched { opted_out } => opted_out.then(|| Arc::clone(&writer.opted_out)),
                Settled::New { before, after } => {
                    live.add(pid, before.into(), Arc::clone(&after));
                    Some(after)
                }
                Settled::Changed { ordinal, after } => {
                    live.replace(ordinal, Arc::clone(&after));
                    Some(after)
                }
            };
            self.answers.set(pid, answer);
        }
        let mut is_behind = live.is_behind();
        drop(live);
        while is_behind {
            // Others have their turn.
            breathe();
            let mut live = write_lock(&self.live);
            live.place_some();
            is_behind = live.is_behind();
        }
        Ok(())
    }

    fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether lookups find every visitor in the images as he or she is. Time: one load.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// All that a visitor has whom a change concerns, or who opted out; `None`: what the images say. Time: one load while
    /// the overlay is empty, else a look into a hash table. Waits only for the replacement of a single entry.
    #[inline]
    #[must_use]
    pub fn get(&self, pid: Pid) -> Option<Arc<Touched>> {
        self.answers.get(pid)
    }

    /// The same for many visitors, all after the same prefix of the changes; empty when none of them is touched.
    #[must_use]
    pub fn many(&self, pids: &[Pid]) -> Vec<Option<Arc<Touched>>> {
        if self.is_empty() {
            return Vec::new();
        }
        let _no_batch_meanwhile = read_lock(&self.live);
        let found: Vec<_> = pids.iter().map(|&pid| self.get(pid)).collect();
        if found.iter().all(Option::is_none) { Vec::new() } else { found }
    }

    /// Everybody whom a change concerns or who opted out, in the order of pseudonyms, all after the same prefix of the
    /// changes. Time: that of sorting them.
    #[must_use]
    pub fn all(&self) -> Vec<(Pid, Arc<Touched>)> {
        if self.is_empty() {
            return Vec::new();
        }
        let no_batch_meanwhile = read_lock(&self.live);
        let mut all = self.answers.all();
        drop(no_batch_meanwhile);
        all.sort_unstable_by_key(|(pid, _)| *pid);
        all
    }

    /// Whether something is known here about the visitor that the images do not say.
    #[must_use]
    pub fn is_touched(&self, pid: Pid) -> bool {
        self.get(pid).is_some()
    }

    /// A look at all of it at this tick. The sets of the tick that was last asked for are kept: a later one is reached
    /// from them, an earlier one from the beginning. Who was touched since the last look is put into them now, step by
    /// step: batches of changes, which go on between two steps, put them there, too, so that it comes to an end.
    #[must_use]
    pub fn at(&self, tick: Tick) -> View<'_> {
        let live = read_lock(&self.live);
        if live.is_at(tick) {
            return View(live);
        }
        drop(live);
        loop {
            let mut live = write_lock(&self.live);
            live.approach(tick);
            if live.is_at(tick) {
                return View(RwLockWriteGuard::downgrade(live));
            }
            drop(live);
            breathe();
        }
    }

    /// Who must stay out. Held no longer than it takes to look: a batch of changes waits for it.
    pub fn bars(&self) -> RwLockReadGuard<'_, Bars> {
        read_lock(&self.bars)
    }

    /// Which source brought a segment first, if a change did.
    #[must_use]
    pub fn source_of(&self, segment: &str) -> Option<Arc<str>> {
        self.lock_writer().names.source(segment)
    }

    /// How many visitors are touched; those who opted out and have nothing in the images do not count.
    #[must_use]
    pub fn touched(&self) -> u64 {
        read_lock(&self.live).touched() as u64
    }

    /// Estimated bytes in memory of what a build would take away: touched visitors and their sets.
    #[must_use]
    pub fn bytes(&self) -> usize {
        read_lock(&self.live).bytes()
    }

    /// Which share it holds of what it may hold, over an index of so many `visitors`; from 1 on it is full.
    #[must_use]
    pub fn fullness(&self, visitors: u64) -> f64 {
        let live = read_lock(&self.live);
        let most = (visitors / FULL_ONE_IN).max(NEVER_FULL_VISITORS);
        (live.bytes() as f64 / FULL_BYTES as f64).max(live.touched() as f64 / most as f64)
    }
}

fn nameless(number: u32) -> ImageError {
    ImageError::Damaged {
        file: "the changes".to_owned(),
        section: "segments",
        offset: number.into(),
        expected: format!("a name for the segment {number}"),
        found: "none".to_owned(),
    }
}

fn write_lock<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn read_lock<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
