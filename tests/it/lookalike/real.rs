//! Hidden segments of four real sets: who of the other half of a segment is found from its first half, beside figures of
//! an independent program. Sets and figures are no part of the repository; without them the tests say so aloud.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{run, scores};
use crate::programs::{House, Said};
use crate::real::{find, unpack};
use crate::source::root;

const NOW: i64 = super::NOW;
/// Every so many targets of a set are tried: those of all sizes, in a tenth of the time.
const STEP: usize = 4;
/// How far the mean AUC of stage 1 may be from the figures, and the average precision, relative.
const AUC: f64 = 0.003;
const PRECISION: f64 = 0.03;
/// How much lower than the figures the average precision of stage 2 may be, relative. The means of all targets keep
/// 0.02; of a fifth of them the order of equal scores moves more.
const LOWER: f64 = 0.04;
/// How far the curve may be from the truth at 5 % reach, in the mean.
const CURVE: f64 = 0.06;

/// The folder with targets and figures, or the reason why the test cannot run.
fn folder() -> Result<PathBuf, String> {
    let beside = root().join("../shared/lookalike");
    let folder = std::env::var_os("USHER_SHARED_LOOKALIKE").map_or(beside, PathBuf::from);
    let why = "put targets and figures there, or name their folder in USHER_SHARED_LOOKALIKE";
    if folder.join("expected.tsv").is_file() {
        Ok(folder)
    } else {
        Err(format!("{} is absent: {why}", folder.display()))
    }
}

/// AUC, average precision and the share of the positives within 5 %; equal scores in expectation over their orders.
fn judge(ranking: &mut [(f64, bool)]) -> [f64; 3] {
    ranking.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (n, positives) = (ranking.len() as f64, ranking.iter().filter(|(_, is)| *is).count() as f64);
    let (mut seen, mut hits, mut lost, mut precision, mut within) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for group in ranking.chunk_by(|a, b| a.0 == b.0) {
        let (all, found) = (group.len() as f64, group.iter().filter(|(_, is)| *is).count() as f64);
        // A negative before a positive is a pair lost; among equals half of them are.
        let negatives_before = seen - hits;
        lost += found * (negatives_before + (all - found) / 2.0);
        within += found * ((n * 0.05 - seen) / all).clamp(0.0, 1.0);
        (seen, hits) = (seen + all, hits + found);
        precision += hits / seen * found;
    }
    [1.0 - lost / (positives * (n - positives)), precision / positives, within / positives]
}

/// The recall at 5 % reach that the program printed.
fn recall(said: &Said) -> f64 {
    let line = said.err.lines().find(|line| line.trim_start().starts_with("5.0%")).expect("a curve");
    line.split_whitespace().nth(3).expect("a recall").parse().expect("a number")
}

/// AUC, average precision and recall at 5 % of (target, stage).
fn figures(folder: &Path, set: &str) -> BTreeMap<(String, String), [f64; 3]> {
    let text = fs::read_to_string(folder.join("expected.tsv")).expect("readable");
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |at: usize| fields[at].parse().expect("a number");
        let is_row = fields[0] == set && ["stage1", "stage2"].contains(&fields[2]);
        is_row.then(|| ((fields[1].to_owned(), fields[2].to_owned()), [number(3), number(4), number(8)]))
    };
    text.lines().filter_map(row).collect()
}

fn names(value: &Value) -> Vec<String> {
    let name = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    value.as_array().expect("a list").iter().map(name).collect()
}

fn check(set: &str, least_visible: usize) {
    let (file, folder) = match find(&format!("{set}.tsv.gz")).and_then(|file| Ok((file, folder()?))) {
        Ok(found) => found,
        Err(reason) => {
            println!("SKIPPED: {reason}");
            return;
        }
    };
    let plain = unpack(&file);
    let mut world: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (visitor, segment) in plain.lines().map(|line| line.split_once('\t').expect("two columns")) {
        world.entry(visitor).or_default().insert(segment);
    }
    let house = House::new(Some(&super::CHARTER.replace("min_seed = 20", "min_seed = 10")));
    let (code, _) = house.load(&[file], "mag", NOW, &["--columns", "visitor,segment"]);
    assert_eq!(code, 0);
    let all: Vec<&str> = world.keys().copied().collect();
    let listed = house.file("all.txt", all.join("\n").as_bytes());
    let figures = figures(&folder, set);
    let targets = fs::read_to_string(folder.join(format!("splits/{set}.jsonl"))).expect("readable");
    for (method, stage) in [("iv", "stage1"), ("pairs", "stage2")] {
        let (mut found, mut expected, mut error, mut count) = ([0.0; 3], [0.0; 3], 0.0, 0.0);
        for line in targets.lines().skip(STEP - 1).step_by(STEP) {
            let target: Value = serde_json::from_str(line).expect("JSON");
            let (hidden, seed) = (names(&target["hidden"]), names(&target["seed"]));
            let of_seed: BTreeSet<&str> = seed.iter().map(String::as_str).collect();
            let seed = house.file("seed.txt", seed.join("\n").as_bytes());
            let mut args = vec!["--method", method];
            hidden.iter().for_each(|name| args.extend(["--exclude", name]));
            let said = run(&house.data(), &seed, &listed, &args);
            assert_eq!(said.code, 0, "{}", said.err);
            let scores = scores(&said.out);
            assert!(scores.keys().all(|visitor| !of_seed.contains(visitor)), "{set}: a seed visitor is listed");
            let wanted = target["target"].as_str().expect("a name");
            let visible = |has: &BTreeSet<&str>| has.iter().filter(|name| !hidden.iter().any(|h| h == *name)).count();
            let ranked = scores.iter().filter(|(visitor, _)| visible(&world[*visitor]) >= least_visible);
            let mut ranking: Vec<(f64, bool)> =
                ranked.map(|(visitor, score)| (*score, world[visitor].contains(wanted))).collect();
            let judged = judge(&mut ranking);
            let figure = figures[&(names_key(&target), stage.to_owned())];
            (0..3).for_each(|at| (found[at], expected[at]) = (found[at] + judged[at], expected[at] + figure[at]));
            error += (recall(&said) - figure[2]).abs();
            count += 1.0;
        }
        let case = format!("{set}, {method}: found {found:?}, figures {expected:?}, over {count} targets");
        println!("{case}");
        let relative = found[1] / expected[1] - 1.0;
        if stage == "stage1" {
            assert!((found[0] - expected[0]).abs() / count <= AUC && relative.abs() <= PRECISION, "{case}");
        } else {
            assert!(relative >= -LOWER, "{case}");
        }
        assert!(error / count <= CURVE, "{case}: the curve is off by {}", error / count);
    }
}

fn names_key(target: &Value) -> String {
    target["key"].as_str().expect("a key").to_owned()
}

#[test]
fn the_other_half_of_msweb_is_found() {
    check("msweb-train", 1);
}

#[test]
fn the_other_half_of_nasa_is_found() {
    check("nasa-jul95", 2);
}

#[test]
fn the_other_half_of_kosarak_is_found() {
    check("kosarak-first25k", 1);
}

#[test]
fn the_other_half_of_adult_is_found() {
    check("adult-train", 1);
}
