//! The counting kernels, one block at a time: every pair of container kinds, at every level of this machine.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use usher_bench::rng::Rng;
use usher_index::containers::{Container, Kind, Policy, write};
use usher_index::{Counter, Level};

/// Visitors of the block.
const VISITORS: u32 = 65_536;
/// Members of each operand: an array, Elias-Fano, a sparse bitmap and a bitmap of the compact policy.
const MEMBERS: [u32; 4] = [40, 1_000, 5_000, 30_000];

/// A random container of about so many members.
fn random(rng: &mut Rng, members: u32) -> (u32, Vec<u8>) {
    let mut ordinals: Vec<u16> = (0..members).map(|_| rng.below(VISITORS) as u16).collect();
    ordinals.sort_unstable();
    ordinals.dedup();
    let mut bytes = Vec::new();
    write(Policy::COMPACT, &ordinals, VISITORS, &mut bytes);
    (ordinals.len() as u32, bytes)
}

fn read((members, bytes): &(u32, Vec<u8>)) -> (Kind, Container<'_>) {
    let kind = Policy::COMPACT.kind(*members);
    (kind, Container::new(kind, *members, VISITORS, bytes).unwrap_or(Container::Empty))
}

fn count(c: &mut Criterion) {
    let mut rng = Rng::new(1);
    let sets: Vec<_> = MEMBERS.iter().map(|&members| [0, 1].map(|_| random(&mut rng, members))).collect();
    for level in Level::all() {
        let mut counter = Counter::new(level);
        // A level has a token of what was detected: its name stands before.
        let name = format!("{level:?}");
        let mut group = c.benchmark_group(name.split('(').next().unwrap_or(&name));
        for (i, left) in sets.iter().enumerate() {
            for right in &sets[i..] {
                let ((a, left), (b, right)) = (read(&left[0]), read(&right[1]));
                group.bench_function(BenchmarkId::new("and", format!("{a:?}-{b:?}")), |bencher| {
                    bencher.iter(|| counter.and(&mut [left, right]));
                });
            }
        }
        for left in &sets {
            let (kind, set) = read(&left[0]);
            group.bench_function(BenchmarkId::new("or of ten", format!("{kind:?}")), |bencher| {
                bencher.iter(|| counter.conjunction(&[set; 10], &[10]));
            });
        }
    }
}

criterion_group!(benches, count);
criterion_main!(benches);
