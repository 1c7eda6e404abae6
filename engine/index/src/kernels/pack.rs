//! Sparse bitmaps met with each other by AVX2: of each only the bytes that all of them have are looked at.
//!
//! Of two sets of a twenty-fifth of a block each has a quarter of the bytes and both have a fourteenth. To put bytes side
//! by side takes as long as to spread them out, but there are fewer.

use std::arch::x86_64::*;

use crate::containers::Container;

use super::isa::{GROUP_BYTES, Ordinal};
use super::stream::{GROUPS, padded, word};
use super::x86::Avx2;

/// Bytes that are packed at a time.
const EIGHT: usize = 8;

/// For each mask of eight bytes, the shuffle that moves those to the front.
static TO_FRONT: [[u8; EIGHT]; 256] = {
    let mut table = [[0xff; EIGHT]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut place, mut ones) = (0, 0);
        while place < EIGHT {
            if mask >> place & 1 == 1 {
                table[mask][ones] = place as u8;
                ones += 1;
            }
            place += 1;
        }
        mask += 1;
    }
    table
};

impl Avx2 {
    /// How many are in all of these sparse containers of one block, of which there is one at least.
    #[inline(always)]
    pub fn and_packed(self, sets: &[Container<'_>], lists: &mut [Box<[Ordinal]>; 3]) -> u32 {
        let mut common = [u64::MAX; GROUPS];
        for set in sets {
            for (common, own) in common.iter_mut().zip(map_of(set)) {
                *common &= own;
            }
        }
        let [met, next, _] = lists;
        let (met, next) = (met.as_flattened_mut(), next.as_flattened_mut());
        let Some((first, rest)) = sets.split_first() else { return 0 };
        let length = self.pack(&common, first, met);
        for set in rest {
            self.pack(&common, set, next);
            for (met, next) in met[..length].iter_mut().zip(&*next) {
                *met &= next;
            }
        }
        let (words, tail) = met[..length].as_chunks();
        let mut count = word(tail).count_ones();
        for &eight in words {
            count += u64::from_le_bytes(eight).count_ones();
        }
        count
    }

    /// Puts those of a sparse container's bytes side by side that the common map has, and gives their number.
    #[inline(always)]
    fn pack(self, common: &[u64; GROUPS], set: &Container<'_>, into: &mut [u8]) -> usize {
        let Container::Sparse { mut bytes, .. } = *set else { return 0 };
        let mut put = 0;
        for (&common, own) in common.iter().zip(map_of(set)) {
            // SAFETY: the token proves BMI2.
            let select = unsafe { _pext_u64(common, own) };
            put += match bytes.first_chunk() {
                Some(bytes) => self.to_front(select, bytes, &mut into[put..]),
                None => self.to_front(select, &padded(bytes), &mut into[put..]),
            };
            bytes = bytes.get(own.count_ones() as usize..).unwrap_or(&[]);
        }
        put
    }

    /// Writes the bytes whose bit is set and gives their number. `into` has room for a group.
    #[inline(always)]
    fn to_front(self, select: u64, bytes: &[u8; GROUP_BYTES], into: &mut [u8]) -> usize {
        let into = &mut into[..GROUP_BYTES];
        let mut put = 0;
        for eights in [0..3, 3..6, 6..8] {
            for eight in eights {
                let mask = (select >> (EIGHT * eight)) as usize & 0xff;
                // SAFETY: of at most eight turns each reads eight of the bytes and has put at most eight more than the
                // one before, so that room for eight is left; a row of the table has eight. The token proves SSSE3.
                unsafe {
                    let eight = _mm_loadl_epi64(bytes.as_ptr().add(EIGHT * eight).cast());
                    let front = _mm_shuffle_epi8(eight, _mm_loadl_epi64(TO_FRONT[mask].as_ptr().cast()));
                    _mm_storel_epi64(into.as_mut_ptr().add(put).cast(), front);
                }
                put += mask.count_ones() as usize;
            }
            if put == select.count_ones() as usize {
                break;
            }
        }
        put
    }
}

/// The map of a sparse container, a word a group; of others nothing.
#[inline(always)]
fn map_of(set: &Container<'_>) -> [u64; GROUPS] {
    let mut words = [0; GROUPS];
    if let Container::Sparse { map, .. } = set {
        let (whole, rest) = map.as_chunks();
        for (word, bytes) in words.iter_mut().zip(whole) {
            *word = u64::from_le_bytes(*bytes);
        }
        if let Some(last) = words.get_mut(whole.len()) {
            *last = word(rest);
        }
    }
    words
}
