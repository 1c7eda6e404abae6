//! How much memory the rows of a build may take before they go to disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The memory that a build may take, unless it is told otherwise: 1 GiB.
pub const DEFAULT_MEMORY_BYTES: u64 = 1 << 30;
/// The least that a build can do with: 16 MiB.
pub const MIN_MEMORY_BYTES: u64 = 16 << 20;
/// One part in so many of the memory is for rows; the rest is for the images being written and for buffers.
const ROWS_SHARE: u64 = 2;

/// The bound on the rows in memory that all batches of a build share, and the folder that takes the rows beyond it.
#[derive(Debug)]
pub struct Memory {
    folder: PathBuf,
    bound: u64,
    used: AtomicU64,
}

impl Memory {
    /// Of so many bytes for the whole build.
    #[must_use]
    pub fn new(folder: &Path, bytes: u64) -> Self {
        Self::for_rows(folder, bytes.max(MIN_MEMORY_BYTES) / ROWS_SHARE)
    }

    /// Of so many bytes for rows alone.
    pub(super) fn for_rows(folder: &Path, bound: u64) -> Self {
        Self { folder: folder.to_path_buf(), bound, used: AtomicU64::new(0) }
    }

    /// Where rows go that find no room.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Notes that so many more bytes are held. False: they are beyond the bound.
    pub(super) fn hold(&self, bytes: u64) -> bool {
        self.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.bound
    }

    /// Notes that so many bytes were given back.
    pub(super) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether more than half is taken, so that what comes next had little room.
    pub(super) fn is_tight(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.bound / 2
    }
}
