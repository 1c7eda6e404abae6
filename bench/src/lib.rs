//! Generators for Usher: the theatre's world of the samples, and the synthetic workload of the benchmarks. Everything
//! comes from a seed, by a random number generator of our own.

pub mod abuse;
pub mod bytes;
pub mod client;
pub mod crash;
pub mod damage;
pub mod expr;
pub mod feed_file;
pub mod golden;
pub mod history;
pub mod kill;
pub mod life;
pub mod live;
pub mod load;
pub mod lookalike;
pub mod lookup;
pub mod machine;
mod merge;
pub mod open;
pub mod personas;
pub mod power;
pub mod publish;
pub mod questions;
pub mod redis;
pub mod rng;
pub mod rules;
pub mod samples;
pub mod serve;
pub mod size;
pub mod theatre;
pub mod victim;
pub mod wire;
pub mod workload;
