//! The sets of one shard at one moment, by rank: segments, *everyone* after the last of them, and after that the sets
//! that one question alone asks for.

use std::sync::Arc;

use rayon::prelude::*;
use usher_index::containers::Container;
use usher_index::{ImageError, Recent, Shard, Snapshot, Sweep, Tick};

use super::conjunction::Conjunction;
use super::expr::Expr;
use super::moment::Moment;
use super::plan::{Asked, Plan};

/// An expression in every shard where somebody may be in it.
pub struct Prepared<'s> {
    /// The sets of each such shard, and what is to be done with them.
    pub parts: Vec<(Sets<'s>, Conjunction)>,
    /// Whether one shard knows every name: then no name is unknown.
    pub knows_all: bool,
}

impl<'s> Prepared<'s> {
    /// Plans an expression. Time: as [`Plan::new`] and [`Sets::new`]; what takes long is shared between the threads of the
    /// current rayon pool.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn new(snapshot: &'s Snapshot, expr: &Expr, at: Moment) -> Result<Self, ImageError> {
        let plans: Vec<_> = snapshot.shards().iter().map(|shard| (shard, Plan::new(expr, shard, at))).collect();
        let knows_all = plans.iter().any(|(_, plan)| plan.knows_all());
        let plans: Vec<_> = plans.into_iter().filter(|(_, plan)| !plan.is_nobody()).collect();
        let tick = at.tick();
        let part = |(shard, plan): (&'s Shard, Plan)| {
            let sets = Sets::new(shard, tick, plan.asked())?;
            Ok((sets, plan.into_conjunction(shard.everyone_rank())))
        };
        let are_known = plans.iter().all(|(shard, plan)| plan.asked().is_empty() && shard.known_at(tick).is_some());
        let parts: Result<Vec<_>, ImageError> = match are_known {
            true => plans.into_iter().map(part).collect(),
            false => plans.into_par_iter().map(part).collect(),
        };
        Ok(Self { parts: parts?, knows_all })
    }
}

/// What an evaluator takes its operands from.
pub struct Sets<'s> {
    shard: &'s Shard,
    sweep: Arc<Sweep>,
    recent: Vec<Arc<Recent>>,
    /// The rank of the first of those.
    first_recent: u32,
}

impl<'s> Sets<'s> {
    /// The sets of a shard, with those whom a plan of it asks for.
    ///
    /// Time: nothing for what is known already; else a walk over the image for each tick, and for each set of recent
    /// members a look at every member's profile.
    ///
    /// # Errors
    /// When the image is damaged.
    pub fn new(shard: &'s Shard, tick: Tick, asked: &[Asked]) -> Result<Self, ImageError> {
        let recent =
            asked.iter().map(|asked| shard.recent(&asked.ranks, asked.since, tick)).collect::<Result<_, _>>()?;
        Ok(Self { shard, sweep: shard.at(tick)?, recent, first_recent: first_recent(shard) })
    }

    /// The shard.
    pub fn shard(&self) -> &'s Shard {
        self.shard
    }

    /// A set in a block, with its dead.
    ///
    /// # Errors
    /// When the image is damaged.
    #[inline]
    pub fn container(&self, block: usize, rank: u32) -> Result<Container<'_>, ImageError> {
        match self.recent(rank) {
            Some(recent) => Ok(recent.container(block)),
            None => self.shard.image().container(block, rank),
        }
    }

    /// Who of the set is dead.
    #[inline]
    pub fn dead(&self, block: usize, rank: u32) -> &[u16] {
        self.sweep.dead(block, rank)
    }

    /// Whether nobody of the block is dead.
    #[inline]
    pub fn is_clean(&self, block: usize) -> bool {
        self.sweep.is_clean(block)
    }

    /// How many are in the set, dead or not.
    #[inline]
    pub fn upper_bound(&self, block: usize, rank: u32) -> u32 {
        match self.recent(rank) {
            Some(recent) => recent.members(block),
            None => self.shard.upper_bound(block, rank),
        }
    }

    #[inline]
    fn recent(&self, rank: u32) -> Option<&Recent> {
        let place = rank.checked_sub(self.first_recent)?;
        self.recent.get(place as usize).map(|recent| &**recent)
    }
}

/// The rank of the first set behind *everyone*.
pub fn first_recent(shard: &Shard) -> u32 {
    shard.everyone_rank() + 1
}
