//! What is served: a generation and the changes over it. A question holds what it began with, so no answer mixes two
//! generations.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use usher_index::{Entry, ImageError, Key, Overlay, Pid, Snapshot, Tick, Time};

use super::catalogue::Catalogue;
use crate::ask::disclose::Counted;
use crate::ask::lookup::NameTable;
use crate::ask::rules::Matcher;

/// One generation and the changes over it, ready for questions.
pub struct Served {
    /// The generation.
    pub snapshot: Snapshot,
    /// Its names as lookups write them.
    pub names: NameTable,
    /// What changed since.
    pub overlay: Overlay,
    /// The audiences as lookups match them; `None` while there are none.
    pub rules: ArcSwapOption<Matcher>,
    /// Of which version of the catalogue the rules are; 0 before the first.
    pub(super) ruled: AtomicU64,
    /// The key of its pseudonyms.
    pub key: Key,
    /// Each segment as the images alone have it, in the order of [`Snapshot::segments`], at the tick that was last asked for.
    pub sizes: Mutex<Option<(Tick, Arc<[Counted]>)>>,
    /// How often its images were checked again and found sound.
    pub checks: AtomicU64,
    /// Whether such a check found damage.
    pub damaged: AtomicBool,
}

impl Served {
    /// A generation whose checksums were checked while it was opened.
    #[must_use]
    pub fn new(snapshot: Snapshot, key: Key, overlay: Overlay) -> Served {
        let names = NameTable::new(&snapshot);
        let (sizes, checks, damaged) = (Mutex::new(None), AtomicU64::new(0), AtomicBool::new(false));
        let (rules, ruled) = (ArcSwapOption::empty(), AtomicU64::new(0));
        Served { snapshot, names, overlay, rules, ruled, key, sizes, checks, damaged }
    }

    /// Finds out who is dead at `now` in the images, so that the first count after it need not.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn warm(&self, now: Time) -> Result<(), ImageError> {
        let tick = self.snapshot.tick().floor(now);
        self.snapshot.shards().iter().try_for_each(|shard| shard.at(tick).map(drop))
    }

    /// The same for the changes, step by step: a batch of changes waits for one step at most. While there are none yet it costs
    /// nothing, and from then on whoever is touched goes into the sets as they gather, not all at once when somebody asks.
    pub fn warm_overlay(&self, now: Time) {
        drop(self.overlay.at(self.snapshot.tick().floor(now)));
    }

    /// Calls `each` with everything that is kept of a visitor, dead entries and removals too: the segment's name, its source,
    /// and the entry.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn entries(&self, pid: Pid, mut each: impl FnMut(&str, &str, Entry)) -> Result<(), ImageError> {
        if let Some(touched) = self.overlay.get(pid) {
            for held in &touched.entries {
                each(&held.name.segment.name, &held.name.segment.source, held.entry);
            }
        } else if let Some(shard) = self.snapshot.shard_of(pid) {
            let (names, sources) = (shard.names(), shard.image().names().sources());
            shard.lookup(pid, |rank, entry| {
                if let Some((name, source)) = names.get(rank as usize).zip(sources.get(rank as usize)) {
                    each(name, source, entry);
                }
            })?;
        }
        Ok(())
    }
}

/// What answers now: a generation, and the house's audiences.
pub struct Live {
    served: ArcSwap<Served>,
    /// The audiences.
    pub catalogue: Catalogue,
}

impl Live {
    /// Starts with a generation and the audiences over it.
    #[must_use]
    pub fn new(served: Served, catalogue: Catalogue) -> Live {
        catalogue.rule(&served);
        Live { served: ArcSwap::from_pointee(served), catalogue }
    }

    /// For a question that is answered at once: without a lock and without touching a shared counter.
    #[must_use]
    pub fn glance(&self) -> Guard<Arc<Served>> {
        self.served.load()
    }

    /// For a question that takes a while.
    #[must_use]
    pub fn hold(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// Puts another in its place.
    pub(super) fn replace(&self, served: Served) {
        self.served.store(Arc::new(served));
    }
}
