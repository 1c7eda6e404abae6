//! Veils: what is left of an erasure once a build has folded it. A veil keeps late rows out and does not tell whose it is.
//!
//! A file of its own, named by the manifest: a line of magic and version, then for each veil the first
//! [`VEIL_BYTES`] bytes of BLAKE3(derived key, pid) and the tick of the erasure (u32, little-endian), ascending, then
//! the XXH3 of all before (u64, little-endian).

use crate::checksum::checksum;
use crate::error::ImageError;
use crate::id::Pid;
use crate::pseudonym::{Key, VEIL_BYTES, VeilKey};
use crate::time::Tick;

/// The version of the file that is written here, and the newest that is read.
pub const VEILS_VERSION: u32 = 1;
const MAGIC: &str = "usher-veils";
const LINE_BYTES: usize = VEIL_BYTES + size_of::<u32>();
const CHECKSUM_BYTES: usize = size_of::<u64>();

/// The veils of a generation, sorted. Default: none.
#[derive(Debug, Clone, Default)]
pub struct Veils {
    key: Option<VeilKey>,
    veils: Vec<([u8; VEIL_BYTES], Tick)>,
}

impl Veils {
    /// None, under this key.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self { key: Some(key.veil_key()), veils: Vec::new() }
    }

    /// These, with those of more erasures; of two for one visitor the later stays. Those whose tick is before `oldest`
    /// are forgotten: no row that could still come was observed so early.
    #[must_use]
    pub fn with(&self, key: &Key, erased: impl IntoIterator<Item = (Pid, Tick)>, oldest: Tick) -> Self {
        let veil_key = key.veil_key();
        let fresh = erased.into_iter().map(|(pid, at)| (veil_key.veil(pid), at));
        let mut veils: Vec<_> = self.veils.iter().copied().chain(fresh).filter(|(_, at)| *at >= oldest).collect();
        veils.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        veils.dedup_by_key(|(hash, _)| *hash);
        Self { key: Some(veil_key), veils }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.veils.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.veils.is_empty()
    }

    /// The tick of the erasure that a veil keeps for this visitor. Time: a hash and a binary search; nothing when there
    /// is no veil.
    #[must_use]
    pub fn of(&self, pid: Pid) -> Option<Tick> {
        let key = self.key.as_ref().filter(|_| !self.veils.is_empty())?;
        let hash = key.veil(pid);
        self.veils.binary_search_by(|veil| veil.0.cmp(&hash)).ok().map(|place| self.veils[place].1)
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{MAGIC} {VEILS_VERSION}\n").into_bytes();
        for (hash, at) in &self.veils {
            bytes.extend_from_slice(hash);
            bytes.extend_from_slice(&at.get().to_le_bytes());
        }
        bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
        bytes
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it is damaged or newer.
    pub fn read(file: &str, bytes: &[u8], key: &Key) -> Result<Self, ImageError> {
        let damaged = |offset: usize, expected: &str, found: String| ImageError::Damaged {
            file: file.to_owned(),
            section: "veils",
            offset: offset as u64,
            expected: expected.to_owned(),
            found,
        };
        let cut = bytes.len().saturating_sub(CHECKSUM_BYTES);
        let (body, sum) = bytes.split_at(cut);
        let expected = checksum(body).to_le_bytes();
        if sum != expected {
            return Err(damaged(cut, &format!("the checksum {expected:02x?}"), format!("{sum:02x?}")));
        }
        let line = body.iter().position(|byte| *byte == b'\n').unwrap_or(body.len());
        let first = String::from_utf8_lossy(&body[..line]);
        let version = first.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' ')?.parse::<u32>().ok());
        match version {
            Some(found) if found > VEILS_VERSION => {
                return Err(ImageError::Newer { file: file.to_owned(), found, known: VEILS_VERSION });
            }
            Some(VEILS_VERSION) => {}
            _ => return Err(damaged(0, &format!("`{MAGIC} {VEILS_VERSION}`"), format!("{first:?}"))),
        }
        let lines = body.get(line + 1..).unwrap_or_default();
        let (lines, rest) = lines.as_chunks::<LINE_BYTES>();
        if !rest.is_empty() {
            return Err(damaged(cut - rest.len(), "whole lines", format!("{} bytes more", rest.len())));
        }
        let mut veils = Vec::with_capacity(lines.len());
        for bytes in lines {
            let mut hash = [0; VEIL_BYTES];
            hash.copy_from_slice(&bytes[..VEIL_BYTES]);
            let mut tick = [0; size_of::<u32>()];
            tick.copy_from_slice(&bytes[VEIL_BYTES..]);
            veils.push((hash, Tick::new(u32::from_le_bytes(tick))));
        }
        if !veils.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(damaged(line + 1, "ascending veils", "another order".to_owned()));
        }
        Ok(Self { key: Some(key.veil_key()), veils })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: u8) -> Pid {
        Pid::from_bytes([number; 10])
    }

    #[test]
    fn veils_are_found_by_who_knows_the_pid_and_forgotten_in_time() {
        let key = Key::from_bytes([1; 32]);
        let none = Veils::new(&key);
        assert_eq!((none.of(pid(1)), none.is_empty()), (None, true));
        let tick = Tick::new;
        let veils =
            none.with(&key, [(pid(1), tick(5)), (pid(2), tick(3)), (pid(1), tick(7)), (pid(1), tick(6))], tick(0));
        assert_eq!([veils.of(pid(1)), veils.of(pid(2)), veils.of(pid(3))], [Some(tick(7)), Some(tick(3)), None]);
        let later = veils.with(&key, [(pid(3), tick(9))], tick(4));
        assert_eq!([later.of(pid(1)), later.of(pid(2)), later.of(pid(3))], [Some(tick(7)), None, Some(tick(9))]);
        let bytes = later.to_bytes();
        let again = Veils::read("v", &bytes, &key).expect("sound");
        assert_eq!((again.len(), again.of(pid(3))), (2, Some(tick(9))));
        assert_eq!(Veils::read("v", &bytes, &Key::from_bytes([2; 32])).expect("sound").of(pid(3)), None);
        // Neither the pid nor its bytes reversed stand in the file.
        assert!(!bytes.windows(10).any(|window| window == pid(3).to_bytes()));
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_caught() {
        let key = Key::from_bytes([1; 32]);
        let bytes = Veils::new(&key).with(&key, (0..9).map(|n| (pid(n), Tick::new(1))), Tick::new(0)).to_bytes();
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert!(Veils::read("v", &wrong, &key).is_err(), "byte {at}");
            assert!(Veils::read("v", &bytes[..at], &key).is_err(), "cut at {at}");
        }
    }
}
