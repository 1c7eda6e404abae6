//! Lookups in process: one at a time and many, over an index of 100,000 synthetic visitors.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use usher_bench::lookup::{Index, now};
use usher_bench::workload::{SEED, Workload};
use usher_engine::ask::lookup::{Lookup, NameTable, Only};
use usher_index::{Lookups, Overlay, Pid, Time};

const VISITORS: u64 = 100_000;
const ASKED: usize = 4_096;

fn lookups(criterion: &mut Criterion) {
    let index = Index::build(VISITORS, &std::env::temp_dir(), &mut std::io::sink()).expect("room for an index");
    let snapshot = index.open().expect("an index that was just made");
    let mut workload = Workload::new(SEED);
    let pid = |_| index.pid(&workload.visitor().id).expect("ids of the workload are ids");
    let pids: Vec<Pid> = (0..ASKED).map(pid).collect();
    let time = Time::from_unix(now()).expect("before 2106");
    let tick = snapshot.tick().floor(time);
    let names = NameTable::new(&snapshot);
    let overlay = Overlay::default();
    let (mut lookups, mut lookup) = (Lookups::default(), Lookup::new(&snapshot, &names, &overlay));
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(ASKED as u64));
    group.bench_function("one", |bencher| {
        bencher.iter(|| {
            let one = |pid: &Pid| lookups.one(&snapshot, *pid, tick).map_or(0, <[u32]>::len);
            pids.iter().map(one).sum::<usize>()
        });
    });
    group.bench_function("many", |bencher| {
        bencher.iter(|| {
            let mut sum = 0;
            lookups.many(&snapshot, &pids, tick, |_, ranks| sum += ranks.len()).expect("an index that was just made");
            sum
        });
    });
    group.bench_function("json", |bencher| {
        let room = || Vec::with_capacity(1 << 21);
        let answer = |mut text| lookup.answers(&pids, &[], time, &Only::Everything, &mut text).map(|()| text);
        bencher.iter_batched(room, answer, BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, lookups);
criterion_main!(benches);
