//! What the changes in memory make of an answer: the lookup of a touched visitor, and what they add to a count.

use std::borrow::Cow;

use roaring::{MultiOps, RoaringBitmap};
use usher_index::overlay::{Side, Touched, View};
use usher_index::{NoiseKey, Pid};

use super::audiences::LOOKALIKE_PREFIX;
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
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use usher_index::bars::Bars;
    use usher_index::change::Change as Row;
    use usher_index::{Entry, Overlay, Pid, Tick};

    use crate::ask::expr::Expr;
    use crate::ask::lookup::{Lookup, NameTable, Only};
    use crate::ask::members::members;
    use crate::ask::parse::parse;
    use crate::ask::sample::{Dice, Sample, holds, with_spans};
    use crate::ask::size::count;

    const SEGMENTS: [&str; 6] = ["a.x", "a.y", "b.x", "b.y.z", "c", "new.\"one\""];

    /// What there is of every visitor, and who opted out.
    struct Model {
        profiles: Vec<BTreeMap<&'static str, Entry>>,
        opted_out: HashSet<usize>,
        start: u32,
    }

    impl Model {
        /// The live segments of a visitor so many hours later, in their order, and how many hours ago each was observed.
        fn live(&self, visitor: usize, hours: u32) -> BTreeMap<&'static str, i64> {
            let now = Tick::new(self.start + hours);
            let entries = self.profiles[visitor].iter().filter(|(_, entry)| entry.live(now));
            let entries = entries.filter(|_| !self.opted_out.contains(&visitor));
            entries.map(|(name, entry)| (*name, i64::from(now.get()) - i64::from(entry.observed.get()))).collect()
        }

        /// Who is in an expression, ascending.
        fn members(&self, expr: &Expr, hours: u32, pids: &[Pid]) -> Vec<Pid> {
            let live = pids.iter().enumerate().map(|(visitor, pid)| (pid, self.live(visitor, hours)));
            let members = live.filter(|(_, live)| !live.is_empty() && holds(expr, live));
            let mut members: Vec<Pid> = members.map(|(pid, _)| *pid).collect();
            members.sort_unstable();
            members
        }

        fn answer(&self, visitor: usize, hours: u32, only: &Only) -> String {
            let reason = if self.opted_out.contains(&visitor) { r#","reason":"opted_out""# } else { "" };
            let live = self.live(visitor, hours);
            let wanted = live.into_keys().filter(|name| match only {
                Only::Audiences => false,
                Only::Prefix(prefix) => name.starts_with(&**prefix),
                _ => true,
            });
            let names: Vec<String> = wanted.map(|name| serde_json::Value::from(name).to_string()).collect();
            format!(r#"{{"segments":[{}],"audiences":[]{reason}}}"#, names.join(","))
        }

        /// A change of a visitor, in force here already; none changes what was observed later than it.
        fn some_change(&mut self, visitor: usize, pid: Pid, dice: &mut Dice) -> Row {
            match dice.below(12) {
                0 => {
                    self.opted_out.insert(visitor);
                    Row::OptOut { pid }
                }
                1 => {
                    let at = Tick::new(self.start + 4);
                    if self.opted_out.remove(&visitor) {
                        self.profiles[visitor].retain(|_, entry| entry.observed > at);
                    }
                    Row::Revoke { pid, at }
                }
                2 => {
                    let at = Tick::new(self.start + dice.below(3) as u32);
                    self.profiles[visitor].retain(|_, entry| entry.observed > at);
                    Row::Erase { pid, at }
                }
                _ => {
                    let segment = dice.below(SEGMENTS.len() as u64) as u32;
                    // After every erasure: what happens to earlier rows is judged where the overlay is.
                    let observed = self.start + 5 + dice.below(3) as u32;
                    let expiry = Tick::new(observed + dice.below(6) as u32);
                    let entry = Entry { observed: Tick::new(observed), expiry };
                    let kept = self.profiles[visitor].entry(SEGMENTS[segment as usize]).or_insert(entry);
                    *kept = kept.merge(entry);
                    Row::Row { pid, segment, entry }
                }
            }
        }
    }

    fn some_leaf(dice: &mut Dice) -> Expr {
        let leaves = ["a.x", "a.y", "b.x", "b.y.z", "c", "nobody", "a.*", "b.*", "new.*", "\"new.\\\"one\\\"\""];
        let leaf = parse(leaves[dice.below(leaves.len() as u64) as usize]).unwrap();
        with_spans(dice, leaf)
    }

    fn name(number: u32) -> Option<(Arc<str>, Arc<str>)> {
        SEGMENTS.get(number as usize).map(|name| (Arc::from(*name), Arc::from("sample")))
    }

    fn world(seed: u64) -> u64 {
        let mut dice = Dice(seed);
        let visitors: Vec<String> = (0..1 + dice.below(40)).map(|i| format!("v{i}")).collect();
        let start = 500_000;
        let mut model = Model { profiles: Vec::new(), opted_out: HashSet::new(), start };
        let mut rows = Vec::new();
        for visitor in &visitors {
            let mut profile = BTreeMap::new();
            for segment in &SEGMENTS[..5] {
                if dice.below(4) == 0 {
                    let (ago, hours) = (dice.below(5) as u32, dice.below(9) as u32);
                    rows.push((visitor.as_str(), *segment, ago, hours));
                    let observed = start - ago;
                    let entry = Entry { observed: Tick::new(observed), expiry: Tick::new(observed + hours) };
                    profile.insert(*segment, entry);
                }
            }
            model.profiles.push(profile);
        }
        let sample = Sample::dated(rows.iter().copied());
        let pids: Vec<Pid> = visitors.iter().map(|visitor| sample.pid(visitor)).collect();
        let overlay = Overlay::new(&sample.snapshot, Bars::default()).unwrap();
        let names = NameTable::new(&sample.snapshot);
        let (mut sum, mut lookup) = (0, Lookup::new(&sample.snapshot, &names, &overlay));
        let kinds = [Only::Everything, Only::Segments, Only::Audiences, Only::Prefix("b.".to_owned())];
        for step in 0..60 {
            let mut changes = Vec::new();
            for _ in 0..dice.below(5) {
                let visitor = dice.below(pids.len() as u64) as usize;
                changes.push(model.some_change(visitor, pids[visitor], &mut dice));
            }
            overlay.apply(&sample.snapshot, &name, &changes).unwrap();
            let (hours, tree) = (dice.below(14) as u32, dice.tree(3, &some_leaf));
            let (now, case) = (Sample::at(hours.into()), format!("seed {seed}, step {step}, {hours} hours"));
            let expected = model.members(&tree, hours, &pids);
            let counted = count(&sample.snapshot, &overlay, &tree, now).unwrap();
            assert_eq!(counted.visitors, expected.len() as u64, "{case}: {tree}");
            let found = members(&sample.snapshot, &overlay, &tree, now, expected.len()).unwrap();
            assert!(found == expected, "{case}: {tree}");
            sum += counted.visitors;
            let only = &kinds[dice.below(4) as usize];
            let answers: Vec<String> = (0..pids.len()).map(|v| model.answer(v, hours, only)).collect();
            let mut together = Vec::new();
            lookup.answers(&pids, &overlay.many(&pids), now, only, &mut together).unwrap();
            assert_eq!(String::from_utf8(together).unwrap(), answers.join(","), "{case}");
            for (pid, expected) in pids.iter().zip(answers) {
                let mut apart = Vec::new();
                lookup.answer(*pid, now, only, &mut apart).unwrap();
                assert_eq!(String::from_utf8(apart).unwrap(), expected, "{case}");
            }
        }
        sum
    }

    #[test]
    fn counts_and_lookups_agree_with_a_naive_model_while_changes_come() {
        let sum: u64 = (0..80).map(world).sum();
        assert!(sum > 10_000, "most trees must mean someone: {sum}");
    }

    #[test]
    fn a_name_that_only_a_change_brought_is_known_and_suggested() {
        let sample = Sample::new([("v", "a.x", 9)]);
        let (overlay, entry) = (Overlay::default(), Entry { observed: Tick::new(500_000), expiry: Tick::new(500_009) });
        let counted = |text: &str| {
            let counted = count(&sample.snapshot, &overlay, &parse(text).unwrap(), Sample::at(0)).unwrap();
            let nearest = counted.unknown.into_iter().map(|unknown| unknown.nearest);
            (counted.visitors, nearest.collect::<Vec<_>>())
        };
        assert_eq!(counted("interest.theatre or interest.*"), (0, vec![None, None]));
        let row = Row::Row { pid: sample.pid("w"), segment: 0, entry };
        let name = |_| Some((Arc::from("interest.theatre"), Arc::from("sample")));
        overlay.apply(&sample.snapshot, &name, &[row]).unwrap();
        assert_eq!(counted("interest.theatre or interest.*"), (1, vec![]));
        let suggestions = vec![Some("interest.theatre".to_owned()), Some("interest.*".to_owned())];
        assert_eq!(counted("interest.theater or intrest.* or not a.x"), (1, suggestions));
    }

    #[test]
    fn a_count_sees_both_rows_of_a_batch_or_neither() {
        const SEEN: usize = 300;
        const MAX_ROUNDS: u32 = 1_000_000;
        let visitors: Vec<String> = (0..200).map(|i| format!("v{i}")).collect();
        let sample = Sample::new(visitors.iter().map(|visitor| (visitor.as_str(), "a.x", 90)));
        let (overlay, seen, done) = (Overlay::default(), AtomicUsize::new(0), AtomicBool::new(false));
        let expr = parse("c and not (a.x and b.x)").unwrap();
        let counter = |hours| {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let counted = count(&sample.snapshot, &overlay, &expr, Sample::at(hours)).unwrap().visitors;
                assert_eq!(counted % 2, 0);
                seen.fetch_add(usize::from(counted != last), Ordering::Relaxed);
                last = counted;
            }
        };
        std::thread::scope(|scope| {
            // At two ticks, so that the sets go forward and back all the time.
            let counters: Vec<_> = (0..2).map(|hours| scope.spawn(move || counter(hours))).collect();
            for round in (0..MAX_ROUNDS).take_while(|_| seen.load(Ordering::Relaxed) < SEEN) {
                if round % 10 == 0 {
                    std::thread::yield_now();
                }
                let observed = Tick::new(500_001 + round);
                let expiry = Tick::new(observed.get() + if round / 100 % 2 == 1 { 0 } else { 9 });
                let row = |visitor: &String| {
                    let pid = sample.pid(visitor);
                    Row::Row { pid, segment: 4, entry: Entry { observed, expiry } }
                };
                let pair = (round as usize * 7 % 100) * 2;
                let rows: Vec<Row> = visitors[pair..pair + 2].iter().map(row).collect();
                overlay.apply(&sample.snapshot, &name, &rows).unwrap();
            }
            done.store(true, Ordering::Relaxed);
            counters.into_iter().for_each(|counter| counter.join().unwrap());
        });
        assert!(seen.into_inner() >= SEEN, "the counts must see the changes come");
    }
}
