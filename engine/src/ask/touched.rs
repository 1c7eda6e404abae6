//! What the changes in memory make of an answer: the lookup of a touched visitor, and what they add to a count.

use std::borrow::Cow;

use roaring::{MultiOps, RoaringBitmap};
use usher_index::overlay::{Side, Touched, View};
use usher_index::segments::LOOKALIKE_PREFIX;
use usher_index::{NoiseKey, Pid};

use super::disclose::Counted;
use super::expr::Expr;
use super::lookup::{self, Only};
use super::moment::Moment;
use super::rules::{Matched, Matcher};

/// What the touched visitors change in a count of the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// How many of them the images count.
    before: u64,
    /// How many of them there are.
    after: u64,
}

impl Change {
    /// For an expression, at the moment that the view shows.
    pub fn of(view: &View<'_>, expr: &Expr, at: Moment) -> Self {
        Change { before: members(view.before(), expr, at).len(), after: members(view.after(), expr, at).len() }
    }

    /// For one segment.
    pub fn of_segment(view: &View<'_>, name: &str) -> Self {
        let len = |side: Side<'_>| side.segment(name).map_or(0, RoaringBitmap::len);
        Change { before: len(view.before()), after: len(view.after()) }
    }

    /// The true set of a segment of which this is the change, from that of the images at the same tick.
    pub fn apply_to(self, images: Counted, view: &View<'_>, name: &str, key: &NoiseKey) -> Counted {
        let visitors = self.apply(images.visitors);
        let sum = |side: Side<'_>| {
            let members = side.segment(name).into_iter().flat_map(RoaringBitmap::iter);
            members.filter_map(|ordinal| view.pid(ordinal)).fold(0u128, |sum, pid| sum.wrapping_add(key.member(pid)))
        };
        match Counted::is_named(Counted { visitors, members: 0 }) && images.is_named() {
            true => {
                let members = images.members.wrapping_add(sum(view.after())).wrapping_sub(sum(view.before()));
                Counted { visitors, members }
            }
            false => Counted { visitors, members: 0 },
        }
    }

    /// The true count, from that of the images at the same tick.
    pub fn apply(self, images: u64) -> u64 {
        // Whole images have at least those `before`.
        (images + self.after).saturating_sub(self.before)
    }
}

/// Which touched visitors are in an expression and were not in the images, and the other way round.
#[derive(Debug, Default)]
pub struct Moved {
    /// Who is in it now, ascending.
    pub joined: Vec<Pid>,
    /// Whom only the images have in it, ascending.
    pub left: Vec<Pid>,
}

impl Moved {
    /// For an expression, at the moment that the view shows.
    pub fn of(view: &View<'_>, expr: &Expr, at: Moment) -> Self {
        let (before, after) = (members(view.before(), expr, at), members(view.after(), expr, at));
        let pids = |ordinals: RoaringBitmap| {
            let mut pids: Vec<Pid> = ordinals.iter().filter_map(|ordinal| view.pid(ordinal)).collect();
            pids.sort_unstable();
            pids
        };
        Moved { joined: pids(&*after - &*before), left: pids(&*before - &*after) }
    }
}

fn members<'v>(side: Side<'v>, expr: &'v Expr, at: Moment) -> Cow<'v, RoaringBitmap> {
    match expr {
        Expr::Segment(name) => side.segment(name).map_or_else(Cow::default, Cow::Borrowed),
        Expr::Prefix(prefix) => Cow::Owned(side.prefix(prefix).union()),
        Expr::Audience(_) => Cow::default(),
        Expr::Within { of, span } => match &**of {
            Expr::Segment(name) => Cow::Owned(side.recent(name, at.since(*span))),
            Expr::Prefix(prefix) => Cow::Owned(side.recent_with_prefix(prefix, at.since(*span))),
            _ => Cow::default(),
        },
        Expr::Or(operands) => {
            let sets: Vec<_> = operands.iter().map(|operand| members(side, operand, at)).collect();
            Cow::Owned(sets.iter().map(|set| &**set).union())
        }
        Expr::And(operands) => Cow::Owned(all(side, operands, at)),
        Expr::AtLeast { n: 0, .. } => Cow::Borrowed(side.everyone()),
        Expr::AtLeast { n, of } => Cow::Owned(at_least(*n, of.iter().map(|operand| members(side, operand, at)))),
        Expr::Not(operand) => Cow::Owned(side.everyone() - &*members(side, operand, at)),
    }
}

/// Who is in `n`, 1 or more, of the sets: the bits of everybody's counter are a set each, the lowest first.
fn at_least<'v>(n: u32, sets: impl Iterator<Item = Cow<'v, RoaringBitmap>>) -> RoaringBitmap {
    let mut planes: Vec<RoaringBitmap> = Vec::new();
    for set in sets {
        let mut carried = set.into_owned();
        for plane in &mut planes {
            let both = &*plane & &carried;
            *plane ^= &carried;
            carried = both;
        }
        if !carried.is_empty() {
            planes.push(carried);
        }
    }
    // More than any counter has bits for.
    if n.checked_ilog2().is_some_and(|highest| highest as usize >= planes.len()) {
        return RoaringBitmap::new();
    }
    // From the highest bit down: whose counter is greater so far, and whose is equal.
    let (mut greater, mut equal) = (RoaringBitmap::new(), planes.iter().union());
    for (bit, plane) in planes.iter().enumerate().rev() {
        if n >> bit & 1 == 0 {
            greater |= &equal & plane;
            equal -= plane;
        } else {
            equal &= plane;
        }
    }
    greater | equal
}

/// Who is in every operand; of none: everyone.
fn all(side: Side<'_>, operands: &[Expr], at: Moment) -> RoaringBitmap {
    let (mut of, mut without) = (Vec::new(), Vec::new());
    for operand in operands {
        match operand {
            Expr::Not(inner) => without.push(members(side, inner, at)),
            _ => of.push(members(side, operand, at)),
        }
    }
    if of.is_empty() {
        of.push(Cow::Borrowed(side.everyone()));
    }
    of.sort_unstable_by_key(|set| set.len());
    let mut of = of.into_iter();
    let mut kept = of.next().map(Cow::into_owned).unwrap_or_default();
    of.for_each(|set| kept &= &*set);
    without.iter().for_each(|set| kept -= &**set);
    kept
}

/// Appends the answer to a lookup of a touched visitor, with the audiences of `rules`; `matched` is memory to work in.
pub fn write(
    touched: &Touched,
    at: Moment,
    only: &Only,
    rules: Option<&Matcher>,
    matched: &mut Matched,
    into: &mut Vec<u8>,
) {
    if touched.opted_out {
        into.extend_from_slice(br#"{"segments":[],"audiences":[],"reason":"opted_out"}"#);
        return;
    }
    let live = touched.entries.iter().filter(|held| held.entry.live(at.tick()));
    let live = live.map(|held| (&*held.name.segment.name, held.entry));
    lookup::begin(into);
    let start = into.len();
    let wanted = live.clone().map(|(name, _)| name).filter(|name| match only {
        Only::Everything | Only::Segments => true,
        Only::Audiences => false,
        Only::Prefix(prefix) => name.starts_with(&**prefix),
    });
    for name in wanted.filter(|name| !name.starts_with(LOOKALIKE_PREFIX)) {
        serde_json::to_writer(&mut *into, name).expect("memory takes every text");
        into.push(b',');
    }
    into.truncate(into.len() - usize::from(into.len() > start));
    if let Some(rules) = rules {
        rules.of_entries(&live, at, matched);
    }
    lookup::end(rules, matched, into);
}

#[cfg(test)]
mod tests;
