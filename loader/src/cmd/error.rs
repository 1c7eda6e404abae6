//! Why a command failed.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use usher_index::{CharterError, IdError, ImageError, OpenError, StateError, WriteError};

use crate::key::KeyFileError;
use crate::quarantine::OnlyLinesError;
use crate::report::SumError;

/// Anything that ends a command with exit code 1, or 2 for [`CommandError::Usage`].
#[derive(Debug, Error)]
pub(super) enum CommandError {
    /// Options that parse but make no sense together.
    #[error("{0}")]
    Usage(String),
    /// The key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The index could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The index could not be changed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The live state could not be opened, read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// Another process owns the live state.
    #[error("the live state belongs to {holder}; through it: {route}")]
    Held {
        /// Which process.
        holder: String,
        /// How the same is done through that process.
        route: &'static str,
    },
    /// The system has no random numbers.
    #[error("cannot get random bytes for a receipt: {0}")]
    Random(String),
    /// The index is damaged.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// There is none.
    #[error("there is no index in {} yet; `usher-loader load` makes one", .0.display())]
    NoIndex(PathBuf),
    /// The charter.
    #[error("the charter {} cannot be used: {source}", path.display())]
    Charter {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: CharterError,
    },
    /// The lines to replay.
    #[error(transparent)]
    OnlyLines(#[from] OnlyLinesError),
    /// An id on the command line.
    #[error("--visitor: {0}")]
    Visitor(#[from] IdError),
    /// A file of ours.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A report that does not add up.
    #[error("{0}; the rows are in the index, please report this")]
    Sum(#[from] SumError),
    /// The system grants no handling of signals.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    /// Stdout or stderr is gone.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}
