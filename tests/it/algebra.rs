//! The laws of sets, held against the counts of random questions: no model, only what must be true of any answer.

use usher_bench::expr::{Expr, not, prefix, segment};
use usher_bench::rng::Rng;

use crate::programs::{House, Open};
use crate::random::{SEGMENTS, question, visitor};

const SEED: u64 = 31;
const NOW: i64 = 1_800_000_000;
/// Some of the rows are dead then, some are not.
const LATER: i64 = NOW + 5 * 86_400;

/// A town of 3,000 visitors, some of whom have no live membership later.
fn town() -> Open {
    let mut rng = Rng::new(SEED);
    let mut feed = String::from("visitor\tsegment\tttl\n");
    for _ in 0..12_000 {
        let (visitor, segment) = (visitor(&mut rng, 3_000), SEGMENTS[rng.index(SEGMENTS.len())]);
        feed.push_str(&format!("{visitor}\t{segment}\t{}d\n", 1 + rng.below(20)));
    }
    let house = House::new(None);
    let file = house.file("town.tsv", feed.as_bytes());
    assert_eq!(house.load(&[file], "town", NOW, &[]).0, 0);
    house.open()
}

/// Calls the law with many pairs of questions, now and later. `size` counts.
fn for_pairs(law: impl Fn(&dyn Fn(Expr) -> u64, Expr, Expr)) {
    let town = town();
    let mut rng = Rng::new(SEED + 1);
    for _ in 0..250 {
        let (a, b) = (question(&mut rng), question(&mut rng));
        for now in [NOW, LATER] {
            law(&|expr| town.count_of(&expr, now), a.clone(), b.clone());
        }
    }
}

fn everyone() -> Expr {
    segment("a").or(not(segment("a")))
}

#[test]
fn a_union_counts_the_shared_once() {
    for_pairs(|size, a, b| {
        let (union, shared) = (size(a.clone().or(b.clone())), size(a.clone().and(b.clone())));
        assert_eq!(union + shared, size(a.clone()) + size(b.clone()), "a = {a}, b = {b}");
    });
}

#[test]
fn de_morgan_holds() {
    for_pairs(|size, a, b| {
        let (either, both) = (a.clone().or(b.clone()), a.clone().and(b.clone()));
        assert_eq!(size(not(either)), size(not(a.clone()).and(not(b.clone()))), "a = {a}, b = {b}");
        assert_eq!(size(not(both)), size(not(a.clone()).or(not(b.clone()))), "a = {a}, b = {b}");
    });
}

#[test]
fn a_complement_is_the_rest() {
    let town = town();
    assert!(town.count_of(&everyone(), NOW) > town.count_of(&everyone(), LATER));
    for_pairs(|size, a, b| {
        assert_eq!(size(not(not(a.clone()))), size(a.clone()), "{a}");
        assert_eq!(size(a.clone()) + size(not(a.clone())), size(everyone()), "{a}");
        assert_eq!(size(a.clone().and(not(a.clone()))), 0, "{a}");
        let (without, shared) = (size(a.clone().and(not(b.clone()))), size(a.clone().and(b.clone())));
        assert_eq!(without + shared, size(a.clone()), "a = {a}, b = {b}");
    });
}

#[test]
fn order_and_repetition_do_not_matter() {
    for_pairs(|size, a, b| {
        assert_eq!(size(a.clone().and(b.clone())), size(b.clone().and(a.clone())), "a = {a}, b = {b}");
        assert_eq!(size(a.clone().or(b.clone())), size(b.clone().or(a.clone())), "a = {a}, b = {b}");
        assert_eq!(size(a.clone().and(a.clone())), size(a.clone()), "{a}");
        assert_eq!(size(a.clone().or(a.clone().and(b.clone()))), size(a.clone()), "absorption: a = {a}, b = {b}");
        let distributed = a.clone().and(b.clone()).or(a.clone().and(segment("a.b")));
        assert_eq!(size(a.clone().and(b.clone().or(segment("a.b")))), size(distributed), "a = {a}, b = {b}");
    });
}

#[test]
fn a_prefix_is_the_union_of_its_segments() {
    let town = town();
    for name in ["a", "a.b", "news", "news.sport", "shop"] {
        let under = SEGMENTS.iter().filter(|s| s.starts_with(&format!("{name}.")));
        let union = under.map(|s| segment(s)).reduce(Expr::or).expect("there is one");
        for now in [NOW, LATER] {
            assert_eq!(town.count_of(&prefix(name), now), town.count_of(&union, now), "{name}.*");
        }
    }
}
