//! Both programs in this process: the loader by its command line, the engine's questions through its library with a
//! `now` of the test's choice.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use usher_bench::expr::Expr;
use usher_engine::ask::lookup::{Lookup, NameTable, Only};
use usher_engine::ask::parse::parse;
use usher_engine::ask::size;
use usher_index::{IdType, Key, Overlay, Snapshot, Time, VisitorId};
use usher_loader::cmd::Streams;

/// A house: a data folder of its own, and a place for feeds beside it.
pub struct House {
    dir: TempDir,
    charter: Option<PathBuf>,
}

/// What a run of a program said.
#[derive(Debug)]
pub struct Said {
    pub code: u8,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The output of a run that went well.
    pub fn fine(self) -> String {
        assert_eq!(self.code, 0, "expected exit code 0; it said\n{}\n{}", self.out, self.err);
        self.out
    }
}

/// Runs the loader with these arguments, on an empty standard input.
pub fn loader(args: &[&str]) -> Said {
    let (mut input, mut out, mut err) = (std::io::empty(), Vec::new(), Vec::new());
    let mut streams = Streams { input: &mut input, out: &mut out, err: &mut err, progress: false };
    let code = usher_loader::cmd::run([&["usher-loader"], args].concat(), &mut streams);
    Said { code, out: text(out), err: text(err) }
}

/// Runs `usher-engine ask` with these arguments.
pub fn ask(args: &[&str]) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = usher_engine::cmd::run([&["usher-engine", "ask"], args].concat(), &mut out, &mut err);
    Said { code, out: text(out), err: text(err) }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("programs write UTF-8")
}

/// The moment, which the test chose in range.
pub fn time(seconds: i64) -> Time {
    Time::from_unix(seconds).expect("a moment between 1970 and 2106")
}

impl House {
    /// An empty folder, with a charter or with the one of development.
    pub fn new(charter: Option<&str>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let charter = charter.map(|text| {
            let path = dir.path().join("charter.toml");
            fs::write(&path, text).expect("a temporary folder");
            path
        });
        Self { dir, charter }
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Writes a feed beside the data folder.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).expect("a temporary folder");
        path
    }

    /// `usher-loader load` with `--json`: the exit code and a report for each file.
    pub fn load(&self, files: &[PathBuf], source: &str, now: i64, more: &[&str]) -> (u8, Vec<Value>) {
        let charter = self.charter.iter().flat_map(|path| ["--charter", path_text(path)]);
        self.load_with(files, source, now, &charter.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// The same under another charter.
    pub fn load_under(&self, files: &[PathBuf], source: &str, now: i64, charter: &str) -> (u8, Vec<Value>) {
        self.load_with(files, source, now, &["--charter", charter])
    }

    fn load_with(&self, files: &[PathBuf], source: &str, now: i64, more: &[&str]) -> (u8, Vec<Value>) {
        let (data, now) = (self.data(), now.to_string());
        let mut args = vec!["load"];
        args.extend(files.iter().map(|path| path_text(path)));
        args.extend(["--data", path_text(&data), "--source", source, "--now", &now, "--json"]);
        args.extend(more);
        let said = loader(&args);
        let reports = said.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")));
        let reports: Vec<Value> = reports.collect();
        assert_eq!(reports.len(), files.len(), "a report for each feed: {said:?}");
        (said.code, reports)
    }

    /// `usher-loader build`.
    pub fn build(&self, now: i64) {
        loader(&["build", "--data", path_text(&self.data()), "--now", &now.to_string()]).fine();
    }

    /// `usher-loader verify`.
    pub fn verify(&self) {
        loader(&["verify", "--data", path_text(&self.data())]).fine();
    }

    /// The newest generation, for questions.
    pub fn open(&self) -> Open {
        let key =
            fs::read_to_string(self.dir.path().join("data.key")).expect("the loader made a key beside the folder");
        let key = Key::from_hex(key.trim()).expect("the loader's key");
        let snapshot = Snapshot::open(&self.data(), Some(key)).expect("a whole index");
        let names = NameTable::new(&snapshot);
        Open { snapshot, names }
    }
}

/// A path of a temporary folder.
pub fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have UTF-8 names")
}

/// One generation, open for questions.
pub struct Open {
    pub snapshot: Snapshot,
    names: NameTable,
}

impl Open {
    /// The segments of every visitor at this moment, in the order in which they were asked for.
    pub fn lookups<'v>(&self, visitors: impl Iterator<Item = &'v str>, now: i64) -> Vec<Vec<String>> {
        let key = self.snapshot.key().expect("opened with its key");
        let overlay = Overlay::default();
        let mut lookup = Lookup::new(&self.snapshot, &self.names, &overlay);
        let answer = |visitor| {
            let pid = key.pid(&IdType::default(), VisitorId::new(visitor).expect("an id of the test"));
            let mut json = Vec::new();
            lookup.answer(pid, time(now), &Only::Everything, &mut json).expect("a whole image");
            let answer: Value = serde_json::from_slice(&json).expect("JSON");
            let names = answer["segments"].as_array().expect("a list").iter();
            names.map(|name| name.as_str().expect("a name").to_owned()).collect()
        };
        visitors.map(answer).collect()
    }

    /// How many visitors the expression means at this moment.
    pub fn count(&self, expression: &str, now: i64) -> u64 {
        let expr = parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        size::count(&self.snapshot, &Overlay::default(), &expr, time(now)).expect("a whole image").visitors
    }

    /// The same for a tree, by its text.
    pub fn count_of(&self, expr: &Expr, now: i64) -> u64 {
        self.count(&expr.to_string(), now)
    }
}
