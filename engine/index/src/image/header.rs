//! The first bytes of an image: what it is, and the constants by which the rest is read.

use crate::bytes::Cursor;
use crate::checksum::checksum;
use crate::containers::Policy;
use crate::dictionary::{Geometry, MAX_BUCKET_BITS, MAX_SHARD_BITS};
use crate::error::ImageError;
use crate::gaps::{HUFFMAN, NIBBLES};
use crate::time::{Span, Tick, TickLength};

/// The first eight bytes of an image.
pub const MAGIC: [u8; 8] = *b"USHRIMG\0";
/// The version of the image format that is written here, and the newest that is read.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes of the header, its checksum included.
pub const HEADER_BYTES: usize = 80;
const CHECKED: usize = HEADER_BYTES - 8;

/// The constants of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The index's time grain.
    pub tick: TickLength,
    /// The tick from which next-expiries count.
    pub time_base: Tick,
    /// Which shard of `2^shard_bits`.
    pub shard: u32,
    /// How pseudonyms are divided.
    pub geometry: Geometry,
    /// The number of the gap code.
    pub gap_code: u8,
    /// The thresholds of container kinds.
    pub policy: Policy,
    /// Segments that the image names.
    pub segments: u32,
    /// Entries of life > 0.
    pub memberships: u64,
    /// All entries, removals too.
    pub entries: u64,
}

impl Header {
    /// Appends the header.
    pub fn write(&self, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend_from_slice(&MAGIC);
        for word in [FORMAT_VERSION, self.tick.secs(), self.time_base.get(), self.shard] {
            into.extend_from_slice(&word.to_le_bytes());
        }
        let geometry = self.geometry;
        into.extend([
            geometry.shard_bits as u8,
            geometry.bucket_bits as u8,
            geometry.remainder_bytes() as u8,
            self.gap_code,
        ]);
        for word in [geometry.visitors, self.segments] {
            into.extend_from_slice(&word.to_le_bytes());
        }
        for word in [self.memberships, self.entries] {
            into.extend_from_slice(&word.to_le_bytes());
        }
        for word in [self.policy.array_below, self.policy.elias_fano_below, self.policy.sparse_below, 0] {
            into.extend_from_slice(&word.to_le_bytes());
        }
        into.resize(start + CHECKED, 0);
        let sum = checksum(&into[start..]);
        into.extend_from_slice(&sum.to_le_bytes());
    }

    /// Reads and checks the header.
    ///
    /// # Errors
    /// When it is cut, of another file, newer, or any field is out of range.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, ImageError> {
        let damaged = |offset: usize, expected: &str, found: String| ImageError::Damaged {
            file: file.to_owned(),
            section: "header",
            offset: offset as u64,
            expected: expected.to_owned(),
            found,
        };
        let header =
            bytes.get(..HEADER_BYTES).ok_or_else(|| damaged(0, "80 bytes", format!("{} bytes", bytes.len())))?;
        if header[..8] != MAGIC {
            return Err(damaged(0, "the first bytes of an image", format!("{:02x?}", &header[..8])));
        }
        let version = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if version > FORMAT_VERSION {
            return Err(ImageError::Newer { file: file.to_owned(), found: version, known: FORMAT_VERSION });
        }
        let (body, sum) = header.split_at(CHECKED);
        let computed = checksum(body).to_le_bytes();
        if sum != computed {
            return Err(damaged(CHECKED, &format!("checksum {computed:02x?}"), format!("{sum:02x?}")));
        }
        Self::fields(body).ok_or_else(|| damaged(12, "fields within their ranges", "a field out of range".into()))
    }

    fn fields(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        cursor.take(8)?;
        let version = cursor.u32()?;
        let tick = TickLength::new(Span::from_secs(cursor.u32()?)).ok()?;
        let time_base = Tick::new(cursor.u32()?);
        let shard = cursor.u32()?;
        let [shard_bits, bucket_bits, remainder_bytes, gap_code] = cursor.array()?;
        let (visitors, segments) = (cursor.u32()?, cursor.u32()?);
        let (memberships, entries) = (cursor.u64()?, cursor.u64()?);
        let policy =
            Policy { array_below: cursor.u16()?, elias_fano_below: cursor.u16()?, sparse_below: cursor.u16()? };
        let geometry = Geometry { shard_bits: shard_bits.into(), bucket_bits: bucket_bits.into(), visitors };
        let sound = version == FORMAT_VERSION
            && geometry.shard_bits <= MAX_SHARD_BITS
            && geometry.bucket_bits <= MAX_BUCKET_BITS
            && geometry.remainder_bytes() == usize::from(remainder_bytes)
            && u64::from(shard) < 1 << geometry.shard_bits
            && [NIBBLES, HUFFMAN].contains(&gap_code)
            && policy.array_below <= policy.elias_fano_below
            && policy.elias_fano_below <= policy.sparse_below
            && memberships <= entries;
        sound.then_some(Self { tick, time_base, shard, geometry, gap_code, policy, segments, memberships, entries })
    }
}
