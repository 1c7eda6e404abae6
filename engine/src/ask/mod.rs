//! Questions: from the text of an expression to an exact count, and from a visitor to the names of his or her segments.
//!
//! text -> [`lex`] -> [`parse`] -> [`expr`] -> [`expand`] -> [`plan`] (per shard) -> [`evaluate`] -> [`size`], or [`members`]
//! instead of a size; planners get a size by way of [`coarse`], [`discreet`] and [`disclose`]. A visitor takes the short way
//! through [`lookup`], and through [`rules`] to his or her [`audiences`]. [`lookalike`] finds who resembles a seed. [`touched`] says
//! what changes in memory add to all.
//! Everything here is a function of a snapshot and a `now`: no clock, no chance, no I/O but the snapshot's own.

pub mod audiences;
pub mod coarse;
pub mod conjunction;
pub mod disclose;
pub mod discreet;
pub mod error;
pub mod evaluate;
pub mod expand;
pub mod expr;
pub mod lex;
pub mod lookalike;
pub mod lookup;
pub mod members;
pub mod moment;
mod names;
pub mod nearest;
pub mod parse;
pub mod plan;
pub mod rules;
pub mod sets;
pub mod size;
mod tally;
pub mod touched;
pub mod unknown;

#[cfg(test)]
pub(crate) mod sample;

pub use error::AskError;
