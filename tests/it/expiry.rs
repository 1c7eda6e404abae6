//! Every answer at the second before an expiry, at it, and after it; across ticks of three lengths, and back in time.

use std::collections::BTreeSet;
use std::time::Instant;

use usher_bench::expr::{not, prefix, segment};
use usher_bench::rng::Rng;

use crate::naive::{Naive, Row, Rules, Source};
use crate::programs::{House, ask, path_text};
use crate::random::{MAX_DEPTH, expr};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
const SEGMENTS: [&str; 5] = ["t.a", "t.b", "t.c", "u", "v.w"];
const VISITORS: u32 = 60;

fn charter(tick: &str, ttl: &str) -> String {
    format!(
        "[house]\nname = \"H\"\nsteward = \"s@h.example\"\ntick = \"{tick}\"\n\
         [[source]]\nname = \"s\"\nclass = \"behavioural\"\nprefixes = [\"\"]\nid_types = [\"cookie\"]\n\
         ttl = \"{ttl}\"\nmax_retention = \"90d\"\nlegal_basis = \"consent\"\n"
    )
}

/// An index in ticks of this length, and its judge: lives from nothing to days, seen in the last two days.
fn worlds(tick: i64, tick_text: &str, seed: u64) -> (House, Naive) {
    let source = Source { name: "s", prefixes: &[""], ttl: 30 * DAY };
    let mut judge = Naive::new(Rules { sources: vec![source], forbidden: Vec::new(), tick });
    let mut rng = Rng::new(seed);
    let mut feed = String::from("visitor\tsegment\tobserved\tttl\n");
    for _ in 0..400 {
        let mut row = Row::new(&format!("v{}", rng.below(VISITORS)), SEGMENTS[rng.index(SEGMENTS.len())]);
        let observed = NOW - i64::from(rng.below(172_800));
        let life = [0, 1, tick - 1, tick, tick + 1, DAY, 3 * DAY, i64::from(rng.below(400_000))][rng.index(8)];
        (row.observed, row.ttl) = (Some(observed), Some(life));
        assert!(judge.take("s", &row, NOW));
        feed.push_str(&format!("{}\t{}\t{observed}\t{life}\n", row.visitor, row.segment));
    }
    let house = House::new(Some(&charter(tick_text, "30d")));
    let file = house.file("feed.tsv", feed.as_bytes());
    assert_eq!(house.load(&[file], "s", NOW, &[]).0, 0);
    (house, judge)
}

/// Every moment at which something could change, and the seconds around it; forwards, then backwards.
fn moments(judge: &Naive, tick: i64) -> Vec<i64> {
    let mut ends = BTreeSet::from([NOW, NOW - NOW % tick, NOW + 31 * DAY]);
    for visitor in judge.visitors() {
        ends.extend(SEGMENTS.iter().filter_map(|segment| judge.expiry(visitor, segment)));
    }
    let mut moments: Vec<i64> =
        ends.iter().flat_map(|end| [end - 1, *end, end + 1, end + tick - 1, end + tick]).collect();
    moments.extend(moments.clone().into_iter().rev());
    moments
}

fn check(tick: i64, tick_text: &str) {
    let seed = tick as u64;
    let (house, judge) = worlds(tick, tick_text, seed);
    let open = house.open();
    let visitors: Vec<&str> = judge.visitors().collect();
    let mut rng = Rng::new(seed + 1);
    for now in moments(&judge, tick) {
        let found = open.lookups(visitors.iter().copied(), now);
        for (visitor, found) in visitors.iter().zip(found) {
            assert_eq!(
                found,
                judge.lookup(visitor, now),
                "visitor {visitor} at {now}, ticks of {tick_text}, seed {seed}"
            );
        }
        let view = judge.at(now);
        let fixed = [
            not(segment("no.such")),
            not(segment("u")),
            prefix("t"),
            segment("t.a"),
            segment("u").and(not(prefix("t"))),
        ];
        let random = (0..3).map(|_| expr(&mut rng, &SEGMENTS, &["t", "v"], MAX_DEPTH));
        for expr in fixed.into_iter().chain(random) {
            assert_eq!(
                open.count_of(&expr, now),
                view.count(&expr),
                "{expr} at {now}, ticks of {tick_text}, seed {seed}"
            );
        }
    }
}

#[test]
fn answers_turn_at_the_second_in_ticks_of_an_hour() {
    check(3_600, "1h");
}

#[test]
fn answers_turn_at_the_second_in_ticks_of_a_minute() {
    check(60, "1m");
}

#[test]
fn answers_turn_at_the_second_in_ticks_of_a_day() {
    check(DAY, "1d");
}

#[test]
fn a_longer_life_than_the_sources_is_cut() {
    let house = House::new(Some(&charter("1h", "30d")));
    let file = house.file("feed.tsv", b"v\tu\t400d\n");
    let (code, reports) =
        house.load(&[file], "s", NOW, &["--columns", "visitor,segment,ttl", "--as-of", &NOW.to_string()]);
    assert_eq!((code, reports[0]["shortened"].as_u64()), (0, Some(1)));
    let (open, end) = (house.open(), (NOW + 30 * DAY) / 3_600 * 3_600);
    assert_eq!((open.count("u", end - 1), open.count("u", end)), (1, 0));
}

/// A life of nine and a half days in ticks of a day: the removal is known to the day only, so it must stay until no row
/// of that day can come any more.
#[test]
fn a_removal_stays_as_long_as_a_row_that_it_shadows_may_come() {
    let (hour, midnight) = (3_600, NOW - NOW % DAY);
    let house = House::new(Some(&charter("1d", "228h")));
    let load = |name: &str, row: String, now: i64| {
        let file = house.file(name, format!("visitor,segment,observed,action\n{row}\n").as_bytes());
        assert_eq!(house.load(&[file], "s", now, &[]).0, 0);
    };
    load("left.csv", format!("v,u,{},remove", midnight + 20 * hour), midnight + 20 * hour);
    load("other.csv", format!("w,u,{},add", midnight + 20 * hour), midnight + 20 * hour);
    let late = midnight + 9 * DAY + 13 * hour;
    house.build(late);
    load("late.csv", format!("v,u,{},add", midnight + 15 * hour), late);
    assert_eq!(house.open().lookups(["v"].into_iter(), late), [Vec::<String>::new()]);
}

/// At the console a clock that was started at `--now` runs on; a run that took a second or more proves nothing.
fn ask_at(house: &House, expression: &str, now: i64) -> String {
    let (data, now) = (house.data(), now.to_string());
    for _ in 0..20 {
        let begun = Instant::now();
        let said = ask(&["--data", path_text(&data), "--now", &now, expression]).fine();
        if begun.elapsed().as_millis() < 900 {
            return said;
        }
    }
    panic!("`ask` took a second or more, twenty times");
}

#[test]
fn the_console_turns_at_the_second_too() {
    let house = House::new(Some(&charter("1m", "30d")));
    let file = house.file("feed.tsv", b"v\tu\t90m\nw\tu\t2d\n");
    let as_of = NOW.to_string();
    assert_eq!(house.load(&[file], "s", NOW, &["--columns", "visitor,segment,ttl", "--as-of", &as_of]).0, 0);
    let end = NOW + 90 * 60;
    for (now, answer) in [(NOW, "2"), (end - 1, "2"), (end, "1"), (end + 1, "1"), (NOW + 2 * DAY, "0")] {
        let said = ask_at(&house, "u or not u", now);
        assert_eq!(said.trim_end(), answer, "at {now}");
    }
    let (data, later) = (house.data(), (NOW + 2 * DAY).to_string());
    let said = ask(&["--data", path_text(&data), "--now", &later, "--visitor", "w"]).fine();
    assert_eq!(said, "{\"segments\":[],\"audiences\":[]}\n");
}
