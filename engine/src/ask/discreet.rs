//! A size as a planner may have it: from an expression to a set that can be disclosed.

use usher_index::{NoiseKey, Overlay, Snapshot, Time};

use super::coarse::{Coarse, coarsen};
use super::disclose::{Counted, NAMED_BELOW};
use super::error::AskError;
use super::expr::Expr;
use super::members::each_member;
use super::size::count;
use super::unknown::Unknown;

/// The set that an expression means for planners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discreet {
    /// How many are in it, and who.
    pub counted: Counted,
    /// Operands that were left out, because they change less than the floor.
    pub ignored: Vec<String>,
    /// Names that nothing has.
    pub unknown: Vec<Unknown>,
}

/// What an expression means for planners: coarsened to the floor of the charter, and counted.
///
/// Time: a count for each operand, and for a small set its members.
///
/// # Errors
/// When an image is damaged.
pub fn discreet(
    snapshot: &Snapshot,
    overlay: &Overlay,
    expr: &Expr,
    now: Time,
    key: &NoiseKey,
) -> Result<Discreet, AskError> {
    let whole = count(snapshot, overlay, expr, now)?;
    let floor = snapshot.charter().house().size_floor;
    let mut count_of = |expr: &Expr| count(snapshot, overlay, expr, now).map(|counted| counted.visitors);
    let Coarse { expression, ignored } = coarsen(expr, floor, &mut count_of)?;
    let visitors = if ignored.is_empty() { whole.visitors } else { count_of(&expression)? };
    let counted = counted(snapshot, overlay, &expression, visitors, now, key)?;
    Ok(Discreet { counted, ignored, unknown: whole.unknown })
}

/// A set of which it is known how many are in it, with who they are when they are few.
///
/// # Errors
/// When an image is damaged.
pub fn counted(
    snapshot: &Snapshot,
    overlay: &Overlay,
    expr: &Expr,
    visitors: u64,
    now: Time,
    key: &NoiseKey,
) -> Result<Counted, AskError> {
    let mut set = Counted { visitors, members: 0 };
    if visitors < NAMED_BELOW {
        set.visitors = 0;
        each_member(snapshot, overlay, expr, now, |pid| {
            set.visitors += 1;
            set.members = set.members.wrapping_add(key.member(pid));
        })?;
    }
    Ok(set)
}
