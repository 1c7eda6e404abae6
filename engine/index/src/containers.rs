//! The members of one segment in one block, frozen in one of four kinds that the cardinality alone decides.
//!
//! | kind | members below | bytes of `k` members in a block of `m` visitors |
//! |---|---|---|
//! | array | [`Policy::array_below`] | `2k`: ordinals, u16 |
//! | Elias-Fano | [`Policy::elias_fano_below`] | `ceil((k + h)/8) + k`, `h = ceil(m/256)`: high bytes in unary (a one a member, a zero at the end of each high byte), then low bytes |
//! | sparse bitmap | [`Policy::sparse_below`] | `ceil(b/8)` + the non-zero bytes, `b = ceil(m/8)`: a bit for each byte of the bitmap that is not zero, then those bytes |
//! | bitmap | | `ceil(m/8)` |

use crate::bits::BLOCK;

/// The thresholds between the kinds, constants of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Fewer members are an array.
    pub array_below: u16,
    /// Fewer members are Elias-Fano coded.
    pub elias_fano_below: u16,
    /// Fewer members are a sparse bitmap, others a bitmap.
    pub sparse_below: u16,
}

impl Policy {
    /// The smallest that still counts fast.
    pub const COMPACT: Self = Self { array_below: 48, elias_fano_below: 1_536, sparse_below: 8_192 };

    /// The fastest, at 1.3 times the bytes of the containers: sets that are neither tiny nor large are stored for reading.
    pub const FAST: Self = Self { array_below: 2_048, elias_fano_below: 2_048, sparse_below: 2_048 };

    /// The kind of `members` members.
    #[must_use]
    pub fn kind(self, members: u32) -> Kind {
        match members {
            0 => Kind::Empty,
            k if k < u32::from(self.array_below) => Kind::Array,
            k if k < u32::from(self.elias_fano_below) => Kind::EliasFano,
            k if k < u32::from(self.sparse_below) => Kind::Sparse,
            _ => Kind::Bitmap,
        }
    }
}

/// The kinds of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No member, no bytes.
    Empty,
    /// Ordinals.
    Array,
    /// High bytes in unary, low bytes.
    EliasFano,
    /// The bytes of a bitmap that are not zero.
    Sparse,
    /// A bit a visitor.
    Bitmap,
}

/// A container's bytes, read as its kind asks.
#[derive(Clone, Copy)]
pub enum Container<'a> {
    /// No member.
    Empty,
    /// Ordinals, u16.
    Array(&'a [u8]),
    /// High bytes in unary and low bytes.
    EliasFano {
        /// A one a member, a zero at the end of each high byte.
        unary: &'a [u8],
        /// The low bytes.
        lows: &'a [u8],
    },
    /// The non-zero bytes of a bitmap.
    Sparse {
        /// A bit for each byte of the bitmap.
        map: &'a [u8],
        /// The bytes whose bit is set.
        bytes: &'a [u8],
    },
    /// A bit a visitor.
    Bitmap(&'a [u8]),
}

/// Bytes of a container whose size the cardinality alone tells; `None` for the sparse kind.
#[must_use]
pub fn fixed_size(kind: Kind, members: u32, visitors: u32) -> Option<u32> {
    match kind {
        Kind::Empty => Some(0),
        Kind::Array => Some(2 * members),
        Kind::EliasFano => Some(unary_bytes(members, visitors) + members),
        Kind::Sparse => None,
        Kind::Bitmap => Some(visitors.div_ceil(8)),
    }
}

/// Bytes of the map of a sparse container.
#[must_use]
pub fn map_bytes(visitors: u32) -> u32 {
    visitors.div_ceil(8).div_ceil(8)
}

fn unary_bytes(members: u32, visitors: u32) -> u32 {
    (members + visitors.div_ceil(256)).div_ceil(8)
}

impl<'a> Container<'a> {
    /// Reads the bytes as a container of `members` members in a block of `visitors`; `None` when they are too short.
    #[inline(always)]
    #[must_use]
    pub fn new(kind: Kind, members: u32, visitors: u32, bytes: &'a [u8]) -> Option<Self> {
        Some(match kind {
            Kind::Empty => Self::Empty,
            Kind::Array => Self::Array(bytes.get(..2 * members as usize)?),
            Kind::EliasFano => {
                let (unary, rest) = bytes.split_at_checked(unary_bytes(members, visitors) as usize)?;
                Self::EliasFano { unary, lows: rest.get(..members as usize)? }
            }
            Kind::Sparse => {
                let (map, bytes) = bytes.split_at_checked(map_bytes(visitors) as usize)?;
                Self::Sparse { map, bytes }
            }
            Kind::Bitmap => Self::Bitmap(bytes.get(..visitors.div_ceil(8) as usize)?),
        })
    }
}

/// Appends the container of these ordinals (ascending, distinct, below `visitors`).
pub fn write(policy: Policy, ordinals: &[u16], visitors: u32, into: &mut Vec<u8>) {
    debug_assert!(ordinals.is_sorted_by(|a, b| a < b) && visitors <= BLOCK);
    match policy.kind(ordinals.len() as u32) {
        Kind::Empty => {}
        Kind::Array => ordinals.iter().for_each(|ordinal| into.extend_from_slice(&ordinal.to_le_bytes())),
        Kind::EliasFano => write_elias_fano(ordinals, visitors, into),
        Kind::Sparse => write_sparse(ordinals, visitors, into),
        Kind::Bitmap => write_bitmap(ordinals, visitors, into),
    }
}

fn write_bitmap(ordinals: &[u16], visitors: u32, into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + visitors.div_ceil(8) as usize, 0);
    ordinals.iter().for_each(|&ordinal| into[start + usize::from(ordinal) / 8] |= 1 << (ordinal % 8));
}

fn write_elias_fano(ordinals: &[u16], visitors: u32, into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + unary_bytes(ordinals.len() as u32, visitors) as usize, 0);
    for (index, &ordinal) in ordinals.iter().enumerate() {
        // Before the one of this member stand the ones of `index` others and the zeros of `ordinal / 256` high bytes.
        let at = index + usize::from(ordinal / 256);
        into[start + at / 8] |= 1 << (at % 8);
    }
    into.extend(ordinals.iter().map(|&ordinal| ordinal as u8));
}

fn write_sparse(ordinals: &[u16], visitors: u32, into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + map_bytes(visitors) as usize, 0);
    for same_byte in ordinals.chunk_by(|a, b| a / 8 == b / 8) {
        let byte = usize::from(same_byte[0] / 8);
        into[start + byte / 8] |= 1 << (byte % 8);
        into.push(same_byte.iter().fold(0, |bits, ordinal| bits | 1 << (ordinal % 8)));
    }
}
