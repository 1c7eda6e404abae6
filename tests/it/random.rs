//! Random rows and random questions from a seed. A test that uses them names the seed when it fails.

use usher_bench::expr::{Expr, not, prefix, segment};
use usher_bench::rng::Rng;

use crate::naive::Row;

/// Segments of every kind: with dots, under each other, and with names that a question must put in quotes.
pub const SEGMENTS: [&str; 22] = [
    "a",
    "a.b",
    "a.b.c",
    "a.bc",
    "ab",
    "news.sport",
    "news.sport.ice-hockey",
    "news.arts",
    "shop.1",
    "shop.2",
    "15",
    "x:y",
    "_under-score",
    "with space",
    "quo\"te",
    "back\\slash",
    "comma, inside",
    "income:<=50K",
    "and",
    "Not",
    "théâtre",
    "剧院.今晚",
];

/// Names under which there is something, nothing, or only a longer name.
const PREFIXES: [&str; 9] = ["a", "a.b", "news", "news.sport", "shop", "no-such", "ab", "new", "剧院"];

/// How deep a random question is, at most.
pub const MAX_DEPTH: u32 = 4;

/// A question over these segments and prefixes, `depth` operations deep at most.
pub fn expr(rng: &mut Rng, segments: &[&str], prefixes: &[&str], depth: u32) -> Expr {
    if depth == 0 || rng.percent(15) {
        return if !prefixes.is_empty() && rng.percent(12) {
            prefix(prefixes[rng.index(prefixes.len())])
        } else {
            segment(segments[rng.index(segments.len())])
        };
    }
    let left = expr(rng, segments, prefixes, depth - 1);
    match rng.below(5) {
        0 => not(left),
        1 | 2 => left.and(expr(rng, segments, prefixes, depth - 1)),
        _ => left.or(expr(rng, segments, prefixes, depth - 1)),
    }
}

/// A question over [`SEGMENTS`], now and then with a name that no segment has.
pub fn question(rng: &mut Rng) -> Expr {
    if rng.percent(3) {
        return segment("nobody.here").or(expr(rng, &SEGMENTS, &PREFIXES, 2));
    }
    expr(rng, &SEGMENTS, &PREFIXES, MAX_DEPTH)
}

/// Its text: with few parentheses, or with all of them.
pub fn text(rng: &mut Rng, expr: &Expr) -> String {
    if rng.percent(50) { format!("{expr}") } else { format!("{expr:#}") }
}

/// The prefixes under which the names lie: everything before a dot.
pub fn prefixes_of<'n>(names: &[&'n str]) -> Vec<&'n str> {
    let dots = |name: &&'n str| name.match_indices('.').map(|(at, _)| at).collect::<Vec<_>>();
    let all = names.iter().flat_map(|name| dots(name).into_iter().map(|at| &name[..at]));
    let mut prefixes: Vec<&str> = all.filter(|prefix| !prefix.is_empty()).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

/// A visitor of a small town, so that rows meet: most ids are short, a few strange.
pub fn visitor(rng: &mut Rng, town: u32) -> String {
    match rng.below(town) {
        0 => "visitor with spaces, commas and \"quotes\"".to_owned(),
        1 => "посетитель/№1?&=%20".to_owned(),
        2 => "x".repeat(256),
        number => format!("v{number}"),
    }
}

/// A row observed within a day or so before `now`, or not dated; about one in ten is a removal or has a short life.
pub fn row(rng: &mut Rng, town: u32, now: i64) -> Row {
    let mut row = Row::new(&visitor(rng, town), SEGMENTS[rng.index(SEGMENTS.len())]);
    let ago = i64::from(rng.below(100_000));
    row.observed = match rng.below(6) {
        0 => None,
        1 => Some(now - ago / 20),
        // Very old or ahead of the clock: some of these must be refused.
        2 if rng.percent(10) => Some(now - 40_000 - 86_400 * i64::from(rng.below(200))),
        3 if rng.percent(10) => Some(now + 100 + 800 * i64::from(rng.below(2))),
        _ => Some(now - ago),
    };
    let seen = row.observed.unwrap_or(now);
    match rng.below(10) {
        0 => row.remove = true,
        1 => row.ttl = Some(i64::from(rng.below(20_000))),
        2 | 3 => row.ttl = Some(i64::from(rng.below(20_000_000))),
        4 => row.expires = Some(seen + i64::from(rng.below(300_000))),
        5 => {
            row.expires = Some(now + i64::from(rng.below(300_000)));
            row.ttl = Some(i64::from(rng.below(400_000)));
        }
        _ => {}
    }
    row
}

#[test]
fn a_seed_makes_one_run() {
    let make = |seed| {
        let rng = &mut Rng::new(seed);
        (row(rng, 20, 1_800_000_000), question(rng).to_string())
    };
    assert_eq!(make(3), make(3));
    assert_ne!(make(3), make(4));
    assert_eq!(prefixes_of(&["a.b.c", "a.b", "<x.y", ".z"]), ["<x", "a", "a.b"]);
}
