//! A folder is followed: what is whole is taken, once, and much at a time; a signal ends it well.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use usher_index::{Key, Snapshot, State, Writer};
use usher_loader::cmd::Streams;

use crate::programs::{House, Said, loader, path_text};

const NOW: i64 = 1_790_000_000;
/// Holds the arguments, a line each, of the follower that this test binary is to be.
const FOLLOWER: &str = "USHER_TEST_FOLLOWER";

/// A house with a folder for feeds.
struct Place {
    house: House,
    inbox: PathBuf,
}

impl Place {
    fn new() -> Self {
        let house = House::new(None);
        let inbox = house.data().with_file_name("inbox");
        fs::create_dir(&inbox).expect("a temporary folder");
        Self { house, inbox }
    }

    /// Renames a feed with one visitor into place, as senders do.
    fn send(&self, name: &str, visitor: &str) {
        let part = self.inbox.join(format!("{name}.part"));
        fs::write(&part, format!("visitor,segment,observed\n{visitor},s,{NOW}\n")).expect("a temporary folder");
        fs::rename(part, self.inbox.join(name)).expect("in one folder");
    }

    fn args<'a>(&'a self, data: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
        let all = ["follow", path_text(&self.inbox), "--data", path_text(data), "--source", "mag", "--json"];
        [&all[..], more].concat()
    }

    /// Takes what is there, without waiting for it to settle unless the test says so.
    fn once(&self, more: &[&str]) -> (u8, Vec<Value>, String) {
        let (data, now) = (self.house.data(), NOW.to_string());
        let settle: &[&str] = if more.contains(&"--settle") { &[] } else { &["--settle", "0s"] };
        let Said { code, out, err } = loader(&self.args(&data, &[&["--once", "--now", &now], settle, more].concat()));
        (code, out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), err)
    }

    fn key(&self) -> Key {
        let text = fs::read_to_string(self.house.data().with_extension("key")).expect("the loader made it");
        Key::from_hex(text.trim()).expect("a key")
    }

    fn generation(&self) -> u64 {
        Snapshot::newest_generation(&self.house.data()).expect("readable")
    }
}

#[test]
fn what_is_whole_is_taken_once_in_one_build() {
    let place = Place::new();
    for number in 0..10 {
        place.send(&format!("{number}.csv"), &format!("v{number}"));
    }
    for name in ["half.csv.part", "half.csv.tmp", ".half.csv"] {
        fs::write(place.inbox.join(name), "visitor,segment\nhalf,s\n").expect("a temporary folder");
    }
    let (code, reports, err) = place.once(&["--settle", "1s"]);
    assert_eq!((code, reports.len()), (0, 10), "{err}");
    assert!(reports.iter().all(|report| report["generation"] == 1 && report["new"] == 1), "{reports:?}");
    // Another run, as after a restart: the ledger knows them, and the one that is new is built.
    place.send("late.csv", "v10");
    let (code, reports, err) = place.once(&[]);
    let before = reports.iter().filter(|report| report["already_delivered"] == true).count();
    assert_eq!((code, before, reports.len(), place.generation()), (0, 10, 11, 2), "{err}");
    assert_eq!(place.house.open().count("s", NOW), 11);
    // Nothing new: no build.
    assert_eq!((place.once(&[]).0, place.generation()), (0, 2));
}

#[test]
fn a_marker_is_waited_for_where_it_must_be() {
    let place = Place::new();
    for name in ["a.csv", "b.csv"] {
        place.send(name, name);
    }
    fs::write(place.inbox.join("b.csv.done"), "").expect("a temporary folder");
    let (code, reports, err) = place.once(&["--done"]);
    assert_eq!((code, reports.len()), (0, 1), "{err}");
    assert!(reports[0]["file"].as_str().is_some_and(|file| file.ends_with("b.csv")), "{reports:?}");
    assert!(err.contains("1 of the files") && err.contains("may be unfinished"), "{err}");
}

#[test]
fn a_file_that_fails_fails_alone() {
    let place = Place::new();
    place.send("good.csv", "v");
    fs::write(place.inbox.join("bad.csv"), "uid\n").expect("a temporary folder");
    let (code, reports, err) = place.once(&[]);
    let failed = reports.iter().filter(|report| report["failed"]["code"] == "columns").count();
    assert_eq!((code, failed, reports.len(), place.generation()), (1, 1, 2, 1), "{err}");
    // The index's own folder is none of feeds.
    let data = place.house.data();
    let parent = path_text(data.parent().expect("a temporary folder"));
    for folder in [path_text(&data), parent] {
        let said = loader(&["follow", folder, "--once", "--data", path_text(&data), "--source", "mag"]);
        assert!(said.code == 2 && said.err.contains("a folder of their own"), "{said:?}");
    }
}

#[test]
fn beside_a_process_that_holds_the_state_the_bulk_way_is_open() {
    let place = Place::new();
    place.send("a.csv", "v1");
    assert_eq!(place.once(&[]).0, 0);
    let state = State::open(&place.house.data(), &place.key(), "usher-engine serve").expect("free");
    place.send("b.csv", "v2");
    assert_eq!((place.once(&[]).0, place.generation()), (0, 2));
    drop(state);
    assert_eq!(place.house.open().count("s", NOW), 2);
}

#[test]
fn the_follower_of_the_other_tests() {
    let Ok(lines) = std::env::var(FOLLOWER) else { return };
    let (mut input, mut out, mut err) = (std::io::empty(), std::io::stdout(), std::io::stderr());
    let mut streams = Streams { input: &mut input, out: &mut out, err: &mut err, progress: false };
    let code = usher_loader::cmd::run(["usher-loader"].into_iter().chain(lines.split('\n')), &mut streams);
    out.flush().expect("somebody listens");
    std::process::exit(code.into());
}

/// Kills the process when a test fails before it ended.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended when the test went well.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The next line that holds the text; those before it are passed over.
fn line_with(lines: &mut impl Iterator<Item = std::io::Result<String>>, text: &str) -> String {
    let line = lines.map(|line| line.expect("text")).find(|line| line.contains(text));
    line.unwrap_or_else(|| panic!("it ended without saying `{text}`"))
}

#[test]
fn a_follower_waits_for_another_loader_and_ends_well() {
    let place = Place::new();
    place.send("a.csv", "v1");
    assert_eq!(place.once(&[]).0, 0);
    let (data, now) = (place.house.data(), NOW.to_string());
    let other = Writer::open(&data, place.key()).expect("free");
    let args = place.args(&data, &["--settle", "0s", "--gather", "0s", "--now", &now]).join("\n");
    let mut command = Command::new(std::env::current_exe().expect("a running test has a file"));
    command.args(["follow::the_follower_of_the_other_tests", "--exact", "--quiet"]).env(FOLLOWER, args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let mut running = Running(child);
    let mut out = BufReader::new(running.0.stdout.take().expect("a pipe")).lines();
    let mut err = BufReader::new(running.0.stderr.take().expect("a pipe"));
    let mut said = (&mut err).lines();
    line_with(&mut said, "following");
    line_with(&mut said, "waits for process");
    drop(other);
    assert!(line_with(&mut out, "a.csv").contains("\"already_delivered\":true"));
    place.send("b.csv", "v2");
    assert!(line_with(&mut out, "b.csv").contains("\"generation\":2"));
    place.send("bad.csv", "");
    assert!(line_with(&mut out, "bad.csv").contains("all_refused"));
    place.send("c.csv", "v3");
    // Files that failed or were taken are not looked at again: this is the next line.
    assert!(out.next().expect("a line").expect("text").contains("c.csv"));
    let killed = Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status();
    assert!(killed.expect("kill is there").success());
    let ended = running.0.wait().expect("it was started");
    let mut rest = String::new();
    err.read_to_string(&mut rest).expect("text");
    assert_eq!(ended.code(), Some(0), "{rest}");
    assert!(rest.contains("stopped") && !rest.contains("waits for"), "{rest}");
    assert_eq!(place.house.open().count("s", NOW), 3);
}
