//! `LOCK`: one process owns the state, and says who it is.

use crate::error::StateError;
use crate::files::{Folder, NamedLock};

/// The lock's file.
const LOCK: &str = "LOCK";

/// Takes the lock until it is dropped; `holder` is what others will be told, beside the number of this process.
pub(super) fn take(folder: &Folder, holder: &str) -> Result<NamedLock, StateError> {
    let taken = NamedLock::take(folder.join(LOCK), holder)?;
    taken.map_err(|holder| StateError::Held { folder: folder.path().to_path_buf(), holder })
}
