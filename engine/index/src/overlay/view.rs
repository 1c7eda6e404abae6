//! The overlay as a count sees it: one prefix of the changes at one tick, for as long as it is held.

use std::sync::RwLockReadGuard;

use roaring::{MultiOps, RoaringBitmap};

use crate::id::Pid;
use crate::segments::Segment;
use crate::time::Tick;

use super::live::Live;
use super::sets::Sets;

/// A look at the overlay. While it is held no batch of changes becomes visible: whoever holds it does not wait for
/// anything, and takes no second one.
pub struct View<'o>(pub(super) RwLockReadGuard<'o, Live>);

/// The live sets of the touched visitors, over ordinals that are the overlay's own.
#[derive(Clone, Copy)]
pub struct Side<'v> {
    live: &'v Live,
    sets: &'v Sets,
    /// When a visitor's entry of a segment was observed.
    observed: fn(&Live, u32, u32) -> Option<Tick>,
}

impl View<'_> {
    /// The touched visitors as the images alone have them.
    #[must_use]
    pub fn before(&self) -> Side<'_> {
        Side { live: &self.0, sets: self.0.before(), observed: Live::observed_before }
    }

    /// The touched visitors as they are.
    #[must_use]
    pub fn after(&self) -> Side<'_> {
        Side { live: &self.0, sets: self.0.after(), observed: Live::observed_after }
    }

    /// The pseudonym of a touched visitor.
    #[must_use]
    pub fn pid(&self, ordinal: u32) -> Option<Pid> {
        self.0.pid(ordinal)
    }

    /// The segments that touched visitors have or had, sorted by the UTF-8 bytes of their names.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.0.with_prefix("").map(|(name, _)| &name.segment)
    }

    /// Whether there is a segment of this name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.0.number(name).is_some()
    }

    /// Whether there is a segment whose name begins so.
    #[must_use]
    pub fn knows_prefix(&self, prefix: &str) -> bool {
        self.0.with_prefix(prefix).next().is_some()
    }
}

impl<'v> Side<'v> {
    /// The live members of a segment; `None` when there are none.
    #[must_use]
    pub fn segment(&self, name: &str) -> Option<&'v RoaringBitmap> {
        self.live.number(name).and_then(|number| self.sets.members.get(number as usize))
    }

    /// The live members of each segment whose name begins so.
    pub fn prefix(&self, prefix: &'v str) -> impl Iterator<Item = &'v RoaringBitmap> {
        let (live, sets) = (self.live, self.sets);
        live.with_prefix(prefix).filter_map(|(_, number)| sets.members.get(number as usize))
    }

    /// The live members of a segment whose entry was observed at `since` or later. Time: a look at each member's entry.
    #[must_use]
    pub fn recent(&self, segment: &str, since: Tick) -> RoaringBitmap {
        self.live.number(segment).map_or_else(RoaringBitmap::new, |number| self.recent_of(number, since))
    }

    /// The union of that over each segment whose name begins so.
    #[must_use]
    pub fn recent_with_prefix(&self, prefix: &str, since: Tick) -> RoaringBitmap {
        self.live.with_prefix(prefix).map(|(_, number)| self.recent_of(number, since)).union()
    }

    fn recent_of(&self, number: u32, since: Tick) -> RoaringBitmap {
        let members = self.sets.members.get(number as usize).into_iter().flatten();
        let is_recent = |ordinal: &u32| (self.observed)(self.live, *ordinal, number).is_some_and(|seen| seen >= since);
        members.filter(is_recent).collect()
    }

    /// Who has at least one live membership.
    #[must_use]
    pub fn everyone(&self) -> &'v RoaringBitmap {
        &self.sets.everyone
    }
}
