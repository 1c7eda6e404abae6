//! Maps and sets: what an index must show. Written apart from the index on purpose, its law of merging too.

use std::collections::{BTreeMap, BTreeSet};

/// Who has what, live.
pub type Visible = BTreeSet<(u32, &'static str)>;

/// When a row was observed, and until when it holds, in ticks. Equal: a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Seen in this tick.
    pub observed: u32,
    /// Live before this tick begins.
    pub expiry: u32,
}

impl Held {
    /// Whether it holds in this tick.
    #[must_use]
    pub fn live(self, tick: u32) -> bool {
        self.expiry > tick && self.expiry > self.observed
    }

    /// The later observation stands; of two in one tick the one with the shorter life.
    fn stands_before(self, other: Self) -> bool {
        if self.observed == other.observed { self.expiry < other.expiry } else { self.observed > other.observed }
    }
}

/// What is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    rows: BTreeMap<(u32, &'static str), Held>,
    opted_out: BTreeSet<u32>,
    /// The last tick of which nothing is kept.
    erased: BTreeMap<u32, u32>,
}

impl Model {
    /// A row comes.
    pub fn row(&mut self, visitor: u32, segment: &'static str, row: Held) {
        if !self.opted_out(visitor) && !self.erased(visitor, row.observed) {
            let kept = self.rows.entry((visitor, segment)).or_insert(row);
            if row.stands_before(*kept) {
                *kept = row;
            }
        }
    }

    /// The visitor opts out.
    pub fn opt_out(&mut self, visitor: u32) {
        self.opted_out.insert(visitor);
        self.rows.retain(|&(whose, _), _| whose != visitor);
    }

    /// The visitor takes an opt-out back, if there is one.
    pub fn revoke(&mut self, visitor: u32, at: u32) {
        if self.opted_out.remove(&visitor) {
            self.erase(visitor, at);
        }
    }

    /// All that was observed of the visitor until this tick goes.
    pub fn erase(&mut self, visitor: u32, at: u32) {
        let last = self.erased.entry(visitor).or_insert(at);
        *last = at.max(*last);
        self.rows.retain(|&(whose, _), row| whose != visitor || row.observed > at);
    }

    /// Whether the visitor opted out.
    #[must_use]
    pub fn opted_out(&self, visitor: u32) -> bool {
        self.opted_out.contains(&visitor)
    }

    /// Whether what was observed of the visitor in this tick was erased.
    #[must_use]
    pub fn erased(&self, visitor: u32, observed: u32) -> bool {
        self.erased.get(&visitor).is_some_and(|&at| observed <= at)
    }

    /// The earliest erasure of anybody.
    #[must_use]
    pub fn earliest_erasure(&self) -> Option<u32> {
        self.erased.values().min().copied()
    }

    /// All rows that stand, dead ones and removals too.
    #[must_use]
    pub fn rows(&self) -> &BTreeMap<(u32, &'static str), Held> {
        &self.rows
    }

    /// Who has what in this tick.
    #[must_use]
    pub fn visible(&self, tick: u32) -> Visible {
        self.rows.iter().filter(|(_, row)| row.live(tick)).map(|(&whose, _)| whose).collect()
    }

    /// What a lookup answers, byte for byte.
    #[must_use]
    pub fn answer(&self, visitor: u32, tick: u32) -> String {
        if self.opted_out(visitor) {
            return r#"{"segments":[],"audiences":[],"reason":"opted_out"}"#.to_owned();
        }
        let own = self.rows.range((visitor, "")..(visitor + 1, ""));
        let names: Vec<String> =
            own.filter(|(_, row)| row.live(tick)).map(|((_, name), _)| format!("\"{name}\"")).collect();
        format!(r#"{{"segments":[{}],"audiences":[]}}"#, names.join(","))
    }
}
