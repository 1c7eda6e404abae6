//! A seam in the data folder: a witness sees every step by which the folder changes, so that a test can make what a power
//! cut would leave after each.

use std::fmt;

/// What a witness calls an open file, whatever becomes of its name.
pub type Handle = usize;

/// One step. Files are named without the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Bytes were written.
    Written {
        /// To this file.
        file: Handle,
        /// From this byte on.
        offset: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// The file has this length: cut, or filled with zeros.
    Resized {
        /// Which.
        file: Handle,
        /// In bytes.
        length: u64,
    },
    /// The bytes and the length of the file are on disk.
    Flushed {
        /// Which.
        file: Handle,
    },
    /// A file has another name; one that had it is gone.
    Renamed {
        /// The name before.
        from: &'a str,
        /// The name from now on.
        to: &'a str,
    },
    /// The names of the folder are on disk.
    FolderFlushed,
    /// The name is gone.
    Removed {
        /// Which.
        file: &'a str,
    },
}

/// Sees the steps of a folder in their order.
pub trait Witness: Send + Sync + fmt::Debug {
    /// A file was opened to be written; `fresh`: it is new and empty.
    fn opened(&self, file: &str, fresh: bool) -> Handle;

    /// The step was done.
    fn saw(&self, step: Step<'_>);
}
