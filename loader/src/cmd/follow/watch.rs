//! A folder that senders put feeds into: which of its files are whole, and which were looked at.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The end of the name of the empty file that says that the file of the name before it is whole.
const MARKER: &[u8] = b".done";
/// Ends of names of files that are still being sent.
const UNFINISHED: [&[u8]; 3] = [b".tmp", b".part", b".partial"];

/// What tells one content of a file from another, without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Print {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: SystemTime,
}

/// One file of the folder.
struct Known {
    print: Print,
    /// Since when it has been the same.
    since: Instant,
    whole: bool,
    looked_at: bool,
}

/// The folder, from one look at it to the next.
pub(super) struct Watch {
    folder: PathBuf,
    settle: Duration,
    /// Only files with a marker count.
    marked_only: bool,
    files: BTreeMap<PathBuf, Known>,
}

impl Watch {
    /// A file is whole when it has stayed the same for `settle`, or a marker says so; `marked_only`: only then.
    pub(super) fn new(folder: &Path, settle: Duration, marked_only: bool) -> Self {
        Self { folder: folder.to_path_buf(), settle, marked_only, files: BTreeMap::new() }
    }

    /// Looks at the folder. What is no longer there is forgotten, so that memory is bounded by what is there.
    ///
    /// # Errors
    /// When the folder cannot be read; then nothing changes.
    pub(super) fn look(&mut self, when: Instant) -> io::Result<()> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            // Who took it away meanwhile had a reason; a pipe would make the reader wait for a writer.
            let about = std::fs::metadata(&path).ok().filter(Metadata::is_file);
            if let Some(print) = about.filter(|_| is_feed(&path)).and_then(|about| Print::of(&about)) {
                let known = self.know(&path, print, when);
                found.insert(path, known);
            }
        }
        self.files = found;
        Ok(())
    }

    fn know(&mut self, path: &Path, print: Print, when: Instant) -> Known {
        let same = self.files.remove(path).filter(|known| known.print == print);
        let mut known = same.unwrap_or(Known { print, since: when, whole: false, looked_at: false });
        let settled = !self.marked_only && when.duration_since(known.since) >= self.settle;
        known.whole = known.whole || settled || is_marked(path, print);
        known
    }

    /// The files that are whole and were not looked at, by name.
    pub(super) fn whole(&self) -> Vec<PathBuf> {
        let fresh = self.files.iter().filter(|(_, known)| known.whole && !known.looked_at);
        fresh.map(|(path, _)| path.clone()).collect()
    }

    /// How many files may be unfinished; they become whole by staying as they are.
    pub(super) fn unsettled(&self) -> usize {
        self.files.values().filter(|known| !known.whole).count()
    }

    /// These were looked at as they were at the last look; only when they change are they looked at again.
    pub(super) fn looked_at(&mut self, files: &[PathBuf]) {
        for file in files {
            self.files.entry(file.clone()).and_modify(|known| known.looked_at = true);
        }
    }
}

impl Print {
    /// Nothing where the file system does not tell when a file was changed.
    fn of(about: &Metadata) -> Option<Self> {
        let changed = about.modified().ok()?;
        Some(Self { device: about.dev(), inode: about.ino(), bytes: about.len(), changed })
    }
}

/// Whether a file of this name is a feed once it is whole.
fn is_feed(path: &Path) -> bool {
    let name = path.file_name().map_or(&b""[..], OsStrExt::as_bytes);
    let unfinished = UNFINISHED.iter().any(|end| name.ends_with(end));
    !name.starts_with(b".") && !unfinished && !name.ends_with(MARKER)
}

/// Whether a marker stands beside the file. One that is older than the file was meant for what stood there before.
fn is_marked(path: &Path, print: Print) -> bool {
    let mut marker = path.as_os_str().to_owned();
    marker.push(std::ffi::OsStr::from_bytes(MARKER));
    let written = std::fs::metadata(marker).and_then(|about| about.modified());
    written.is_ok_and(|written| written >= print.changed)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    const SETTLE: Duration = Duration::from_secs(2);

    struct Case {
        dir: tempfile::TempDir,
        watch: Watch,
        began: Instant,
    }

    impl Case {
        fn new(marked_only: bool) -> Self {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let watch = Watch::new(dir.path(), SETTLE, marked_only);
            Self { dir, watch, began: Instant::now() }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.dir.path().join(name), text).expect("a writable folder");
        }

        /// The names that are whole and new at this second.
        fn at(&mut self, second: u64) -> Vec<String> {
            self.watch.look(self.began + Duration::from_secs(second)).expect("a folder");
            let names = self.watch.whole().into_iter();
            names.map(|path| path.file_name().expect("a file").to_string_lossy().into_owned()).collect()
        }

        fn touch(&self, name: &str, seconds_ago: u64) {
            let file = File::options().append(true).open(self.dir.path().join(name)).expect("it is there");
            let when = SystemTime::now() - Duration::from_secs(seconds_ago);
            file.set_modified(when).expect("a file of ours");
        }
    }

    #[test]
    fn a_file_is_whole_when_it_stays_the_same() {
        let mut case = Case::new(false);
        case.write("a.csv", "one");
        assert_eq!(case.at(0), [""; 0]);
        case.write("a.csv", "one and a half");
        assert_eq!((case.at(3), case.watch.unsettled()), (Vec::new(), 1), "it grew meanwhile");
        assert_eq!(case.at(4), [""; 0]);
        assert_eq!((case.at(5), case.watch.unsettled()), (vec!["a.csv".to_owned()], 0));
    }

    #[test]
    fn names_of_unfinished_files_never_count() {
        let mut case = Case::new(false);
        for name in [".hidden.csv", "a.csv.tmp", "a.csv.part", "a.csv.partial", "b.csv.done"] {
            case.write(name, "text");
        }
        fs::create_dir(case.dir.path().join("folder.csv")).expect("a writable folder");
        assert_eq!((case.at(0), case.at(9)), (Vec::new(), Vec::new()));
        fs::rename(case.dir.path().join("a.csv.part"), case.dir.path().join("a.csv")).expect("in one folder");
        assert_eq!((case.at(10), case.at(12)), (Vec::new(), vec!["a.csv".to_owned()]));
    }

    #[test]
    fn a_marker_makes_whole_at_once_unless_it_is_older() {
        let mut case = Case::new(true);
        for name in ["a.csv", "b.csv", "b.csv.done", "c.csv", "c.csv.done"] {
            case.write(name, "text");
        }
        case.touch("c.csv.done", 60);
        assert_eq!(case.at(0), ["b.csv"]);
        assert_eq!(case.at(60), ["b.csv"], "a.csv has no marker, that of c.csv is older than the file");
        case.write("a.csv.done", "");
        assert_eq!(case.at(61), ["a.csv", "b.csv"]);
    }

    #[test]
    fn a_file_is_looked_at_again_only_when_it_changes() {
        let mut case = Case::new(false);
        case.write("a.csv", "one");
        case.at(0);
        let whole = case.at(2);
        assert_eq!(whole, ["a.csv"]);
        case.watch.looked_at(&[case.dir.path().join("a.csv")]);
        assert_eq!(case.at(60), [""; 0]);
        case.touch("a.csv", 60);
        assert_eq!((case.at(61), case.at(63)), (Vec::new(), vec!["a.csv".to_owned()]));
        case.watch.looked_at(&[case.dir.path().join("a.csv")]);
        fs::remove_file(case.dir.path().join("a.csv")).expect("it is there");
        assert_eq!(case.at(64), [""; 0]);
        assert!(case.watch.files.is_empty());
    }
}
