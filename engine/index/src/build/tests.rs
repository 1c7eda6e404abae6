//! Builds against a plain map: random rows, several feeds and builds, small shards.

mod recheck;

use std::collections::BTreeMap;

use crate::charter::Charter;
use crate::entry::Entry;
use crate::error::ImageError;
use crate::id::{IdType, Pid, VisitorId};
use crate::image::Recheck;
use crate::manifest::{FeedKey, LedgerLine, Outcome};
use crate::membership::Row;
use crate::pseudonym::Key;
use crate::snapshot::Snapshot;
use crate::time::{Span, Tick, Time};
use crate::writer::{Published, Writer};

use super::{Batch, NoProgress};

mod copies;

type Model = BTreeMap<(Pid, String), Entry>;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn key() -> Key {
    Key::from_bytes([3; 32])
}

fn at(seconds: i64) -> Time {
    Time::from_unix(seconds).expect("in range")
}

fn line() -> LedgerLine {
    let key = FeedKey { source: "s".into(), digest: "0".into(), options: String::new() };
    LedgerLine { key, received: at(0), report: serde_json::Value::Null, outcome: None }
}

/// Loads random rows in two feeds, into the index and the model; answers how many rows there were.
fn load(dir: &std::path::Path, model: &mut Model, random: &mut Random, now: Time, shard: u32) -> (Published, u64) {
    let mut writer = Writer::open(dir, key()).expect("free");
    writer.limit_shards(shard);
    let tick = writer.tick();
    let mut feeds = Vec::new();
    let mut taken = 0;
    for _ in 0..2 {
        let mut admission = writer.admission("s", IdType::default(), None, now).expect("development");
        let mut batch = Batch::new("s");
        for _ in 0..random.below(400) {
            let visitor = format!("v{}", random.below(120));
            let segment = format!("seg{}", random.below(30));
            let observed = now.unix() - random.below(20) as i64 * 3_600;
            let row = Row {
                visitor: VisitorId::new(&visitor).expect("short"),
                segment: segment.as_str().into(),
                id_type: None,
                observed: Some(at(observed)),
                ttl: Some(Span::from_secs(random.below(40) as u32 * 3_600)),
                expires: None,
                remove: random.below(10) == 0,
            };
            let admitted = admission.admit(&row).expect("admitted");
            let life = if row.remove { 0 } else { row.ttl.map_or(0, |ttl| i64::from(ttl.secs())) };
            let entry = Entry { observed: tick.floor(at(observed)), expiry: tick.floor(at(observed + life)) };
            assert_eq!(admitted.membership.entry(), entry);
            batch.push(admitted.membership);
            let pid = admitted.membership.pid();
            model.entry((pid, segment)).and_modify(|kept| *kept = kept.merge(entry)).or_insert(entry);
            taken += 1;
        }
        batch.finish(admission.into_segments());
        feeds.push((batch, line()));
    }
    (writer.load(feeds, now, &NoProgress).expect("it builds"), taken)
}

fn assert_same(dir: &std::path::Path, model: &Model, context: &str) {
    let snapshot = Snapshot::open(dir, Some(key())).expect("it opens");
    snapshot.verify(|_| {}).expect("sound");
    let mut found = Model::new();
    for shard in snapshot.shards() {
        let image = shard.image();
        let mut cursor = crate::image::ProfileCursor::new(image, 0..usize::MAX);
        cursor.advance().expect("sound");
        while let Some(pid) = cursor.pid() {
            for &(rank, entry) in &cursor.entries {
                found.insert((pid, shard.names()[rank as usize].to_string()), entry);
            }
            let mut looked_up = Vec::new();
            snapshot
                .shard_of(pid)
                .expect("its shard")
                .lookup(pid, |rank, entry| looked_up.push((rank, entry)))
                .expect("sound");
            assert_eq!(looked_up, cursor.entries, "{context}");
            cursor.advance().expect("sound");
        }
    }
    assert!(found == *model, "{context}: the index differs from the model");
    assert_eq!(snapshot.memberships(), model.values().filter(|entry| !entry.is_removal()).count() as u64, "{context}");
}

/// Recent members of random segments, as pseudonyms, against the model.
fn assert_recent(dir: &std::path::Path, model: &Model, random: &mut Random, now: Time, context: &str) {
    let snapshot = Snapshot::open(dir, Some(key())).expect("it opens");
    let now = snapshot.tick().floor(now).get();
    for _ in 0..20 {
        let names: Vec<String> = (0..1 + random.below(3)).map(|_| format!("seg{}", random.below(30))).collect();
        let (since, tick) = (Tick::new(now - random.below(25) as u32), Tick::new(now + random.below(20) as u32));
        let recent = |entry: &Entry| entry.live(tick) && entry.observed >= since;
        let members = model.iter().filter(|((_, segment), entry)| names.contains(segment) && recent(entry));
        let mut expected: Vec<Pid> = members.map(|((pid, _), _)| *pid).collect();
        expected.dedup();
        let mut found = Vec::new();
        for shard in snapshot.shards() {
            let ranks: Vec<u32> = names.iter().filter_map(|name| shard.rank(name)).collect();
            let recent = shard.recent(&ranks, since, tick).expect("sound");
            for block in 0..shard.blocks() {
                let mut ordinals = Vec::new();
                recent.container(block).each(|ordinal| ordinals.push(ordinal));
                assert_eq!(ordinals.len(), recent.members(block) as usize, "{context}");
                shard.pids(block, ordinals, |pid| found.push(pid)).expect("sound");
            }
        }
        assert!(found == expected, "{context}: {names:?} since {since:?} at {tick:?}");
    }
}

#[test]
fn recent_members_are_found_where_times_are_no_pairs_and_some_are_kept() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let writer = Writer::open(dir.path(), key()).expect("free");
    let now = at(1_800_000_000);
    let mut admission = writer.admission("s", IdType::default(), None, now).expect("development");
    let (mut batch, mut model) = (Batch::new("s"), Model::new());
    // Each row has times of its own, more of them than one table holds.
    for i in 0..70_000 {
        let (visitor, segment) = (format!("v{}", i % 2_500), format!("seg{}", i / 2_500));
        let row = Row {
            visitor: VisitorId::new(&visitor).expect("short"),
            segment: segment.as_str().into(),
            id_type: None,
            observed: Some(at(now.unix() - i % 300 * 3_600)),
            ttl: Some(Span::from_secs((1 + i as u32 / 300) * 3_600)),
            expires: None,
            remove: false,
        };
        let membership = admission.admit(&row).expect("admitted").membership;
        model.insert((membership.pid(), segment), membership.entry());
        batch.push(membership);
    }
    batch.finish(admission.into_segments());
    writer.load(vec![(batch, line())], now, &NoProgress).expect("it builds");
    let snapshot = Snapshot::open(dir.path(), Some(key())).expect("it opens");
    let shard = &snapshot.shards()[0];
    assert!(matches!(shard.image().times(), crate::times::Times::Split { .. }));
    (0..5).for_each(|seed| assert_recent(dir.path(), &model, &mut Random(seed), now, &format!("split, seed {seed}")));

    let (tick, ranks) = (snapshot.tick().floor(now), [shard.rank("seg3").expect("it is there")]);
    let asked = |since: u32| shard.recent(&ranks, Tick::new(since), tick).expect("sound");
    let (first, second) = (asked(0), asked(1));
    (2..64).for_each(|since| _ = asked(since));
    assert!(std::sync::Arc::ptr_eq(&first, &asked(0)), "64 are kept");
    asked(64);
    assert!(
        std::sync::Arc::ptr_eq(&first, &asked(0)) && !std::sync::Arc::ptr_eq(&second, &asked(1)),
        "who is not asked for goes"
    );
}

#[test]
fn random_loads_equal_a_plain_map() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut model = Model::new();
        let mut now = 1_800_000_000;
        let shard = [1 << 20, 40, 20][seed as usize % 3];
        for generation in 1..=4 {
            let before = model.len() as u64;
            let (published, taken) = load(dir.path(), &mut model, &mut random, at(now), shard);
            let sum = published.outcomes.iter().fold(Outcome::default(), |sum, outcome| Outcome {
                new: sum.new + outcome.new,
                renewed: sum.renewed + outcome.renewed,
                unchanged: sum.unchanged + outcome.unchanged,
                removed: sum.removed + outcome.removed,
            });
            assert_eq!(sum.new + sum.renewed + sum.unchanged + sum.removed, taken, "seed {seed}");
            assert!(sum.new + before <= model.len() as u64, "seed {seed}");
            assert_eq!(published.generation, generation);
            assert_same(dir.path(), &model, &format!("seed {seed}, generation {generation}"));
            assert_recent(dir.path(), &model, &mut random, at(now), &format!("seed {seed}, generation {generation}"));
            now += random.below(30) as i64 * 3_600;
        }
        rebuild(dir.path(), &mut model, at(now + 121 * 86_400 - random.below(40) as i64 * 3_600), seed);
    }
}

/// Purges by hand what `build` must purge: dead, and the source's life since its observation is over.
fn rebuild(dir: &std::path::Path, model: &mut Model, now: Time, seed: u64) {
    let unconfirmed = Writer::open(dir, key()).expect("free").rebuild(now, false, &NoProgress);
    assert!(matches!(unconfirmed, Err(crate::error::WriteError::Clock { .. })), "seed {seed}");
    let mut writer = Writer::open(dir, key()).expect("free");
    writer.limit_shards(30);
    let tick = writer.tick();
    let life = Charter::development().source("s").expect("every source").ttl;
    let before = model.len();
    let past = |entry: &Entry| tick.end(entry.observed).plus(life) <= now && !entry.live(tick.floor(now));
    model.retain(|_, entry| !past(entry));
    let published = writer.rebuild(now, true, &NoProgress).expect("it builds");
    assert_eq!(published.purged, (before - model.len()) as u64, "seed {seed}");
    assert_same(dir, model, &format!("seed {seed}, rebuilt"));
}

#[test]
fn sweeps_bury_the_dead_and_nobody_else() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut model, mut random) = (Model::new(), Random(5));
    load(dir.path(), &mut model, &mut random, at(1_800_000_000), 50);
    let snapshot = Snapshot::open(dir.path(), Some(key())).expect("it opens");
    let first = snapshot.tick().floor(at(1_800_000_000)).get();
    // Forward, and back again.
    for tick in (first - 25..first + 45).chain(first..first + 5).map(Tick::new) {
        let live = model.iter().filter(|(_, entry)| entry.live(tick)).count() as u64;
        let everyone: std::collections::BTreeSet<Pid> = model
            .iter()
            .filter(|(_, entry)| entry.live(tick) && !entry.is_removal())
            .map(|((pid, _), _)| *pid)
            .collect();
        let (mut counted, mut present) = (0, 0);
        for shard in snapshot.shards() {
            let sweep = shard.at(tick).expect("sound");
            for block in 0..shard.blocks() {
                for rank in 0..shard.names().len() as u32 {
                    let mut bits = crate::bits::Bits::empty();
                    shard.members(block, rank, &sweep, &mut bits, crate::bits::Op::Or).expect("sound");
                    counted += u64::from(bits.count());
                }
                let mut bits = crate::bits::Bits::empty();
                shard.everyone(block, &sweep, &mut bits, crate::bits::Op::Or).expect("sound");
                present += bits.count() as usize;
            }
        }
        assert_eq!((counted, present), (live, everyone.len()), "{tick:?}");
    }
}

/// Loads the same rows into a new index, spread over so many batches, and answers its images.
fn images_of(
    dir: &std::path::Path,
    batches: usize,
    memory: Option<super::Memory>,
    shard: u32,
) -> Vec<crate::manifest::ImageLine> {
    let memory = memory.map(std::sync::Arc::new);
    let mut writer = Writer::open(dir, key()).expect("free");
    writer.limit_shards(shard);
    let (now, mut random) = (at(1_800_000_000), Random(9));
    let admission = || writer.admission("s", IdType::default(), None, now).expect("development");
    let batch = || memory.as_ref().map_or_else(|| Batch::new("s"), |memory| Batch::within(memory, "s"));
    let mut takers: Vec<_> = (0..batches).map(|_| (admission(), batch())).collect();
    for _ in 0..ROWS {
        let (visitor, segment) = (format!("v{}", random.below(VISITORS)), format!("seg{}", random.below(300)));
        let row = Row {
            visitor: VisitorId::new(&visitor).expect("short"),
            segment: segment.as_str().into(),
            id_type: None,
            observed: Some(at(now.unix() - random.below(20) as i64 * 3_600)),
            ttl: Some(Span::from_secs(random.below(40) as u32 * 3_600)),
            expires: None,
            remove: random.below(9) == 0,
        };
        let (admission, batch) = &mut takers[random.below(batches as u64) as usize];
        batch.push(admission.admit(&row).expect("admitted").membership);
    }
    let finished = takers.into_iter().map(|(admission, mut batch)| {
        batch.finish(admission.into_segments());
        batch
    });
    let all = finished.reduce(|mut all, batch| {
        all.absorb(batch);
        all
    });
    let batch = all.expect("one batch at least");
    assert_eq!(batch.len(), ROWS);
    let published = writer.load(vec![(batch, line())], now, &NoProgress).expect("it builds");
    let Outcome { new, renewed, unchanged, removed } = published.outcomes[0];
    assert_eq!(new + renewed + unchanged + removed, ROWS);
    let images = Snapshot::open(dir, Some(key())).expect("it opens").manifest().expect("published").images.clone();
    let left = std::fs::read_dir(dir).expect("a folder").map(|file| file.expect("a file").file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(crate::files::TEMPORARY)));
    images
}

/// Enough for several steps of a freeze.
const VISITORS: u64 = 20_000;
/// More than two runs.
const ROWS: u64 = 150_000;

#[test]
fn neither_spilling_nor_the_thread_that_took_a_row_changes_an_image() {
    let images = |batches: usize, bound: Option<u64>| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        images_of(dir.path(), batches, bound.map(|bound| super::Memory::for_rows(dir.path(), bound)), 5_000)
    };
    let plain = images(1, None);
    assert!(plain.len() > 2);
    // Nothing in memory; room for one run; room for all but what is sealed last.
    for (batches, bound) in [(1, Some(0)), (2, Some(0)), (1, Some(1 << 20)), (3, Some(2_000_000)), (3, None)] {
        assert_eq!(images(batches, bound), plain, "{batches} batches, {bound:?}");
    }
}

#[test]
fn the_number_of_threads_changes_no_image() {
    let images = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let dir = tempfile::tempdir().expect("a temporary folder");
        pool.install(|| images_of(dir.path(), 2, None, 1 << 20))
    };
    let one = images(1);
    assert_eq!(one.len(), 1, "more visitors than one step has");
    for threads in [2, 5] {
        assert_eq!(images(threads), one, "{threads} threads");
    }
}

#[test]
fn shards_smaller_than_pseudonyms_fall_are_as_small_as_they_can_be() {
    let (mut random, now) = (Random(11), at(1_800_000_000));
    for shard in 1..4 {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut model = Model::new();
        let (published, _) = load(dir.path(), &mut model, &mut random, now, shard);
        assert!(published.visitors > 20, "{published:?}");
        let snapshot = Snapshot::open(dir.path(), Some(key())).expect("whole");
        assert!(snapshot.shards().len() as u64 >= published.visitors / u64::from(shard), "{shard}");
        for (pid, _) in model.keys() {
            let shard = snapshot.shard_of(*pid).expect("there are shards");
            assert!(shard.lookup(*pid, |_, _| {}).expect("sound"));
        }
    }
}

#[test]
fn rows_that_find_no_room_fail_the_load() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let memory = std::sync::Arc::new(super::Memory::for_rows(&dir.path().join("absent"), 0));
    let writer = Writer::open(dir.path(), key()).expect("free");
    let mut admission = writer.admission("s", IdType::default(), None, at(1_800_000_000)).expect("development");
    let mut batch = Batch::within(&memory, "s");
    let visitor = VisitorId::new("v").expect("short");
    let row =
        Row { visitor, segment: "a".into(), id_type: None, observed: None, ttl: None, expires: None, remove: false };
    batch.push(admission.admit(&row).expect("admitted").membership);
    batch.finish(admission.into_segments());
    assert!(batch.failure().is_some());
    let failed = writer.load(vec![(batch, line())], at(1_800_000_000), &NoProgress);
    assert!(matches!(failed, Err(crate::error::WriteError::File(_))));
    assert!(Snapshot::open(dir.path(), Some(key())).expect("it opens").manifest().is_none());
}
