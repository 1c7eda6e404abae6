//! Random rows in random feeds and builds, and after each step every lookup and random questions against the judge.
//! Each run is a seed; a failure names it.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use usher_bench::rng::Rng;

use crate::naive::{Naive, Row, Rules, Source};
use crate::programs::House;
use crate::random::{question, row, text};

const DAY: i64 = 86_400;
const START: i64 = 1_800_000_000;
/// Steps of a run, at most.
const MAX_STEPS: u32 = 7;
/// Rows of a feed, at most.
const MAX_ROWS: u32 = 120;
/// Questions at each moment.
const QUESTIONS: u32 = 8;

/// A tick and how a charter writes it.
const TICKS: [(i64, &str); 4] = [(3_600, "1h"), (60, "1m"), (600, "10m"), (DAY, "1d")];

/// One run: an index, its judge, and what was delivered so far.
struct Run {
    seed: u64,
    rng: Rng,
    now: i64,
    town: u32,
    house: House,
    judge: Naive,
    sources: Vec<&'static str>,
    delivered: Vec<Delivered>,
    files: u32,
}

/// A feed that was taken, to be sent again.
#[derive(Clone)]
struct Delivered {
    file: PathBuf,
    source: &'static str,
    as_of: i64,
    /// Those without an observation got that of the delivery.
    rows: Vec<Row>,
}

/// How the files of a feed are written.
const FORMATS: [&str; 5] = ["csv", "tsv", "jsonl", "csv.gz", "jsonl.zst"];

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let (house, rules) = if rng.percent(30) {
            (House::new(None), Rules::development("alpha"))
        } else {
            let (tick, tick_text) = TICKS[rng.index(TICKS.len())];
            let alpha = Source { name: "alpha", prefixes: &[""], ttl: 120 * DAY };
            let beta = Source { name: "beta", prefixes: &["news.", "shop."], ttl: 9 * DAY };
            let rules = Rules { sources: vec![alpha, beta], forbidden: vec!["news.arts"], tick };
            (House::new(Some(&charter(&rules, tick_text))), rules)
        };
        let sources = rules.sources.iter().map(|source| source.name).collect();
        let town = 2 + rng.below(150);
        let now = START + i64::from(rng.below(8_000_000));
        let judge = Naive::new(rules);
        Self { seed, rng, now, town, house, judge, sources, delivered: Vec::new(), files: 0 }
    }

    /// Loads one to three new feeds of a source in one command.
    fn load(&mut self) {
        let source = self.sources[self.rng.index(self.sources.len())];
        let feeds: Vec<Vec<Row>> = (0..=self.rng.below(3)).map(|_| self.rows()).collect();
        let files: Vec<PathBuf> = feeds.iter().map(|rows| self.write(rows)).collect();
        // Feeds of one build meet each other too; alone, each row's fate is known.
        let fates = (feeds.len() == 1).then(|| self.judge.fates(source, &feeds[0], self.now));
        let now = self.now;
        let mut take = |rows: &Vec<Row>| rows.iter().filter(|row| self.judge.take(source, row, now)).count() as u64;
        let taken: Vec<u64> = feeds.iter().map(&mut take).collect();
        let (code, reports) = self.deliver(&files, source, now, &[]);
        assert_eq!(code == 0, taken.iter().all(|rows| *rows > 0), "seed {}: {reports:?}", self.seed);
        for (((file, taken), report), mut rows) in files.into_iter().zip(taken).zip(&reports).zip(feeds) {
            assert_eq!(report["taken"].as_u64(), Some(taken), "seed {}: {report}", self.seed);
            if taken > 0 {
                rows.iter_mut().for_each(|row| row.observed = row.observed.or(Some(now)));
                self.delivered.push(Delivered { file, source, as_of: now, rows });
            }
        }
        if let Some(expected) = fates.filter(|_| code == 0) {
            assert_eq!(found_fates(&reports[0]), expected, "seed {}: {}", self.seed, reports[0]);
        }
    }

    /// Rows in random order, some of them more than once.
    fn rows(&mut self) -> Vec<Row> {
        let count = 1 + self.rng.below(MAX_ROWS);
        let mut rows: Vec<Row> = (0..count).map(|_| row(&mut self.rng, self.town, self.now)).collect();
        for _ in 0..self.rng.below(5) {
            rows.push(rows[self.rng.index(rows.len())].clone());
        }
        self.rng.shuffle(&mut rows);
        rows
    }

    fn write(&mut self, rows: &[Row]) -> PathBuf {
        self.files += 1;
        let format = FORMATS[self.rng.index(FORMATS.len())];
        let text = match format.split('.').next() {
            Some("csv") => separated(rows, ",", quoted),
            Some("tsv") => separated(rows, "\t", str::to_owned),
            _ => json_lines(rows),
        };
        let bytes = match format.rsplit('.').next() {
            Some("gz") => gzip(text.as_bytes()),
            Some("zst") => zstd::encode_all(text.as_bytes(), 1).expect("memory"),
            _ => text.into_bytes(),
        };
        self.house.file(&format!("feed-{}.{format}", self.files), &bytes)
    }

    fn deliver(&self, files: &[PathBuf], source: &str, as_of: i64, more: &[&str]) -> (u8, Vec<Value>) {
        let as_of = as_of.to_string();
        self.house.load(files, source, self.now, &[&["--as-of", &as_of, "--max-refused", "100%"], more].concat())
    }

    /// Sends a feed again as it was sent before: a no-op by the ledger or, where the ledger is overruled, by the law.
    fn deliver_again(&mut self) {
        let pick = self.rng.index(self.delivered.len());
        let Some(Delivered { file, source, as_of, rows }) = self.delivered.get(pick).cloned() else { return };
        if self.rng.percent(50) {
            let (code, reports) = self.deliver(&[file], source, as_of, &[]);
            let known = reports[0]["already_delivered"] == Value::Bool(true);
            assert!(code == 0 && known, "seed {}: {reports:?}", self.seed);
            return;
        }
        // By now some rows may have expired, or all; and what was ahead of the clock may be taken at last.
        let expected = self.judge.fates(source, &rows, self.now);
        let taken = rows.iter().filter(|row| self.judge.take(source, row, self.now)).count();
        let (code, reports) = self.deliver(&[file], source, as_of, &["--again"]);
        assert_eq!(code == 0, taken > 0, "seed {}: {reports:?}", self.seed);
        assert_eq!(found_fates(&reports[0]), expected, "seed {}: {}", self.seed, reports[0]);
    }

    fn step(&mut self) {
        self.now += i64::from(self.rng.below(260_000));
        match self.rng.below(10) {
            0 => self.deliver_again(),
            1 | 2 if !self.delivered.is_empty() => self.house.build(self.now),
            _ => self.load(),
        }
    }

    /// Every lookup and some questions, now and at other moments.
    fn check(&mut self) {
        if self.delivered.is_empty() {
            return;
        }
        let open = self.house.open();
        let visitors: Vec<String> = self.judge.visitors().map(str::to_owned).chain(["never seen".to_owned()]).collect();
        for days in [0, 1, 8, 60] {
            let now = self.now + days * i64::from(self.rng.below(170_000));
            let found = open.lookups(visitors.iter().map(String::as_str), now);
            for (visitor, found) in visitors.iter().zip(found) {
                assert_eq!(found, self.judge.lookup(visitor, now), "seed {}: {visitor} at {now}", self.seed);
            }
            let view = self.judge.at(now);
            for _ in 0..QUESTIONS {
                let expr = question(&mut self.rng);
                let text = text(&mut self.rng, &expr);
                assert_eq!(open.count(&text, now), view.count(&expr), "seed {}: {text} at {now}", self.seed);
            }
        }
    }
}

/// New or renewed, unchanged, removed.
fn found_fates(report: &Value) -> [u64; 3] {
    let count = |name: &str| report[name].as_u64().unwrap_or(0);
    [count("new") + count("renewed"), count("unchanged"), count("removed")]
}

fn charter(rules: &Rules, tick: &str) -> String {
    let mut text = format!("[house]\nname = \"H\"\nsteward = \"s@h.example\"\ntick = \"{tick}\"\n");
    text.push_str(&format!("[forbidden]\nprefixes = {:?}\n", rules.forbidden));
    for Source { name, prefixes, ttl } in &rules.sources {
        text.push_str(&format!(
            "[[source]]\nname = \"{name}\"\nclass = \"behavioural\"\nprefixes = {prefixes:?}\nid_types = [\"cookie\"]\n\
             ttl = \"{ttl}s\"\nmax_retention = \"200d\"\nlegal_basis = \"consent\"\n"
        ));
    }
    text
}

fn fields(row: &Row) -> [String; 6] {
    let number = |number: Option<i64>| number.map_or(String::new(), |number| number.to_string());
    let action = if row.remove { "remove" } else { "" };
    let ttl = number(row.ttl);
    [row.visitor.clone(), row.segment.clone(), number(row.observed), ttl, number(row.expires), action.to_owned()]
}

const COLUMNS: [&str; 6] = ["visitor", "segment", "observed", "ttl", "expires", "action"];

fn separated(rows: &[Row], separator: &str, field: impl Fn(&str) -> String) -> String {
    let line = |row: &Row| fields(row).map(|text| field(&text)).join(separator) + "\n";
    COLUMNS.join(separator) + "\n" + &rows.iter().map(line).collect::<String>()
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn json_lines(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let given = COLUMNS.into_iter().zip(fields(row)).filter(|(_, text)| !text.is_empty());
        let object: serde_json::Map<String, Value> =
            given.map(|(name, text)| (name.to_owned(), Value::from(text))).collect();
        Value::from(object).to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Each run answers hundreds of lookups and questions.
fn runs(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut run = Run::new(seed);
        for _ in 0..=run.rng.below(MAX_STEPS) {
            run.step();
            if run.rng.percent(40) {
                run.check();
            }
        }
        run.check();
        if seed.is_multiple_of(10) {
            run.house.verify();
        }
    }
}

#[test]
fn random_runs_answer_as_the_judge_does() {
    runs(0..300);
}

#[test]
fn more_random_runs_answer_as_the_judge_does() {
    runs(1_000..1_300);
}
