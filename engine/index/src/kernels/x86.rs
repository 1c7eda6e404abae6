//! The operations on x86-64: a token of a level exists only where the processor has its instructions.

use std::arch::x86_64::*;

use crate::containers::Container;

use super::isa::{GROUP_BYTES, GROUP_WORDS, Isa, Ordinal, decode_from, merge};

/// Ordinals of a vector of 128 bits.
const LANES: usize = 8;

/// A shuffle puts a zero where the highest bit is set.
const NO_BYTE: u8 = 0x80;

/// For each byte of a sparse container's map, of each of its places: which of the bytes goes there, or none.
static BYTE_OF_PLACE: [[u8; LANES]; 256] = {
    let mut table = [[NO_BYTE; LANES]; 256];
    let mut map = 0;
    while map < 256 {
        let (mut place, mut ones) = (0, 0);
        while place < LANES {
            if map >> place & 1 == 1 {
                table[map][place] = ones;
                ones += 1;
            }
            place += 1;
        }
        map += 1;
    }
    table
};

/// For each number of bytes that the first byte of a map takes: what is added to the places of the second.
static BYTES_BEFORE: [[u8; 2 * LANES]; LANES + 1] = {
    let mut table = [[0; 2 * LANES]; LANES + 1];
    let mut taken = 0;
    while taken <= LANES {
        let mut place = LANES;
        while place < 2 * LANES {
            table[taken][place] = taken as u8;
            place += 1;
        }
        taken += 1;
    }
    table
};

/// For each byte of a unary part, of each of its ones: the zeros before it.
static ZEROS_BEFORE: [[u8; LANES]; 256] = {
    let mut table = [[0u8; LANES]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut ones) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte][ones] = (bit - ones) as u8;
                ones += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// For each mask of eight lanes, the shuffle that moves those lanes to the front.
static TO_FRONT: [[u8; 16]; 256] = {
    let mut table = [[0xff_u8; 16]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut ones) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                table[mask][2 * ones] = 2 * lane as u8;
                table[mask][2 * ones + 1] = 2 * lane as u8 + 1;
                ones += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    table
};

/// AVX2, BMI, POPCNT and SSE4.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The token, where the processor has the instructions.
    #[must_use]
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("sse4.2");
        found.then_some(Self(()))
    }

    /// The bytes from `at` on, at most 48, where the sixteen bits of the map have a one, zeros elsewhere.
    #[inline(always)]
    fn expand_quarter(self, map: u16, bytes: &[u8; GROUP_BYTES], at: usize) -> __m128i {
        let (first, second) = (usize::from(map & 0xff), usize::from(map >> 8));
        let bytes = &bytes[at..at + 2 * LANES];
        // SAFETY: sixteen bytes are there; a row of the one table has eight, of the other sixteen. The token proves SSSE3.
        unsafe {
            let first_places = _mm_loadl_epi64(BYTE_OF_PLACE[first].as_ptr().cast());
            let second_places = _mm_loadl_epi64(BYTE_OF_PLACE[second].as_ptr().cast());
            let before = _mm_loadu_si128(BYTES_BEFORE[first.count_ones() as usize].as_ptr().cast());
            let places = _mm_add_epi8(_mm_unpacklo_epi64(first_places, second_places), before);
            _mm_shuffle_epi8(_mm_loadu_si128(bytes.as_ptr().cast()), places)
        }
    }

    /// The ones of each byte, by two looks into a table of sixteen (Mula, Kurz and Lemire, "Faster population counts").
    #[inline(always)]
    fn ones(self, v: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe {
            let ones = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
            let low = _mm256_set1_epi8(0x0f);
            let (a, b) = (_mm256_and_si256(v, low), _mm256_and_si256(_mm256_srli_epi16::<4>(v), low));
            _mm256_add_epi8(_mm256_shuffle_epi8(ones, a), _mm256_shuffle_epi8(ones, b))
        }
    }
}

impl Isa for Avx2 {
    type Group = [__m256i; 2];
    type Sum = __m256i;
    const EXPAND_FROM: usize = 700;

    #[inline(always)]
    fn zero(self) -> Self::Sum {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    fn add(self, sum: Self::Sum, group: Self::Group) -> Self::Sum {
        // At most sixteen ones in two bytes: no overflow.
        // SAFETY: the token proves AVX2.
        unsafe {
            let bytes = _mm256_add_epi8(self.ones(group[0]), self.ones(group[1]));
            _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, _mm256_setzero_si256()))
        }
    }

    #[inline(always)]
    fn total(self, sum: Self::Sum) -> u32 {
        let mut lanes = [0u64; 4];
        // SAFETY: the token proves AVX2; the lanes have 32 bytes.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        lanes.iter().sum::<u64>() as u32
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; GROUP_BYTES]) -> Self::Group {
        // SAFETY: the token proves AVX2; the two halves lie within the 64 bytes.
        unsafe {
            let at = bytes.as_ptr();
            [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(32).cast())]
        }
    }

    #[inline(always)]
    fn of_words(self, words: &[u64; GROUP_WORDS]) -> Self::Group {
        // SAFETY: the token proves AVX2; the two halves lie within the 64 bytes.
        unsafe {
            let at = words.as_ptr();
            [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(4).cast())]
        }
    }

    #[inline(always)]
    fn store(self, group: Self::Group, words: &mut [u64; GROUP_WORDS]) {
        // SAFETY: the token proves AVX2; the two halves lie within the 64 bytes.
        unsafe {
            let at = words.as_mut_ptr();
            _mm256_storeu_si256(at.cast(), group[0]);
            _mm256_storeu_si256(at.add(4).cast(), group[1]);
        }
    }

    #[inline(always)]
    fn expand(self, map: u64, bytes: &[u8; GROUP_BYTES]) -> Self::Group {
        let maps = [map as u16, (map >> 16) as u16, (map >> 32) as u16, (map >> 48) as u16];
        let second = maps[0].count_ones() as usize;
        let third = second + maps[1].count_ones() as usize;
        let fourth = third + maps[2].count_ones() as usize;
        let (a, b) = (self.expand_quarter(maps[0], bytes, 0), self.expand_quarter(maps[1], bytes, second));
        let (c, d) = (self.expand_quarter(maps[2], bytes, third), self.expand_quarter(maps[3], bytes, fourth));
        // SAFETY: the token proves AVX2.
        unsafe { [_mm256_set_m128i(b, a), _mm256_set_m128i(d, c)] }
    }

    #[inline(always)]
    fn and_sparse(self, sets: &[Container<'_>], lists: &mut [Box<[Ordinal]>; 3]) -> Option<u32> {
        Some(self.and_packed(sets, lists))
    }

    #[inline(always)]
    fn and(self, a: Self::Group, b: Self::Group) -> Self::Group {
        // SAFETY: the token proves AVX2.
        unsafe { [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])] }
    }

    #[inline(always)]
    fn or(self, a: Self::Group, b: Self::Group) -> Self::Group {
        // SAFETY: the token proves AVX2.
        unsafe { [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])] }
    }

    #[inline(always)]
    fn and_not(self, a: Self::Group, b: Self::Group) -> Self::Group {
        // SAFETY: the token proves AVX2.
        unsafe { [_mm256_andnot_si256(b[0], a[0]), _mm256_andnot_si256(b[1], a[1])] }
    }

    #[inline(always)]
    fn decode(self, unary: &[u8], lows: &[u8], into: &mut [Ordinal]) -> usize {
        let into = &mut into[..lows.len()];
        let (mut at, mut done) = (0, 0);
        while at < unary.len() && done + LANES <= into.len() {
            let byte = usize::from(unary[at]);
            // SAFETY: eight lows and eight places from `done` on are there; a row of the table has eight bytes; the token
            // proves SSE4.1.
            unsafe {
                let zeros = _mm_cvtepu8_epi16(_mm_loadl_epi64(ZEROS_BEFORE[byte].as_ptr().cast()));
                let high = _mm_add_epi16(zeros, _mm_set1_epi16((8 * at).wrapping_sub(done) as i16));
                let low = _mm_cvtepu8_epi16(_mm_loadl_epi64(lows.as_ptr().add(done).cast()));
                let ordinals = _mm_or_si128(_mm_slli_epi16::<8>(high), low);
                _mm_storeu_si128(into.as_mut_ptr().add(done).cast(), ordinals);
            }
            done += byte.count_ones() as usize;
            at += 1;
        }
        decode_from(unary, lows, into, at, done)
    }

    #[inline(always)]
    fn intersect<const KEEP: bool>(self, a: &[Ordinal], b: &[Ordinal], into: &mut [Ordinal]) -> usize {
        let Matched { i, j, kept } = self.match_eights::<KEEP>(a, b, into);
        merge::<KEEP>(&a[i..], &b[j..], into, kept)
    }
}

/// How far two lists have been matched.
pub struct Matched {
    /// Ordinals of the first that are done.
    pub i: usize,
    /// Of the second.
    pub j: usize,
    /// Ordinals found in both.
    pub kept: usize,
}

impl Avx2 {
    /// Eight with eight by the string instructions (Schlegel, Willhalm and Lehner, "Fast sorted-set intersection"), until
    /// one list has fewer than eight left.
    #[inline(always)]
    pub fn match_eights<const KEEP: bool>(self, a: &[Ordinal], b: &[Ordinal], into: &mut [Ordinal]) -> Matched {
        const EQUAL_ANY: i32 = _SIDD_UWORD_OPS | _SIDD_CMP_EQUAL_ANY | _SIDD_BIT_MASK;
        // A zero ends a string; in a list only the first ordinal can be one.
        let zero = |list: &[Ordinal]| usize::from(list.first() == Some(&[0, 0]));
        let (mut i, mut j) = (zero(a), zero(b));
        let mut kept = i & j;
        if KEEP && kept == 1 {
            into[0] = [0, 0];
        }
        if i + LANES > a.len() || j + LANES > b.len() {
            return Matched { i, j, kept };
        }
        let (mut left, mut right) = (self.eight(a, i), self.eight(b, j));
        while !KEEP || kept + LANES <= into.len() {
            // SAFETY: room for eight from `kept` on is there. The token proves SSE4.2.
            let mask = unsafe {
                let mask = _mm_cvtsi128_si32(_mm_cmpistrm::<EQUAL_ANY>(right, left)) as usize & 0xff;
                if KEEP {
                    let front = _mm_shuffle_epi8(left, _mm_loadu_si128(TO_FRONT[mask].as_ptr().cast()));
                    _mm_storeu_si128(into.as_mut_ptr().add(kept).cast(), front);
                }
                mask
            };
            kept += mask.count_ones() as usize;
            let (x, y) = (u16::from_le_bytes(a[i + LANES - 1]), u16::from_le_bytes(b[j + LANES - 1]));
            // Branches, not arithmetic: where they are foreseen the next comparison need not wait for this one.
            if x <= y {
                i += LANES;
                if i + LANES > a.len() {
                    j += if x == y { LANES } else { 0 };
                    break;
                }
                left = self.eight(a, i);
            }
            if y <= x {
                j += LANES;
                if j + LANES > b.len() {
                    break;
                }
                right = self.eight(b, j);
            }
        }
        Matched { i, j, kept }
    }

    /// Eight ordinals of the list.
    #[inline(always)]
    fn eight(self, list: &[Ordinal], at: usize) -> __m128i {
        let eight = &list[at..at + LANES];
        // SAFETY: eight ordinals of two bytes are there.
        unsafe { _mm_loadu_si128(eight.as_ptr().cast()) }
    }
}
