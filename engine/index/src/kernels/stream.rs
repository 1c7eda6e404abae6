//! The bits of a container, a group at a time.

use crate::bits::BLOCK_WORDS;
use crate::containers::Container;

use super::isa::{GROUP_BYTES, GROUP_WORDS, Isa};

/// Groups of a block.
pub const GROUPS: usize = BLOCK_WORDS / GROUP_WORDS;

/// A bitmap, a group at a time; zeros past the end.
pub trait Groups {
    /// The next group.
    fn next<I: Isa>(&mut self, isa: I) -> I::Group;
}

/// A bitmap's bytes.
#[derive(Clone, Copy)]
pub struct Dense<'a>(pub &'a [u8]);

/// A sparse container's parts.
#[derive(Clone, Copy)]
pub struct Sparse<'a> {
    /// A bit for each byte of the bitmap.
    pub map: &'a [u8],
    /// The bytes whose bit is set.
    pub bytes: &'a [u8],
}

/// Bits in memory.
#[derive(Clone, Copy)]
pub struct Words<'a>(pub &'a [u64]);

impl Groups for Dense<'_> {
    #[inline(always)]
    fn next<I: Isa>(&mut self, isa: I) -> I::Group {
        if let Some((group, rest)) = self.0.split_first_chunk() {
            self.0 = rest;
            return isa.load(group);
        }
        isa.load_part(std::mem::take(&mut self.0))
    }
}

impl Groups for Words<'_> {
    #[inline(always)]
    fn next<I: Isa>(&mut self, isa: I) -> I::Group {
        let (words, rest) = self.0.split_first_chunk().unwrap_or((&[0; GROUP_WORDS], &[]));
        self.0 = rest;
        isa.of_words(words)
    }
}

impl Groups for Sparse<'_> {
    #[inline(always)]
    fn next<I: Isa>(&mut self, isa: I) -> I::Group {
        let map = word(self.map);
        self.map = self.map.get(8..).unwrap_or(&[]);
        let group = match self.bytes.first_chunk() {
            Some(bytes) => isa.expand(map, bytes),
            None => isa.expand_part(map, self.bytes),
        };
        self.bytes = self.bytes.get(map.count_ones() as usize..).unwrap_or(&[]);
        group
    }
}

/// The first eight bytes, or as many as there are.
#[inline(always)]
pub fn word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    let mut word = 0;
    for &byte in bytes.iter().rev() {
        word = word << 8 | u64::from(byte);
    }
    word
}

/// The bytes, fewer than a group, and zeros. Cold: a call within a loop costs every turn the vectors that it keeps in
/// registers, unless the compiler knows that there is hardly ever one.
#[cold]
#[inline(never)]
pub fn padded(bytes: &[u8]) -> [u8; GROUP_BYTES] {
    let mut group = [0; GROUP_BYTES];
    group[..bytes.len()].copy_from_slice(bytes);
    group
}

/// Groups of a container of bits; none of a list.
#[inline(always)]
pub fn groups(set: &Container<'_>) -> usize {
    let bytes = match set {
        Container::Bitmap(bytes) => bytes.len(),
        Container::Sparse { map, .. } => map.len() * 8,
        Container::Empty | Container::Array(_) | Container::EliasFano { .. } => 0,
    };
    bytes.div_ceil(GROUP_BYTES).min(GROUPS)
}

/// Calls the body with the container's bits as a stream.
macro_rules! streamed {
    ($set:expr, $stream:ident => $body:expr, $otherwise:expr) => {
        match $set {
            Container::Bitmap(bytes) => {
                let $stream = $crate::kernels::stream::Dense(bytes);
                $body
            }
            Container::Sparse { map, bytes } => {
                let $stream = $crate::kernels::stream::Sparse { map, bytes };
                $body
            }
            Container::Empty | Container::Array(_) | Container::EliasFano { .. } => $otherwise,
        }
    };
}

pub(super) use streamed;
