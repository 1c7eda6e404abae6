//! Ids become pseudonyms here and nowhere else.

use std::fmt;

use thiserror::Error;

use crate::checksum::hex;
use crate::id::{IdType, MAX_VISITOR_ID_BYTES, PID_BYTES, Pid, VisitorId};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a veil.
pub const VEIL_BYTES: usize = 16;
const CHECK_CONTEXT: &[u8] = b"usher key check value";
const CHECK_BYTES: usize = 8;
const SEED_CONTEXT: &[u8] = b"usher hash seed";
const VEIL_CONTEXT: &[u8] = b"usher veil key";
const NOISE_CONTEXT: &[u8] = b"usher noise key";

/// A key that is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a pseudonym key is 64 hexadecimal digits (32 random bytes)")]
pub struct KeyError;

/// The house's pseudonym key: 256 bits, as old as the index. Not printed by `Debug`.
#[derive(Clone)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// The key of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits, white space around them allowed.
    ///
    /// # Errors
    /// On anything else.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return Err(KeyError);
        }
        let mut bytes = [0u8; KEY_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16).ok_or(KeyError);
            *byte = (value(pair[0])? << 4 | value(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }

    /// The key as 64 hexadecimal digits, for its file.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// What a manifest keeps to recognise the key: it tells nothing about it.
    #[must_use]
    pub fn check_value(&self) -> String {
        hex(&blake3::keyed_hash(&self.0, CHECK_CONTEXT).as_bytes()[..CHECK_BYTES])
    }

    /// A seed for hash tables over what strangers send. It never leaves the process.
    pub(crate) fn seed(&self) -> u64 {
        let hash = blake3::keyed_hash(&self.0, SEED_CONTEXT);
        hash.as_bytes()[..size_of::<u64>()].iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    }

    /// A key of its own for another end.
    pub(crate) fn derive(&self, context: &[u8]) -> [u8; KEY_BYTES] {
        *blake3::keyed_hash(&self.0, context).as_bytes()
    }

    /// The key under which erased pseudonyms are veiled.
    #[must_use]
    pub fn veil_key(&self) -> VeilKey {
        VeilKey(self.derive(VEIL_CONTEXT))
    }

    /// The key of the noise over disclosed sizes.
    #[must_use]
    pub fn noise_key(&self) -> NoiseKey {
        let key = self.derive(NOISE_CONTEXT);
        let hash = blake3::keyed_hash(&key, SEED_CONTEXT);
        let seed = hash.as_bytes()[..size_of::<u64>()].iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        NoiseKey { key, seed }
    }

    /// The pseudonym of an id: the first 80 bits of keyed BLAKE3(id type, 0, id). About 100-200 ns.
    #[must_use]
    pub fn pid(&self, id_type: &IdType, id: VisitorId<'_>) -> Pid {
        self.hash(id_type.as_str().as_bytes(), id.bytes())
    }

    fn hash(&self, id_type: &[u8], id: &[u8]) -> Pid {
        let mut message = [0u8; crate::id::MAX_ID_TYPE_BYTES + 1 + MAX_VISITOR_ID_BYTES];
        let (length, separator) = (id_type.len() + 1 + id.len(), id_type.len());
        message[..separator].copy_from_slice(id_type);
        message[separator + 1..length].copy_from_slice(id);
        let hash = blake3::keyed_hash(&self.0, &message[..length]);
        let mut bytes = [0u8; PID_BYTES];
        bytes.copy_from_slice(&hash.as_bytes()[..PID_BYTES]);
        Pid::from_bytes(bytes)
    }
}

/// Draws noise that is the same whenever the same is asked; derived from the house's key. Not printed by `Debug`.
#[derive(Clone)]
pub struct NoiseKey {
    key: [u8; KEY_BYTES],
    seed: u64,
}

impl NoiseKey {
    /// What a visitor adds to the sum that stands for a set of visitors: XXH3 under a secret seed. Some nanoseconds. Nobody
    /// sees it, or a sum of them: only what [`NoiseKey::draw`] makes of a sum.
    #[must_use]
    pub fn member(&self, pid: Pid) -> u128 {
        xxhash_rust::xxh3::xxh3_128_with_seed(&pid.to_bytes(), self.seed)
    }

    /// Two numbers that nobody can tell from chance who has not the key, each uniform in [0, 1): keyed BLAKE3.
    #[must_use]
    pub fn draw(&self, of: &[u8]) -> [f64; 2] {
        let hash = blake3::keyed_hash(&self.key, of);
        let uniform = |bytes: &[u8]| {
            let number = bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            // The 53 bits that a double holds.
            (number >> 11) as f64 / (1u64 << 53) as f64
        };
        [uniform(&hash.as_bytes()[..8]), uniform(&hash.as_bytes()[8..16])]
    }
}

impl fmt::Debug for NoiseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoiseKey")
    }
}

/// Makes veils of pseudonyms; derived from the house's key. Not printed by `Debug`.
#[derive(Clone)]
pub struct VeilKey([u8; KEY_BYTES]);

impl VeilKey {
    /// The veil of a pseudonym: the first bytes of keyed BLAKE3.
    #[must_use]
    pub fn veil(&self, pid: Pid) -> [u8; VEIL_BYTES] {
        let hash = blake3::keyed_hash(&self.0, &pid.to_bytes());
        let mut veil = [0; VEIL_BYTES];
        veil.copy_from_slice(&hash.as_bytes()[..VEIL_BYTES]);
        veil
    }
}

impl fmt::Debug for VeilKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VeilKey")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(check {})", self.check_value())
    }
}

/// Makes the pseudonyms of one feed and remembers the last one: feeds often come grouped by visitor.
pub struct Pseudonymizer {
    key: Key,
    /// The type of most ids.
    own: IdType,
    id: Vec<u8>,
    /// The type of the last id, if it was another.
    id_type: Option<IdType>,
    pid: Option<Pid>,
}

impl Pseudonymizer {
    /// Starts with nothing remembered. `id_type`: that of ids that come without one.
    #[must_use]
    pub fn new(key: &Key, id_type: &IdType) -> Self {
        let id = Vec::with_capacity(MAX_VISITOR_ID_BYTES);
        Self { key: key.clone(), own: id_type.clone(), id, id_type: None, pid: None }
    }

    /// The pseudonym of an id.
    #[inline]
    pub fn pid(&mut self, id_type: Option<&IdType>, id: VisitorId<'_>) -> Pid {
        match self.pid {
            Some(pid) if self.id == id.bytes() && self.id_type.as_ref() == id_type => pid,
            _ => self.another(id_type, id),
        }
    }

    fn another(&mut self, id_type: Option<&IdType>, id: VisitorId<'_>) -> Pid {
        let pid = self.key.pid(id_type.unwrap_or(&self.own), id);
        if self.id_type.as_ref() != id_type {
            self.id_type = id_type.cloned();
        }
        self.id.clear();
        self.id.extend_from_slice(id.bytes());
        self.pid = Some(pid);
        pid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> VisitorId<'_> {
        VisitorId::new(text).expect("a good id")
    }

    #[test]
    fn the_memo_changes_nothing() {
        let key = Key::from_bytes([7; KEY_BYTES]);
        let (cookie, maid) = (IdType::default(), IdType::new("maid").expect("a type"));
        let mut memo = Pseudonymizer::new(&key, &cookie);
        let others = [(None, "a"), (None, "a"), (Some(&maid), "a"), (Some(&maid), "a"), (None, "b"), (None, "a")];
        for (id_type, text) in others {
            assert_eq!(memo.pid(id_type, id(text)), key.pid(id_type.unwrap_or(&cookie), id(text)));
        }
        assert_ne!(key.pid(&cookie, id("a")), key.pid(&maid, id("a")));
        assert_ne!(key.pid(&cookie, id("a")), Key::from_bytes([8; KEY_BYTES]).pid(&cookie, id("a")));
    }

    #[test]
    fn keys_read_print_and_stay_secret() {
        let key = Key::from_hex(&format!("{}\n", "0f".repeat(32))).expect("a key");
        assert_eq!(key.to_hex(), "0f".repeat(32));
        assert!(Key::from_hex("0f").is_err() && Key::from_hex(&"zz".repeat(32)).is_err());
        assert!(!format!("{key:?}").contains("0f0f"));
    }
}
