//! A file that one process locks, and in which it says who it is.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::error::FileError;

/// The longest text of a holder that is shown.
const MAX_HOLDER_CHARS: usize = 200;
/// The most bytes that are read for it.
const MAX_HOLDER_BYTES: u64 = 1_024;

/// Held until it is dropped.
#[derive(Debug)]
pub struct NamedLock {
    file: File,
    path: PathBuf,
}

impl NamedLock {
    /// Takes the lock; `holder` is what others will be told, beside the number of this process. The inner error is what the
    /// present holder says, empty while it has not said so yet.
    ///
    /// # Errors
    /// When the file cannot be opened or locked.
    pub(crate) fn take(path: PathBuf, holder: &str) -> Result<Result<Self, String>, FileError> {
        let opened = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = opened.map_err(FileError::new("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(said(&file))),
            Err(TryLockError::Error(error)) => return Err(FileError::new("lock", &path)(error)),
        }
        let lock = Self { file, path };
        // A courtesy: on a full disk the lock is held all the same.
        _ = lock.announce(holder);
        Ok(Ok(lock))
    }

    /// Changes what others are told.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn announce(&self, holder: &str) -> Result<(), FileError> {
        let write = |mut file: &File| -> io::Result<()> {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(format!("process {}, {holder}\n", std::process::id()).as_bytes())
        };
        write(&self.file).map_err(FileError::new("write", &self.path))
    }
}

impl Drop for NamedLock {
    fn drop(&mut self) {
        // The next holder is not to be taken for this one; the lock itself ends with the file.
        _ = self.file.set_len(0);
    }
}

fn said(file: &File) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is not known.
    _ = file.take(MAX_HOLDER_BYTES).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    text.lines().next().unwrap_or("").chars().take(MAX_HOLDER_CHARS).collect()
}
