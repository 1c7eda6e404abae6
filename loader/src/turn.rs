//! Whose turn it is to build: one process at a time builds, and says who it is.
//!
//! An engine that folds changes is waited for; a second loader is somebody's mistake, and is told so.

use std::path::Path;
use std::time::{Duration, Instant};

use usher_index::{Key, WriteError, Writer};

/// How long a loader waits for a build of an engine: the largest take minutes.
pub const BUILD_PATIENCE: Duration = Duration::from_secs(600);
/// How often it is looked whether the other build has ended.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is said that it has not.
const SAID_EVERY: Duration = Duration::from_secs(10);
/// How engines call themselves.
const ENGINE: &str = "usher-engine";

/// Who is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Engines only.
    Engines,
    /// Whoever builds.
    Anybody,
}

/// Opens the index to change it, as `holder`, when the build of another process has ended. `say` is told whom it waits
/// for, at once and every 10 s.
///
/// # Errors
/// As [`Writer::open`]; [`WriteError::Locked`] when it is not one to wait for, or after `patience`.
pub fn writer(
    data: &Path,
    key: &Key,
    holder: &str,
    (whom, patience): (For, Duration),
    say: &mut dyn FnMut(&str),
) -> Result<Writer, WriteError> {
    let (began, mut said, mut seen) = (Instant::now(), None, None);
    loop {
        let locked = match Writer::open_as(data, key.clone(), holder) {
            Err(locked @ WriteError::Locked { .. }) => locked,
            opened => return opened,
        };
        let WriteError::Locked { holder: other, .. } = &locked else { return Err(locked) };
        // The name of a holder may be a moment old: only who is seen twice is turned away from.
        let known = seen.as_ref() == Some(other) && !other.is_empty();
        if began.elapsed() >= patience || (whom == For::Engines && known && !other.contains(ENGINE)) {
            return Err(locked);
        }
        if known && said.is_none_or(|said: Instant| said.elapsed() >= SAID_EVERY) {
            let so_far = said.map_or(String::new(), |_| format!(", {} s so far", began.elapsed().as_secs()));
            say(&format!("waits for {other}{so_far}"));
            said = Some(Instant::now());
        }
        seen = Some(other.clone());
        std::thread::sleep(LOOK);
    }
}
