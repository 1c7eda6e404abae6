//! Where the bytes of a feed come from: a file or stdin, packed or plain, within bounds.
//!
//! [`Input::file`] or [`Input::stream`] gives unpacked bytes through [`std::io::Read`] and knows, at the end, how many
//! bytes were sent and what their digest is. Both concern the bytes **as sent**, so a packed file and its plain twin are
//! two deliveries.

mod error;
mod file;
mod packing;
mod tally;
mod unpack;

pub use error::SourceError;
pub use file::check;
pub use packing::Packing;
pub use unpack::{Bounds, Input};

/// What an [`Input`] has read from its file so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Bytes as sent (packed, when the file is).
    pub bytes: u64,
    /// XXH3-128 of those bytes as 32 hexadecimal digits.
    pub digest: String,
}

/// The name that stands for standard input among the files of a command.
pub const STDIN: &str = "-";
