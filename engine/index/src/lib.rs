//! Keeping: pseudonyms, admission, images, manifests and snapshots.
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | visitor id | an id as an ad server or a provider writes it ([`VisitorId`]), with an id type ([`IdType`]) |
//! | pid | the visitor's pseudonym ([`Pid`]): 80 bits of keyed BLAKE3, the same everywhere; raw ids are never kept |
//! | source | a data provider as the charter names it ([`Source`]); owns segment names under its prefixes |
//! | segment | a named set of visitors fed by rows; known by name between processes, by number inside one batch or image |
//! | membership | (pid, segment, observed, expiry) ([`Membership`]); made by admission alone ([`Admission`]) |
//! | observed, ttl, expiry | when the fact was seen; the source's life for it; observed + life. Both in whole ticks, rounded down ([`Entry`]). Live: expiry > now |
//! | tick | the index's time grain, fixed when it is created ([`TickLength`]) |
//! | profile | the live memberships of one pid |
//! | shard, ordinal, block | visitors with the same leading pid bits; rank of a pid in its shard; 65,536 consecutive ordinals |
//! | rank | a segment's number in one image, ascending from the most popular |
//! | image | one shard, frozen in one file, both ways round ([`image`]) |
//! | manifest, generation | the file that names one consistent set of images, charter and ledger ([`Manifest`]); its number |
//! | change | a row, an opt-out, a revocation or an erasure that came after the images ([`Change`]) |
//! | bars, veil | who must stay out ([`Bars`]); what is left of an erasure once it is folded ([`Veils`]) |
//! | overlay, touched | the changes in memory over the images ([`Overlay`]); a visitor whom one concerns |
//! | state | changes that no build has folded, opt-outs, erasures and the audit, in one file that one process owns ([`State`]) |
//! | batch, sequence | the changes of one commit; its number |
//! | tombstone | an opt-out, or an erasure that no build has folded, as the state keeps it |
//! | fold, settle | a build takes changes into the images; the state forgets what every kept generation holds |
//! | audit | what was done to the index and by whose wish, as a chain that shows every alteration ([`state::AuditLine`]) |
//! | shelf, record | where the state keeps what planners made: audiences, lookalikes, sizes by day ([`state::Shelf`]) |
//! | sweep | who is dead at a tick ([`Sweep`]) |
//! | recent | whose entries of some segments are live and were observed lately ([`Recent`]) |
//! | snapshot | images and charter at one instant ([`Snapshot`]): what a question holds, with the overlay |
//!
//! # The flow
//!
//! row -> admitted by the charter -> membership -> bulk build -> image -> snapshot -> question.
//!
//! ```
//! use usher_index::{Batch, IdType, Key, LedgerLine, FeedKey, NoProgress, Row, Time, VisitorId, Writer};
//!
//! let dir = tempfile::tempdir()?;
//! let now = Time::from_unix(1_800_000_000).ok_or("beyond 2106")?;
//! let writer = Writer::open(dir.path(), Key::from_bytes([7; 32]))?;
//!
//! // A row is admitted by the charter (here the permissive one of development), or refused with a code.
//! let mut admission = writer.admission("citymag", IdType::default(), None, now)?;
//! let row = Row {
//!     visitor: VisitorId::new("a1b2")?,
//!     segment: "interest.theatre".into(),
//!     id_type: None, observed: None, ttl: None, expires: None, remove: false,
//! };
//! let mut batch = Batch::new("citymag");
//! batch.push(admission.admit(&row).map_err(|refusal| refusal.code())?.membership);
//! batch.finish(admission.into_segments());
//!
//! // The batch becomes part of the next generation, with its line in the ledger.
//! let key = FeedKey { source: "citymag".into(), digest: "00".into(), options: String::new() };
//! let line = LedgerLine { key, received: now, report: serde_json::Value::Null, outcome: None };
//! let published = writer.load(vec![(batch, line)], now, &NoProgress)?;
//! assert_eq!((published.generation, published.memberships), (1, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bars;
pub mod bits;
pub mod breath;
pub mod build;
pub mod change;
pub mod charter;
pub mod checksum;
pub mod containers;
pub mod entry;
pub mod error;
pub mod files;
pub mod id;
pub mod image;
pub mod kernels;
pub mod lookups;
pub mod manifest;
pub mod membership;
pub mod overlay;
pub mod pseudonym;
pub mod recent;
pub mod refusal;
pub mod segments;
pub mod shard;
pub mod snapshot;
pub mod state;
pub mod sweep;
pub mod text;
pub mod time;
pub mod veils;
pub mod witness;
pub mod writer;

mod bitpack;
mod bytes;
mod dictionary;
mod fold;
mod gaps;
mod huffman;
mod mmap;
mod profiles;
mod times;

pub use bars::Bars;
pub use bits::{Bits, Op};
pub use build::{Batch, NoProgress, Progress};
pub use change::Change;
pub use charter::{Charter, Class, House, LegalBasis, LookalikeRules, Source};
pub use entry::Entry;
pub use error::{CharterError, FileError, ImageError, OpenError, StateError, WriteError};
pub use files::Folder;
pub use id::{IdError, IdType, Pid, VisitorId};
pub use image::{Image, SectionInfo};
pub use kernels::{Counter, Level};
pub use lookups::Lookups;
pub use manifest::{FeedKey, LedgerLine, Manifest, Outcome};
pub use membership::{Admission, Admitted, Membership, Row};
pub use overlay::Overlay;
pub use pseudonym::{Key, NoiseKey, Pseudonymizer};
pub use recent::Recent;
pub use refusal::Refusal;
pub use segments::{Segment, Segments};
pub use shard::Shard;
pub use snapshot::{SegmentInfo, Snapshot};
pub use state::{AuditEntry, AuditLine, Commit, State, Unfolded};
pub use sweep::Sweep;
pub use text::Text;
pub use time::{Span, Tick, TickLength, Time, TimeError};
pub use veils::Veils;
pub use writer::{Published, Writer};
