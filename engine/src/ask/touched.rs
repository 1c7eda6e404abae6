//! What the changes in memory make of an answer: the lookup of a touched visitor, and what they add to a count.

use std::borrow::Cow;

use roaring::{MultiOps, RoaringBitmap};
use usher_index::Tick;
use usher_index::overlay::{Side, Touched, View};

use super::audiences::LOOKALIKE_PREFIX;
use super::expr::Expr;
use super::lookup::{self, Only};
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
        Expr::Audience(_) => Cow::default(),
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
        rules.of_entries(live, at, matched);
    }
    lookup::end(rules, matched, into);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashSet};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use usher_index::bars::Bars;
    use usher_index::change::Change as Row;
    use usher_index::{Entry, Overlay, Pid, Tick};

    use crate::ask::expr::Expr;
    use crate::ask::lookup::{Lookup, NameTable, Only};
    use crate::ask::parse::parse;
    use crate::ask::sample::{Dice, Sample, holds};
    use crate::ask::size::count;

    const SEGMENTS: [&str; 6] = ["a.x", "a.y", "b.x", "b.y.z", "c", "new.\"one\""];

    /// What there is of every visitor, and who opted out.
    struct Model {
        profiles: Vec<BTreeMap<&'static str, Entry>>,
        opted_out: HashSet<usize>,
        start: u32,
    }

    impl Model {
        /// The live segments of a visitor so many hours later, in their order.
        fn live(&self, visitor: usize, hours: u32) -> BTreeSet<&'static str> {
            let now = Tick::new(self.start + hours);
            let entries = self.profiles[visitor].iter().filter(|(_, entry)| entry.live(now));
            if self.opted_out.contains(&visitor) { BTreeSet::new() } else { entries.map(|(name, _)| *name).collect() }
        }

        fn count(&self, expr: &Expr, hours: u32) -> u64 {
            let live = (0..self.profiles.len()).map(|visitor| self.live(visitor, hours));
            live.filter(|live| !live.is_empty() && holds(expr, live)).count() as u64
        }

        fn answer(&self, visitor: usize, hours: u32, only: &Only) -> String {
            let reason = if self.opted_out.contains(&visitor) { r#","reason":"opted_out""# } else { "" };
            let live = self.live(visitor, hours);
            let wanted = live.into_iter().filter(|name| match only {
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
        parse(leaves[dice.below(leaves.len() as u64) as usize]).unwrap()
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
                    let hours = dice.below(9) as u32;
                    rows.push((visitor.as_str(), *segment, hours));
                    let entry = Entry { observed: Tick::new(start), expiry: Tick::new(start + hours) };
                    profile.insert(*segment, entry);
                }
            }
            model.profiles.push(profile);
        }
        let sample = Sample::new(rows.iter().copied());
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
            let expected = model.count(&tree, hours);
            let counted = count(&sample.snapshot, &overlay, &tree, now).unwrap();
            assert_eq!(counted.visitors, expected, "{case}: {tree}");
            sum += expected;
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
