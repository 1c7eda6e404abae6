//! Room on the disk: rows are turned away before it is full, and a reserve keeps opt-outs and erasures writable after.
//!
//! Looked at before every commit, since others fill the disk too, and fast.

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
    /// Setting the reserve aside failed, and that was told.
    complained: bool,
}

/// What a look found, in bytes.
struct Room {
    free: u64,
    /// Below this rows are turned away.
    bound: u64,
    reserve: u64,
}

impl Disk {
    /// Of this data folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let (folder, reserve) = (folder.to_path_buf(), folder.join(RESERVE_FILE));
        Self { folder, reserve, tight: false, complained: false }
    }

    /// Whether rows are to be turned away. Gives the reserve up when less than half as much is left beside it. Time: two
    /// calls of the system.
    ///
    /// # Errors
    /// When the disk cannot be looked at.
    pub fn look(&mut self) -> io::Result<bool> {
        let Room { free, bound, reserve } = self.room()?;
        // What the reserve takes is not free; half as much again ends the alarm, so that it does not flicker.
        self.tight = free < if self.tight { bound + bound / 2 } else { bound };
        if free < reserve / 2 && self.reserve.exists() {
            std::fs::remove_file(&self.reserve)?;
            tracing::error!(free, "the disk is full: the reserve was given up for opt-outs and erasures");
        }
        Ok(self.tight)
    }

    /// Sets the reserve aside, again too, when there is room for it. Tells once when the file system cannot.
    ///
    /// # Errors
    /// When the disk cannot be looked at.
    pub fn set_aside(&mut self) -> io::Result<()> {
        let Room { free, bound, reserve } = self.room()?;
        if self.tight || free <= bound + 2 * reserve || self.reserve.exists() {
            return Ok(());
        }
        let file = File::create(&self.reserve)?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, reserve) {
            Ok(()) => self.complained = false,
            Err(error) => {
                // An empty file is no reserve.
                std::fs::remove_file(&self.reserve)?;
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::error!("no room could be set aside for opt-outs and erasures: {error}");
                }
            }
        }
        Ok(())
    }

    /// Whether a build that writes so many bytes leaves as much as the reserve.
    ///
    /// # Errors
    /// When the disk cannot be looked at.
    pub fn has_room_for(&self, bytes: u64) -> io::Result<bool> {
        let Room { free, reserve, .. } = self.room()?;
        Ok(free >= bytes.saturating_add(reserve))
    }

    fn room(&self) -> io::Result<Room> {
        let found = rustix::fs::statvfs(&self.folder)?;
        let (free, total) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
        let (bound, reserve) = (TIGHT_BYTES.min(total / TIGHT_ONE_IN), RESERVE_BYTES.min(total / RESERVE_ONE_IN));
        Ok(Room { free, bound, reserve })
    }
}
