//! Four real sets: every visitor's lookup and a thousand random questions a set against the judge, loaded whole and in
//! ten pieces in random order. The sets are no part of the repository; without them the tests say so aloud.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use usher_bench::expr::Expr;
use usher_bench::rng::Rng;

use crate::naive::{Naive, Row, Rules};
use crate::programs::{House, Open};
use crate::random::{MAX_DEPTH, expr, prefixes_of, text};
use crate::source::root;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
const SOURCE: &str = "real";
const COLUMNS: [&str; 2] = ["--columns", "visitor,segment"];
const QUESTIONS: usize = 1_000;
const PIECES: usize = 10;
/// Names of segments that questions draw from, beside every segment once: as often as rows have them.
const POPULAR: usize = 2_000;

/// The file of a set, or the reason why the test cannot run.
pub fn find(name: &str) -> Result<PathBuf, String> {
    let beside = root().join("../shared/data");
    let folder = std::env::var_os("USHER_SHARED_DATA").map_or(beside, PathBuf::from);
    let file = folder.join(name);
    let why = "put the real sets there, or name their folder in USHER_SHARED_DATA";
    if file.is_file() { Ok(file) } else { Err(format!("{} is absent: {why}", file.display())) }
}

pub fn unpack(path: &Path) -> String {
    let mut text = String::new();
    let file = File::open(path).expect("a readable file");
    MultiGzDecoder::new(file).read_to_string(&mut text).expect("whole gzip of UTF-8");
    text
}

/// What the index must answer, found before it is asked.
struct Expected<'a> {
    lookups: BTreeMap<&'a str, Vec<&'a str>>,
    questions: Vec<(String, u64)>,
    segments: BTreeMap<&'a str, u64>,
}

impl<'a> Expected<'a> {
    fn new(judge: &'a Naive, lines: &[(&str, &'a str)], rng: &mut Rng) -> Self {
        let lookups: BTreeMap<&str, Vec<&str>> = judge.visitors().map(|v| (v, judge.lookup(v, NOW))).collect();
        let mut segments = BTreeMap::new();
        lookups.values().flatten().for_each(|name| *segments.entry(*name).or_insert(0) += 1);
        let mut names: Vec<&str> = segments.keys().copied().collect();
        let prefixes = prefixes_of(&names);
        names.extend((0..POPULAR).map(|_| lines[rng.index(lines.len())].1));
        let view = judge.at(NOW);
        let question = |_| {
            let expr: Expr = expr(rng, &names, &prefixes, MAX_DEPTH);
            (text(rng, &expr), view.count(&expr))
        };
        let questions = (0..QUESTIONS).map(question).collect();
        Self { lookups, questions, segments }
    }

    fn hold(&self, open: &Open, how: &str) {
        let found = open.lookups(self.lookups.keys().copied(), NOW);
        for ((visitor, expected), found) in self.lookups.iter().zip(found) {
            assert_eq!(&found, expected, "{how}: visitor {visitor}");
        }
        for (question, expected) in &self.questions {
            assert_eq!(open.count(question, NOW), *expected, "{how}: {question}");
        }
        let listed = open.snapshot.segments().iter().map(|info| (&*info.name, info.memberships));
        assert_eq!(listed.collect::<BTreeMap<_, _>>(), self.segments, "{how}: the list of segments");
        let over = open.lookups(self.lookups.keys().copied().take(100), NOW + 121 * DAY);
        assert!(over.iter().all(Vec::is_empty), "{how}: a life of 120 days is over");
        assert_eq!(open.count(&self.questions[0].0, NOW + 121 * DAY), 0, "{how}: nobody is left, not even under `not`");
    }
}

/// Loads a set whole and in pieces, and holds both against the judge.
fn check(name: &str, visitors: usize, seed: u64) {
    let file = match find(name) {
        Ok(file) => file,
        Err(reason) => {
            println!("SKIPPED: {reason}");
            return;
        }
    };
    let plain = unpack(&file);
    let lines: Vec<(&str, &str)> = plain.lines().map(|line| line.split_once('\t').expect("two columns")).collect();
    let mut judge = Naive::new(Rules::development(SOURCE));
    for (visitor, segment) in &lines {
        assert!(judge.take(SOURCE, &Row::new(visitor, segment), NOW), "the judge takes every row");
    }
    let mut rng = Rng::new(seed);
    let expected = Expected::new(&judge, &lines, &mut rng);
    assert_eq!(expected.lookups.len(), visitors, "the documented number of visitors");

    let whole = House::new(None);
    let (code, reports) = whole.load(&[file], SOURCE, NOW, &COLUMNS);
    assert_eq!((code, reports[0]["new"].as_u64()), (0, Some(lines.len() as u64)), "{name}: {}", reports[0]);
    expected.hold(&whole.open(), name);
    whole.verify();

    let pieces = House::new(None);
    for (number, piece) in in_pieces(&lines, &mut rng).into_iter().enumerate() {
        let file = pieces.file(&format!("piece-{number}.tsv"), piece.as_bytes());
        // Received one after the other, but all observed at the same moment, as in the whole set.
        let as_of = NOW.to_string();
        let more = ["--columns", "visitor,segment", "--as-of", &as_of];
        let (code, reports) = pieces.load(&[file], SOURCE, NOW + number as i64, &more);
        assert_eq!(code, 0, "{name}, piece {number}: {}", reports[0]);
    }
    expected.hold(&pieces.open(), &format!("{name} in pieces"));
    pieces.verify();
    pieces.build(NOW + PIECES as i64);
    expected.hold(&pieces.open(), &format!("{name} in pieces, built anew"));
}

/// Every line in one of the pieces, in random order.
fn in_pieces(lines: &[(&str, &str)], rng: &mut Rng) -> Vec<String> {
    let mut shuffled = lines.to_vec();
    rng.shuffle(&mut shuffled);
    let mut pieces = vec![String::new(); PIECES];
    for (visitor, segment) in shuffled {
        let piece = &mut pieces[rng.index(PIECES)];
        piece.push_str(&format!("{visitor}\t{segment}\n"));
    }
    pieces
}

#[test]
fn msweb_is_answered_as_the_judge_does() {
    check("msweb-train.tsv.gz", 32_711, 1);
}

#[test]
fn nasa_is_answered_as_the_judge_does() {
    check("nasa-jul95.tsv.gz", 87_749, 2);
}

#[test]
fn kosarak_is_answered_as_the_judge_does() {
    check("kosarak-first25k.tsv.gz", 25_000, 3);
}

#[test]
fn adult_is_answered_as_the_judge_does() {
    check("adult-train.tsv.gz", 32_561, 4);
}
