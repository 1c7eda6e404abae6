//! Random changes beside a naive model.

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
