//! Room on the disk: rows are turned away before it is full, and a reserve keeps opt-outs and erasures writable after.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Free bytes below which rows are turned away, on a large disk.
pub const TIGHT_BYTES: u64 = 256 << 20;
/// On a smaller disk, one part in so many.
pub const TIGHT_ONE_IN: u64 = 8;
/// Bytes of the reserve, on a large disk: room for more opt-outs than an operator will need to come.
pub const RESERVE_BYTES: u64 = 16 << 20;
/// On a smaller disk, one part in so many.
pub const RESERVE_ONE_IN: u64 = 16;
/// The reserve's file in the data folder.
const RESERVE_FILE: &str = "RESERVE";

/// Watches the disk of a data folder.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    reserve: PathBuf,
    tight: bool,
}

impl Disk {
    /// Of this data folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), reserve: folder.join(RESERVE_FILE), tight: false }
    }

    /// Looks at the disk: whether rows are to be turned away. Gives the reserve up when little is left, and sets it aside
    /// again when there is room.
    ///
    /// # Errors
    /// When the disk cannot be looked at.
    pub fn look(&mut self) -> io::Result<bool> {
        let found = rustix::fs::statvfs(&self.folder)?;
        let (free, total) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
        let (bound, reserve) = (TIGHT_BYTES.min(total / TIGHT_ONE_IN), RESERVE_BYTES.min(total / RESERVE_ONE_IN));
        let held = self.reserve.exists();
        // What the reserve takes is not free; half as much again ends the alarm, so that it does not flicker.
        self.tight = free < if self.tight { bound + bound / 2 } else { bound };
        if held && free < reserve / 4 {
            std::fs::remove_file(&self.reserve)?;
            tracing::error!(free, "the disk is full: the reserve was given up for opt-outs and erasures");
        } else if !held && !self.tight && free > bound + 2 * reserve {
            let file = File::create(&self.reserve)?;
            let set_aside = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, reserve);
            if let Err(error) = set_aside {
                // An empty file is no reserve.
                std::fs::remove_file(&self.reserve)?;
                return Err(error.into());
            }
        }
        Ok(self.tight)
    }
}
