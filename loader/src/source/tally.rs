//! Counts and digests bytes on their way through.

use std::io::{self, Read};

use xxhash_rust::xxh3::Xxh3;

use super::Sent;

/// A reader that keeps count and digest of what it handed on, and tells a watcher how far it is.
pub(super) struct Tally<'p> {
    inner: Box<dyn Read + 'p>,
    bytes: u64,
    hash: Box<Xxh3>,
    watch: Box<dyn FnMut(u64) + 'p>,
}

impl<'p> Tally<'p> {
    pub(super) fn new(inner: Box<dyn Read + 'p>, watch: Box<dyn FnMut(u64) + 'p>) -> Self {
        Self { inner, bytes: 0, hash: Box::new(Xxh3::new()), watch }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn sent(&self) -> Sent {
        Sent { bytes: self.bytes, digest: format!("{:032x}", self.hash.digest128()) }
    }
}

impl Read for Tally<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        // The bytes that arrived, not those that were asked for.
        self.hash.update(&into[..read]);
        self.bytes += read as u64;
        (self.watch)(self.bytes);
        Ok(read)
    }
}
