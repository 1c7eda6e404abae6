//! Numbers of a fixed width, packed bit by bit: bit `i` of the stream is bit `i % 8` of byte `i / 8`.

/// Packs numbers.
#[derive(Default)]
pub struct BitWriter {
    pending: u128,
    bits: u32,
}

impl BitWriter {
    /// Appends the `width` low bits (0 to 64) of the value, whose other bits are zero.
    pub fn put(&mut self, into: &mut Vec<u8>, value: u64, width: u32) {
        debug_assert!(width <= 64 && (width == 64 || value >> width == 0));
        self.pending |= u128::from(value) << self.bits;
        self.bits += width;
        while self.bits >= 8 {
            into.push(self.pending as u8);
            self.pending >>= 8;
            self.bits -= 8;
        }
    }

    /// Writes the last bits, padded with zeros to a whole byte.
    pub fn flush(&mut self, into: &mut Vec<u8>) {
        if self.bits > 0 {
            into.push(self.pending as u8);
        }
        *self = Self::default();
    }
}

/// So many bits of a window are there wherever it begins.
pub const WINDOW_BITS: u32 = 57;

/// The [`WINDOW_BITS`] or more bits that follow bit `at`; zeros past the end.
#[inline]
#[must_use]
pub fn window(bytes: &[u8], at: usize) -> u64 {
    let (byte, shift) = (at / 8, at % 8);
    if let Some(Ok(word)) = bytes.get(byte..byte + 8).map(TryInto::try_into) {
        return u64::from_le_bytes(word) >> shift;
    }
    last_word(bytes, byte) >> shift
}

/// The word at `byte` of which the end is cut off. Rare, so kept out of the loops that it would slow down.
#[cold]
fn last_word(bytes: &[u8], byte: usize) -> u64 {
    let mut word = [0u8; 8];
    let tail = bytes.get(byte..).unwrap_or(&[]);
    word[..tail.len()].copy_from_slice(tail);
    u64::from_le_bytes(word)
}

/// The `width` bits (0 to 64) that follow bit `at`; zeros past the end.
#[inline]
#[must_use]
pub fn read(bytes: &[u8], at: usize, width: u32) -> u64 {
    if width <= WINDOW_BITS {
        return window(bytes, at) & ((1u64 << width) - 1);
    }
    let (low, high) = (window(bytes, at) & 0xffff_ffff, window(bytes, at + 32) & ((1u64 << (width - 32)) - 1));
    low | high << 32
}

/// The width of the numbers below `count`: bits, 0 for a single number.
#[must_use]
pub fn width_of(count: u64) -> u32 {
    count.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_round_trips_at_every_shift() {
        for width in 0..=64 {
            let value = |i: u64| {
                let wild = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555;
                if width == 64 { wild } else { wild & ((1u64 << width) - 1) }
            };
            let (mut writer, mut bytes) = (BitWriter::default(), Vec::new());
            (0..20).for_each(|i| writer.put(&mut bytes, value(i), width));
            writer.flush(&mut bytes);
            assert_eq!(bytes.len(), (20 * width as usize).div_ceil(8));
            (0..20)
                .for_each(|i| assert_eq!(read(&bytes, i as usize * width as usize, width), value(i), "width {width}"));
        }
    }

    #[test]
    fn widths() {
        let table = [(0, 0), (1, 0), (2, 1), (3, 2), (90, 7), (128, 7), (129, 8), (65_536, 16)];
        table.iter().for_each(|&(count, width)| assert_eq!(width_of(count), width, "{count}"));
    }
}
