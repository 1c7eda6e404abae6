//! Who opted out and who was erased: what is kept of a visitor beside the changes themselves.
//!
//! Under the pseudonym: the sequence of the opt-out (0: none), the sequence of the last erasure (0: none) and the last tick
//! that it covers; little-endian, of 8, 8 and 4 bytes.

use redb::{ReadableTable, Table};

use crate::bars::Bars;
use crate::bytes::Cursor;
use crate::change::Change;
use crate::id::Pid;
use crate::time::Tick;

/// What is kept of one visitor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tombstone {
    /// The batch that brought the opt-out in force.
    pub(super) opted_out: Option<u64>,
    /// The batch that brought the last erasure which no build has folded, and the last tick that it covers.
    pub(super) erased: Option<(u64, Tick)>,
}

impl Tombstone {
    /// What a change of the batch `sequence` makes of it: the law of [`Bars::apply`], with the sequences.
    pub(super) fn after(mut self, change: Change, sequence: u64) -> Self {
        let erased = match change {
            Change::Row { .. } => None,
            Change::OptOut { .. } => {
                self.opted_out.get_or_insert(sequence);
                None
            }
            // Whoever had not opted out has nothing to take back.
            Change::Revoke { at, .. } => self.opted_out.take().map(|_| at),
            Change::Erase { at, .. } => Some(at),
        };
        if let Some(at) = erased {
            let latest = self.erased.map_or(at, |(_, before)| before.max(at));
            self.erased = Some((sequence, latest));
        }
        self
    }

    /// What is left when builds have folded the batches up to `folded`; `None`: nothing.
    pub(super) fn settled(mut self, folded: u64) -> Option<Self> {
        self.erased = self.erased.filter(|(sequence, _)| *sequence > folded);
        (self != Self::default()).then_some(self)
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (sequence, at) = self.erased.map_or((0, 0), |(sequence, at)| (sequence, at.get()));
        [&self.opted_out.unwrap_or(0).to_le_bytes()[..], &sequence.to_le_bytes(), &at.to_le_bytes()].concat()
    }

    /// `None` when the bytes are not a tombstone's.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let some = |sequence: u64| Some(sequence).filter(|sequence| *sequence > 0);
        let (opted_out, erased, at) = (some(cursor.u64()?), some(cursor.u64()?), Tick::new(cursor.u32()?));
        let tombstone = Self { opted_out, erased: erased.map(|sequence| (sequence, at)) };
        (cursor.rest().is_empty() && tombstone != Self::default()).then_some(tombstone)
    }

    /// Puts it into force.
    pub(super) fn apply(self, pid: Pid, bars: &mut Bars) {
        if self.opted_out.is_some() {
            bars.apply(Change::OptOut { pid });
        }
        if let Some((_, at)) = self.erased {
            bars.apply(Change::Erase { pid, at });
        }
    }
}

/// The pseudonym that is a key of the table.
pub(super) fn pid_of(key: &[u8]) -> Option<Pid> {
    key.try_into().ok().map(Pid::from_bytes)
}

/// Applies a change to the table. `Ok(None)`: what stood there was damaged.
pub(super) fn apply(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    change: Change,
    sequence: u64,
) -> Result<Option<()>, redb::StorageError> {
    if matches!(change, Change::Row { .. }) {
        return Ok(Some(()));
    }
    let key = change.pid().to_bytes();
    let before = match table.get(&key[..])? {
        Some(bytes) => match Tombstone::read(bytes.value()) {
            Some(tombstone) => tombstone,
            None => return Ok(None),
        },
        None => Tombstone::default(),
    };
    let after = before.after(change, sequence);
    if after != before {
        table.insert(&key[..], &after.to_bytes()[..])?;
    }
    Ok(Some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: Pid = Pid::from_bytes([7; 10]);

    #[test]
    fn it_follows_the_law_of_the_bars() {
        let at = Tick::new;
        let changes = [
            Change::Revoke { pid: PID, at: at(1) },
            Change::Erase { pid: PID, at: at(4) },
            Change::OptOut { pid: PID },
            Change::Erase { pid: PID, at: at(3) },
            Change::OptOut { pid: PID },
            Change::Revoke { pid: PID, at: at(6) },
        ];
        let (mut bars, mut tombstone) = (Bars::default(), Tombstone::default());
        for (sequence, change) in (1..).zip(changes) {
            bars.apply(change);
            tombstone = tombstone.after(change, sequence);
            let mut same = Bars::default();
            tombstone.apply(PID, &mut same);
            let seen = |bars: &Bars| (bars.opted_out(PID), bars.erased(PID));
            assert_eq!(seen(&bars), seen(&same), "after batch {sequence}");
            if tombstone != Tombstone::default() {
                assert_eq!(Tombstone::read(&tombstone.to_bytes()), Some(tombstone));
            }
        }
        assert_eq!(tombstone, Tombstone { opted_out: None, erased: Some((6, at(6))) });
        assert_eq!((tombstone.settled(5), tombstone.settled(6)), (Some(tombstone), None));
        let out = Tombstone { opted_out: Some(9), ..tombstone };
        assert_eq!(out.settled(6), Some(Tombstone { opted_out: Some(9), erased: None }), "an opt-out stays");
    }

    #[test]
    fn other_bytes_are_no_tombstone() {
        let bytes = Tombstone { opted_out: Some(1), erased: None }.to_bytes();
        for cut in 0..bytes.len() {
            assert_eq!(Tombstone::read(&bytes[..cut]), None);
        }
        assert_eq!(Tombstone::read(&[0; 20]), None);
        assert_eq!(Tombstone::read(&[1; 21]), None);
    }
}
