//! What planners keep beside memberships: audiences, models, sizes by day. Records have a name and bytes into which the state
//! does not look.

use redb::{ReadableTable, WriteTransaction};

use super::{AUDIENCES, MODELS, Named, State, TREND, damaged, store};
use crate::error::StateError;

/// Bytes of a record's name.
pub const MAX_KEY_BYTES: usize = 512;
/// Bytes of a record.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// Named expressions.
    Audiences,
    /// What lookalikes were drawn from.
    Models,
    /// Sizes by day.
    Trend,
}

/// A record that is put on its shelf, in place of the one of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where.
    pub shelf: Shelf,
    /// Its name there, 1 to [`MAX_KEY_BYTES`] long.
    pub key: String,
    /// Its bytes, [`MAX_RECORD_BYTES`] at most; `None` takes it away.
    pub value: Option<Vec<u8>>,
}

impl Shelf {
    fn table(self) -> Named {
        match self {
            Self::Audiences => AUDIENCES,
            Self::Models => MODELS,
            Self::Trend => TREND,
        }
    }
}

impl Record {
    pub(super) fn check(&self) -> Result<(), StateError> {
        let bytes = self.value.as_ref().map_or(0, Vec::len);
        let (what, found, bound) = match self.key.len() {
            0 => ("bytes of a record's name, which has at least one", 0, MAX_KEY_BYTES),
            key if key > MAX_KEY_BYTES => ("bytes of a record's name", key, MAX_KEY_BYTES),
            _ if bytes > MAX_RECORD_BYTES => ("bytes of a record", bytes, MAX_RECORD_BYTES),
            _ => return Ok(()),
        };
        Err(StateError::Bound { what, found: found as u64, bound: bound as u64 })
    }
}

impl State {
    /// Every record of a shelf, by the UTF-8 bytes of their names.
    ///
    /// # Errors
    /// When the state cannot be read or a name is damaged.
    pub fn records(&self, shelf: Shelf) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        let table = self.begin_read()?.open_table(shelf.table()).map_err(store("open a table of"))?;
        let mut records = Vec::new();
        for item in table.iter().map_err(store("read"))? {
            let (key, value) = item.map_err(store("read"))?;
            let key = str::from_utf8(key.value()).map_err(|_| damaged("the name of a record"))?;
            records.push((key.to_owned(), value.value().to_vec()));
        }
        Ok(records)
    }

    /// One record; `None` when there is none of the name.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn record(&self, shelf: Shelf, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let table = self.begin_read()?.open_table(shelf.table()).map_err(store("open a table of"))?;
        let value = table.get(key.as_bytes()).map_err(store("read"))?;
        Ok(value.map(|value| value.value().to_vec()))
    }
}

pub(super) fn write(transaction: &WriteTransaction, records: &[Record]) -> Result<(), StateError> {
    for record in records {
        let mut table = transaction.open_table(record.shelf.table()).map_err(store("open a table of"))?;
        let key = record.key.as_bytes();
        match &record.value {
            Some(value) => table.insert(key, &value[..]).map(|_| ()),
            None => table.remove(key).map(|_| ()),
        }
        .map_err(store("write"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Change;
    use crate::id::Pid;
    use crate::pseudonym::Key;
    use crate::state::Commit;
    use crate::time::Tick;

    fn put(shelf: Shelf, key: &str, value: &[u8]) -> Record {
        Record { shelf, key: key.to_owned(), value: Some(value.to_vec()) }
    }

    #[test]
    fn records_are_replaced_taken_away_and_outlive_a_settlement() {
        let (dir, key) = (tempfile::tempdir().expect("a folder"), Key::from_bytes([7; 32]));
        let open = || State::open(dir.path(), &key, "a test").expect("free");
        let state = open();
        let commit = |records: &[Record]| state.commit(&Commit { records, ..Commit::default() });
        let first = [put(Shelf::Audiences, "b", b"1"), put(Shelf::Audiences, "a", b"2"), put(Shelf::Models, "a", b"3")];
        assert_eq!(commit(&first).expect("writable"), 0, "no batch of changes");
        let gone = Record { shelf: Shelf::Audiences, key: "a".to_owned(), value: None };
        commit(&[put(Shelf::Audiences, "b", b"4"), gone]).expect("writable");
        let erased = [Change::Erase { pid: Pid::from_bytes([1; 10]), at: Tick::new(5) }];
        let folded = state.commit(&Commit { changes: &erased, ..Commit::default() }).expect("writable");
        assert!(state.settle(folded).expect("writable").rewritten);
        drop(state);
        let state = open();
        assert_eq!(state.records(Shelf::Audiences).expect("readable"), [("b".to_owned(), b"4".to_vec())]);
        assert_eq!(state.record(Shelf::Models, "a").expect("readable"), Some(b"3".to_vec()));
        assert_eq!(state.record(Shelf::Trend, "a").expect("readable"), None);
    }

    #[test]
    fn records_beyond_their_bounds_change_nothing() {
        let state =
            State::with_backend(redb::backends::InMemoryBackend::new(), &Key::from_bytes([7; 32])).expect("new");
        let long = "n".repeat(MAX_KEY_BYTES + 1);
        for record in [put(Shelf::Trend, "", b""), put(Shelf::Trend, &long, b"")] {
            let records = [put(Shelf::Trend, "fine", b""), record];
            let refused = state.commit(&Commit { records: &records, ..Commit::default() });
            assert!(matches!(refused, Err(StateError::Bound { .. })), "{refused:?}");
        }
        assert!(!state.is_poisoned());
        assert!(state.records(Shelf::Trend).expect("readable").is_empty());
    }
}
