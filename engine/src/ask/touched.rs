//! What the changes in memory make of an answer: the lookup of a touched visitor, and what they add to a count.

use std::borrow::Cow;

use roaring::{MultiOps, RoaringBitmap};
use usher_index::Tick;
use usher_index::overlay::{Side, Touched, View};

use super::expr::Expr;
use super::lookup::Only;

/// What the touched visitors change in a count of the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// How many of them the images count.
    before: u64,
    /// How many of them there are.
    after: u64,
}

impl Change {
    /// For an expression.
    pub fn of(view: &View<'_>, expr: &Expr) -> Self {
        Change { before: members(view.before(), expr).len(), after: members(view.after(), expr).len() }
    }

    /// For one segment.
    pub fn of_segment(view: &View<'_>, name: &str) -> Self {
        let len = |side: Side<'_>| side.segment(name).map_or(0, RoaringBitmap::len);
        Change { before: len(view.before()), after: len(view.after()) }
    }

    /// The true count, from that of the images at the same tick.
    pub fn apply(self, images: u64) -> u64 {
        // Whole images have at least those `before`.
        (images + self.after).saturating_sub(self.before)
    }
}

fn members<'v>(side: Side<'v>, expr: &'v Expr) -> Cow<'v, RoaringBitmap> {
    match expr {
        Expr::Segment(name) => side.segment(name).map_or_else(Cow::default, Cow::Borrowed),
        Expr::Prefix(prefix) => Cow::Owned(side.prefix(prefix).union()),
        Expr::Or(operands) => {
            let sets: Vec<_> = operands.iter().map(|operand| members(side, operand)).collect();
            Cow::Owned(sets.iter().map(|set| &**set).union())
        }
        Expr::And(operands) => Cow::Owned(all(side, operands)),
        Expr::Not(operand) => Cow::Owned(side.everyone() - &*members(side, operand)),
    }
}

/// Who is in every operand; of none: everyone.
fn all(side: Side<'_>, operands: &[Expr]) -> RoaringBitmap {
    let (mut of, mut without) = (Vec::new(), Vec::new());
    for operand in operands {
        match operand {
            Expr::Not(inner) => without.push(members(side, inner)),
            _ => of.push(members(side, operand)),
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

/// Appends the answer to a lookup of a touched visitor.
pub fn write(touched: &Touched, tick: Tick, only: &Only, into: &mut Vec<u8>) {
    if touched.opted_out {
        into.extend_from_slice(br#"{"segments":[],"audiences":[],"reason":"opted_out"}"#);
        return;
    }
    into.extend_from_slice(br#"{"segments":["#);
    let start = into.len();
    for held in touched.entries.iter().filter(|held| held.entry.live(tick)) {
        let name = &*held.name.segment.name;
        let wanted = match only {
            Only::Everything | Only::Segments => true,
            Only::Audiences => false,
            Only::Prefix(prefix) => name.starts_with(&**prefix),
        };
        if wanted {
            into.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
            into.push(b',');
        }
    }
    into.truncate(into.len() - usize::from(into.len() > start));
    into.extend_from_slice(br#"],"audiences":[]}"#);
}
