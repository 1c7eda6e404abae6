//! The one place that maps files: read-only, of files that are only ever unlinked, never truncated or rewritten. And how
//! their bytes are asked for before they are needed.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use crate::breath::{BREATH_BYTES, pieces};
use crate::error::FileError;

/// The bytes of a file or of memory; the reader does not know which.
pub enum Bytes {
    /// A mapped file, or memory on large pages.
    Mapped(memmap2::Mmap),
    /// Memory.
    Owned(Vec<u8>),
}

impl Bytes {
    /// Maps a file, or reads it when it is empty (an empty map is an error on some systems).
    ///
    /// # Errors
    /// When the file cannot be opened or mapped.
    pub fn map(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::new("open", path))?;
        let length = file.metadata().map_err(FileError::new("inspect", path))?.len();
        if length == 0 {
            return Ok(Self::Owned(Vec::new()));
        }
        // SAFETY: an image is written under a temporary name, renamed once and afterwards only ever unlinked, so the
        // mapped pages neither change nor vanish while the map lives. A file cut by somebody else ends the process
        // with SIGBUS rather than answering wrongly; the next start falls back to the last generation that verifies.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(FileError::new("map", path))?;
        Ok(Self::Mapped(map))
    }

    /// A copy in memory of its own, on large pages where the system grants them: then a lookup in hundreds of megabytes
    /// does not wait for page tables too.
    ///
    /// # Errors
    /// When the system grants no memory.
    pub fn copied(bytes: &[u8]) -> io::Result<Self> {
        if bytes.is_empty() {
            return Ok(Self::Owned(Vec::new()));
        }
        let mut memory = memmap2::MmapMut::map_anon(bytes.len())?;
        // A wish: without large pages it is memory all the same.
        _ = memory.advise(memmap2::Advice::HugePage);
        let places = memory.chunks_mut(BREATH_BYTES);
        places.zip(pieces(bytes, BREATH_BYTES)).for_each(|(to, from)| to.copy_from_slice(from));
        memory.make_read_only().map(Self::Mapped)
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Bytes that a processor loads at once.
const CACHE_LINE: usize = 64;
/// At most so many lines are asked for at once: as many as a processor has under way. What is longer is read in order,
/// which it foresees by itself.
const MAX_LINES: usize = 12;

/// Asks for the cache lines of the first `length` bytes from the beginning of `bytes`, at most 12, without waiting for
/// them. `length` may go beyond `bytes`.
#[inline]
pub fn prefetch(bytes: &[u8], length: usize) {
    let (first, length) = (bytes.as_ptr(), length.clamp(1, MAX_LINES * CACHE_LINE));
    for at in (0..length).step_by(CACHE_LINE) {
        fetch(first.wrapping_add(at));
    }
    // Bytes that begin within a line end in one more.
    fetch(first.wrapping_add(length - 1));
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint: it reads nothing that the program sees and never faults, wherever it points. Every
    // x86-64 has it. A load in its place would hold up what follows until the line is there.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

/// Elsewhere nothing is asked for ahead: loads overlap as far as the processor looks ahead by itself.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fetch(_: *const u8) {}
