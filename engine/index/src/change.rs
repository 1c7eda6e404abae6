//! One thing that changes what is known, small and at once: a row, an opt-out, its revocation, an erasure.

use crate::entry::Entry;
use crate::id::Pid;
use crate::time::Tick;

/// A change of the live state. Changes have an order: that of their commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A row that admission let in. The segment is a number of the table that goes with the change.
    Row {
        /// Whose.
        pid: Pid,
        /// Of which segment.
        segment: u32,
        /// From when until when.
        entry: Entry,
    },
    /// The visitor wants no part in this, whatever was or will be observed.
    OptOut {
        /// Who.
        pid: Pid,
    },
    /// The visitor takes the opt-out back. What was observed until this tick stays out.
    Revoke {
        /// Who.
        pid: Pid,
        /// When.
        at: Tick,
    },
    /// All that was observed of the visitor until this tick goes.
    Erase {
        /// Who.
        pid: Pid,
        /// When.
        at: Tick,
    },
}

impl Change {
    /// Whom it concerns.
    #[must_use]
    pub fn pid(self) -> Pid {
        match self {
            Self::Row { pid, .. } | Self::OptOut { pid } | Self::Revoke { pid, .. } | Self::Erase { pid, .. } => pid,
        }
    }
}
