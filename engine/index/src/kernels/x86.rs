//! The operations on x86-64: a token of a level exists only where the processor has its instructions.

use std::arch::x86_64::*;

use super::isa::{GROUP_BYTES, GROUP_WORDS, Isa, Ordinal, decode_from, merge};

/// Ordinals of a vector of 128 bits.
const LANES: usize = 8;
/// Ordinals of a vector of 512 bits.
const WIDE_LANES: usize = 32;
/// Up to how many comparisons of one ordinal with 32 are done before the string instructions are faster.
const MAX_BROADCASTS: usize = 64;

/// For each byte of a sparse container's map, the bits of its word that are expanded to.
static BYTE_MASKS: [u64; 256] = {
    let mut masks = [0u64; 256];
    let mut map = 0;
    while map < 256 {
        let mut bit = 0;
        while bit < 8 {
            if map >> bit & 1 == 1 {
                masks[map] |= 0xff << (8 * bit);
            }
            bit += 1;
        }
        map += 1;
    }
    masks
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

/// AVX-512 F, BW, VL, VBMI2 and VPOPCNTDQ, and all of [`Avx2`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(Avx2);

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
        let mut words = [0u64; GROUP_WORDS];
        let mut at = 0;
        for (word, present) in words.iter_mut().zip(map.to_le_bytes()) {
            // SAFETY: each of at most seven words before took at most eight bytes, so that eight are left; the token
            // proves BMI2.
            unsafe {
                let next = bytes.as_ptr().add(at).cast::<u64>().read_unaligned();
                *word = _pdep_u64(next, BYTE_MASKS[usize::from(present)]);
            }
            at += present.count_ones() as usize;
        }
        self.of_words(&words)
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

    /// Eight with eight by the string instructions (Schlegel, Willhalm and Lehner, "Fast sorted-set intersection").
    #[inline(always)]
    fn intersect<const KEEP: bool>(self, a: &[Ordinal], b: &[Ordinal], into: &mut [Ordinal]) -> usize {
        const EQUAL_ANY: i32 = _SIDD_UWORD_OPS | _SIDD_CMP_EQUAL_ANY | _SIDD_BIT_MASK;
        let (mut i, mut j, mut kept) = (0, 0, 0);
        while i + LANES <= a.len() && j + LANES <= b.len() && (!KEEP || kept + LANES <= into.len()) {
            // SAFETY: eight ordinals from `i` and `j` on are there, and room for eight from `kept` on. The token proves
            // SSE4.2.
            let mask = unsafe {
                let left = _mm_loadu_si128(a.as_ptr().add(i).cast());
                let right = _mm_loadu_si128(b.as_ptr().add(j).cast());
                let found = _mm_cmpestrm::<EQUAL_ANY>(right, LANES as i32, left, LANES as i32);
                let mask = _mm_cvtsi128_si32(found) as usize & 0xff;
                if KEEP {
                    let front = _mm_shuffle_epi8(left, _mm_loadu_si128(TO_FRONT[mask].as_ptr().cast()));
                    _mm_storeu_si128(into.as_mut_ptr().add(kept).cast(), front);
                }
                mask
            };
            kept += mask.count_ones() as usize;
            let (x, y) = (u16::from_le_bytes(a[i + LANES - 1]), u16::from_le_bytes(b[j + LANES - 1]));
            i += if x <= y { LANES } else { 0 };
            j += if y <= x { LANES } else { 0 };
        }
        merge::<KEEP>(&a[i..], &b[j..], into, kept)
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

    #[inline(always)]
    fn decode(self, unary: &[u8], lows: &[u8], into: &mut [Ordinal]) -> usize {
        self.0.decode(unary, lows, into)
    }

    /// Short lists: each ordinal of `a` is compared with 32 of `b` at once.
    #[inline(always)]
    fn intersect<const KEEP: bool>(self, a: &[Ordinal], b: &[Ordinal], into: &mut [Ordinal]) -> usize {
        if KEEP || a.len() * b.len().div_ceil(WIDE_LANES) > MAX_BROADCASTS {
            return self.0.intersect::<KEEP>(a, b, into);
        }
        let mut kept = 0;
        for some in b.chunks(WIDE_LANES) {
            let present = u32::MAX >> (WIDE_LANES - some.len());
            // SAFETY: only the lanes of the chunk are loaded; the token proves AVX-512 BW.
            let right = unsafe { _mm512_maskz_loadu_epi16(present, some.as_ptr().cast()) };
            let mut found = 0;
            for &ordinal in a {
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
