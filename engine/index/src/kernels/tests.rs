//! Random containers of every kind against plain sets, at every level of the machine.

use super::{Counter, Level};
use crate::bits::{BLOCK, Bits};
use crate::containers::{Container, Policy, write};

/// A SplitMix64 stream.
struct Dice(u64);

impl Dice {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// A container's bytes, and the same set as booleans.
struct Set {
    members: u32,
    bytes: Vec<u8>,
    has: Vec<bool>,
}

/// The policies under test: the two of ours, and each kind for every cardinality.
const POLICIES: [Policy; 6] = [
    Policy::COMPACT,
    Policy::FAST,
    Policy { array_below: 65_535, elias_fano_below: 65_535, sparse_below: 65_535 },
    Policy { array_below: 0, elias_fano_below: 65_535, sparse_below: 65_535 },
    Policy { array_below: 0, elias_fano_below: 0, sparse_below: 65_535 },
    Policy { array_below: 0, elias_fano_below: 0, sparse_below: 0 },
];

impl Set {
    fn random(dice: &mut Dice, policy: Policy, visitors: u32) -> Self {
        let size = dice.one_of(&[0, 1, 2, 15, 47, 48, 200, 700, 1_535, 1_536, 3_000, 8_191, 8_192, 20_000, 65_536]);
        let mut has = vec![false; visitors as usize];
        // Clustered now and then: equal high bytes, runs of full words.
        let width = if dice.below(3) == 0 { dice.below(visitors as usize) + 1 } else { visitors as usize };
        let start = dice.below(visitors as usize - width + 1);
        for _ in 0..size {
            has[start + dice.below(width)] = true;
        }
        // The edges are members often.
        has[0] |= size > 0 && dice.below(2) == 0;
        has[visitors as usize - 1] |= size > 0 && dice.below(2) == 0;
        let ordinals: Vec<u16> = (0..visitors).filter(|&o| has[o as usize]).map(|o| o as u16).collect();
        let mut bytes = Vec::new();
        write(policy, &ordinals, visitors, &mut bytes);
        Self { members: ordinals.len() as u32, bytes, has }
    }

    fn container(&self, policy: Policy) -> Container<'_> {
        let visitors = self.has.len() as u32;
        Container::new(policy.kind(self.members), self.members, visitors, &self.bytes).expect("whole")
    }
}

fn visitors_of(dice: &mut Dice) -> u32 {
    dice.one_of(&[1, 7, 8, 9, 63, 511, 512, 513, 5_000, 40_001, BLOCK - 1, BLOCK, BLOCK, BLOCK])
}

#[test]
fn intersections_agree_with_plain_sets_at_every_level() {
    let mut dice = Dice(1);
    let mut counters: Vec<Counter> = Level::all().map(Counter::new).collect();
    let mut sum = 0;
    for round in 0..1_500 {
        let visitors = visitors_of(&mut dice);
        let policies: Vec<Policy> = (0..1 + dice.below(5)).map(|_| dice.one_of(&POLICIES)).collect();
        let sets: Vec<Set> = policies.iter().map(|&policy| Set::random(&mut dice, policy, visitors)).collect();
        let expected = (0..visitors as usize).filter(|&o| sets.iter().all(|set| set.has[o])).count() as u32;
        for counter in &mut counters {
            let mut containers: Vec<_> = sets.iter().zip(&policies).map(|(set, &p)| set.container(p)).collect();
            let found = counter.and(&mut containers);
            assert_eq!(found, expected, "round {round}, {:?}, {policies:?}", counter.level);
        }
        sum += expected;
    }
    assert!(sum > 100_000, "most are not empty: {sum}");
}

#[test]
fn conjunctions_of_unions_agree_with_plain_sets_at_every_level() {
    let mut dice = Dice(2);
    let mut counters: Vec<Counter> = Level::all().map(Counter::new).collect();
    let mut sum = 0;
    for round in 0..1_500 {
        let visitors = visitors_of(&mut dice);
        let mut ends = vec![1 + dice.below(8)];
        (0..dice.below(3)).for_each(|_| ends.push(ends[ends.len() - 1] + 1 + dice.below(3)));
        let all = ends[ends.len() - 1] + dice.one_of(&[0, 0, 1, 2]);
        let policies: Vec<Policy> = (0..all).map(|_| dice.one_of(&POLICIES)).collect();
        let sets: Vec<Set> = policies.iter().map(|&policy| Set::random(&mut dice, policy, visitors)).collect();
        let unions: Vec<_> = ends.iter().scan(0, |start, &end| Some(std::mem::replace(start, end)..end)).collect();
        let meant = |o: usize| {
            let inside = unions.iter().all(|union| sets[union.clone()].iter().any(|set| set.has[o]));
            inside && !sets[ends[ends.len() - 1]..].iter().any(|set| set.has[o])
        };
        let expected: Vec<u16> = (0..visitors as usize).filter(|&o| meant(o)).map(|o| o as u16).collect();
        let containers: Vec<_> = sets.iter().zip(&policies).map(|(set, &p)| set.container(p)).collect();
        for counter in &mut counters {
            let context = format!("round {round}, {:?}, {ends:?}, {policies:?}", counter.level);
            assert_eq!(counter.conjunction(&containers, &ends), expected.len() as u32, "{context}");
            let mut built = Vec::new();
            counter.build(&containers, &ends, &mut built);
            let mut bits = Bits::empty();
            expected.iter().for_each(|&ordinal| bits.insert(ordinal));
            let bytes: Vec<u8> = bits.words().iter().flat_map(|word| word.to_le_bytes()).collect();
            assert!(built == bytes, "{context}");
            // A built set is a container like any other.
            assert_eq!(counter.and(&mut [Container::Bitmap(&built)]), expected.len() as u32, "{context}");
        }
        sum += expected.len();
    }
    assert!(sum > 100_000, "most are not empty: {sum}");
}

#[test]
fn the_dead_leave_containers_of_every_kind() {
    let mut dice = Dice(3);
    let mut counters: Vec<Counter> = Level::all().map(Counter::new).collect();
    for round in 0..600 {
        let (visitors, policy) = (visitors_of(&mut dice), dice.one_of(&POLICIES));
        let set = Set::random(&mut dice, policy, visitors);
        let one_in = dice.one_of(&[1, 2, 30, 10_000]);
        let members: Vec<u16> = (0..visitors).filter(|&o| set.has[o as usize]).map(|o| o as u16).collect();
        let (mut dead, mut live) = (Vec::new(), Vec::new());
        members.into_iter().for_each(|o| if dice.below(one_in) == 0 { dead.push(o) } else { live.push(o) });
        for counter in &mut counters {
            let (mut bytes, mut found) = (Vec::new(), Vec::new());
            counter.live(&set.container(policy), &dead, &mut bytes).each(|ordinal| found.push(ordinal));
            assert!(found == live, "round {round}, {:?}, {policy:?}", counter.level);
        }
    }
}

#[test]
fn cut_and_changed_bytes_never_panic() {
    let mut dice = Dice(4);
    let mut counters: Vec<Counter> = Level::all().map(Counter::new).collect();
    for _ in 0..1_500 {
        let (visitors, policy) = (visitors_of(&mut dice), dice.one_of(&POLICIES));
        let mut sets = [0, 1].map(|_| Set::random(&mut dice, policy, visitors));
        for set in &mut sets {
            for _ in 0..dice.below(40) {
                let at = dice.below(set.bytes.len().max(1));
                set.bytes.get_mut(at).into_iter().for_each(|byte| *byte = dice.bits() as u8);
            }
            if policy.kind(set.members) == crate::containers::Kind::Sparse && dice.below(2) == 0 {
                // Its length stands elsewhere: less may be there than the map says.
                set.bytes.truncate(visitors.div_ceil(64) as usize + dice.below(20));
            }
        }
        let containers = sets.each_ref().map(|set| set.container(policy));
        for counter in &mut counters {
            assert!(counter.and(&mut containers.clone()) <= BLOCK);
            assert!(counter.conjunction(&containers, &[2]) <= BLOCK);
            assert!(counter.conjunction(&containers, &[1]) <= BLOCK);
            assert!(counter.conjunction(&containers, &[1, 2]) <= BLOCK);
            // What damage leaves behind would be seen in the next answer.
            assert_eq!(counter.conjunction(&[Container::Empty, Container::Empty], &[2]), 0);
        }
    }
}
