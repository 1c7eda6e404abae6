//! `LOCK`: one process owns the state, and says who it is.

use std::fs::{File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};

use crate::error::{FileError, StateError};
use crate::files::Folder;

/// The lock's file.
const LOCK: &str = "LOCK";
/// The longest text of a holder that is shown.
const MAX_HOLDER_CHARS: usize = 200;

/// Holds the lock until it is dropped.
pub(super) struct Lock {
    file: File,
    folder: Folder,
}

impl Lock {
    /// Takes the lock; `holder` is what others will be told, beside the number of this process.
    pub(super) fn take(folder: &Folder, holder: &str) -> Result<Self, StateError> {
        let path = folder.join(LOCK);
        let opened = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = opened.map_err(FileError::new("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = std::fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let holder = text.lines().next().unwrap_or("").chars().take(MAX_HOLDER_CHARS).collect();
                return Err(StateError::Held { folder: folder.path().to_path_buf(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(FileError::new("lock", &path)(error).into()),
        }
        let lock = Self { file, folder: folder.clone() };
        // A courtesy: on a full disk the lock is held all the same.
        _ = lock.announce(holder);
        Ok(lock)
    }

    /// Changes what others are told.
    pub(super) fn announce(&self, holder: &str) -> Result<(), StateError> {
        let write = |mut file: &File| -> io::Result<()> {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(format!("process {}, {holder}\n", std::process::id()).as_bytes())
        };
        write(&self.file).map_err(FileError::new("write", &self.folder.join(LOCK)))?;
        Ok(())
    }
}
