//! Keeping the live state while questions go on: one thread commits what callers wish, many at a time, and puts it into
//! force before anybody is told that it is done.
//!
//! wish ([`Wish`]) -> queue -> one commit for all that wait ([`Keeper`]) -> overlay -> answer. A new generation is
//! adopted by the same thread ([`adopt`]), so it never meets half a batch; when much has gathered, or an erasure waits,
//! the changes are folded into new images beside all that ([`fold`]).

pub mod adopt;
mod batch;
pub mod catalogue;
pub mod disk;
pub mod fold;
pub mod follow;
mod keeper;
pub mod recheck;
mod served;
pub mod sizes;
pub mod trend;
mod wish;
mod yielding;

pub(crate) use adopt::overlay;
pub use keeper::{Keeper, Started};
pub use served::{Live, Served};
pub use wish::{AudienceChange, Done, KeepError, Rows, Wish};
pub(crate) use yielding::{Job, cores, one_yielding_a_little, yielding, yielding_a_little};
