//! The same data in plain parts: a hash table from pseudonym to offset, and per visitor a count, then the gaps between
//! ascending popularity ranks as varints, each with a byte for the day of its end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use usher_index::Pid;

/// Pseudonyms are random already: their first bytes are the hash.
#[derive(Default)]
pub struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length of the pseudonym, always the same.
    fn write_usize(&mut self, _: usize) {}
}

/// The data.
pub struct Plain {
    table: HashMap<Pid, u32, BuildHasherDefault<FirstBytes>>,
    profiles: Vec<u8>,
    /// Of each segment, its rank.
    ranks: Vec<u32>,
    /// Of each rank, the segment's place in the order of names.
    places: Vec<u32>,
    /// Of each place, the name in quotes.
    names: Vec<String>,
    first: u16,
}

impl Plain {
    /// Without visitors; `ranked` are the segments, the most popular first.
    #[must_use]
    pub fn new(ranked: &[u16], visitors: usize) -> Self {
        let first = ranked.iter().copied().min().unwrap_or(0);
        let mut ranks = vec![0; ranked.len()];
        (0..).zip(ranked).for_each(|(rank, segment)| ranks[usize::from(segment - first)] = rank);
        let places = ranked.iter().map(|segment| u32::from(segment - first)).collect();
        let names = (usize::from(first)..).take(ranked.len()).map(|segment| format!("\"{segment}\"")).collect();
        let table = HashMap::with_capacity_and_hasher(visitors, BuildHasherDefault::default());
        Self { table, profiles: Vec::new(), ranks, places, names, first }
    }

    /// Adds a visitor: segments and days.
    pub fn put(&mut self, pid: Pid, memberships: &[(u16, u8)]) {
        let rank = |segment: u16| self.ranks[usize::from(segment - self.first)];
        let mut entries: Vec<(u32, u8)> = memberships.iter().map(|(segment, day)| (rank(*segment), *day)).collect();
        entries.sort_unstable();
        self.table.insert(pid, self.profiles.len() as u32);
        varint(&mut self.profiles, entries.len() as u32);
        let mut next = 0;
        for (rank, day) in entries {
            varint(&mut self.profiles, rank - next);
            self.profiles.push(day);
            next = rank + 1;
        }
    }

    /// Leaves the ranks that are live on the day in `into`; how many.
    #[inline]
    pub fn live(&self, pid: Pid, day: u8, into: &mut Vec<u32>) -> usize {
        into.clear();
        let Some(&start) = self.table.get(&pid) else { return 0 };
        let mut bytes = self.profiles[start as usize..].iter();
        let mut next = 0;
        for _ in 0..read(&mut bytes) {
            let rank = next + read(&mut bytes);
            if bytes.next().is_some_and(|end| *end > day) {
                into.push(rank);
            }
            next = rank + 1;
        }
        into.len()
    }

    /// Appends the answer that the engine gives.
    #[inline]
    pub fn answer(&self, pid: Pid, day: u8, ranks: &mut Vec<u32>, into: &mut Vec<u8>) {
        self.live(pid, day, ranks);
        ranks.iter_mut().for_each(|rank| *rank = self.places[*rank as usize]);
        ranks.sort_unstable();
        into.extend_from_slice(br#"{"segments":["#);
        for (number, place) in ranks.iter().enumerate() {
            if number > 0 {
                into.push(b',');
            }
            into.extend_from_slice(self.names[*place as usize].as_bytes());
        }
        into.extend_from_slice(br#"],"audiences":[]}"#);
    }

    /// Bytes of table and profiles: slots, a control byte a slot, profiles.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // The table is at most seven eighths full, and its size a power of two.
        let slots = (self.table.capacity() * 8 / 7).next_power_of_two();
        slots * (size_of::<(Pid, u32)>() + 1) + self.profiles.len()
    }
}

fn varint(into: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

#[inline]
fn read(bytes: &mut std::slice::Iter<'_, u8>) -> u32 {
    let (mut value, mut shift) = (0, 0);
    for byte in bytes {
        value |= u32::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
        shift += 7;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{SEED, Workload};

    #[test]
    fn what_was_put_is_answered_while_it_lives() {
        let mut workload = Workload::new(SEED);
        let mut plain = Plain::new(workload.ranked(), 500);
        let pid = |number: u64| Pid::from_bits(u128::from(number) << 60);
        let visitors: Vec<Vec<(u16, u8)>> = (0..500).map(|_| workload.visitor().memberships.to_vec()).collect();
        (0..).zip(&visitors).for_each(|(number, visitor)| plain.put(pid(number), visitor));
        let mut ranks = Vec::new();
        for (number, visitor) in (0..).zip(&visitors) {
            let names = visitor.iter().filter(|(_, day)| *day > 45).map(|(segment, _)| format!("\"{segment}\""));
            let names: Vec<String> = names.collect();
            let mut answer = Vec::new();
            plain.answer(pid(number), 45, &mut ranks, &mut answer);
            let expected = format!(r#"{{"segments":[{}],"audiences":[]}}"#, names.join(","));
            assert_eq!(String::from_utf8(answer).expect("text"), expected);
        }
        assert_eq!(plain.live(pid(999), 0, &mut ranks), 0);
        assert!(plain.bytes() > 500 * 30);
    }
}
