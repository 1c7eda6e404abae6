//! What callers wish of the keeper, and what they are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::oneshot;
use usher_index::state::Record;
use usher_index::{Entry, Pid, Refusal, Segment};

use super::adopt::Candidate;
use crate::ask::audiences::Audience;

/// Rows that admission let in.
#[derive(Debug, Default)]
pub struct Rows {
    /// The segments behind the numbers of the rows.
    pub segments: Vec<Segment>,
    /// Whose, of which segment, from when until when.
    pub rows: Vec<(Pid, u32, Entry)>,
}

/// A new definition of an audience, or its end.
#[derive(Clone, Debug)]
pub struct AudienceChange {
    /// Which audience.
    pub name: Arc<str>,
    /// What it is from now on; `None`: there is no such audience any more.
    pub audience: Option<Arc<Audience>>,
}

/// Something that changes the state.
#[derive(Debug)]
pub enum Wish {
    /// Memberships.
    Rows(Rows),
    /// The visitor opts out.
    OptOut(Pid),
    /// The visitor takes an opt-out back.
    Revoke(Pid),
    /// All that was observed of the visitor until now goes. The receipt stands in the audit.
    Erase(Pid, String),
    /// An audience is put, or taken away.
    Audience(AudienceChange),
    /// Sizes of a day.
    Trend(Vec<Record>),
    /// A lookalike is put, or taken away.
    Lookalike {
        /// Its name.
        name: String,
        /// Its bytes; `None`: there is none any more.
        kept: Option<Vec<u8>>,
    },
    /// A line of the audit, and nothing else.
    Note {
        /// What was done, in snake case.
        what: &'static str,
        /// What a person should know of it; never whose.
        detail: String,
    },
}

impl Wish {
    /// Whether it is one of those that a full disk and a long queue are left for.
    pub(super) fn is_of_a_visitor(&self) -> bool {
        matches!(self, Self::OptOut(_) | Self::Revoke(_) | Self::Erase(..))
    }
}

/// A wish that was committed and is in force.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows that were taken.
    pub taken: u64,
    /// Rows that were not, by reason.
    pub refused: BTreeMap<Refusal, u64>,
}

/// Why a wish was not fulfilled. Nothing of it is in force, unless it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeepError {
    /// Too many wait already.
    #[error("too many changes wait to be written")]
    Busy,
    /// The changes that no build has folded are at their bound; they are being folded.
    #[error("as many changes as may wait are there already; they are being folded into the index")]
    Full,
    /// The disk is nearly full: what is left is for opt-outs and erasures.
    #[error("the disk is nearly full")]
    Disk,
    /// Another change of the audiences came in between, with which this one does not go together.
    #[error("another change of the audiences came in between")]
    Conflict,
    /// The keeper has ended; whether the wish was committed is not known.
    #[error("the state can no longer be written")]
    Ended,
}

/// What the keeper's thread takes from its queue.
pub(super) enum Task {
    Wish(Wish, oneshot::Sender<Result<Done, KeepError>>),
    /// A newer generation with its overlay, to be put in force.
    Adopt(Box<Candidate>, oneshot::Sender<Result<(), KeepError>>),
}
