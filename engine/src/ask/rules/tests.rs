//! Random catalogues against a naive judge.

use std::collections::BTreeMap;
use std::sync::Arc;

use usher_index::{Entry, Tick};

use super::{Matched, Matcher, Numbers, Rule};
use crate::ask::expr::Expr;
use crate::ask::lookup::{Lookup, NameTable, Only};
use crate::ask::moment::Moment;
use crate::ask::parse::parse;
use crate::ask::sample::{Dice, Sample, holds, with_spans};

const SEGMENTS: [(&str, u64); 7] =
    [("a.x", 2), ("a.y", 3), ("b.x", 5), ("b.y.z", 8), ("c", 9), ("look.old.1", 4), ("late", 1_000)];

fn some_leaf(dice: &mut Dice) -> Expr {
    let leaves = ["a.x", "a.y", "b.x", "b.y.z", "c", "nobody", "late", "a.*", "b.*", "b.y.*", "nobody.*"];
    let leaf = parse(leaves[dice.below(leaves.len() as u64) as usize]).unwrap();
    with_spans(dice, leaf)
}

fn rule(name: &str, expression: &Expr) -> Rule {
    Rule { name: name.into(), expression: Arc::new(expression.clone()) }
}

/// What a visitor's answer is, by the naive judge.
fn answer(live: &BTreeMap<&str, i64>, audiences: &BTreeMap<String, Expr>) -> String {
    let list = |names: Vec<&str>| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
    let segments = live.keys().copied().collect();
    let holding = audiences.iter().filter(|(_, expression)| !live.is_empty() && holds(expression, live));
    let holding = holding.map(|(name, _)| name.as_str()).collect();
    format!(r#"{{"segments":[{}],"audiences":[{}]}}"#, list(segments), list(holding))
}

/// A world of visitors, and audiences that come and go in it.
fn audiences_come_and_go(seed: u64) -> usize {
    let mut dice = Dice(seed);
    let visitors: Vec<String> = (0..40).map(|i| format!("v{i}")).collect();
    let mut rows = Vec::new();
    for visitor in &visitors {
        for (segment, one_in) in SEGMENTS {
            if dice.below(one_in) == 0 {
                rows.push((visitor.as_str(), segment, dice.below(4) as u32));
            }
        }
    }
    let sample = Sample::new(rows.iter().copied());
    let names = NameTable::new(&sample.snapshot);
    let (mut audiences, mut found) = (BTreeMap::new(), 0);
    let mut matcher = Matcher::new(Arc::new(Numbers::default()), &sample.snapshot, Vec::new());
    for step in 0..6 {
        let (mut put, mut removed) = (Vec::new(), Vec::new());
        for _ in 0..dice.below(120) {
            let name = format!("r{}", dice.below(300));
            // A name once in a step: a rule comes or goes.
            if put.iter().any(|rule: &Rule| *rule.name == *name)
                || removed.iter().any(|gone: &Arc<str>| **gone == *name)
            {
                continue;
            }
            if dice.below(4) == 0 {
                audiences.remove(&name);
                removed.push(name.as_str().into());
            } else {
                let expression = dice.tree(3, &some_leaf);
                put.push(rule(&name, &expression));
                audiences.insert(name, expression);
            }
        }
        matcher = matcher.with(&sample.snapshot, put, &removed);
        if dice.below(3) == 0 {
            matcher = matcher.over(&sample.snapshot);
        }
        assert_eq!(matcher.len(), audiences.len(), "world {seed}, step {step}");
        let hours = dice.below(5);
        let mut lookup = Lookup::new(&sample.snapshot, &names, sample.overlay()).with_rules(Some(&matcher));
        let mut all = Vec::new();
        let pids: Vec<_> = visitors.iter().map(|visitor| sample.pid(visitor)).collect();
        lookup.answers(&pids, &[], Sample::at(hours as i64), &Only::Everything, &mut all).unwrap();
        let expected: Vec<String> = visitors
            .iter()
            .map(|visitor| {
                let live = rows.iter().filter(|&&(v, _, life)| v == visitor && u64::from(life) > hours);
                answer(&live.map(|&(_, segment, _)| (segment, hours as i64)).collect(), &audiences)
            })
            .collect();
        assert_eq!(String::from_utf8(all).unwrap(), expected.join(","), "world {seed}, step {step}");
        for (pid, expected) in pids.iter().zip(&expected) {
            let mut one = Vec::new();
            lookup.answer(*pid, Sample::at(hours as i64), &Only::Everything, &mut one).unwrap();
            assert_eq!(&String::from_utf8(one).unwrap(), expected, "world {seed}, step {step}");
        }
        found += expected.iter().map(|answer| answer.matches("\"r").count()).sum::<usize>();
    }
    found
}

#[test]
fn lookups_find_the_audiences_that_a_naive_judge_finds() {
    let found: usize = (0..150).map(audiences_come_and_go).sum();
    assert!(found > 100_000, "most audiences must mean someone: {found}");
}

#[test]
fn names_lead_to_the_same_audiences_as_ranks() {
    let sample = Sample::new([("v", "a.x", 9), ("v", "c", 9), ("w", "b.x", 9)]);
    let rules = ["a.x and c", "not b.x", "a.* and not a.y", "b.*", "new.*", "c within 2 hours"];
    let rules = rules.map(|text| rule(&text.replace([' ', '*'], "_"), &parse(text).unwrap()));
    let matcher = Matcher::new(Arc::new(Numbers::default()), &sample.snapshot, rules.to_vec());
    let mut room = Matched::default();
    let mut found = |names: &[&'static str], hours: i64| {
        let at = Moment::new(sample.snapshot.tick(), Sample::at(hours));
        let observed = Moment::new(sample.snapshot.tick(), Sample::at(0)).tick();
        let entry = Entry { observed, expiry: Tick::new(observed.get() + 9) };
        matcher.of_entries(&names.iter().map(|&name| (name, entry)), at, &mut room);
        matcher.found(&room).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found(&["a.x", "c"], 0), "a.__and_not_a.y a.x_and_c c_within_2_hours not_b.x");
    assert_eq!(found(&["a.x", "c"], 5), "a.__and_not_a.y a.x_and_c not_b.x");
    assert_eq!(found(&["new.one"], 0), "new._ not_b.x", "a segment that no image has");
    assert_eq!(found(&[], 0), "", "nobody is in no set");
}
