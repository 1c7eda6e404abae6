//! The one place that maps files: read-only, of files that are only ever unlinked, never truncated or rewritten.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use crate::error::FileError;

/// The bytes of a file or of memory; the reader does not know which.
pub enum Bytes {
    /// A mapped file.
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
