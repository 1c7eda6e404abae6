//! One batch of changes as bytes: bars in their order, then rows as one *wire profile* a visitor.
//!
//! | part | bytes |
//! |---|---|
//! | version | 1 |
//! | number of bars | varint |
//! | each bar | kind (1: opt-out, 2: revocation, 3: erasure), pseudonym (10), for kinds 2 and 3 the tick (varint) |
//! | number of visitors with rows | varint |
//! | each, ascending | pseudonym (10), wire profile |
//! | checksum | XXH3-64 of all before, little-endian |
//!
//! A wire profile is the number of its entries (varint), then for each, ascending in segment: the distance of the
//! segment's number from the one before less one (the first: its number), the tick of the observation, and the life in
//! ticks; all varints. Varints are LEB128 of at most 32 bits, in the shortest form.

use crate::bytes::{Cursor, put_varint};
use crate::change::Change;
use crate::checksum::checksum;
use crate::entry::Entry;
use crate::id::{PID_BYTES, Pid};
use crate::time::Tick;

/// The version of batches that is written and read here.
pub const BATCH_VERSION: u8 = 1;
const OPT_OUT: u8 = 1;
const REVOKE: u8 = 2;
const ERASE: u8 = 3;
const CHECKSUM_BYTES: usize = size_of::<u64>();

/// The bytes of a batch. Of several rows of one visitor and segment the winner stays.
pub(super) fn encode(changes: &[Change]) -> Vec<u8> {
    let (mut bars, mut count) = (Vec::new(), 0);
    let mut rows: Vec<(Pid, u32, Entry)> = Vec::new();
    for &change in changes {
        let (kind, at) = match change {
            Change::Row { pid, segment, entry } => {
                rows.push((pid, segment, entry));
                continue;
            }
            Change::OptOut { .. } => (OPT_OUT, None),
            Change::Revoke { at, .. } => (REVOKE, Some(at)),
            Change::Erase { at, .. } => (ERASE, Some(at)),
        };
        count += 1;
        bars.push(kind);
        bars.extend_from_slice(&change.pid().to_bytes());
        if let Some(at) = at {
            put_varint(&mut bars, at.get());
        }
    }
    rows.sort_unstable_by_key(|&(pid, segment, _)| (pid, segment));
    rows.dedup_by(|next, kept| {
        let same = (next.0, next.1) == (kept.0, kept.1);
        if same {
            kept.2 = kept.2.merge(next.2);
        }
        same
    });
    let mut bytes = vec![BATCH_VERSION];
    put_varint(&mut bytes, count);
    bytes.extend_from_slice(&bars);
    let visitors = || rows.chunk_by(|a, b| a.0 == b.0);
    put_varint(&mut bytes, visitors().count() as u32);
    for own in visitors() {
        bytes.extend_from_slice(&own[0].0.to_bytes());
        put_profile(&mut bytes, own.iter().map(|&(_, segment, entry)| (segment, entry)), own.len() as u32);
    }
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Appends a wire profile of so many entries, ascending in segment.
fn put_profile(into: &mut Vec<u8>, entries: impl Iterator<Item = (u32, Entry)>, count: u32) {
    put_varint(into, count);
    let mut next = 0;
    for (segment, entry) in entries {
        put_varint(into, segment - next);
        put_varint(into, entry.observed.get());
        put_varint(into, entry.expiry.get().saturating_sub(entry.observed.get()));
        next = segment.saturating_add(1);
    }
}

/// Calls `each` with the changes of a batch, bars first. `None` when the bytes are not a batch; some changes may have been
/// told by then. Segments are below `segments`.
pub(super) fn decode(bytes: &[u8], segments: u32, mut each: impl FnMut(Change)) -> Option<()> {
    let (body, sum) = bytes.split_at(bytes.len().checked_sub(CHECKSUM_BYTES)?);
    let (&version, rest) = body.split_first()?;
    if sum != checksum(body).to_le_bytes() || version != BATCH_VERSION {
        return None;
    }
    let mut cursor = Cursor::new(rest);
    for _ in 0..cursor.varint()? {
        let [kind] = cursor.array()?;
        let pid = take_pid(&mut cursor)?;
        each(match kind {
            OPT_OUT => Change::OptOut { pid },
            REVOKE => Change::Revoke { pid, at: Tick::new(cursor.varint()?) },
            ERASE => Change::Erase { pid, at: Tick::new(cursor.varint()?) },
            _ => return None,
        });
    }
    let mut before = None;
    for _ in 0..cursor.varint()? {
        let pid = take_pid(&mut cursor)?;
        if before.replace(pid).is_some_and(|before| before >= pid) {
            return None;
        }
        take_profile(&mut cursor, segments, |segment, entry| each(Change::Row { pid, segment, entry }))?;
    }
    cursor.rest().is_empty().then_some(())
}

fn take_pid(cursor: &mut Cursor<'_>) -> Option<Pid> {
    cursor.array::<PID_BYTES>().map(Pid::from_bytes)
}

fn take_profile(cursor: &mut Cursor<'_>, segments: u32, mut each: impl FnMut(u32, Entry)) -> Option<()> {
    let count = cursor.varint().filter(|count| *count > 0)?;
    let mut next = 0u32;
    for _ in 0..count {
        let segment = next.checked_add(cursor.varint()?).filter(|segment| *segment < segments)?;
        let observed = cursor.varint()?;
        let expiry = observed.checked_add(cursor.varint()?)?;
        each(segment, Entry { observed: Tick::new(observed), expiry: Tick::new(expiry) });
        next = segment + 1;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: u8) -> Pid {
        Pid::from_bytes([number; PID_BYTES])
    }

    fn row(number: u8, segment: u32, observed: u32, expiry: u32) -> Change {
        let entry = Entry { observed: Tick::new(observed), expiry: Tick::new(expiry) };
        Change::Row { pid: pid(number), segment, entry }
    }

    fn read(bytes: &[u8], segments: u32) -> Option<Vec<Change>> {
        let mut changes = Vec::new();
        decode(bytes, segments, |change| changes.push(change)).map(|()| changes)
    }

    #[test]
    fn bars_keep_their_order_and_rows_are_merged() {
        let at = Tick::new(u32::MAX);
        let (out, revoke, erase) =
            (Change::OptOut { pid: pid(9) }, Change::Revoke { pid: pid(9), at }, Change::Erase { pid: pid(1), at });
        let changes = [row(2, 7, 5, 9), out, row(1, 0, 5, 6), revoke, row(2, 7, 6, 6), row(2, 300, 1, u32::MAX), erase];
        let bytes = encode(&changes);
        let expected = vec![out, revoke, erase, row(1, 0, 5, 6), row(2, 7, 6, 6), row(2, 300, 1, u32::MAX)];
        assert_eq!(read(&bytes, 301), Some(expected));
        assert_eq!(read(&bytes, 300), None, "a segment beyond the table");
        assert_eq!(read(&encode(&[]), 0), Some(Vec::new()));
    }

    #[test]
    fn whatever_the_bytes_nothing_panics_and_nothing_else_is_read() {
        let changes = [row(1, 0, 5, 6), row(2, 1, 5, 600), Change::OptOut { pid: pid(3) }];
        let bytes = encode(&changes);
        for at in 0..bytes.len() {
            assert_eq!(read(&bytes[..at], 9), None, "cut at {at}");
            for flip in 1..=u8::MAX {
                let mut wrong = bytes.clone();
                wrong[at] ^= flip;
                assert_eq!(read(&wrong, 9), None, "byte {at} ^ {flip:02x}");
                // With a checksum that fits: any answer will do, as long as there is one.
                let body = wrong.len() - CHECKSUM_BYTES;
                let sum = checksum(&wrong[..body]);
                wrong[body..].copy_from_slice(&sum.to_le_bytes());
                if let Some(read_as) = read(&wrong, 9) {
                    assert_eq!(read(&encode(&read_as), 9), Some(read_as), "byte {at} ^ {flip:02x}");
                }
            }
        }
    }
}
