//! What can be wrong with a file before a single row is read from it, or in the middle.

use std::io;

use bytesize::ByteSize;
use thiserror::Error;

use super::Packing;

/// Why the bytes of a feed could not be read. The name of the feed stands in front of it in every message.
#[derive(Debug, Error)]
pub enum SourceError {
    /// No such file.
    #[error("there is no such file; check the path")]
    Missing,
    /// A folder where a file was expected.
    #[error("this is a folder; name the files in it, one feed each")]
    Folder,
    /// Not a byte.
    #[error("the file is empty; a feed has at least one row")]
    Empty,
    /// The system said no.
    #[error("cannot read it at byte {at}: {source}")]
    Read {
        /// Bytes read before.
        at: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The packed stream ends too early.
    #[error("the {packing} stream is cut off after {at} bytes; send the whole file again")]
    Cut {
        /// How it is packed.
        packing: Packing,
        /// Bytes read before the end, as sent.
        at: u64,
    },
    /// The packed stream is damaged.
    #[error("the {packing} stream is damaged near byte {at}: {detail}; pack and send the file again")]
    Damaged {
        /// How it is packed.
        packing: Packing,
        /// Bytes read before the damage was seen, as sent.
        at: u64,
        /// What the unpacker said.
        detail: String,
    },
    /// It unpacks to more than a feed may hold.
    #[error("it unpacks to more than {}, the most a feed may hold; split it", ByteSize(*.0))]
    TooLarge(u64),
    /// It unpacks to far more than any feed would.
    #[error("{} of it unpack to more than {}, beyond {ratio} to 1: this looks like a bomb, not a feed", ByteSize(*sent), ByteSize(*unpacked))]
    Bomb {
        /// Bytes as sent.
        sent: u64,
        /// Bytes they gave.
        unpacked: u64,
        /// The bound on the second divided by the first.
        ratio: u64,
    },
    /// Packed in a way that is not read here.
    #[error("this is a {0} file; Usher reads plain text, gzip and zstd: unpack it first")]
    Foreign(&'static str),
}

impl SourceError {
    /// For the system's errors before anything was read.
    pub(super) fn opening(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::IsADirectory => Self::Folder,
            _ => Self::Read { at: 0, source },
        }
    }
}

/// Carries a [`SourceError`] through [`io::Read`], whose errors are of the standard library.
impl From<SourceError> for io::Error {
    fn from(error: SourceError) -> Self {
        io::Error::other(error)
    }
}

impl From<io::Error> for SourceError {
    /// Takes a [`SourceError`] out again; any other error becomes one at an unknown place.
    fn from(error: io::Error) -> Self {
        match error.downcast::<SourceError>() {
            Ok(ours) => ours,
            Err(source) => Self::Read { at: 0, source },
        }
    }
}
