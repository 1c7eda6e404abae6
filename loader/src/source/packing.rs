//! How a feed is packed, told by its first bytes.

use std::fmt;

use super::SourceError;

/// Bytes looked at to tell the packing.
pub(super) const MAGIC_BYTES: usize = 6;

/// How a feed is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip, any number of members.
    Gzip,
    /// zstd, any number of frames.
    Zstd,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl Packing {
    /// What the first [`MAGIC_BYTES`] of a file say.
    pub(super) fn of(magic: &[u8]) -> Result<Self, SourceError> {
        const FOREIGN: [(&[u8], &str); 6] = [
            (b"PK\x03\x04", "zip"),
            (b"BZh", "bzip2"),
            (b"\xfd7zXZ\0", "xz"),
            (b"\x04\x22\x4d\x18", "lz4"),
            (b"7z\xbc\xaf\x27\x1c", "7z"),
            (b"PAR1", "Parquet"),
        ];
        match magic {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or one of the sixteen kinds of skippable frames that may stand in front of it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            _ => match FOREIGN.iter().find(|(start, _)| magic.starts_with(start)) {
                Some((_, name)) => Err(SourceError::Foreign(name)),
                None => Ok(Self::Plain),
            },
        }
    }
}
