//! The hash of segment names that strangers send.

use std::hash::{BuildHasher, Hasher};

/// Hashes names with XXH3 under a seed that the pseudonym key gives: several times faster than the standard hash, and
/// a provider who does not know the key cannot choose names that collide.
#[derive(Clone, Copy)]
pub(super) struct Keyed(pub(super) u64);

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    #[inline]
    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher(self.0)
    }
}

pub(super) struct KeyedHasher(u64);

impl Hasher for KeyedHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }

    /// The mark that ends a name: names are hashed one by one.
    #[inline]
    fn write_u8(&mut self, _mark: u8) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
