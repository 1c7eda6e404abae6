//! The live state: what changed since the images, who must stay out, and the audit, in one file that one process owns.
//!
//! [`State::commit`] is one transaction and one flush: when it returns, the changes survive a power cut. When it fails,
//! nobody knows what the disk holds, so the state is *poisoned*: every later call fails, and the process should end.
//!
//! Batches are numbered; a manifest says up to which one its images hold ([`Manifest::folded`]), and
//! [`State::settle`] forgets what every generation holds that is kept.

mod audit;
mod batch;
mod commit;
mod file;
mod lock;
mod read;
mod settle;
mod shelf;
#[cfg(test)]
mod tests;
mod tombstones;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use redb::{Builder, Database, ReadableTable, StorageBackend, TableDefinition, WriteTransaction};

use crate::error::{FileError, StateError};
use crate::files::{Folder, NamedLock, manifest_name};
use crate::manifest::Manifest;
use crate::pseudonym::Key;
use crate::segments::Segment;
use crate::witness::Step;

pub use audit::{AuditEntry, AuditLine};
pub use batch::BATCH_VERSION;
pub use commit::{Commit, MAX_COMMIT_CHANGES};
pub use read::{Unfolded, Verified};
pub use settle::Settled;
pub use shelf::{MAX_KEY_BYTES, MAX_RECORD_BYTES, Record, Shelf};

use audit::{Chain, Head};
use commit::Names;
use file::StateFile;

/// The version of the state that is written here, and the newest that is read.
pub const STATE_VERSION: u32 = 1;
/// The file in the data folder.
pub const STATE_FILE: &str = "state.redb";
/// The file that becomes it when it is written anew.
const NEW_STATE_FILE: &str = "state.redb.new";
/// Bytes of pages that are kept in memory.
const CACHE_BYTES: usize = 16 << 20;

type Numbered = TableDefinition<'static, u64, &'static [u8]>;
type Named = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Sequence to batch.
const CHANGES: Numbered = TableDefinition::new("changes");
/// Number to segment and source.
const SEGMENTS: Numbered = TableDefinition::new("segments");
/// Number to line.
const AUDIT: Numbered = TableDefinition::new("audit");
/// Pseudonym to opt-out and erasure.
const TOMBSTONES: Named = TableDefinition::new("tombstones");
/// Name to audience.
const AUDIENCES: Named = TableDefinition::new("audiences");
/// Name to model.
const MODELS: Named = TableDefinition::new("models");
/// Name to its sizes by day.
const TREND: Named = TableDefinition::new("trend");
/// What is said of the state as a whole.
const META: Named = TableDefinition::new("meta");
/// Every table whose keys are numbers.
const NUMBERED: [Numbered; 3] = [CHANGES, SEGMENTS, AUDIT];
/// Every table whose keys are bytes.
const NAMED: [Named; 5] = [TOMBSTONES, AUDIENCES, MODELS, TREND, META];

/// In `meta`: [`STATE_VERSION`].
const VERSION: &[u8] = b"version";
/// In `meta`: what recognises the key.
const KEY_CHECK: &[u8] = b"key";
/// In `meta`: the number of the last batch.
const SEQUENCE: &[u8] = b"sequence";
/// In `meta`: the sealed head of the audit.
const AUDIT_HEAD: &[u8] = b"audit";
/// In `meta`: the digest of the charter that the audit knows; nothing for the one of development.
const CHARTER: &[u8] = b"charter";
/// In `meta`, while erased bytes may still stand in free pages: the file is to be written anew.
const SCRUB: &[u8] = b"scrub";

/// The live state. All methods may be called from any thread; one commits at a time.
pub struct State {
    database: RwLock<Database>,
    /// What the next commit follows. Held for as long as a commit lasts.
    tail: Mutex<Tail>,
    names: RwLock<Names>,
    sequence: AtomicU64,
    /// See [`State::taken_bytes`].
    taken: AtomicU64,
    poisoned: AtomicBool,
    chain: Chain,
    /// The folder of a state in a file, and the right to it.
    home: Option<(Folder, NamedLock)>,
}

/// What an opening expects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// Perhaps nothing: then a new state is made.
    Empty,
    /// A state: a file gets its name only when it is one. Nothing there means that everything was lost.
    Made,
}

/// Where batches and audit end.
#[derive(Clone, Copy)]
struct Tail {
    sequence: u64,
    head: Head,
}

impl State {
    /// Opens the state of an index, or makes an empty one. `holder` is what others are told who ask for it meanwhile, such as
    /// `usher-loader build`. A crash before needs no other care; the whole file is checked, some 0.3 s a GB.
    ///
    /// # Errors
    /// [`StateError::Held`] when another process owns it; when the key is another's, it is newer or damaged, or the folder
    /// cannot be written.
    pub fn open(path: &Path, key: &Key, holder: &str) -> Result<Self, StateError> {
        Self::open_in(&Folder::open(path)?, key, holder)
    }

    /// [`State::open`] of a folder that is open.
    ///
    /// # Errors
    /// As [`State::open`].
    pub fn open_in(folder: &Folder, key: &Key, holder: &str) -> Result<Self, StateError> {
        folder.create()?;
        let lock = lock::take(folder, holder)?;
        remove_new(folder)?;
        if !folder.join(STATE_FILE).exists() {
            make(folder, key)?;
        }
        let file = StateFile::open(folder, STATE_FILE)?;
        let state = Self::over(file, key, Some((folder.clone(), lock)), Begin::Made)?;
        let folded = newest_folded(folder)?;
        state.pass(folded)?;
        state.taken.store(state.bytes_after(folded)?, Ordering::Release);
        Ok(state)
    }

    /// [`State::open`], if there is one.
    ///
    /// # Errors
    /// As [`State::open`].
    pub fn open_if_present(path: &Path, key: &Key, holder: &str) -> Result<Option<Self>, StateError> {
        let present = path.join(STATE_FILE).exists();
        present.then(|| Self::open(path, key, holder)).transpose()
    }

    /// The state over any storage, for tests: memory, or a disk that fails.
    ///
    /// # Errors
    /// As [`State::open`].
    pub fn with_backend(backend: impl StorageBackend, key: &Key) -> Result<Self, StateError> {
        Self::over(backend, key, None, Begin::Empty)
    }

    fn over(
        backend: impl StorageBackend,
        key: &Key,
        home: Option<(Folder, NamedLock)>,
        from: Begin,
    ) -> Result<Self, StateError> {
        let database = database(backend)?;
        let chain = Chain::new(key);
        let transaction = database.begin_write().map_err(store("begin"))?;
        let tail = begin(&transaction, key, &chain, from)?;
        let names = Names::read(&transaction)?;
        transaction.commit().map_err(store("commit to"))?;
        Ok(Self {
            database: RwLock::new(database),
            tail: Mutex::new(tail),
            names: RwLock::new(names),
            sequence: AtomicU64::new(tail.sequence),
            taken: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
            chain,
            home,
        })
    }

    /// Changes what others are told who ask for the state meanwhile.
    ///
    /// # Errors
    /// When the lock's file cannot be written.
    pub fn announce(&self, holder: &str) -> Result<(), StateError> {
        self.home.as_ref().map_or(Ok(()), |(_, lock)| Ok(lock.announce(holder)?))
    }

    /// The number of the last batch; 0 before the first.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Bytes of the batches that have come since it was opened, and of those that no generation held then. It only grows;
    /// what it was when a build read the state is what that build folds.
    #[must_use]
    pub fn taken_bytes(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// The segments behind the numbers of committed rows, by number. It only grows.
    #[must_use]
    pub fn segments(&self) -> Arc<Vec<Segment>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).segments()
    }

    /// Whether a commit failed: nothing more is taken.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// The database, unless a commit failed.
    fn database(&self) -> Result<RwLockReadGuard<'_, Database>, StateError> {
        if self.is_poisoned() {
            return Err(StateError::Poisoned);
        }
        Ok(self.database.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What came of a write: a failure poisons.
    fn written<T>(&self, result: Result<T, StateError>) -> Result<T, StateError> {
        if result.is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
        result
    }

    /// Numbers batches from beyond what a generation holds, so that a state that was lost and begins anew is not taken for
    /// folded.
    fn pass(&self, folded: u64) -> Result<(), StateError> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.sequence >= folded {
            return Ok(());
        }
        let database = self.database()?;
        let transaction = database.begin_write().map_err(store("begin"))?;
        put_meta(&transaction, SEQUENCE, &folded.to_le_bytes())?;
        self.written(transaction.commit().map_err(store("commit to")))?;
        tail.sequence = folded;
        self.sequence.store(folded, Ordering::Release);
        Ok(())
    }
}

/// Removes what was to become the state, if something is left of it.
fn remove_new(folder: &Folder) -> Result<(), FileError> {
    let left = folder.join(NEW_STATE_FILE);
    match std::fs::remove_file(&left) {
        Ok(()) => folder.show(Step::Removed { file: NEW_STATE_FILE }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(FileError::new("remove", &left)(error)),
    }
    Ok(())
}

/// Makes an empty state under another name first: a crash leaves none, or a whole one.
fn make(folder: &Folder, key: &Key) -> Result<(), StateError> {
    drop(State::over(StateFile::open(folder, NEW_STATE_FILE)?, key, None, Begin::Empty)?);
    let path = folder.join(STATE_FILE);
    std::fs::rename(folder.join(NEW_STATE_FILE), &path).map_err(FileError::new("rename to", &path))?;
    folder.show(Step::Renamed { from: NEW_STATE_FILE, to: STATE_FILE });
    Ok(folder.sync()?)
}

/// The last batch that every generation of the folder holds, as far as their manifests can be read; 0 when there is none.
///
/// # Errors
/// When the folder cannot be read.
pub fn oldest_folded(folder: &Folder) -> Result<u64, FileError> {
    Ok(folded(folder)?.min().unwrap_or(0))
}

/// The last batch that any generation of the folder holds.
fn newest_folded(folder: &Folder) -> Result<u64, FileError> {
    Ok(folded(folder)?.max().unwrap_or(0))
}

fn folded(folder: &Folder) -> Result<impl Iterator<Item = u64>, FileError> {
    let read = |generation: u64| {
        let bytes = std::fs::read(folder.join(&manifest_name(generation))).ok()?;
        Manifest::read("", &bytes).ok().map(|manifest| manifest.folded)
    };
    Ok(folder.generations()?.into_iter().filter_map(read))
}

/// Opens a database and checks every page of it; bytes of which no database is made are no panic but an error.
fn database(backend: impl StorageBackend) -> Result<Database, StateError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder.create_with_backend(backend).map_err(store("open"))
}

/// Makes the tables of a new state, or checks whose and of which version it is.
fn begin(transaction: &WriteTransaction, key: &Key, chain: &Chain, from: Begin) -> Result<Tail, StateError> {
    for table in NUMBERED {
        transaction.open_table(table).map_err(store("open a table of"))?;
    }
    for table in NAMED {
        transaction.open_table(table).map_err(store("open a table of"))?;
    }
    let check = key.check_value();
    let Some(version) = meta(transaction, VERSION)? else {
        if from == Begin::Made {
            return Err(damaged("the file is empty"));
        }
        put_meta(transaction, VERSION, &STATE_VERSION.to_le_bytes())?;
        put_meta(transaction, KEY_CHECK, check.as_bytes())?;
        put_meta(transaction, SEQUENCE, &0u64.to_le_bytes())?;
        put_meta(transaction, AUDIT_HEAD, &chain.seal(Head::START))?;
        return Ok(Tail { sequence: 0, head: Head::START });
    };
    match version.try_into().map(u32::from_le_bytes) {
        Ok(STATE_VERSION) => {}
        Ok(found) if found > STATE_VERSION => return Err(StateError::Newer { found, known: STATE_VERSION }),
        _ => return Err(damaged("the version")),
    }
    let found = meta(transaction, KEY_CHECK)?.ok_or_else(|| damaged("the key's check value"))?;
    if found != check.as_bytes() {
        return Err(StateError::WrongKey { expected: String::from_utf8_lossy(&found).into_owned(), found: check });
    }
    let sequence = meta(transaction, SEQUENCE)?.and_then(|bytes| bytes.try_into().ok());
    let head = meta(transaction, AUDIT_HEAD)?.and_then(|bytes| chain.open(&bytes));
    Ok(Tail {
        sequence: u64::from_le_bytes(sequence.ok_or_else(|| damaged("the last number"))?),
        head: head.ok_or_else(|| damaged("the head of the audit"))?,
    })
}

fn meta(transaction: &WriteTransaction, name: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
    let table = transaction.open_table(META).map_err(store("open a table of"))?;
    let value = table.get(name).map_err(store("read"))?;
    Ok(value.map(|value| value.value().to_vec()))
}

fn put_meta(transaction: &WriteTransaction, name: &[u8], value: &[u8]) -> Result<(), StateError> {
    let mut table = transaction.open_table(META).map_err(store("open a table of"))?;
    table.insert(name, value).map_err(store("write"))?;
    Ok(())
}

/// For `map_err`: what could not be done to the state. Damage that the store saw is damage.
fn store<E: Into<redb::Error>>(doing: &'static str) -> impl FnOnce(E) -> StateError {
    move |error| match error.into() {
        redb::Error::Corrupted(what) => StateError::Damaged { what },
        source => StateError::Store { doing, source: Box::new(source) },
    }
}

fn damaged(what: &str) -> StateError {
    StateError::Damaged { what: what.to_owned() }
}
