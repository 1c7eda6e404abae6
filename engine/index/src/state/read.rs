//! Reading: changes in order, who must stay out, and the audit.

use std::sync::{Arc, PoisonError};

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use serde::Serialize;

use super::audit::{self, AuditLine, Head};
use super::tombstones::{Tombstone, pid_of};
use super::{AUDIT, AUDIT_HEAD, CHANGES, META, SEQUENCE, State, TOMBSTONES, batch, damaged, store};
use crate::bars::Bars;
use crate::change::Change;
use crate::error::StateError;
use crate::veils::Veils;

/// The state at one instant, beside its changes.
#[derive(Debug, Clone)]
pub struct Unfolded {
    /// The last batch of that instant.
    pub up_to: u64,
    /// Who must stay out then.
    pub bars: Bars,
}

/// What a whole check of the state went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Batches that no settlement has forgotten.
    pub batches: u64,
    /// Changes in them.
    pub changes: u64,
    /// Visitors who opted out or whose erasure is not folded yet.
    pub tombstones: u64,
    /// Lines of the audit.
    pub audit_lines: u64,
}

impl State {
    /// Calls `each` with every change of the batches after `after`, up to `up_to`, with the number of its batch. Segments are
    /// numbers of [`State::segments`] as it is afterwards.
    ///
    /// # Errors
    /// When a batch cannot be read or is damaged.
    pub fn changes(&self, after: u64, up_to: u64, each: impl FnMut(u64, Change)) -> Result<(), StateError> {
        self.changes_of(&self.begin_read()?, after, up_to, each)
    }

    /// Who must stay out now.
    ///
    /// # Errors
    /// When the state cannot be read or is damaged.
    pub fn bars(&self, veils: Arc<Veils>) -> Result<Bars, StateError> {
        bars_of(&self.begin_read()?, veils)
    }

    /// The changes after `after`, and who must stay out, at one instant: what images that hold the batches up to `after` lack.
    ///
    /// # Errors
    /// When the state cannot be read or is damaged.
    pub fn unfolded(
        &self,
        after: u64,
        veils: Arc<Veils>,
        each: impl FnMut(u64, Change),
    ) -> Result<Unfolded, StateError> {
        let transaction = self.begin_read()?;
        let up_to = meta(&transaction, SEQUENCE)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let up_to = up_to.ok_or_else(|| damaged("the last number"))?;
        self.changes_of(&transaction, after, up_to, each)?;
        Ok(Unfolded { up_to, bars: bars_of(&transaction, veils)? })
    }

    /// The lines of the audit after number `after`, `limit` at most.
    ///
    /// # Errors
    /// When the state cannot be read or a line is damaged. The chain is not looked at.
    pub fn audit_lines(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, StateError> {
        let table = self.begin_read()?.open_table(AUDIT).map_err(store("open a table of"))?;
        let lines = table.range(after.saturating_add(1)..).map_err(store("read"))?;
        let read = |item: Result<(_, redb::AccessGuard<'_, &[u8]>), _>| {
            let (_, bytes) = item.map_err(store("read"))?;
            audit::read(bytes.value()).ok_or_else(|| damaged("a line of the audit"))
        };
        lines.take(limit).map(read).collect()
    }

    /// Follows the audit's chain from its first line to its head. Returns the number of lines.
    ///
    /// # Errors
    /// [`StateError::Audit`] with the first line that does not follow, or is missing.
    pub fn verify_audit(&self) -> Result<u64, StateError> {
        let transaction = self.begin_read()?;
        let table = transaction.open_table(AUDIT).map_err(store("open a table of"))?;
        let mut head = Head::START;
        for item in table.iter().map_err(store("read"))? {
            let (number, bytes) = item.map_err(store("read"))?;
            let next = self.chain.follow(head, bytes.value()).filter(|next| next.seq == number.value());
            head = next.ok_or(StateError::Audit { line: head.seq + 1 })?;
        }
        let kept = meta(&transaction, AUDIT_HEAD)?.and_then(|bytes| self.chain.open(&bytes));
        if kept == Some(head) { Ok(head.seq) } else { Err(StateError::Audit { line: head.seq + 1 }) }
    }

    /// Reads everything, and follows the audit's chain.
    ///
    /// # Errors
    /// At the first damage.
    pub fn verify(&self) -> Result<Verified, StateError> {
        let audit_lines = self.verify_audit()?;
        let transaction = self.begin_read()?;
        let (mut changes, mut tombstones) = (0, 0);
        self.changes_of(&transaction, 0, u64::MAX, |_, _| changes += 1)?;
        each_tombstone(&transaction, |_, _| tombstones += 1)?;
        let table = transaction.open_table(CHANGES).map_err(store("open a table of"))?;
        let batches = redb::ReadableTableMetadata::len(&table).map_err(store("read"))?;
        Ok(Verified { batches, changes, tombstones, audit_lines })
    }

    /// Bytes of the batches after `after`.
    pub(super) fn bytes_after(&self, after: u64) -> Result<u64, StateError> {
        let table = self.begin_read()?.open_table(CHANGES).map_err(store("open a table of"))?;
        let mut bytes = 0;
        for item in table.range(after.saturating_add(1)..).map_err(store("read"))? {
            bytes += item.map_err(store("read"))?.1.value().len() as u64;
        }
        Ok(bytes)
    }

    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StateError> {
        self.database()?.begin_read().map_err(store("begin"))
    }

    fn changes_of(
        &self,
        transaction: &ReadTransaction,
        after: u64,
        up_to: u64,
        mut each: impl FnMut(u64, Change),
    ) -> Result<(), StateError> {
        if after >= up_to {
            return Ok(());
        }
        let table = transaction.open_table(CHANGES).map_err(store("open a table of"))?;
        for item in table.range(after + 1..=up_to).map_err(store("read"))? {
            let (number, bytes) = item.map_err(store("read"))?;
            let number = number.value();
            // Names are in memory before their batch is committed.
            let segments = self.names.read().unwrap_or_else(PoisonError::into_inner).len();
            let read = batch::decode(bytes.value(), segments, |change| each(number, change));
            read.ok_or_else(|| damaged(&format!("batch {number}")))?;
        }
        Ok(())
    }
}

fn bars_of(transaction: &ReadTransaction, veils: Arc<Veils>) -> Result<Bars, StateError> {
    let mut bars = Bars::new(veils);
    each_tombstone(transaction, |pid, tombstone| tombstone.apply(pid, &mut bars))?;
    Ok(bars)
}

fn each_tombstone(
    transaction: &ReadTransaction,
    mut each: impl FnMut(crate::id::Pid, Tombstone),
) -> Result<(), StateError> {
    let table = transaction.open_table(TOMBSTONES).map_err(store("open a table of"))?;
    for item in table.iter().map_err(store("read"))? {
        let (pid, bytes) = item.map_err(store("read"))?;
        let read = pid_of(pid.value()).zip(Tombstone::read(bytes.value()));
        let (pid, tombstone) = read.ok_or_else(|| damaged("a tombstone"))?;
        each(pid, tombstone);
    }
    Ok(())
}

fn meta(transaction: &ReadTransaction, name: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
    let table = transaction.open_table(META).map_err(store("open a table of"))?;
    let value = table.get(name).map_err(store("read"))?;
    Ok(value.map(|value| value.value().to_vec()))
}
