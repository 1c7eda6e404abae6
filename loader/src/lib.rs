//! From feeds to memberships: the first half of Usher's flow, and the loader's commands.
//!
//! bytes ([`source`]) -> records ([`feed`]) -> row ([`row`]) -> admitted by the charter -> membership -> batch
//! ([`pipeline`]) -> the next generation of the index, with a line in its ledger and a report ([`report`]).
//!
//! A [`Delivery`] is one feed of one source. It is taken, was taken before, or fails whole and changes nothing:
//!
//! ```
//! use usher_index::{IdType, Key, NoProgress, Time, Writer};
//! use usher_loader::feed::Shape;
//! use usher_loader::source::{Bounds, Input};
//! use usher_loader::{Delivered, Delivery};
//!
//! let dir = tempfile::tempdir()?;
//! let now = Time::from_unix(1_800_000_000).ok_or("beyond 2106")?;
//! let writer = Writer::open(dir.path(), Key::from_bytes([7; 32]))?;
//!
//! let feed = "visitor,segment,ttl\na1b2,interest.theatre,30d\nc3d4,interest.opera,soon\n";
//! let delivery = Delivery {
//!     name: "monday.csv",
//!     source: "citymag",
//!     shape: &Shape::default(),
//!     id_type: &IdType::default(),
//!     as_of: None,
//!     only: None,
//!     max_refused: "20%".parse()?,
//!     again: false,
//! };
//! let input = Input::stream(feed.as_bytes(), |_| {}, Bounds::default());
//! let Delivered::Taken(taken) = delivery.receive(&writer, input, now, None)? else { panic!("a good feed") };
//! assert_eq!((taken.report.received, taken.report.taken, taken.report.refused["bad_ttl"]), (2, 1, 1));
//!
//! let (batch, line, _) = taken.into_parts();
//! let published = writer.load(vec![(batch, line)], now, &NoProgress)?;
//! assert_eq!(published.outcomes[0].new, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The loader's own clock, key file and commands ([`cmd::run`]) are here too; the engine uses the first two.

pub mod audit;
pub mod clock;
pub mod cmd;
pub mod feed;
pub mod key;
pub mod pipeline;
pub mod quarantine;
pub mod report;
pub mod row;
pub mod source;
pub mod time;
pub mod turn;

mod advice;
mod delivery;

pub use clock::Clock;
pub use delivery::{Delivered, Delivery, Taken};
pub use report::Report;
