//! Writing: a batch of changes, the names it needs and its lines of audit, all or nothing.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use redb::{Durability, ReadableTable, WriteTransaction};

use super::audit::{AuditEntry, Head};
use super::shelf::{self, Record};
use super::{
    AUDIT, AUDIT_HEAD, CHANGES, CHARTER, SEGMENTS, SEQUENCE, State, TOMBSTONES, Tail, batch, damaged, meta, put_meta,
    store, tombstones,
};
use crate::bytes::{Cursor, put_text};
use crate::change::Change;
use crate::error::StateError;
use crate::segments::{MAX_SEGMENT_BYTES, Segment};

/// The most changes of one commit: some 20 MiB of them.
pub const MAX_COMMIT_CHANGES: usize = 1 << 20;

/// What is written at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Commit<'a> {
    /// What changed, in order. Of opt-outs, revocations and erasures the order counts, of rows it does not.
    pub changes: &'a [Change],
    /// The segments behind the numbers of the rows, by number. Any table will do: the state has numbers of its own.
    pub segments: &'a [Segment],
    /// What is to be remembered of it.
    pub audit: &'a [AuditEntry],
    /// What is put on the shelves, or taken from them, in order.
    pub records: &'a [Record],
}

/// The state's own numbers of segments.
#[derive(Default)]
pub(super) struct Names {
    segments: Arc<Vec<Segment>>,
    numbers: HashMap<Segment, u32>,
}

impl Names {
    pub(super) fn read(transaction: &WriteTransaction) -> Result<Self, StateError> {
        let table = transaction.open_table(SEGMENTS).map_err(store("open a table of"))?;
        let mut names = Self::default();
        for item in table.iter().map_err(store("read"))? {
            let (number, bytes) = item.map_err(store("read"))?;
            let segment = read_segment(bytes.value()).filter(|_| number.value() == names.segments.len() as u64);
            names.number(&segment.ok_or_else(|| damaged("the name of a segment"))?);
        }
        Ok(names)
    }

    pub(super) fn segments(&self) -> Arc<Vec<Segment>> {
        Arc::clone(&self.segments)
    }

    pub(super) fn len(&self) -> u32 {
        self.segments.len() as u32
    }

    /// The number of a segment, and whether it is new. The same name of another source is another segment here: sources
    /// change hands with the charter.
    fn number(&mut self, segment: &Segment) -> (u32, bool) {
        if let Some(&number) = self.numbers.get(segment) {
            return (number, false);
        }
        // 2^32 distinct names would need a terabyte of names first.
        let number = self.segments.len() as u32;
        Arc::make_mut(&mut self.segments).push(segment.clone());
        self.numbers.insert(segment.clone(), number);
        (number, true)
    }
}

fn read_segment(bytes: &[u8]) -> Option<Segment> {
    let mut cursor = Cursor::new(bytes);
    let (name, source) = (cursor.text()?, cursor.text()?);
    let sound = cursor.rest().is_empty() && (1..=MAX_SEGMENT_BYTES).contains(&name.len());
    sound.then(|| Segment { name: name.into(), source: source.into() })
}

impl State {
    /// Writes a batch: one transaction, one flush; two when a visitor's wish or a line of the audit is in it. Returns its number; that of the last batch when there are no changes.
    ///
    /// # Errors
    /// When it cannot be written: then the state is poisoned. [`StateError::Bound`] for more than [`MAX_COMMIT_CHANGES`], or a
    /// record beyond its bounds; then it is as before.
    ///
    /// # Panics
    /// When a row's segment is not in the table that came with it.
    pub fn commit(&self, commit: &Commit<'_>) -> Result<u64, StateError> {
        let (found, bound) = (commit.changes.len(), MAX_COMMIT_CHANGES);
        if found > bound {
            return Err(StateError::Bound { what: "changes of one commit", found: found as u64, bound: bound as u64 });
        }
        commit.records.iter().try_for_each(Record::check)?;
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if commit.changes.is_empty() && commit.audit.is_empty() && commit.records.is_empty() {
            return self.database().map(|_| tail.sequence);
        }
        let database = self.database()?;
        let begun = database.begin_write().map_err(store("begin"));
        let written = begun.and_then(|transaction| self.write(transaction, commit, *tail));
        *tail = self.written(written)?;
        self.sequence.store(tail.sequence, Ordering::Release);
        Ok(tail.sequence)
    }

    /// Remembers the charter in force: `entry` becomes a line of the audit when it is another than the one that was
    /// remembered last. An index begins with the charter of development, `None`. Returns whether there is a line.
    ///
    /// # Errors
    /// When it cannot be written: then the state is poisoned.
    pub fn note_charter(&self, digest: Option<&str>, entry: &AuditEntry) -> Result<bool, StateError> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let database = self.database()?;
        let begun = database.begin_write().map_err(store("begin"));
        let noted = begun.and_then(|mut transaction| {
            let digest = digest.unwrap_or("").as_bytes();
            if meta(&transaction, CHARTER)?.unwrap_or_default() == digest {
                transaction.abort().map_err(store("abort a commit to"))?;
                return Ok(None);
            }
            transaction.set_two_phase_commit(true);
            put_meta(&transaction, CHARTER, digest)?;
            let head = self.append(&transaction, tail.head, std::slice::from_ref(entry))?;
            transaction.commit().map_err(store("commit to"))?;
            Ok(Some(head))
        });
        let noted = self.written(noted)?;
        tail.head = noted.unwrap_or(tail.head);
        Ok(noted.is_some())
    }

    /// Appends lines to the audit. Returns its head after them.
    fn append(&self, transaction: &WriteTransaction, mut head: Head, audit: &[AuditEntry]) -> Result<Head, StateError> {
        let mut table = transaction.open_table(AUDIT).map_err(store("open a table of"))?;
        for entry in audit {
            let (next, bytes) = self.chain.append(head, entry);
            table.insert(next.seq, &bytes[..]).map_err(store("write"))?;
            head = next;
        }
        put_meta(transaction, AUDIT_HEAD, &self.chain.seal(head))?;
        Ok(head)
    }

    /// One transaction. Nothing in memory but names is changed: a name too many does no harm.
    fn write(
        &self,
        mut transaction: WriteTransaction,
        commit: &Commit<'_>,
        mut tail: Tail,
    ) -> Result<Tail, StateError> {
        // One flush. A crash before the next settlement costs a walk through the file, which settlements keep short.
        transaction.set_durability(Durability::Immediate).map_err(store("prepare a commit to"))?;
        // With one flush, damage to the last commit after a sudden end cannot be told from a commit that was torn, and would
        // take it back without a word. A visitor's wish, and what is to be remembered, get the second flush that makes it tell.
        let of_rows =
            commit.audit.is_empty() && commit.changes.iter().all(|change| matches!(change, Change::Row { .. }));
        transaction.set_two_phase_commit(!of_rows);
        if !commit.changes.is_empty() {
            tail.sequence += 1;
            let changes = self.numbered(&transaction, commit)?;
            let bytes = batch::encode(&changes);
            let mut table = transaction.open_table(CHANGES).map_err(store("open a table of"))?;
            table.insert(tail.sequence, &bytes[..]).map_err(store("write"))?;
            // A batch too many, when it fails, does no harm.
            self.taken.fetch_add(bytes.len() as u64, Ordering::AcqRel);
            let mut table = transaction.open_table(TOMBSTONES).map_err(store("open a table of"))?;
            for change in changes {
                let applied = tombstones::apply(&mut table, change, tail.sequence).map_err(store("write"))?;
                applied.ok_or_else(|| damaged("a tombstone"))?;
            }
            put_meta(&transaction, SEQUENCE, &tail.sequence.to_le_bytes())?;
        }
        if !commit.audit.is_empty() {
            tail.head = self.append(&transaction, tail.head, commit.audit)?;
        }
        shelf::write(&transaction, commit.records)?;
        transaction.commit().map_err(store("commit to"))?;
        Ok(tail)
    }

    /// The changes with the state's own numbers; writes the names that are new.
    fn numbered(&self, transaction: &WriteTransaction, commit: &Commit<'_>) -> Result<Vec<Change>, StateError> {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let mut table = transaction.open_table(SEGMENTS).map_err(store("open a table of"))?;
        let mut known: HashMap<u32, u32> = HashMap::new();
        let mut changes = Vec::with_capacity(commit.changes.len());
        for &change in commit.changes {
            let Change::Row { pid, segment, entry } = change else {
                changes.push(change);
                continue;
            };
            let number = match known.get(&segment) {
                Some(&number) => number,
                None => {
                    let named = &commit.segments[segment as usize];
                    let (number, fresh) = names.number(named);
                    if fresh {
                        let mut bytes = Vec::new();
                        put_text(&mut bytes, &named.name);
                        put_text(&mut bytes, &named.source);
                        table.insert(u64::from(number), &bytes[..]).map_err(store("write"))?;
                    }
                    known.insert(segment, number);
                    number
                }
            };
            changes.push(Change::Row { pid, segment: number, entry });
        }
        Ok(changes)
    }
}
