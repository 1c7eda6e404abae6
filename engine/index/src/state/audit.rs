//! The audit: what was done to the index and by whose wish, as a chain that shows every line that was altered or lost.
//!
//! Each line is kept with the keyed BLAKE3 of the hash before it and its own bytes; the head of the chain, with a seal of
//! its own, stands apart, so that a line cut off the end is missed too. The key is derived from the house's key: who has
//! the file alone can neither forge a line nor a shorter chain.

use serde::{Deserialize, Serialize};

use crate::bytes::Cursor;
use crate::checksum::hex;
use crate::pseudonym::{KEY_BYTES, Key};
use crate::time::Time;

const AUDIT_CONTEXT: &[u8] = b"usher audit key";
/// Bytes of a hash.
pub(super) const HASH_BYTES: usize = 32;
/// What the first line follows.
const ORIGIN: [u8; HASH_BYTES] = [0; HASH_BYTES];

/// Something to be remembered. No field ever carries a visitor's id or pseudonym.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Time,
    /// What was done, in snake case, such as `erase`.
    pub what: String,
    /// What a person should know of it.
    pub detail: String,
    /// The random number that was given to whoever asked for it.
    pub receipt: Option<String>,
}

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditLine {
    /// Its number, from 1.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// What was done.
    pub what: String,
    /// What a person should know of it.
    pub detail: String,
    /// The random number that was given to whoever asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// The chain's hash after this line, in hexadecimal.
    pub hash: String,
}

/// A line without its hash, as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    seq: u64,
    at: Time,
    what: String,
    detail: String,
    receipt: Option<String>,
}

/// Where the chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of the last line; 0 before the first.
    pub(super) seq: u64,
    hash: [u8; HASH_BYTES],
}

impl Head {
    /// Before the first line.
    pub(super) const START: Self = Self { seq: 0, hash: ORIGIN };
}

/// Hashes lines and heads.
#[derive(Clone)]
pub(super) struct Chain([u8; KEY_BYTES]);

impl Chain {
    pub(super) fn new(key: &Key) -> Self {
        Self(key.derive(AUDIT_CONTEXT))
    }

    fn hash(&self, before: &[u8; HASH_BYTES], body: &[u8]) -> [u8; HASH_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(before).update(body);
        *hasher.finalize().as_bytes()
    }

    /// The bytes of the next line, and the head after it.
    pub(super) fn append(&self, head: Head, entry: &AuditEntry) -> (Head, Vec<u8>) {
        let AuditEntry { at, what, detail, receipt } = entry.clone();
        let seq = head.seq + 1;
        // Texts and numbers: serialisation cannot fail.
        let body = serde_json::to_vec(&Body { seq, at, what, detail, receipt }).unwrap_or_default();
        let hash = self.hash(&head.hash, &body);
        (Head { seq, hash }, [&hash, &body[..]].concat())
    }

    /// The head after a line that follows `head`; `None` when it does not.
    pub(super) fn follow(&self, head: Head, bytes: &[u8]) -> Option<Head> {
        let (hash, body) = bytes.split_at_checked(HASH_BYTES)?;
        let line = read(bytes)?;
        let expected = self.hash(&head.hash, body);
        (line.seq == head.seq + 1 && hash == expected).then_some(Head { seq: line.seq, hash: expected })
    }

    /// The bytes of a head, with its seal.
    pub(super) fn seal(&self, head: Head) -> Vec<u8> {
        let seal = self.hash(&head.hash, &head.seq.to_le_bytes());
        [&head.seq.to_le_bytes()[..], &head.hash, &seal].concat()
    }

    /// The head behind a seal; `None` when it does not fit.
    pub(super) fn open(&self, bytes: &[u8]) -> Option<Head> {
        let mut cursor = Cursor::new(bytes);
        let head = Head { seq: cursor.u64()?, hash: cursor.array()? };
        (self.seal(head) == bytes).then_some(head)
    }
}

/// Reads a line without looking at the chain; `None` when the bytes are no line.
pub(super) fn read(bytes: &[u8]) -> Option<AuditLine> {
    let (hash, body) = bytes.split_at_checked(HASH_BYTES)?;
    let Body { seq, at, what, detail, receipt } = serde_json::from_slice(body).ok()?;
    Some(AuditLine { seq, at, what, detail, receipt, hash: hex(hash) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_line_does_not_follow_and_an_altered_head_does_not_open() {
        let chain = Chain::new(&Key::from_bytes([1; KEY_BYTES]));
        let at = Time::from_unix(5).expect("in range");
        let entry = AuditEntry { at, what: "erase".into(), detail: "d".into(), receipt: Some("r".into()) };
        let (first, one) = chain.append(Head::START, &entry);
        let (second, two) = chain.append(first, &entry);
        assert_eq!(chain.follow(Head::START, &one), Some(first));
        assert_eq!(chain.follow(first, &two), Some(second));
        assert_eq!((chain.follow(Head::START, &two), chain.follow(first, &one)), (None, None));
        let sealed = chain.seal(second);
        assert_eq!(chain.open(&sealed), Some(second));
        assert_eq!(Chain::new(&Key::from_bytes([2; KEY_BYTES])).open(&sealed), None);
        for at in 0..two.len() {
            let mut wrong = two.clone();
            wrong[at] ^= 1;
            assert_eq!(chain.follow(first, &wrong), None, "byte {at}");
        }
        for at in 0..sealed.len() {
            let mut wrong = sealed.clone();
            wrong[at] ^= 1;
            assert_eq!((chain.open(&wrong), chain.open(&sealed[..at])), (None, None), "byte {at}");
        }
    }
}
