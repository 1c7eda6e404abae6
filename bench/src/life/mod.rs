//! Random lives of an index: what is done to it ([`act`]), the world in which it is done ([`world`]), and the naive model
//! that says what must be seen ([`model`]). `usher-bench history` compares, `usher-bench power` cuts the power.

pub mod act;
pub mod model;
pub mod world;

use std::path::Path;

use usher_index::{IdType, Key, Pid, TickLength, Time, VisitorId};

/// The moment at which every life begins, in Unix seconds.
pub const NOW: i64 = 1_800_000_000;
/// Seconds of an hour, and of a tick.
pub const HOUR: i64 = 3_600;
/// Visitors of a life.
pub const VISITORS: u32 = 6;

/// A segment of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Who brings it.
    pub source: &'static str,
    /// The life that its source gives, in hours.
    pub hours: u32,
}

/// The segments of a life: two sources with lives of their own.
pub const KINDS: [Kind; 5] = [
    Kind { name: "interest.theatre", source: "mag", hours: 48 },
    Kind { name: "interest.dance", source: "mag", hours: 48 },
    Kind { name: "interest", source: "mag", hours: 48 },
    Kind { name: "crm.spectator", source: "house", hours: 96 },
    Kind { name: "crm.donor", source: "house", hours: 96 },
];

/// The charter of a life. The ttl of each source is what [`KINDS`] says.
pub const CHARTER: &str = r#"
[house]
name = "A house"
steward = "dpo@house.example"
size_floor = 1
tick = "1h"

[[source]]
name = "mag"
class = "behavioural"
prefixes = ["interest"]
ttl = "48h"
max_retention = "96h"
legal_basis = "consent"

[[source]]
name = "house"
class = "transactional"
prefixes = ["crm."]
ttl = "96h"
max_retention = "96h"
legal_basis = "contract"
"#;

/// The key of every life.
#[must_use]
pub fn key() -> Key {
    Key::from_bytes([42; 32])
}

/// The id of a visitor.
#[must_use]
pub fn id(visitor: u32) -> String {
    format!("v{visitor}")
}

/// The pseudonym of a visitor.
#[must_use]
pub fn pid(visitor: u32) -> Pid {
    key().pid(&IdType::default(), VisitorId::new(&id(visitor)).expect("a short id"))
}

/// A moment of a life.
#[must_use]
pub fn time(unix: i64) -> Time {
    Time::from_unix(unix).expect("a life stays between 1970 and 2106")
}

/// The number of the tick in which a moment lies.
#[must_use]
pub fn tick(unix: i64) -> u32 {
    TickLength::default().floor(time(unix)).get()
}

/// Where many small files are written: memory, where there is a disk of it.
#[must_use]
pub fn memory() -> &'static Path {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm } else { Path::new("/tmp") }
}
