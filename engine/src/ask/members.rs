//! Who is in an expression, as pseudonyms: exactly those whom [`size`](super::size) counts.

use std::ops::ControlFlow;

use rayon::prelude::*;
use thiserror::Error;
use usher_index::{Overlay, Pid, Snapshot, Time};

use super::error::AskError;
use super::evaluate::Evaluator;
use super::expr::Expr;
use super::moment::Moment;
use super::sets::{Prepared, Sets};
use super::size::with_workspace;
use super::touched::Moved;

/// How many blocks are decoded at a time, shared between threads: their pseudonyms, 16 MiB at most, wait in memory.
const BLOCKS_AT_A_TIME: usize = 24;

/// Why the members are not told.
#[derive(Debug, Error)]
pub enum MembersError {
    /// A snapshot could not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// There are more than the asker can take.
    #[error("the expression has more than {bound} members: narrow it down")]
    TooMany {
        /// How many the asker can take.
        bound: usize,
    },
}

/// The members of an expression among those with at least one live membership at `now`, after all changes of the overlay
/// that lies over the snapshot; ascending.
///
/// Time: that of a count, and some 10 ns a member. Blocks are shared between the threads of the current rayon pool.
///
/// # Errors
/// When an image is damaged, or there are more than `bound` members.
pub fn members(
    snapshot: &Snapshot,
    overlay: &Overlay,
    expr: &Expr,
    now: Time,
    bound: usize,
) -> Result<Vec<Pid>, MembersError> {
    let mut found = Vec::new();
    let flow = walk(snapshot, overlay, expr, now, &mut |pids| {
        if found.len() + pids.len() > bound {
            return ControlFlow::Break(());
        }
        found.extend_from_slice(pids);
        ControlFlow::Continue(())
    })?;
    if flow.is_break() { Err(MembersError::TooMany { bound }) } else { Ok(found) }
}

/// Calls `each` with every member in turn, ascending: in bounded memory, but for the touched visitors who joined or left.
///
/// # Errors
/// When an image is damaged; some members may have been told by then.
pub fn each_member(
    snapshot: &Snapshot,
    overlay: &Overlay,
    expr: &Expr,
    now: Time,
    mut each: impl FnMut(Pid),
) -> Result<(), AskError> {
    let flow = walk(snapshot, overlay, expr, now, &mut |pids| {
        pids.iter().for_each(|&pid| each(pid));
        ControlFlow::Continue(())
    })?;
    debug_assert!(flow.is_continue());
    Ok(())
}

/// Gives the members to `take`, some at a time.
fn walk(
    snapshot: &Snapshot,
    overlay: &Overlay,
    expr: &Expr,
    now: Time,
    take: &mut dyn FnMut(&[Pid]) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, AskError> {
    let at = Moment::new(snapshot.tick(), now);
    // The view is gone before the images are looked at, as in a count.
    let moved = if overlay.is_empty() { Moved::default() } else { Moved::of(&overlay.at(at.tick()), expr, at) };
    let Prepared { parts, .. } = Prepared::new(snapshot, expr, at)?;
    let evaluators: Vec<_> = parts.iter().map(|(sets, plan)| (sets, Evaluator::new(plan, sets))).collect();
    let blocks: Vec<_> =
        evaluators.iter().flat_map(|of| (0..of.0.shard().blocks()).map(move |block| (of, block))).collect();
    let (mut joined, mut left) = (&moved.joined[..], &moved.left[..]);
    let mut merged = Vec::new();
    for group in blocks.chunks(BLOCKS_AT_A_TIME) {
        let decode =
            |((sets, evaluator), block): &(&(&Sets<'_>, Evaluator<'_>), usize)| decode(sets, evaluator, *block);
        let decoded = match group {
            [only] => vec![decode(only)?],
            many => many.par_iter().map(decode).collect::<Result<Vec<_>, AskError>>()?,
        };
        for pids in decoded {
            merge(&pids, &mut joined, &mut left, &mut merged);
            if take(&merged).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(take(joined))
}

/// The members in one block, as the images have them; ascending.
fn decode(sets: &Sets<'_>, evaluator: &Evaluator<'_>, block: usize) -> Result<Vec<Pid>, AskError> {
    with_workspace(|workspace| {
        let (mut bytes, mut pids) = (Vec::new(), Vec::new());
        evaluator.build(block, workspace, &mut bytes)?;
        sets.shard().pids(block, ordinals(&bytes), |pid| pids.push(pid))?;
        Ok(pids)
    })
}

/// The ordinals of a bitmap's bytes.
fn ordinals(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte != 0)
        .flat_map(|(at, &byte)| (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| (at * 8) as u16 + bit))
}

/// Leaves in `into` those of `pids` who have not left, and who joined before the last of them. All ascend.
fn merge(pids: &[Pid], joined: &mut &[Pid], left: &mut &[Pid], into: &mut Vec<Pid>) {
    into.clear();
    for pid in pids {
        while let Some((first, rest)) = joined.split_first().filter(|(first, _)| *first < pid) {
            into.push(*first);
            *joined = rest;
        }
        while let Some((_, rest)) = left.split_first().filter(|(first, _)| *first < pid) {
            *left = rest;
        }
        if left.first() != Some(pid) {
            into.push(*pid);
        }
    }
}
