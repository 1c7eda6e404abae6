//! What is done to an index, as data: a life can be told again without one of its acts.

use crate::rng::Rng;

use super::{KINDS, VISITORS};

/// Rows are this many hours old at most; some are beyond the life that their source gives.
const OLDEST_HOURS: u32 = 110;
/// Most rows are younger than this, so that they meet.
const YOUNG_HOURS: u32 = 6;

/// A row, as a source sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// A new one.
    Fresh {
        /// Whose.
        visitor: u32,
        /// Which of [`KINDS`].
        kind: usize,
        /// Observed so many hours before now.
        age: u32,
        /// So many hours of life; 0: a removal. More than the source gives is cut.
        hours: u32,
    },
    /// The so-manieth of those sent so far, from the last one back; as it was then.
    Again(usize),
}

/// A change of the live state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A row.
    Row(Fact),
    /// The visitor opts out.
    OptOut(u32),
    /// The visitor takes it back.
    Revoke(u32),
    /// All that was observed of the visitor goes, until so many hours ago.
    Erase(u32, u32),
}

/// One step of a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Changes, committed at once and put into the overlay.
    Commit(Vec<Deed>),
    /// A feed that goes the bulk way beside the state.
    Load {
        /// Its rows.
        facts: Vec<Fact>,
        /// Whether the loader knows who must stay out; else it cannot see the state.
        barred: bool,
    },
    /// A build takes what the state holds; `anew`: it purges and ranks anew, too.
    Fold {
        /// Whether it is a rebuild.
        anew: bool,
    },
    /// A rebuild that cannot see the state.
    Rebuild,
    /// The newest generation is served, under a new overlay.
    Adopt,
    /// The state forgets what all generations hold.
    Settle,
    /// Everything is closed and opened.
    Reopen,
    /// The clock goes so many minutes on, or back.
    Clock(i32),
}

impl Act {
    /// Its kind, for counting.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Commit(_) => "commit",
            Self::Load { barred: true, .. } => "load",
            Self::Load { barred: false, .. } => "blind load",
            Self::Fold { anew: false } => "fold",
            Self::Fold { anew: true } => "fold anew",
            Self::Rebuild => "blind rebuild",
            Self::Adopt => "adopt",
            Self::Settle => "settle",
            Self::Reopen => "reopen",
            Self::Clock(minutes) if *minutes < 0 => "clock back",
            Self::Clock(_) => "clock on",
        }
    }

    /// Any of them.
    #[must_use]
    pub fn random(rng: &mut Rng) -> Self {
        match rng.below(100) {
            0..=44 => Self::Commit(deeds(rng)),
            45..=51 => Self::Load { facts: facts(rng), barred: true },
            52..=56 => Self::Load { facts: facts(rng), barred: false },
            57..=61 => Self::Fold { anew: false },
            62..=64 => Self::Fold { anew: true },
            65 => Self::Rebuild,
            66..=76 => Self::Adopt,
            77..=79 => Self::Settle,
            80 | 81 => Self::Reopen,
            82..=93 => Self::Clock(minutes(rng)),
            _ => Self::Clock(-minutes(rng)),
        }
    }
}

/// Mostly some ticks, sometimes days.
fn minutes(rng: &mut Rng) -> i32 {
    let most = if rng.percent(15) { 6_000 } else { 300 };
    rng.below(most) as i32
}

/// Any row.
#[must_use]
pub fn fact(rng: &mut Rng) -> Fact {
    if rng.percent(15) {
        return Fact::Again(rng.index(20));
    }
    let (visitor, kind) = (rng.below(VISITORS), rng.index(KINDS.len()));
    let oldest = if rng.percent(15) { OLDEST_HOURS } else { YOUNG_HOURS };
    let age = rng.below(oldest);
    let hours = match rng.below(10) {
        0 | 1 => 0,
        2..=4 => rng.below(12),
        _ => rng.below(OLDEST_HOURS),
    };
    Fact::Fresh { visitor, kind, age, hours }
}

/// A few rows.
#[must_use]
pub fn facts(rng: &mut Rng) -> Vec<Fact> {
    (0..=rng.below(5)).map(|_| fact(rng)).collect()
}

/// A few changes; most are rows.
#[must_use]
pub fn deeds(rng: &mut Rng) -> Vec<Deed> {
    (0..=rng.below(4)).map(|_| deed(rng)).collect()
}

fn deed(rng: &mut Rng) -> Deed {
    match rng.below(16) {
        0 => Deed::OptOut(rng.below(VISITORS)),
        1 | 2 => Deed::Revoke(rng.below(VISITORS)),
        3 => {
            let ago = if rng.percent(70) { 0 } else { rng.below(YOUNG_HOURS) };
            Deed::Erase(rng.below(VISITORS), ago)
        }
        _ => Deed::Row(fact(rng)),
    }
}
