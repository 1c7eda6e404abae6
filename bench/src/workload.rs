//! The synthetic workload of the benchmarks: any number of visitors with memberships of 10,000 segments, from a seed.
//!
//! Popularity of the segments: Zipf with exponent 1.05. Memberships of a visitor: log-normal with sigma 1, drawn with
//! replacement and then made distinct, about 30 on average. Expiry: a whole day, uniform in 1..=90, after the base time.

use crate::rng::Rng;

/// The seed of the benchmarks.
pub const SEED: u64 = 20_240_611;
/// The moment from which expiry days count, in Unix seconds.
pub const BASE_TIME: u64 = 1_800_000_000;
/// How many segments there are; their names are `10000` to `19999`.
pub const SEGMENTS: u16 = 10_000;
/// The longest life, in days.
pub const MAX_DAYS: u8 = 90;
/// The exponent of the popularity.
const ALPHA: f64 = 1.05;
/// The mean of the logarithm of the draws a visitor; with it the mean of the distinct memberships is about 30.
const MU: f64 = 3.205;
/// The most draws a visitor.
const MAX_DRAWS: f64 = 3_000.0;
/// The name of the first segment.
pub const FIRST_SEGMENT: u16 = 10_000;
/// Popularity is kept as a table of about this many slots, so that a draw is one look.
const SLOTS: u32 = 1 << 22;
/// Bytes of a row of the feed: id, tab, segment, tab, expiry, line feed.
pub const ROW_BYTES: usize = 54;
/// Bytes of a visitor id.
const UUID_BYTES: usize = 36;

/// A stream of visitors without end.
#[derive(Debug)]
pub struct Workload {
    rng: Rng,
    ranked: Vec<u16>,
    table: Vec<u16>,
    memberships: Vec<(u16, u8)>,
}

/// One visitor and what he or she belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// The id: a random UUID as text.
    pub id: [u8; UUID_BYTES],
    /// Distinct segments, ascending, each with its expiry in days after [`BASE_TIME`], 1 to [`MAX_DAYS`].
    pub memberships: &'a [(u16, u8)],
}

impl Workload {
    /// The stream of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut ranked: Vec<u16> = (FIRST_SEGMENT..FIRST_SEGMENT + SEGMENTS).collect();
        rng.shuffle(&mut ranked);
        let weight = |rank: u16| f64::from(rank).powf(-ALPHA);
        let total: f64 = (1..=SEGMENTS).map(weight).sum();
        let mut table = Vec::new();
        for (rank, &segment) in (1..).zip(&ranked) {
            let slots = (weight(rank) / total * f64::from(SLOTS)).round().max(1.0);
            table.resize(table.len() + slots as usize, segment);
        }
        Self { rng, ranked, table, memberships: Vec::new() }
    }

    /// The segments, the most popular first.
    #[must_use]
    pub fn ranked(&self) -> &[u16] {
        &self.ranked
    }

    /// The next visitor.
    pub fn visitor(&mut self) -> Visitor<'_> {
        let id = uuid(&mut self.rng);
        let draws = (MU + self.rng.normal()).exp().ceil().clamp(1.0, MAX_DRAWS) as usize;
        self.memberships.clear();
        for _ in 0..draws {
            self.memberships.push((self.table[self.rng.index(self.table.len())], 0));
        }
        self.memberships.sort_unstable();
        self.memberships.dedup();
        for (_, day) in &mut self.memberships {
            *day = 1 + self.rng.below(u32::from(MAX_DAYS)) as u8;
        }
        Visitor { id, memberships: &self.memberships }
    }
}

impl Visitor<'_> {
    /// Appends the visitor's rows as the feed has them: `uuid TAB segment TAB expiry`.
    pub fn write(&self, feed: &mut Vec<u8>) {
        for &(segment, day) in self.memberships {
            feed.extend_from_slice(&self.id);
            feed.push(b'\t');
            digits::<5>(feed, u64::from(segment));
            feed.push(b'\t');
            digits::<10>(feed, BASE_TIME + u64::from(day) * 86_400);
            feed.push(b'\n');
        }
    }
}

/// The last `N` decimal digits.
fn digits<const N: usize>(feed: &mut Vec<u8>, mut number: u64) {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    feed.extend_from_slice(&text);
}

/// A random UUID (version 4) as text.
fn uuid(rng: &mut Rng) -> [u8; UUID_BYTES] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let mut bits = (u128::from(rng.bits()) << 64) | u128::from(rng.bits());
    bits = bits & !(0xf << 76) | (0x4 << 76);
    bits = bits & !(0x3 << 62) | (0x2 << 62);
    let mut text = [b'-'; UUID_BYTES];
    let mut left = 128;
    for (at, byte) in text.iter_mut().enumerate() {
        if !DASHES.contains(&at) {
            left -= 4;
            *byte = HEX[(bits >> left) as usize & 0xf];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distributions_are_the_documented_ones() {
        let mut workload = Workload::new(SEED);
        let top = workload.ranked()[0];
        let (mut rows, mut in_top, mut days) = (0_u32, 0_u32, 0_u64);
        for _ in 0..20_000 {
            let visitor = workload.visitor();
            rows += visitor.memberships.len() as u32;
            in_top += u32::from(visitor.memberships.iter().any(|(segment, _)| *segment == top));
            days += visitor.memberships.iter().map(|(_, day)| u64::from(*day)).sum::<u64>();
            assert!(visitor.memberships.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
        let mean = f64::from(rows) / 20_000.0;
        assert!((29.0..31.5).contains(&mean), "mean {mean}");
        assert!((44.0..47.0).contains(&(days as f64 / f64::from(rows))));
        assert!((17_300..18_000).contains(&in_top), "{in_top} of 20,000 in the most popular segment");
    }

    #[test]
    fn rows_have_the_documented_form() {
        let mut feed = Vec::new();
        let mut workload = Workload::new(1);
        let visitor = workload.visitor();
        visitor.write(&mut feed);
        assert_eq!(feed.len(), visitor.memberships.len() * ROW_BYTES);
        let text = String::from_utf8(feed).expect("ASCII");
        let fields: Vec<&str> = text.lines().next().expect("a row").split('\t').collect();
        assert_eq!(fields.iter().map(|f| f.len()).collect::<Vec<_>>(), [36, 5, 10]);
        assert_eq!((fields[0].as_bytes()[14], fields[0].matches('-').count()), (b'4', 4));
        assert!(b"89ab".contains(&fields[0].as_bytes()[19]));
    }
}
