//! Questions: from the text of an expression to an exact count, and from a visitor to the names of his or her segments.
//!
//! text -> [`lex`] -> [`parse`] -> [`expr`] -> [`plan`] (per shard) -> [`evaluate`] -> [`size`] -> [`disclose`]; a visitor takes the
//! short way through [`lookup`], and [`lookalike`] finds who resembles a seed. [`touched`] says what changes in memory add
//! to a count and a lookup. Everything here is a function of a snapshot and a `now`: no clock, no chance, no I/O but the
//! snapshot's own.

pub mod disclose;
pub mod error;
pub mod evaluate;
pub mod expr;
pub mod lex;
pub mod lookalike;
pub mod lookup;
pub mod nearest;
pub mod parse;
pub mod plan;
pub mod size;
pub mod touched;

#[cfg(test)]
pub(crate) mod sample;

pub use error::AskError;
