//! One shard, frozen in one file, both ways round: pseudonym -> profile, segment -> ordinals. FORMAT.md has every byte.

mod batch;
mod blocks;
mod containers;
mod cursor;
mod header;
mod members;
mod names;
mod ordinals;
mod part;
mod reader;
mod recheck;
mod recode;
mod section;
mod verify;
mod writer;

pub use batch::Search;
pub use containers::{BITMAP_ALIGNMENT, BlockDirectory};
pub use cursor::ProfileCursor;
pub use header::{FORMAT_VERSION, HEADER_BYTES, Header, MAGIC};
pub use names::Names;
pub use ordinals::OrdinalCursor;
pub use part::{Encoding, GapSample, ImagePart, PartWriter, SAMPLE_VISITORS};
pub use reader::{Bucket, Image, ProfileRef};
pub use recheck::Recheck;
pub use recode::Recode;
pub use section::{SECTION_ALIGNMENT, Section, SectionInfo, TRAILER_BYTES, TRAILER_MAGIC};
pub use writer::{ImageWriter, Shared, WrittenImage};

/// The most visitors of a shard.
pub const MAX_SHARD_VISITORS: u32 = 1 << 20;
