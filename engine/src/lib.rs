//! Questions and HTTP: the second half of Usher's flow, and the engine's commands.
//!
//! snapshot -> question ([`ask`]: a lookup, a size, a lookalike) -> disclosed answer, at the console ([`cmd`]) or over HTTP
//! ([`http`]). What changes is committed and put in force by [`keep`]. The snapshot comes from `usher-index`; clock, key file and the demo's loading from `usher-loader`.

pub mod ask;
pub mod cmd;
pub mod config;
pub mod http;
pub mod keep;

pub use cmd::run;
