//! Where a visitor's record lies: the leading bits of a pseudonym choose shard and bucket, its rank is its ordinal.
//!
//! Pseudonyms are uniform, so bucket `i` of `2^b` begins near rank `i n / 2^b`; the directory keeps the deviation from
//! that in 16 bits, and the byte offset of the bucket's record in 32.

use crate::bytes::Cursor;
use crate::id::{PID_BITS, Pid};

/// A bucket holds about `2^BUCKET_LOG` visitors.
const BUCKET_LOG: u32 = 3;
/// Bytes of a directory entry.
pub const DIRECTORY_ENTRY: usize = 6;
/// The most shard bits: 65,536 shards.
pub const MAX_SHARD_BITS: u32 = 16;
/// The most bucket bits.
pub const MAX_BUCKET_BITS: u32 = 29;

/// How the bits of a pseudonym are divided in one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Leading bits that choose the shard.
    pub shard_bits: u32,
    /// Bits after them that choose the bucket.
    pub bucket_bits: u32,
    /// Visitors of the shard.
    pub visitors: u32,
}

impl Geometry {
    /// The division for a shard of so many visitors.
    #[must_use]
    pub fn new(shard_bits: u32, visitors: u32) -> Self {
        let log = crate::bitpack::width_of(u64::from(visitors));
        Self { shard_bits, bucket_bits: log.saturating_sub(BUCKET_LOG), visitors }
    }

    /// How many buckets.
    #[must_use]
    pub fn buckets(self) -> usize {
        1 << self.bucket_bits
    }

    /// Bytes of a remainder: what shard and bucket do not tell.
    #[must_use]
    pub fn remainder_bytes(self) -> usize {
        (PID_BITS - self.shard_bits - self.bucket_bits).div_ceil(8) as usize
    }

    /// The bucket of a pseudonym of this shard.
    #[inline]
    #[must_use]
    pub fn bucket(self, pid: Pid) -> usize {
        let leading = pid.leading(self.shard_bits + self.bucket_bits);
        (leading & ((1 << self.bucket_bits) - 1)) as usize
    }

    /// The remainder of a pseudonym, little-endian in the low bytes.
    #[inline]
    #[must_use]
    pub fn remainder(self, pid: Pid) -> u128 {
        pid.bits() & ((1u128 << (PID_BITS - self.shard_bits - self.bucket_bits)) - 1)
    }

    /// The pseudonym with this remainder in the bucket of the shard; `None` when the remainder is too large.
    #[must_use]
    pub fn pid(self, shard: u32, bucket: usize, remainder: u128) -> Option<Pid> {
        let below = PID_BITS - self.shard_bits - self.bucket_bits;
        if remainder >> below != 0 {
            return None;
        }
        let leading = u128::from(shard) << self.bucket_bits | bucket as u128;
        Some(Pid::from_bits(leading << below | remainder))
    }

    fn expected(self, bucket: usize) -> i64 {
        ((bucket as u64 * u64::from(self.visitors)) >> self.bucket_bits) as i64
    }

    /// A directory entry; `None` when the rank deviates by more than 16 bits tell, or the offset is beyond 4 GiB.
    #[must_use]
    pub fn entry(self, bucket: usize, start: u32, offset: usize) -> Option<[u8; DIRECTORY_ENTRY]> {
        let deviation = i16::try_from(i64::from(start) - self.expected(bucket)).ok()?;
        let mut entry = [0u8; DIRECTORY_ENTRY];
        entry[..2].copy_from_slice(&deviation.to_le_bytes());
        entry[2..].copy_from_slice(&u32::try_from(offset).ok()?.to_le_bytes());
        Some(entry)
    }

    /// The start rank and the byte offset of a bucket; `None` when the directory is damaged.
    #[inline]
    #[must_use]
    pub fn find(self, directory: &[u8], bucket: usize) -> Option<(u32, usize)> {
        let mut cursor = Cursor::new(directory.get(bucket * DIRECTORY_ENTRY..(bucket + 1) * DIRECTORY_ENTRY)?);
        let deviation = cursor.u16()?.cast_signed();
        let start = u32::try_from(self.expected(bucket) + i64::from(deviation)).ok()?;
        Some((start, cursor.u32()? as usize))
    }
}

/// Appends a remainder.
pub fn put_remainder(into: &mut Vec<u8>, remainder: u128, bytes: usize) {
    into.extend_from_slice(&remainder.to_le_bytes()[..bytes]);
}

/// Reads a remainder of at most 16 bytes.
#[inline]
#[must_use]
pub fn remainder_from(bytes: &[u8]) -> u128 {
    let mut wide = [0u8; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_its_shard_its_bucket_and_its_remainder() {
        let pid = Pid::from_bits(0xfedc_ba98_7654_3210_1234);
        for (shard_bits, visitors) in [(0, 1), (0, 8), (0, 9), (3, 1_000_000), (16, 1 << 20)] {
            let geometry = Geometry::new(shard_bits, visitors);
            let (shard, bucket) = (pid.leading(shard_bits) as u32, geometry.bucket(pid));
            assert!(bucket < geometry.buckets());
            let remainder = geometry.remainder(pid);
            let mut bytes = Vec::new();
            put_remainder(&mut bytes, remainder, geometry.remainder_bytes());
            assert_eq!(geometry.pid(shard, bucket, remainder_from(&bytes)), Some(pid));
        }
        let million = Geometry::new(0, 1_000_000);
        assert_eq!((million.bucket_bits, million.remainder_bytes()), (17, 8));
        assert_eq!(Geometry::new(0, 5_000).remainder_bytes(), 9);
    }

    #[test]
    fn entries_hold_small_deviations_only() {
        let geometry = Geometry::new(0, 1_000_000);
        let entry = geometry.entry(65_536, 500_123, 77).expect("near");
        let mut directory = vec![0; 65_536 * DIRECTORY_ENTRY];
        directory.extend(entry);
        assert_eq!(geometry.find(&directory, 65_536), Some((500_123, 77)));
        assert_eq!(geometry.entry(65_536, 600_000, 0), None);
        assert_eq!(geometry.entry(65_536, 500_123, 1 << 32), None);
        assert_eq!(geometry.find(&directory, 65_537), None);
    }
}
