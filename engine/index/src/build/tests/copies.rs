//! Merges that copy the profiles of untouched visitors, against a plain map and against what a rebuild makes of them.

use std::path::Path;
use std::sync::Arc;

use crate::bars::Bars;
use crate::change::Change;
use crate::gaps::{GapCode, NIBBLES};
use crate::id::{IdType, Pid, VisitorId};
use crate::membership::Row;
use crate::snapshot::Snapshot;
use crate::time::{Span, Time};
use crate::writer::Writer;

use super::{Batch, Entry, Model, NoProgress, Random, assert_same, at, key, line};

/// How a merge goes.
struct Merge {
    visitors: u64,
    segments: u64,
    rows: u64,
    /// Hours that observations are spread over.
    hours: u64,
    /// Hours that lives last, at most.
    lives: u64,
    shard: u32,
    bars: Option<Bars>,
}

fn merge(dir: &Path, model: &mut Model, random: &mut Random, now: Time, plan: Merge) {
    let mut writer = Writer::open(dir, key()).expect("free");
    writer.limit_shards(plan.shard);
    let tick = writer.tick();
    let mut admission = writer.admission("s", IdType::default(), None, now).expect("development");
    let mut batch = Batch::new("s");
    for _ in 0..plan.rows {
        let visitor = format!("v{}", random.below(plan.visitors));
        // The product of two: few segments are popular.
        let segment = format!("seg{}", random.below(plan.segments) * random.below(plan.segments) / plan.segments);
        let (observed, life) =
            (now.unix() - random.below(plan.hours) as i64 * 3_600, random.below(plan.lives) as u32 * 3_600);
        let row = Row {
            visitor: VisitorId::new(&visitor).expect("short"),
            segment: segment.as_str().into(),
            id_type: None,
            observed: Some(at(observed)),
            ttl: Some(Span::from_secs(life)),
            expires: None,
            remove: random.below(15) == 0,
        };
        let life = if row.remove { 0 } else { i64::from(life) };
        let entry = Entry { observed: tick.floor(at(observed)), expiry: tick.floor(at(observed + life)) };
        let admitted = admission.admit(&row).expect("admitted").membership;
        batch.push(admitted);
        model.entry((admitted.pid(), segment)).and_modify(|kept| *kept = kept.merge(entry)).or_insert(entry);
    }
    batch.finish(admission.into_segments());
    if let Some(bars) = plan.bars {
        model.retain(|(pid, _), entry| bars.refusal(*pid, entry.observed).is_none());
        writer.bar(bars);
    }
    writer.load(vec![(batch, line())], now, &NoProgress).expect("it builds");
}

/// Bars for some of the visitors there are.
fn some_bars(model: &Model, random: &mut Random, now: Time) -> Bars {
    let mut bars = Bars::default();
    let pids: Vec<Pid> = model.keys().map(|(pid, _)| *pid).collect();
    for _ in 0..10 {
        let pid = pids[random.below(pids.len() as u64) as usize];
        let tick = crate::time::TickLength::default().floor(at(now.unix() - random.below(20) as i64 * 3_600));
        bars.apply(if random.below(2) == 0 { Change::OptOut { pid } } else { Change::Erase { pid, at: tick } });
    }
    bars
}

fn gap_code(dir: &Path) -> Arc<GapCode> {
    let snapshot = Snapshot::open(dir, Some(key())).expect("it opens");
    Arc::clone(snapshot.shards()[0].image().gap_code())
}

/// What a rebuild, which copies nothing, answers in a folder of its own.
fn assert_rebuilt(dir: &Path, model: &Model, now: Time, context: &str) {
    let other = tempfile::tempdir().expect("a temporary folder");
    for file in std::fs::read_dir(dir).expect("a folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), other.path().join(file.file_name())).expect("copied");
    }
    let published =
        Writer::open(other.path(), key()).expect("free").rebuild(now, true, &NoProgress).expect("it builds");
    assert_eq!(published.purged, 0, "{context}");
    assert_same(other.path(), model, &format!("{context}, rebuilt"));
}

#[test]
fn merges_that_copy_answer_as_rebuilds_do() {
    let (mut kept, mut nibbles) = (0, 0);
    for seed in 0..24 {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (mut model, mut now) = (Model::new(), 1_800_000_000);
        let visitors = [60, 400, 1_500][seed as usize % 3];
        let mut plan =
            Merge { visitors, segments: 60, rows: visitors * 12, hours: 20, lives: 40, shard: 1 << 20, bars: None };
        for generation in 0..4 {
            let context = format!("seed {seed}, generation {generation}");
            let before = (generation > 0).then(|| gap_code(dir.path()));
            merge(dir.path(), &mut model, &mut random, at(now), plan);
            assert_same(dir.path(), &model, &context);
            let after = gap_code(dir.path());
            kept += usize::from(before.is_some_and(|before| before.is_same(&after)));
            nibbles += usize::from(after.number() == NIBBLES);
            now += random.below(30) as i64 * 3_600;
            plan = Merge {
                visitors: visitors + random.below(visitors),
                segments: 60 + random.below(3) * 40,
                rows: random.below(visitors),
                hours: 20,
                lives: 40,
                shard: [1 << 20, visitors as u32 / 3, 40][random.below(3) as usize],
                bars: (random.below(2) == 0).then(|| some_bars(&model, &mut random, at(now))),
            };
        }
        assert_rebuilt(dir.path(), &model, at(now), &format!("seed {seed}"));
    }
    assert!(kept >= 24, "a code was kept {kept} times of 72");
    assert!((1..90).contains(&nibbles), "nibbles {nibbles} times of 96");
}

#[test]
fn more_pairs_of_times_than_a_table_holds_are_copied_too() {
    let plan =
        |rows, hours| Merge { visitors: 12_000, segments: 60, rows, hours, lives: 1_000, shard: 1 << 20, bars: None };
    let (dir, mut model, mut random) = (tempfile::tempdir().expect("a temporary folder"), Model::new(), Random(5));
    for plan in [plan(200_000, 1_000), plan(500, 20)] {
        merge(dir.path(), &mut model, &mut random, at(1_800_000_000), plan);
        assert_same(dir.path(), &model, "split times");
        let snapshot = Snapshot::open(dir.path(), Some(key())).expect("it opens");
        assert!(matches!(snapshot.shards()[0].image().times(), crate::times::Times::Split { .. }));
    }
}
