//! Both codes, there and back, and what is none.

use std::sync::Arc;

use super::*;

fn code_for(profiles: &[Vec<u32>], segments: u32, share: f64) -> GapCode {
    let mut counts = GapCounts::new(segments);
    profiles.iter().for_each(|ranks| counts.note(ranks.iter().copied()));
    counts.choose(share)
}

fn assert_round_trips(code: &GapCode, ranks: &[u32]) {
    let mut bytes = Vec::new();
    code.write(ranks.iter().copied(), &mut bytes);
    let exact = bytes.len();
    for more in [0, 1, 20] {
        bytes.resize(exact + more, 0xa5);
        let mut read = Vec::new();
        assert_eq!(code.read(&bytes, ranks.len(), |rank| read.push(rank)), Some(exact));
        assert_eq!(read, ranks);
    }
}

fn profiles(segments: u32) -> Vec<Vec<u32>> {
    let skewed = |i: u64| ((i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24)).powi(4);
    let rank = |i: u64| (skewed(i) * f64::from(segments)) as u32;
    let profile = |p: u64| {
        let mut ranks: Vec<u32> = (0..1 + p * p % 130).map(|i| rank(p * 1_000 + i)).collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    };
    (0..400).map(profile).collect()
}

#[test]
fn symbols_cover_all_gaps() {
    for gap in (0..10_000).chain([1 << 20, u32::MAX - 1, u32::MAX]) {
        let (symbol, extra, low) = symbol_of(gap);
        assert_eq!(gap_of(symbol as u32), (gap - low, extra), "gap {gap}");
        assert!(symbol < MAX_SYMBOLS);
    }
}

#[test]
fn both_codes_round_trip_and_tables_are_kept() {
    for segments in [1, 5, 300, 20_000, u32::MAX] {
        let profiles = profiles(segments.min(1 << 30));
        let tables = code_for(&profiles, segments, 1_000.0);
        assert_eq!(tables.number(), HUFFMAN, "{segments} segments");
        let mut kept = Vec::new();
        tables.write_tables(&mut kept);
        let again = GapCode::read_tables(HUFFMAN, &kept).expect("what was written");
        for code in [&GapCode::Nibbles, &tables, &again] {
            profiles.iter().for_each(|ranks| assert_round_trips(code, ranks));
            assert_round_trips(code, &[segments - 1]);
        }
        assert!(GapCode::read_tables(HUFFMAN, &kept[1..]).is_none());
        assert!(GapCode::read_tables(3, &kept).is_none() && GapCode::read_tables(NIBBLES, &kept).is_none());
    }
}

#[test]
fn a_small_image_does_without_tables() {
    assert_eq!(code_for(&profiles(300)[..3], 300, 1.0).number(), NIBBLES);
}

#[test]
fn what_is_no_code_is_none() {
    // Two gaps of eleven nibbles each with all bits set: beyond 32 bits.
    let beyond = [0x77, 0x77, 0x77, 0x77, 0x77, 0x7f, 0x77, 0x77, 0x77, 0x77, 0xf7];
    assert_eq!(GapCode::Nibbles.read(&beyond, 2, |_| {}), None);
    assert_eq!(GapCode::Nibbles.read(&[0x77; 9], 1, |_| {}), None);
    let lengths = [[1, 0]; CONTEXTS].concat();
    let half = GapCode::Huffman(Box::new(Tables::new(2, lengths).expect("a prefix code")));
    assert_eq!(half.read(&[0], 3, |_| {}), Some(1));
    assert_eq!(half.read(&[1], 3, |_| {}), None);
}

fn counts_of(profiles: &[Vec<u32>], segments: u32) -> GapCounts {
    let mut counts = GapCounts::new(segments);
    profiles.iter().for_each(|ranks| counts.note(ranks.iter().copied()));
    counts
}

#[test]
fn a_code_is_kept_while_it_serves() {
    let (few, many) = (profiles(1_000), profiles(20_000));
    let kept = |counts: &GapCounts, code: &Arc<GapCode>| Arc::ptr_eq(&counts.choose_or_keep(1_000.0, Some(code)), code);
    let (counts, others) = (counts_of(&few, 1_000), counts_of(&many, 20_000));
    let (own, other) = (counts.choose_or_keep(1_000.0, None), others.choose_or_keep(1_000.0, None));
    assert!(kept(&counts, &own) && kept(&others, &other));
    // A segment more is no new symbol; 19,000 more are.
    assert!(kept(&counts_of(&few, 1_001), &own) && !kept(&counts_of(&few, 20_000), &own));
    // It codes whatever comes, but for too many bytes; the nibbles do that too.
    assert!(!kept(&counts, &other));
    assert!(!kept(&others, &Arc::new(GapCode::Nibbles)));
    // A symbol without a code may come.
    let GapCode::Huffman(tables) = &*own else { panic!("400 profiles have tables") };
    let mut lengths = tables.lengths.clone();
    lengths[3] = 0;
    let cut = Tables::new(tables.symbols, lengths).map(|tables| Arc::new(GapCode::Huffman(Box::new(tables))));
    assert!(!kept(&counts, &cut.expect("a prefix code still")));
}

#[test]
fn the_nibbles_of_a_small_index_are_kept() {
    let counts = counts_of(&[vec![1, 5], vec![2]], 10);
    let nibbles = Arc::new(GapCode::Nibbles);
    assert!(Arc::ptr_eq(&counts.choose_or_keep(1.0, Some(&nibbles)), &nibbles));
}
