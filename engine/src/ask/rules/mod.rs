//! Which audiences is this visitor in: thousands of expressions against the segments of one visitor.
//!
//! An audience is posted under the rarest set of segments of which every member has at least one ([`compile`]); a visitor's
//! segments lead to the audiences posted there, and only those are evaluated ([`run`]), with the few that have no such
//! set. Audiences come and go one at a time while lookups go on, so they stand in runs of three sizes: one that is put
//! in makes the smallest run anew, and a run that is full goes into the next ([`matcher`]). Segments have numbers here
//! that hold for every shard and every generation ([`numbers`]).

mod compile;
mod matcher;
mod numbers;
mod run;
#[cfg(test)]
mod tests;

pub use matcher::{Matched, Matcher, Rule};
pub use numbers::{Numbers, ShardNumbers};
