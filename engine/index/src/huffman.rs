//! Prefix codes of at most eight bits, read through a table of 256.
//!
//! Lengths are the best there are under the bound (package-merge: Larmore and Hirschberg, "A fast algorithm for optimal
//! length-limited Huffman codes", JACM 1990); codes are canonical, written from their lowest bit.

/// The longest code, in bits.
pub const MAX_CODE_BITS: u32 = 8;
const TABLE: usize = 1 << MAX_CODE_BITS;

/// The lengths of the best code for these frequencies; 0 for a symbol that never occurs. At most 256 symbols.
#[must_use]
pub fn lengths(frequencies: &[u64]) -> Vec<u8> {
    let mut lengths = vec![0u8; frequencies.len()];
    let mut coins: Vec<(u64, Vec<usize>)> =
        frequencies.iter().enumerate().filter(|(_, count)| **count > 0).map(|(s, &count)| (count, vec![s])).collect();
    coins.sort();
    if let [(_, only)] = &coins[..] {
        only.iter().for_each(|&symbol| lengths[symbol] = 1);
        return lengths;
    }
    let mut packages: Vec<(u64, Vec<usize>)> = Vec::new();
    for _ in 0..MAX_CODE_BITS {
        let mut row = coins.clone();
        let pairs = packages.chunks_exact(2);
        row.extend(pairs.map(|two| (two[0].0 + two[1].0, [&two[0].1[..], &two[1].1[..]].concat())));
        row.sort();
        packages = row;
    }
    // The cheapest 2n - 2 coins of the last row: a symbol's length is how often it is among them.
    let chosen = packages.iter().take((2 * coins.len()).saturating_sub(2));
    chosen.flat_map(|(_, symbols)| symbols).for_each(|&symbol| lengths[symbol] += 1);
    lengths
}

/// The code of each symbol, its first bit the lowest; `None` when the lengths are no prefix code.
#[must_use]
pub fn codes(lengths: &[u8]) -> Option<Vec<u8>> {
    if lengths.iter().any(|&length| u32::from(length) > MAX_CODE_BITS) {
        return None;
    }
    let mut order: Vec<usize> = (0..lengths.len()).filter(|&symbol| lengths[symbol] > 0).collect();
    order.sort_by_key(|&symbol| (lengths[symbol], symbol));
    let mut codes = vec![0u8; lengths.len()];
    let mut next = 0usize;
    for symbol in order {
        let length = u32::from(lengths[symbol]);
        // `next` counts in codes of eight bits: a code of `length` bits takes that many of them.
        if next >= TABLE {
            return None;
        }
        codes[symbol] = (next as u8).reverse_bits();
        next += TABLE >> length;
    }
    (next <= TABLE).then_some(codes)
}

/// Symbol and length for each eight bits that may come next; length 0: no code begins so.
#[must_use]
pub fn table(lengths: &[u8], codes: &[u8]) -> Vec<(u8, u8)> {
    let mut table = vec![(0, 0); TABLE];
    for (symbol, (&length, &code)) in lengths.iter().zip(codes).enumerate().filter(|(_, (length, _))| **length > 0) {
        let mut bits = usize::from(code);
        while bits < TABLE {
            table[bits] = (symbol as u8, length);
            bits += 1 << length;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(frequencies: &[u64], lengths: &[u8]) -> u64 {
        frequencies.iter().zip(lengths).map(|(count, &length)| count * u64::from(length)).sum()
    }

    #[test]
    fn codes_are_complete_and_decode() {
        for seed in 1..200u64 {
            let symbols = 2 + seed as usize % 63;
            let wild = |i: u64| (i * seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (20 + seed % 40);
            let frequencies: Vec<u64> = (0..symbols as u64).map(|i| 1 + wild(i)).collect();
            let lengths = lengths(&frequencies);
            let kraft: usize = lengths.iter().map(|&length| TABLE >> length).sum();
            assert_eq!(kraft, TABLE, "seed {seed}");
            let codes = codes(&lengths).expect("a prefix code");
            let table = table(&lengths, &codes);
            for symbol in 0..symbols {
                assert_eq!(table[usize::from(codes[symbol])], (symbol as u8, lengths[symbol]), "seed {seed}");
            }
        }
    }

    #[test]
    fn lengths_are_the_best() {
        assert_eq!(lengths(&[0, 7, 0]), [0, 1, 0]);
        assert_eq!(lengths(&[0, 0]), [0, 0]);
        // By hand: 1+1 -> 2, 2+2 -> 4, 4+4 -> 8, 8+8 -> 16.
        assert_eq!(lengths(&[8, 4, 2, 1, 1]), [1, 2, 3, 4, 4]);
        // Fibonacci frequencies want codes of eleven bits; 974 is the least under the bound, found by trying all lengths.
        let fibonacci = [1u64, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144];
        let bounded = lengths(&fibonacci);
        assert!(bounded.iter().all(|&length| u32::from(length) <= MAX_CODE_BITS));
        assert_eq!(cost(&fibonacci, &bounded), 974);
    }

    #[test]
    fn what_is_no_prefix_code_is_refused() {
        assert!(codes(&[1, 1, 1]).is_none() && codes(&[9]).is_none());
        assert!(codes(&[1]).is_some() && codes(&[]).is_some());
    }
}
