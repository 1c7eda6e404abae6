//! The integration tests: what Usher promises, a sentence a module.

/// The server among silent, slow and garbled connections.
mod abuse;
/// The laws of sets hold for the counts of random questions.
mod algebra;
/// A sudden end, a full disk, a bomb: the index before or after, and a message that says what to do.
mod crash;
/// Damaged bytes are refused by name or change nothing; the generation before answers.
mod damage;
/// Every answer at the second before an expiry, at it and after it.
mod expiry;
/// A folder is followed: what is whole is taken, once, and a signal ends it well.
mod follow;
/// The erased are gone to the byte, who opted out stays out, and a build takes what the live state holds.
mod forget;
/// FORMAT.md agrees with the code, golden indexes open, damage is caught.
mod format;
/// A disk that fills up under a running engine: visitors' wishes pass, rows are told to wait, nothing is lost.
mod full;
/// Random lives of an index answer as a naive model does, in whatever order things come.
mod history;
/// Every route: good, bad, too large, too slow, draining.
mod http;
/// The samples go in, their questions come out, through both programs.
mod journey;
/// A server and loaders killed at random moments: what was acknowledged is there.
mod kill;
/// Expressions mean what their users think they mean, and mistakes are shown where they are.
mod language;
/// Changes are in force at once, and lookups go on while everything happens.
mod live;
/// Who resembles a seed: scores, curve and audience, beside a naive model and on real sets.
mod lookalike;
/// Random feeds and builds answer as a naive map of sets does.
mod model;
/// The judge: the naive map of sets.
mod naive;
/// A simulated power cut at every step: what was acknowledged is there.
mod power;
/// Both programs, in this process.
mod programs;
/// Random rows and random questions from a seed.
mod random;
/// Four real sets answer as the judge does, whole and in pieces.
mod real;
/// The workspace's own files, read as Rust.
mod source;
/// House rules: lengths, floors, arrows, links, leftovers.
mod tidy;
