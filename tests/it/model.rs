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
    delivered: Vec<(PathBuf, &'static str, i64)>,
    files: u32,
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
        let mut files = Vec::new();
        let mut taken = Vec::new();
        for _ in 0..=self.rng.below(3) {
            let rows = self.rows();
            taken.push(rows.iter().filter(|row| self.judge.take(source, row, self.now)).count() as u64);
            files.push(self.write(&rows));
        }
        let (code, reports) = self.deliver(&files, source, self.now);
        let whole = taken.iter().all(|rows| *rows > 0);
        assert_eq!(code == 0, whole, "seed {}: {reports:?}", self.seed);
        for ((file, taken), report) in files.into_iter().zip(taken).zip(reports) {
            assert_eq!(report["taken"].as_u64(), Some(taken), "seed {}: {report}", self.seed);
            if taken > 0 {
                self.delivered.push((file, source, self.now));
            }
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

    fn deliver(&self, files: &[PathBuf], source: &str, as_of: i64) -> (u8, Vec<Value>) {
        self.house.load(files, source, self.now, &["--as-of", &as_of.to_string(), "--max-refused", "100%"])
    }

    /// Sends a feed again as it was sent before: a no-op.
    fn deliver_again(&mut self) {
        let Some((file, source, as_of)) = self.delivered.get(self.rng.index(self.delivered.len())).cloned() else {
            return;
        };
        let (code, reports) = self.deliver(&[file], source, as_of);
        assert_eq!((code, &reports[0]["already_delivered"]), (0, &Value::Bool(true)), "seed {}: {reports:?}", self.seed);
    }

    fn step(&mut self) {
        self.now += i64::from(self.rng.below(260_000));
        match self.rng.below(10) {
            0 => self.deliver_again(),
            1 | 2 => self.house.build(self.now),
            _ => self.load(),
        }
    }

    /// Every lookup and some questions, now and at other moments.
    fn check(&mut self) {
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
        let object: serde_json::Map<String, Value> = given.map(|(name, text)| (name.to_owned(), Value::from(text))).collect();
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
    runs(0..120);
}

#[test]
fn more_random_runs_answer_as_the_judge_does() {
    runs(1_000..1_120);
}
