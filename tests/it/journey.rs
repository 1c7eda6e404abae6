//! The samples in, their questions out: the whole way, through both programs as an operator runs them.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use usher_bench::questions::Town;
use usher_bench::theatre::{SEED, SHOWN_SPECTATOR, SHOWN_VISITOR, feeds};

use crate::programs::{House, ask, loader, path_text};
use crate::source::root;

const NOW: i64 = 1_790_000_000;
const HOUR: i64 = 3_600;

/// File, source, and what the command needs beside them.
const FEEDS: [(&str, &str, &[&str]); 4] = [
    ("citymag.csv", "citymag", &[]),
    ("seatfinder.jsonl", "seatfinder", &[]),
    ("cityguide.tsv.gz", "cityguide", &["--columns", "visitor,segment,ttl"]),
    ("spectators.csv", "crm", &[]),
];

fn sample(name: &str) -> PathBuf {
    root().join("data-samples").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(sample(name)).expect("a committed sample")
}

/// The theatre with all four feeds, and their reports.
fn theatre() -> (House, Vec<Value>) {
    let house = House::new(Some(&read("charter.toml")));
    let load = |(file, source, more): &(&str, &str, &[&str])| {
        let (code, mut reports) = house.load(&[sample(file)], source, NOW, more);
        assert_eq!(code, 0, "{reports:?}");
        reports.swap_remove(0)
    };
    let reports = FEEDS.iter().map(load).collect();
    (house, reports)
}

/// The questions of the samples with their answers.
fn questions() -> Vec<(String, u64)> {
    let text = read("questions.txt");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (expression, answer) = line.split_once('\t').expect("an expression, a tab, an answer");
        (expression.to_owned(), answer.parse().expect("a number"))
    };
    lines.map(split).collect()
}

#[test]
fn every_question_of_the_samples_has_its_answer() {
    let (house, _) = theatre();
    let data = house.data();
    let questions = questions();
    assert!(questions.len() >= 20);
    for (expression, answer) in &questions {
        let now = (NOW + 20 * HOUR).to_string();
        let said = ask(&["--data", path_text(&data), "--now", &now, expression]).fine();
        assert_eq!(said, format!("{answer}\n"), "{expression}");
    }
    let open = house.open();
    for (expression, answer) in &questions {
        assert_eq!(open.count(expression, NOW), *answer, "{expression}");
    }
}

#[test]
fn every_visitor_of_the_samples_is_where_the_town_says() {
    let (house, _) = theatre();
    let feeds = feeds(SEED);
    let town = Town::admit(&feeds);
    let visitors: Vec<&str> = town.everyone().iter().copied().collect();
    let found = house.open().lookups(visitors.iter().copied(), NOW);
    for (visitor, found) in visitors.iter().zip(found) {
        assert_eq!(found, town.segments_of(visitor), "{visitor}");
    }
}

#[test]
fn the_console_knows_the_shown_visitors() {
    let (house, _) = theatre();
    let data = house.data();
    let now = NOW.to_string();
    for (visitor, has, has_not) in
        [(SHOWN_VISITOR, "interest.theatre", "crm.spectator"), (SHOWN_SPECTATOR, "crm.spectator.opera", "intent.")]
    {
        let said = ask(&["--data", path_text(&data), "--now", &now, "--visitor", visitor]).fine();
        assert!(said.contains(has) && !said.contains(has_not), "{said}");
        let said =
            loader(&["inspect", "--data", path_text(&data), "--now", &now, "--visitor", visitor, "--json"]).fine();
        let held: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(held["pid"].as_str().map(str::len), Some(20), "{said}");
        assert!(said.contains(has) && !said.contains(visitor), "a pseudonym and no raw id: {said}");
    }
}

#[test]
fn the_reports_tell_what_was_refused() {
    let (_, reports) = theatre();
    let count = |feed: usize, code: &str| reports[feed]["refused"][code].as_u64();
    assert_eq!(count(0, "forbidden"), Some(3));
    assert_eq!(count(0, "not_owner"), Some(1));
    assert_eq!(count(0, "unknown_source_prefix"), Some(1));
    assert_eq!((count(1, "bad_ttl"), count(2, "bad_ttl"), count(3, "bad_ttl")), (Some(3), Some(2), None));
    assert!(reports[0]["shortened"].as_u64() > Some(500), "the magazine asks for 45 days and gets 30");
    assert!(reports[3]["unchanged"].as_u64() >= Some(10), "rows of people who left lose to their removal");
    for report in &reports {
        let sum = |parts: &[&str]| parts.iter().filter_map(|part| report[*part].as_u64()).sum::<u64>();
        let refused: u64 = report["refused"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        assert_eq!(sum(&["received"]), sum(&["malformed", "taken"]) + refused, "{report}");
        assert_eq!(sum(&["taken"]), sum(&["new", "renewed", "unchanged", "removed"]), "{report}");
    }
}

#[test]
fn a_second_delivery_and_another_order_change_nothing() {
    let (house, _) = theatre();
    let before = house.open().snapshot.generation();
    for (file, source, more) in FEEDS {
        let (code, reports) = house.load(&[sample(file)], source, NOW + HOUR, more);
        assert_eq!((code, &reports[0]["already_delivered"]), (0, &Value::Bool(true)), "{reports:?}");
    }
    assert_eq!(house.open().snapshot.generation(), before);
    let other = House::new(Some(&read("charter.toml")));
    for (file, source, more) in FEEDS.iter().rev() {
        other.load(&[sample(file)], source, NOW, more);
    }
    other.build(NOW);
    other.verify();
    for (expression, answer) in questions() {
        assert_eq!(other.open().count(&expression, NOW), answer, "{expression}");
    }
}
