//! What a loader meets outside: a sudden end, a full or read-only disk, another loader, a bomb. The index is the one
//! before or the one after, the message says what to do, and nothing is left lying about.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};

use usher_bench::crash;
use usher_bench::publish;
use usher_index::Writer;
use usher_loader::cmd::Streams;

use crate::programs::{House, Said, loader, path_text};

const NOW: i64 = 1_790_000_000;
/// Holds the arguments, a line each, of the loader that this test binary is to be.
const VICTIM: &str = "USHER_TEST_VICTIM";

/// This test binary as the loader.
fn victim(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a running test has a file"));
    command.args(["crash::the_victim_of_the_other_tests", "--exact", "--quiet"]).env(VICTIM, args.join("\n"));
    command
}

#[test]
fn the_victim_of_the_other_tests() {
    let Ok(lines) = std::env::var(VICTIM) else { return };
    let args: Vec<&str> = lines.split('\n').collect();
    let said = loader(&args);
    // Past the capture of the test harness.
    std::io::Write::write_all(&mut std::io::stderr(), said.err.as_bytes()).expect("somebody listens");
    std::process::exit(said.code.into());
}

#[test]
fn a_killed_loader_leaves_the_index_before_or_after() {
    let mut said = Vec::new();
    let tally = crash::run(12, 12, 4_000, &victim, &mut said).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!((tally.killed, tally.before + tally.after), (12, 12), "{tally:?}");
    assert!(tally.before > 0, "no kill came before the end: {tally:?}");
}

#[test]
fn no_answer_mixes_generations_while_they_are_published() {
    let mut said = Vec::new();
    let tally = publish::run(4, 2_000, 500, &victim, &mut said).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(tally.generations == 5 && tally.answers > 50, "{tally:?}");
}

/// A file system of its own, until dropped.
pub struct Mount(PathBuf);

impl Mount {
    /// `None`, said aloud, where it is not allowed.
    pub fn tmpfs(at: &Path, options: &str) -> Option<Mount> {
        fs::create_dir_all(at).expect("a temporary folder");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        if done.is_ok_and(|done| done.status.success()) {
            return Some(Mount(at.to_path_buf()));
        }
        println!("SKIPPED: mounting a tmpfs is not allowed here");
        None
    }

    fn remount(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(done.expect("mount ran before").success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a map may still be open. A test that fails is not to fail twice.
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A folder's files with their bytes.
pub fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.is_file());
    let mut files: Vec<_> =
        files.map(|path| (path_text(&path).to_owned(), fs::read(&path).expect("readable"))).collect();
    files.sort();
    files
}

/// Rows of visitors whom nobody has seen before.
fn rows(from: u32, count: u32) -> String {
    let rows = (from..from + count).map(|n| format!("visitor-{n},s.{}\n", n % 7));
    "visitor,segment\n".to_owned() + &rows.collect::<String>()
}

fn try_load(house: &House, file: &Path) -> Said {
    let data = house.data();
    loader(&["load", path_text(file), "--data", path_text(&data), "--source", "mag", "--now", &NOW.to_string()])
}

#[test]
fn on_a_full_disk_nothing_changes_and_nothing_is_left() {
    let house = House::new(None);
    let Some(mount) = Mount::tmpfs(&house.data(), "size=1m") else { return };
    let small = house.file("small.csv", rows(0, 1_000).as_bytes());
    try_load(&house, &small).fine();
    let before = contents(&house.data());
    let large = house.file("large.csv", rows(0, 150_000).as_bytes());
    let said = try_load(&house, &large);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("free some space and run it again, the index is as it was"), "{said:?}");
    assert_eq!(contents(&house.data()), before);
    house.verify();
    assert_eq!(house.open().count("s.*", NOW), 1_000);
    mount.remount("size=32m");
    try_load(&house, &large).fine();
    assert_eq!(house.open().count("s.*", NOW), 150_000);
}

#[test]
fn a_read_only_folder_is_read_and_not_written() {
    let house = House::new(None);
    let Some(mount) = Mount::tmpfs(&house.data(), "size=8m") else { return };
    try_load(&house, &house.file("small.csv", rows(0, 100).as_bytes())).fine();
    mount.remount("ro");
    let before = contents(&house.data());
    let said = try_load(&house, &house.file("more.csv", rows(100, 100).as_bytes()));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("the right to write there, the index is as it was"), "{said:?}");
    assert_eq!(contents(&house.data()), before);
    house.verify();
    assert_eq!(house.open().count("s.*", NOW), 100);
}

#[test]
fn a_second_loader_at_the_same_time_is_told_to_wait() {
    let house = House::new(None);
    try_load(&house, &house.file("small.csv", rows(0, 100).as_bytes())).fine();
    let key = house.open().snapshot.key().expect("opened with it").clone();
    let first = Writer::open_as(&house.data(), key, "usher-loader load").expect("nobody else is there");
    let before = contents(&house.data());
    let more = house.file("more.csv", rows(100, 100).as_bytes());
    let data = house.data();
    for said in [try_load(&house, &more), loader(&["build", "--data", path_text(&data), "--now", &NOW.to_string()])] {
        assert_eq!(said.code, 1, "{said:?}");
        let other = format!("that of process {}, usher-loader load; wait for it", std::process::id());
        assert!(said.err.contains(&other), "{said:?}");
    }
    assert_eq!(contents(&house.data()), before);
    drop(first);
    try_load(&house, &more).fine();
    assert_eq!(house.open().count("s.*", NOW), 200);
}

/// Hands on what is written, as it is written.
struct Heard(Sender<String>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Whoever heard enough has gone.
        _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_engine_that_folds_is_waited_for() {
    let house = House::new(None);
    try_load(&house, &house.file("small.csv", rows(0, 100).as_bytes())).fine();
    let key = house.open().snapshot.key().expect("opened with it").clone();
    let (data, more, now) = (house.data(), house.file("more.csv", rows(100, 100).as_bytes()), NOW.to_string());
    let load = ["usher-loader", "load", path_text(&more), "--data", path_text(&data), "--source", "mag", "--now", &now];
    let build = ["usher-loader", "build", "--data", path_text(&data), "--now", &now];
    for args in [&load[..], &build] {
        let folding = "usher-engine serve, which folds changes";
        let engine = Writer::open_as(&data, key.clone(), folding).expect("nobody else is there");
        std::thread::scope(|scope| {
            let (hear, heard) = channel();
            let waiting = scope.spawn(move || {
                let (mut input, mut out, mut err) = (std::io::empty(), Vec::new(), Heard(hear));
                let mut streams = Streams { input: &mut input, out: &mut out, err: &mut err, progress: false };
                usher_loader::cmd::run(args, &mut streams)
            });
            let told = format!("waits for process {}, {folding}", std::process::id());
            let mut said = String::new();
            while !said.contains(&told) {
                said += &heard.recv().unwrap_or_else(|_| panic!("{args:?} ended without waiting: {said}"));
            }
            drop(engine);
            assert_eq!(waiting.join().expect("it does not panic"), 0, "{args:?}");
        });
    }
    let open = house.open();
    assert_eq!((open.count("s.*", NOW), open.snapshot.generation()), (200, 3));
}

/// One small packed piece, again and again: ten GiB and more when it is unpacked.
fn bomb(piece: &[u8], unpacked: usize) -> Vec<u8> {
    piece.repeat((10 << 30) / unpacked + 1)
}

#[test]
fn a_bomb_is_refused_in_bounded_memory_and_changes_nothing() {
    let house = House::new(None);
    try_load(&house, &house.file("small.csv", rows(0, 100).as_bytes())).fine();
    let before = contents(&house.data());
    let lines = b"v,s\n".repeat(8 << 20);
    let zstd = bomb(&zstd::encode_all(&lines[..], 1).expect("memory"), lines.len());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
    std::io::Write::write_all(&mut gzip, &lines).expect("memory");
    let gzip = bomb(&gzip.finish().expect("memory"), lines.len());
    for (name, packed) in [("bomb.csv.zst", zstd), ("bomb.csv.gz", gzip)] {
        let file = house.file(name, &packed);
        let data = house.data();
        // A process of its own with 1 GiB of addresses: what would unpack everything would be ended.
        let args =
            ["load", path_text(&file), "--data", path_text(&data), "--source", "mag", "--columns", "visitor,segment"];
        let child = victim(&args);
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -v 1048576; exec \"$0\" \"$@\""]).arg(child.get_program()).args(child.get_args());
        limited.envs(child.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        let ended = limited.output().expect("a shell");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("this looks like a bomb, not a feed"), "{name}: {said}");
        println!("{name}, {} bytes: {said}", packed.len());
        assert_eq!(contents(&house.data()), before, "{name}");
    }
}
