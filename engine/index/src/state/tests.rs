use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};

use super::*;
use crate::bars::Bars;
use crate::change::Change;
use crate::entry::Entry;
use crate::id::Pid;
use crate::time::{Tick, Time};

fn key() -> Key {
    Key::from_bytes([1; 32])
}

/// Of many, none of which looks like another.
fn pid(number: u32) -> Pid {
    Pid::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes().first_chunk().expect("longer than a pseudonym"))
}

fn row(number: u32, segment: u32, observed: u32) -> Change {
    let entry = Entry { observed: Tick::new(observed), expiry: Tick::new(observed + 9) };
    Change::Row { pid: pid(number), segment, entry }
}

fn table() -> Vec<Segment> {
    ["a", "b", "c"].map(|name| Segment { name: name.into(), source: "mag".into() }).to_vec()
}

fn commit(state: &State, changes: &[Change]) -> Result<u64, StateError> {
    state.commit(&Commit { changes, segments: &table(), ..Commit::default() })
}

fn all(state: &State) -> Vec<(u64, Change)> {
    let mut all = Vec::new();
    state.changes(0, u64::MAX, |sequence, change| all.push((sequence, change))).expect("readable");
    all
}

fn bars(state: &State) -> Bars {
    state.bars(Arc::default()).expect("readable")
}

fn entry(what: &str) -> AuditEntry {
    let at = Time::from_unix(9).expect("in range");
    AuditEntry { at, what: what.into(), detail: "at the console".into(), receipt: None }
}

fn open(path: &Path) -> State {
    State::open(path, &key(), "a test").expect("free and sound")
}

#[test]
fn a_charter_is_remembered_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let note = |digest: Option<&str>| {
        let state = open(dir.path());
        let fresh = state.note_charter(digest, &entry("charter")).expect("writable");
        (fresh, state.verify_audit().expect("one chain"))
    };
    let noted = [None, Some("aa"), Some("aa"), Some("bb"), Some("bb"), Some("aa"), None].map(note);
    assert_eq!(noted, [(false, 0), (true, 1), (false, 1), (true, 2), (false, 2), (true, 3), (true, 4)]);
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    assert!(State::open_if_present(dir.path(), &key(), "t").expect("absent is fine").is_none());
    let state = open(dir.path());
    assert_eq!((state.last_sequence(), all(&state).len(), bars(&state).is_empty()), (0, 0, true));
    // The table that comes with the rows is not the state's.
    assert_eq!(commit(&state, &[row(1, 2, 5), Change::OptOut { pid: pid(2) }]).expect("writable"), 1);
    assert_eq!(commit(&state, &[row(3, 0, 5), row(3, 2, 5)]).expect("writable"), 2);
    assert_eq!(state.commit(&Commit::default()).expect("nothing to do"), 2);
    let audit = [entry("opt_out"), entry("erase")];
    assert_eq!(state.commit(&Commit { audit: &audit, ..Commit::default() }).expect("writable"), 2);
    drop(state);
    let state = State::open_if_present(dir.path(), &key(), "t").expect("free").expect("there");
    let expected = [(1, Change::OptOut { pid: pid(2) }), (1, row(1, 0, 5)), (2, row(3, 0, 5)), (2, row(3, 1, 5))];
    // The order of rows is that of pseudonyms and the state's numbers.
    assert_eq!(all(&state), expected);
    let names: Vec<String> = state.segments().iter().map(|segment| segment.name.to_string()).collect();
    assert_eq!((names.join(" ").as_str(), state.last_sequence()), ("c a", 2));
    assert!(bars(&state).opted_out(pid(2)) && !bars(&state).opted_out(pid(1)));
    let lines = state.audit_lines(1, 9).expect("readable");
    assert_eq!((lines.len(), lines[0].seq, lines[0].what.as_str()), (1, 2, "erase"));
    assert_eq!(state.verify_audit().expect("whole"), 2);
    let mut later = Vec::new();
    let unfolded = state.unfolded(1, Arc::default(), |sequence, _| later.push(sequence)).expect("readable");
    assert_eq!((unfolded.up_to, later, unfolded.bars.opted_out(pid(2))), (2, vec![2, 2], true));
    let verified = state.verify().expect("sound");
    assert_eq!(verified, Verified { batches: 2, changes: 4, tombstones: 1, audit_lines: 2 });
}

#[test]
fn one_process_owns_it_and_says_so() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let state = State::open(dir.path(), &key(), "a test").expect("free");
    let held = |text: &str| match State::open_if_present(dir.path(), &key(), "another") {
        Err(StateError::Held { holder, .. }) => assert_eq!(holder, format!("process {}, {text}", std::process::id())),
        other => panic!("{:?}", other.map(|_| ()).err()),
    };
    held("a test");
    state.announce("a test, listening on 127.0.0.1:8080").expect("writable");
    held("a test, listening on 127.0.0.1:8080");
    drop(state);
    open(dir.path());
}

#[test]
fn another_key_and_a_later_version_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    drop(open(dir.path()));
    let wrong = State::open(dir.path(), &Key::from_bytes([2; 32]), "t").err();
    assert!(matches!(wrong, Some(StateError::WrongKey { .. })), "{wrong:?}");
    let database = Database::open(dir.path().join(STATE_FILE)).expect("free");
    let transaction = database.begin_write().expect("writable");
    put_meta(&transaction, VERSION, &2u32.to_le_bytes()).expect("writable");
    transaction.commit().expect("writable");
    drop(database);
    let newer = State::open(dir.path(), &key(), "t").err();
    assert!(matches!(newer, Some(StateError::Newer { found: 2, known: 1 })), "{newer:?}");
}

/// Memory, of which a test keeps a copy, and which fails from a certain write on.
#[derive(Debug, Clone, Default)]
struct Flawed {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Calls that still succeed; `usize::MAX`: all.
    left: Arc<AtomicUsize>,
}

impl Flawed {
    fn with(bytes: Vec<u8>, left: usize) -> Self {
        Self { bytes: Arc::new(Mutex::new(bytes)), left: Arc::new(AtomicUsize::new(left)) }
    }

    fn spend(&self) -> io::Result<()> {
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
            0 => None,
            usize::MAX => Some(left),
            _ => Some(left - 1),
        });
        spent.map(|_| ()).map_err(|_| io::Error::other("the disk is gone"))
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().expect("no panic").clone()
    }
}

impl StorageBackend for Flawed {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.bytes.lock().expect("no panic").len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let (bytes, from) = (self.bytes.lock().expect("no panic"), offset as usize);
        let found = bytes.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.spend()?;
        self.bytes.lock().expect("no panic").resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.spend()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.spend()?;
        let (mut bytes, from) = (self.bytes.lock().expect("no panic"), offset as usize);
        bytes[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[test]
fn a_failed_commit_poisons_and_what_was_acknowledged_is_there() {
    let mut failed = 0;
    for left in 0..40 {
        let disk = Flawed::with(Vec::new(), usize::MAX);
        let state = State::with_backend(disk.clone(), &key()).expect("a new state");
        commit(&state, &[row(1, 0, 5)]).expect("writable");
        disk.left.store(left, Ordering::Relaxed);
        let second = commit(&state, &[row(2, 0, 5), Change::OptOut { pid: pid(2) }]);
        if second.is_err() {
            failed += 1;
            assert!(state.is_poisoned());
            assert!(matches!(commit(&state, &[row(3, 0, 5)]), Err(StateError::Poisoned)));
            assert!(matches!(state.bars(Arc::default()), Err(StateError::Poisoned)));
        }
        let bytes = disk.bytes();
        drop(state);
        let again = State::with_backend(Flawed::with(bytes, usize::MAX), &key()).expect("recovers");
        let (sequence, opted_out) = (again.last_sequence(), bars(&again).opted_out(pid(2)));
        // What failed may be there or not, but whole.
        assert_eq!(opted_out, sequence == 2);
        assert!(second.is_err() || sequence == 2);
        assert_eq!(all(&again).len() as u64, if sequence == 2 { 3 } else { 1 });
    }
    assert!(failed > 2, "{failed} of 40 commits failed");
}

#[test]
fn a_flipped_byte_is_an_error_or_harmless() {
    let disk = Flawed::with(Vec::new(), usize::MAX);
    let state = State::with_backend(disk.clone(), &key()).expect("a new state");
    for number in 0..50 {
        commit(&state, &[row(number, number % 3, 5), Change::OptOut { pid: pid(number) }]).expect("writable");
    }
    drop(state);
    let (bytes, mut refused) = (disk.bytes(), 0);
    // Every byte of the head, and a sample of the rest.
    for at in (0..512).chain((512..bytes.len()).step_by(997)) {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x10;
        match State::with_backend(Flawed::with(wrong, usize::MAX), &key()) {
            Err(_) => refused += 1,
            Ok(state) => {
                // The last commit may be taken for one that was torn; all before it is whole.
                let sequence = state.last_sequence();
                assert!(sequence >= 49, "byte {at}: {sequence} of 50 batches");
                let out = (0..sequence as u32).filter(|&number| bars(&state).opted_out(pid(number))).count();
                assert_eq!((out as u64, all(&state).len() as u64), (sequence, 2 * sequence), "byte {at}");
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn settling_forgets_what_is_folded_and_no_more() {
    let state = State::with_backend(InMemoryBackend::new(), &key()).expect("a new state");
    let erase = |number| Change::Erase { pid: pid(number), at: Tick::new(9) };
    commit(&state, &[row(1, 0, 5), erase(1)]).expect("writable");
    commit(&state, &[row(2, 0, 5), Change::OptOut { pid: pid(2) }]).expect("writable");
    commit(&state, &[row(3, 0, 5), erase(3)]).expect("writable");
    assert_eq!(state.settle(0).expect("nothing to do"), Settled::default());
    let settled = state.settle(2).expect("writable");
    assert_eq!(settled, Settled { batches: 2, erasures: 1, rewritten: true });
    let left = bars(&state);
    assert_eq!((left.erased(pid(1)), left.erased(pid(3))), (None, Some(Tick::new(9))));
    assert!(left.opted_out(pid(2)), "an opt-out outlives every build");
    assert_eq!(all(&state), [(3, erase(3)), (3, row(3, 0, 5))]);
    assert_eq!(state.settle(2).expect("nothing to do"), Settled::default());
    assert_eq!(commit(&state, &[row(4, 0, 5)]).expect("writable"), 4);
    assert_eq!(state.settle(u64::MAX).expect("writable").batches, 2);
    assert_eq!((all(&state).len(), state.last_sequence()), (0, 4));
}

/// Whether the file holds the pseudonym, either way round.
fn holds(path: &Path, pid: Pid) -> bool {
    let bytes = std::fs::read(path).expect("readable");
    let (forth, mut back) = (pid.to_bytes(), pid.to_bytes());
    back.reverse();
    bytes.windows(forth.len()).any(|window| window == forth || window == back)
}

#[test]
fn the_bytes_of_the_erased_are_gone_from_the_file() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (state, file) = (open(dir.path()), dir.path().join(STATE_FILE));
    let numbers = || 0..3_000u32;
    for first in numbers().step_by(100) {
        let opt_outs = (first..first + 100).filter(|n| n % 3 == 0).map(|n| Change::OptOut { pid: pid(n) });
        let erasures =
            (first..first + 100).filter(|n| n % 3 == 1).map(|n| Change::Erase { pid: pid(n), at: Tick::new(7) });
        let rows = (first..first + 100).map(|n| row(n, n % 3, 5));
        commit(&state, &opt_outs.chain(erasures).chain(rows).collect::<Vec<_>>()).expect("writable");
    }
    state.commit(&Commit { audit: &[entry("erase")], ..Commit::default() }).expect("writable");
    assert!(holds(&file, pid(1)) && holds(&file, pid(0)));
    let settled = state.settle(state.last_sequence()).expect("writable");
    assert_eq!(settled, Settled { batches: 30, erasures: 1_000, rewritten: true });
    let bytes = std::fs::read(&file).expect("readable");
    let found: std::collections::HashSet<&[u8]> = bytes.windows(10).collect();
    let there = |number| found.contains(&pid(number).to_bytes()[..]);
    assert_eq!(numbers().filter(|n| n % 3 != 0 && there(*n)).count(), 0, "rows and erasures are gone");
    assert!(numbers().filter(|n| n % 3 == 0).all(there), "opt-outs are not");
    // It goes on in the new file, and after a restart.
    assert_eq!(commit(&state, &[row(9, 0, 5)]).expect("writable"), 31);
    drop(state);
    let state = open(dir.path());
    assert_eq!((state.last_sequence(), all(&state).len(), state.verify_audit().expect("whole")), (31, 1, 1));
    assert_eq!(state.segments().len(), 3);
    assert!(bars(&state).opted_out(pid(2_997)));
}

#[test]
fn an_interrupted_settlement_is_made_up_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (state, file) = (open(dir.path()), dir.path().join(STATE_FILE));
    commit(&state, &[Change::Erase { pid: pid(1), at: Tick::new(7) }]).expect("writable");
    // A folder in the way of the new file is as good as a crash.
    let stone = dir.path().join(NEW_STATE_FILE).join("stone");
    std::fs::create_dir_all(&stone).expect("writable");
    assert!(state.settle(1).is_err());
    assert!(bars(&state).erased(pid(1)).is_none() && !state.is_poisoned());
    std::fs::remove_dir_all(dir.path().join(NEW_STATE_FILE)).expect("writable");
    assert!(state.settle(1).expect("writable").rewritten);
    assert!(!holds(&file, pid(1)));
    assert_eq!(state.settle(1).expect("nothing to do"), Settled::default());
}

#[test]
fn an_altered_audit_is_noticed() {
    let tamper = |change: fn(&mut redb::Table<'_, u64, &'static [u8]>)| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = open(dir.path());
        for what in ["one", "two", "three"] {
            state.commit(&Commit { audit: &[entry(what)], ..Commit::default() }).expect("writable");
        }
        drop(state);
        let database = Database::open(dir.path().join(STATE_FILE)).expect("free");
        let transaction = database.begin_write().expect("writable");
        change(&mut transaction.open_table(AUDIT).expect("there"));
        transaction.commit().expect("writable");
        drop(database);
        match open(dir.path()).verify_audit() {
            Err(StateError::Audit { line }) => line,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(tamper(|table| _ = table.remove(3).expect("there")), 3);
    assert_eq!(tamper(|table| _ = table.remove(1).expect("there")), 1);
    let swap = |table: &mut redb::Table<'_, u64, &'static [u8]>| {
        let line = table.get(3).expect("readable").expect("there").value().to_vec();
        table.insert(2, &line[..]).expect("writable");
    };
    assert_eq!(tamper(swap), 2);
}

#[test]
fn a_state_that_was_lost_is_not_taken_for_folded() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = Folder::open(dir.path()).expect("an empty folder");
    folder.create().expect("writable");
    for (generation, folded) in [(1, 8), (2, 12)] {
        let manifest = Manifest { generation, folded, ..Manifest::empty(&key()) };
        folder.publish(&manifest_name(generation), &manifest.to_bytes(), true).expect("writable");
    }
    assert_eq!(oldest_folded(&folder).expect("readable"), 8);
    let state = open(dir.path());
    assert_eq!(commit(&state, &[row(1, 0, 5)]).expect("writable"), 13);
}
