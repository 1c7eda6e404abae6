//! What each touched visitor has, where lookups find it: a hash table in parts, so that a lookup waits for nothing but
//! the replacement of one entry. Entries are copied out; nobody holds a part of the table.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::entry::Entry;
use crate::id::Pid;

use super::names::Name;

/// How many parts the table has, a power of two: more than threads that look up at once.
const PARTS: usize = 64;

/// All that a touched visitor has: image and changes merged, and what is barred is out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Whether the visitor opted out; then there is nothing else.
    pub opted_out: bool,
    /// The entries, dead ones and removals too, sorted by the UTF-8 bytes of the names.
    pub entries: Box<[Held]>,
}

/// An entry with its segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Of which segment.
    pub name: Arc<Name>,
    /// From when until when.
    pub entry: Entry,
}

/// The table.
pub(super) struct Answers {
    map: DashMap<Pid, Arc<Touched>, BuildHasherDefault<PidHasher>>,
    /// Entries in all, for a look without a lock. Whoever waited for a change to be acknowledged sees that there are some.
    len: AtomicUsize,
}

impl Default for Answers {
    fn default() -> Self {
        let map = DashMap::with_capacity_and_hasher_and_shard_amount(0, BuildHasherDefault::default(), PARTS);
        Self { map, len: AtomicUsize::new(0) }
    }
}

impl Answers {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    #[inline]
    pub(super) fn get(&self, pid: Pid) -> Option<Arc<Touched>> {
        if self.is_empty() {
            return None;
        }
        self.map.get(&pid).map(|found| Arc::clone(&found))
    }

    /// A copy of every entry, in no order.
    pub(super) fn all(&self) -> Vec<(Pid, Arc<Touched>)> {
        self.map.iter().map(|entry| (*entry.key(), Arc::clone(entry.value()))).collect()
    }

    /// Replaces the visitor's entry; `None` takes it away.
    pub(super) fn set(&self, pid: Pid, touched: Option<Arc<Touched>>) {
        let more = usize::from(touched.is_some());
        // What was there is freed after the part's lock is.
        let old = match touched {
            Some(touched) => self.map.insert(pid, touched),
            None => self.map.remove(&pid).map(|(_, old)| old),
        };
        // One writer: nobody else changes the sum meanwhile.
        self.len.store(self.len.load(Ordering::Relaxed) + more - usize::from(old.is_some()), Ordering::Relaxed);
    }
}

/// Takes a pseudonym for its own hash: it is one, keyed, and nobody without the key chooses where it falls.
#[derive(Default)]
pub(super) struct PidHasher(u64);

impl Hasher for PidHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    /// The length of the array comes as a number of its own, the same for all.
    #[inline]
    fn write_usize(&mut self, _length: usize) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
