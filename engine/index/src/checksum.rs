//! XXH3 against accidental damage. It is no defence against an author of bytes; pseudonyms use BLAKE3.

use std::fmt::Write as _;

use crate::breath::{BREATH_BYTES, pieces};

/// XXH3-64 of the bytes, the checksum of sections and manifests.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut running = Running::default();
    pieces(bytes, BREATH_BYTES).for_each(|piece| running.update(piece));
    running.finish()
}

/// The checksum or the digest of bytes that come in pieces.
#[derive(Default)]
pub struct Running(xxhash_rust::xxh3::Xxh3);

impl Running {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The [`checksum`] of all of them.
    #[must_use]
    pub fn finish(self) -> u64 {
        self.0.digest()
    }

    /// The [`digest`] of all of them.
    #[must_use]
    pub fn digest(self) -> String {
        hex(&self.0.digest128().to_be_bytes())
    }
}

/// XXH3-128 of the bytes as 32 hexadecimal digits, the digest that names a file.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&xxhash_rust::xxh3::xxh3_128(bytes).to_be_bytes())
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_answers() {
        assert_eq!(super::checksum(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(super::digest(b""), "99aa06d3014798d86001c324468d497f");
    }
}
