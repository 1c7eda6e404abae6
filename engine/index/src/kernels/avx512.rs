//! The operations on x86-64 with AVX-512.

use std::arch::x86_64::*;

use super::isa::{GROUP_BYTES, GROUP_WORDS, Isa, Ordinal, decode_from};
use super::stream::word;
use super::x86::{Avx2, Matched};

/// Ordinals of a vector of 512 bits.
const LANES: usize = 32;
/// Up to how many comparisons of one ordinal with 32 are done before the string instructions are faster.
const MAX_BROADCASTS: usize = 64;

/// 0 to 63.
static PLACES: [u8; GROUP_BYTES] = {
    let mut places = [0; GROUP_BYTES];
    let mut place = 0;
    while place < GROUP_BYTES {
        places[place] = place as u8;
        place += 1;
    }
    places
};

/// AVX-512 F, BW, VL, VBMI2 and VPOPCNTDQ, and all of [`Avx2`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(Avx2);

impl Avx512 {
    /// The token, where the processor has the instructions.
    #[must_use]
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("avx512vpopcntdq");
        Avx2::detect().filter(|_| found).map(Self)
    }
}

impl Isa for Avx512 {
    type Group = __m512i;
    type Sum = __m512i;
    const EXPAND_FROM: usize = 96;

    #[inline(always)]
    fn zero(self) -> Self::Sum {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn add(self, sum: Self::Sum, group: Self::Group) -> Self::Sum {
        // SAFETY: the token proves AVX-512 with VPOPCNTDQ.
        unsafe { _mm512_add_epi64(sum, _mm512_popcnt_epi64(group)) }
    }

    #[inline(always)]
    fn total(self, sum: Self::Sum) -> u32 {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_reduce_add_epi64(sum) as u32 }
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; GROUP_BYTES]) -> Self::Group {
        // SAFETY: the token proves AVX-512; 64 bytes are there.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_part(self, bytes: &[u8]) -> Self::Group {
        if bytes.is_empty() {
            // A masked load of nothing may be a fault that is suppressed, which is slow.
            // SAFETY: the token proves AVX-512.
            return unsafe { _mm512_setzero_si512() };
        }
        let present = if bytes.len() >= GROUP_BYTES { u64::MAX } else { (1 << bytes.len()) - 1 };
        // SAFETY: only the bytes that are there are loaded; the token proves AVX-512 BW.
        unsafe { _mm512_maskz_loadu_epi8(present, bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn of_words(self, words: &[u64; GROUP_WORDS]) -> Self::Group {
        // SAFETY: the token proves AVX-512; 64 bytes are there.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, group: Self::Group, words: &mut [u64; GROUP_WORDS]) {
        // SAFETY: the token proves AVX-512; 64 bytes are there.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), group) }
    }

    #[inline(always)]
    fn expand(self, map: u64, bytes: &[u8; GROUP_BYTES]) -> Self::Group {
        // SAFETY: the token proves AVX-512 with VBMI2. (Expanding straight from memory is microcode on Zen 4.)
        unsafe { _mm512_maskz_expand_epi8(map, self.load(bytes)) }
    }

    /// One masked load: a call that copies them costs as much as several groups, and every container ends with some.
    #[inline(always)]
    fn expand_part(self, map: u64, bytes: &[u8]) -> Self::Group {
        // SAFETY: the token proves AVX-512 with VBMI2.
        unsafe { _mm512_maskz_expand_epi8(map, self.load_part(bytes)) }
    }

    #[inline(always)]
    fn and(self, a: Self::Group, b: Self::Group) -> Self::Group {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_and_si512(a, b) }
    }

    #[inline(always)]
    fn or(self, a: Self::Group, b: Self::Group) -> Self::Group {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_or_si512(a, b) }
    }

    #[inline(always)]
    fn and_not(self, a: Self::Group, b: Self::Group) -> Self::Group {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_andnot_si512(b, a) }
    }

    /// The places of the ones of 64 bits are moved to the front at once.
    #[inline(always)]
    fn decode(self, unary: &[u8], lows: &[u8], into: &mut [Ordinal]) -> usize {
        let (mut at, mut done) = (0, 0);
        while at < unary.len() && done < lows.len() && done + 2 * LANES <= into.len() {
            let word = word(&unary[at..]);
            let base = (8 * at).wrapping_sub(done) as i16;
            // SAFETY: the token proves AVX-512 with VBMI2.
            let places = unsafe { _mm512_maskz_compress_epi8(word, self.load(&PLACES)) };
            // SAFETY: as above.
            let first = unsafe { _mm512_castsi512_si256(places) };
            self.put_ordinals(first, base, &lows[done..], &mut into[done..]);
            let ones = word.count_ones() as usize;
            if ones > LANES && done + LANES < lows.len() {
                // SAFETY: as above.
                let second = unsafe { _mm512_extracti64x4_epi64::<1>(places) };
                let base = base.wrapping_sub(LANES as i16);
                self.put_ordinals(second, base, &lows[done + LANES..], &mut into[done + LANES..]);
            }
            done = (done + ones).min(lows.len());
            at += 8;
        }
        // Of an `into` without room for whole vectors.
        if at < unary.len() { decode_from(unary, lows, into, at, done) } else { done }
    }

    /// The most by the string instructions; few ordinals, and what those leave, one with 32 at a time.
    #[inline(always)]
    fn intersect<const KEEP: bool>(self, a: &[Ordinal], b: &[Ordinal], into: &mut [Ordinal]) -> usize {
        if KEEP {
            return self.0.intersect::<KEEP>(a, b, into);
        }
        if a.len().min(b.len()) * a.len().max(b.len()).div_ceil(LANES) <= MAX_BROADCASTS {
            return self.match_few(a, b);
        }
        let Matched { i, j, kept } = self.0.match_eights::<KEEP>(a, b, into);
        kept + self.match_few(&a[i..], &b[j..])
    }
}

impl Avx512 {
    /// Writes 32 ordinals, or as many as there are lows: the high byte of each is its place plus `base` less its index.
    #[inline(always)]
    fn put_ordinals(self, places: __m256i, base: i16, lows: &[u8], into: &mut [Ordinal]) {
        let present = if lows.len() >= LANES { u32::MAX } else { (1 << lows.len()) - 1 };
        let into = &mut into[..LANES];
        // SAFETY: only as many lows are loaded as there are; 32 ordinals have room. The token proves AVX-512 BW and VL.
        unsafe {
            let index = _mm512_cvtepu8_epi16(_mm256_loadu_si256(PLACES.as_ptr().cast()));
            let base = _mm512_sub_epi16(_mm512_set1_epi16(base), index);
            let high = _mm512_add_epi16(_mm512_cvtepu8_epi16(places), base);
            let low = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(present, lows.as_ptr().cast()));
            let ordinals = _mm512_or_si512(_mm512_slli_epi16::<8>(high), low);
            _mm512_storeu_si512(into.as_mut_ptr().cast(), ordinals);
        }
    }

    /// Each ordinal of the shorter list is compared with 32 of the other at once.
    #[inline(always)]
    fn match_few(self, a: &[Ordinal], b: &[Ordinal]) -> usize {
        let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
        let mut kept = 0;
        for some in many.chunks(LANES) {
            let present = u32::MAX >> (LANES - some.len());
            // SAFETY: only the lanes of the chunk are loaded; the token proves AVX-512 BW.
            let right = unsafe { _mm512_maskz_loadu_epi16(present, some.as_ptr().cast()) };
            let mut found = 0;
            for &ordinal in few {
                // SAFETY: the token proves AVX-512 BW.
                found |= unsafe {
                    let left = _mm512_set1_epi16(i16::from_le_bytes(ordinal));
                    _mm512_mask_cmpeq_epi16_mask(present, left, right)
                };
            }
            kept += found.count_ones() as usize;
        }
        kept
    }
}
