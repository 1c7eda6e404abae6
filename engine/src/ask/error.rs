//! Why a question has no answer.

use thiserror::Error;
use usher_index::ImageError;

/// Why a snapshot could not answer: never the asker's fault, whose mistakes are [`ParseError`](super::parse::ParseError)s.
#[derive(Debug, Error)]
#[error("the question cannot be answered: {0}")]
pub struct AskError(#[from] ImageError);
