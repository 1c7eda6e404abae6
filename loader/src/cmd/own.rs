//! The live state belongs to one process: this one, if it is free.

use std::path::Path;

use usher_index::files::Folder;
use usher_index::state::{Settled, oldest_folded};
use usher_index::{Key, State, StateError};

use super::CommandError;

/// The live state, if it is free and there is one.
pub(super) enum Own {
    /// It is this process's until it is dropped.
    Ours(Box<State>),
    /// There is none yet.
    Absent,
    /// Another process's, and which.
    Held(String),
}

impl Own {
    /// Takes the state for `verb`.
    pub(super) fn take(data: &Path, key: &Key, verb: &str) -> Result<Self, CommandError> {
        match State::open_if_present(data, key, &holder(verb)) {
            Ok(Some(state)) => Ok(Self::Ours(Box::new(state))),
            Ok(None) => Ok(Self::Absent),
            Err(StateError::Held { holder, .. }) => Ok(Self::Held(holder)),
            Err(error) => Err(error.into()),
        }
    }

    /// The state, for a verb that has no other way; `route` says how the same is done through the process that holds it.
    pub(super) fn need(self, route: &'static str) -> Result<Option<State>, CommandError> {
        match self {
            Self::Ours(state) => Ok(Some(*state)),
            Self::Absent => Ok(None),
            Self::Held(holder) => Err(CommandError::Held { holder, route }),
        }
    }
}

/// Takes the state for `verb`, an empty one if there is none.
pub(super) fn take_or_make(data: &Path, key: &Key, verb: &str, route: &'static str) -> Result<State, CommandError> {
    State::open(data, key, &holder(verb)).map_err(|error| match error {
        StateError::Held { holder, .. } => CommandError::Held { holder, route },
        error => error.into(),
    })
}

fn holder(verb: &str) -> String {
    format!("usher-loader {verb}")
}

/// Forgets what every generation holds that is kept.
pub(super) fn settle(state: &State, data: &Path) -> Result<Settled, CommandError> {
    let folded = oldest_folded(&Folder::open(data)?).map_err(StateError::from)?;
    Ok(state.settle(folded)?)
}
