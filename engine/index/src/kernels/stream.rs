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
        isa.load(&padded(std::mem::take(&mut self.0)))
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
        let map = match self.map.split_first_chunk() {
            Some((map, rest)) => {
                self.map = rest;
                u64::from_le_bytes(*map)
            }
            None => u64::from_le_bytes(padded(std::mem::take(&mut self.map))),
        };
        let group = match self.bytes.first_chunk() {
            Some(bytes) => isa.expand(map, bytes),
            None => isa.expand(map, &padded(self.bytes)),
        };
        self.bytes = self.bytes.get(map.count_ones() as usize..).unwrap_or(&[]);
        group
    }
}

/// The bytes, fewer than `N`, and zeros.
#[inline(always)]
pub fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut group = [0; N];
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
