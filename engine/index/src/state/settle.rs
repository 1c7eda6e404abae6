//! Forgetting what every kept generation holds, down to the bytes when an erasure is among it.
//!
//! Removing a key leaves its bytes in free pages and in the branches of the tree. So when an erasure is forgotten, the file
//! is written anew and takes the place of the old one by a rename.

use std::sync::PoisonError;

use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};
use serde::Serialize;

use super::file::StateFile;
use super::tombstones::{Tombstone, pid_of};
use super::{
    CHANGES, NAMED, NEW_STATE_FILE, NUMBERED, SCRUB, STATE_FILE, State, TOMBSTONES, damaged, meta, put_meta,
    remove_new, store,
};
use crate::error::StateError;
use crate::id::Pid;
use crate::witness::Step;

/// What a settlement forgot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// Batches of changes.
    pub batches: u64,
    /// Erasures, of which the veils of the generation are left.
    pub erasures: u64,
    /// Whether the file was written anew.
    pub rewritten: bool,
}

impl State {
    /// Forgets the changes and erasures that **every** kept generation holds: those of the batches up to `folded`, which
    /// is the smallest [`Manifest::folded`](crate::Manifest) of the manifests that are there
    /// ([`oldest_folded`](super::oldest_folded)). Opt-outs stay. May be called at any time; what a crash
    /// interrupted is made up for.
    ///
    /// Commits wait while the file is written anew: what is left is little.
    ///
    /// # Errors
    /// When the state cannot be written; when a transaction failed, it is poisoned.
    pub fn settle(&self, folded: u64) -> Result<Settled, StateError> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = {
            let database = self.database()?;
            let begun = database.begin_write().map_err(store("begin"));
            self.written(begun.and_then(|transaction| forget(transaction, folded.min(tail.sequence))))?
        };
        let Some((batches, erasures, scrub)) = forgotten else { return Ok(Settled::default()) };
        if scrub {
            self.rewrite()?;
        }
        Ok(Settled { batches, erasures, rewritten: scrub })
    }

    /// Copies what is kept into a new file. Until the rename the old one stays in force.
    fn rewrite(&self) -> Result<(), StateError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let Some((folder, _)) = &self.home else {
            // Storage without a name: nothing to rename. The tables are made anew, and the space is given back.
            self.written(renew_tombstones(&database))?;
            database.compact().map_err(store("compact"))?;
            return Ok(());
        };
        // What an attempt that failed left is not to be copied over: it may hold what is forgotten by now.
        remove_new(folder)?;
        let copied =
            StateFile::open(folder, NEW_STATE_FILE).and_then(super::database).and_then(|to| copy(&database, to));
        if copied.is_err() {
            // On a full disk somebody else needs its space. The error to tell is the first one.
            _ = remove_new(folder);
        }
        let fresh = copied?;
        let path = folder.join(STATE_FILE);
        std::fs::rename(folder.join(NEW_STATE_FILE), &path)
            .map_err(crate::error::FileError::new("rename to", &path))?;
        folder.show(Step::Renamed { from: NEW_STATE_FILE, to: STATE_FILE });
        *database = fresh;
        // From here on the new file is the state: a rename that may not last poisons.
        self.written(folder.sync().map_err(StateError::from))
    }
}

/// Forgets what is folded. Returns how many batches and erasures, and whether their bytes are still to be removed;
/// `None`: there was nothing to do.
fn forget(mut transaction: WriteTransaction, folded: u64) -> Result<Option<(u64, u64, bool)>, StateError> {
    let (mut batches, mut erasures) = (0, 0);
    {
        let mut table = transaction.open_table(CHANGES).map_err(store("open a table of"))?;
        let mut count = |_, _: &[u8]| {
            batches += 1;
            false
        };
        table.retain_in(..=folded, &mut count).map_err(store("write"))?;
        let mut table = transaction.open_table(TOMBSTONES).map_err(store("open a table of"))?;
        for (pid, settled) in to_settle(&table, folded)? {
            erasures += 1;
            match settled {
                Some(left) => table.insert(&pid.to_bytes()[..], &left.to_bytes()[..]).map(|_| ()),
                None => table.remove(&pid.to_bytes()[..]).map(|_| ()),
            }
            .map_err(store("write"))?;
        }
    }
    let interrupted = meta(&transaction, SCRUB)?.is_some();
    if erasures > 0 {
        put_meta(&transaction, SCRUB, &[1])?;
    }
    if batches + erasures == 0 {
        transaction.abort().map_err(store("abort a commit to"))?;
        return Ok(interrupted.then_some((0, 0, true)));
    }
    // A second flush, but not for acknowledgements: an unclean opening after it does not walk the file.
    transaction.set_quick_repair(true);
    transaction.commit().map_err(store("commit to"))?;
    Ok(Some((batches, erasures, interrupted || erasures > 0)))
}

type Tombstones<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

/// The tombstones that change, and what is left of each.
fn to_settle(table: &Tombstones<'_>, folded: u64) -> Result<Vec<(Pid, Option<Tombstone>)>, StateError> {
    let mut found = Vec::new();
    for item in table.iter().map_err(store("read"))? {
        let (pid, bytes) = item.map_err(store("read"))?;
        let read = pid_of(pid.value()).zip(Tombstone::read(bytes.value()));
        let (pid, tombstone) = read.ok_or_else(|| damaged("a tombstone"))?;
        let settled = tombstone.settled(folded);
        if settled != Some(tombstone) {
            found.push((pid, settled));
        }
    }
    Ok(found)
}

/// Copies every table, but for the mark that this was to be done.
fn copy(from: &Database, to: Database) -> Result<Database, StateError> {
    let (from, into) = (from.begin_read().map_err(store("begin"))?, to.begin_write().map_err(store("begin"))?);
    for table in NUMBERED {
        let old = from.open_table(table).map_err(store("open a table of"))?;
        let mut new = into.open_table(table).map_err(store("open a table of"))?;
        for item in old.iter().map_err(store("read"))? {
            let (key, value) = item.map_err(store("read"))?;
            new.insert(key.value(), value.value()).map_err(store("write"))?;
        }
    }
    for table in NAMED {
        let old = from.open_table(table).map_err(store("open a table of"))?;
        let mut new = into.open_table(table).map_err(store("open a table of"))?;
        for item in old.iter().map_err(store("read"))? {
            let (key, value) = item.map_err(store("read"))?;
            if key.value() != SCRUB {
                new.insert(key.value(), value.value()).map_err(store("write"))?;
            }
        }
    }
    into.commit().map_err(store("commit to"))?;
    Ok(to)
}

/// Makes the one table anew whose keys are pseudonyms.
fn renew_tombstones(database: &Database) -> Result<(), StateError> {
    let transaction = database.begin_write().map_err(store("begin"))?;
    let mut kept: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    {
        let table = transaction.open_table(TOMBSTONES).map_err(store("open a table of"))?;
        for item in table.iter().map_err(store("read"))? {
            let (key, value) = item.map_err(store("read"))?;
            kept.push((key.value().to_vec(), value.value().to_vec()));
        }
    }
    transaction.delete_table(TOMBSTONES).map_err(store("write"))?;
    {
        let mut table = transaction.open_table(TOMBSTONES).map_err(store("open a table of"))?;
        for (key, value) in &kept {
            table.insert(&key[..], &value[..]).map_err(store("write"))?;
        }
        let mut table = transaction.open_table(super::META).map_err(store("open a table of"))?;
        table.remove(SCRUB).map_err(store("write"))?;
    }
    transaction.commit().map_err(store("commit to"))
}
