//! The overlay against maps of sets.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::breath::offer_core;
use crate::breath::tests::taken;
use crate::build::{Batch, NoProgress};
use crate::entry::Entry;
use crate::id::{IdType, VisitorId};
use crate::manifest::{FeedKey, LedgerLine};
use crate::membership::Row;
use crate::pseudonym::Key;
use crate::time::{Span, Time};
use crate::writer::Writer as Loader;

const HOUR: u32 = 3_600;
const START: u32 = 400_000;
const NOW: u32 = START + 10;
const SEGMENTS: [&str; 6] = ["a", "b", "b.x", "b.y", "only.changes", "z"];

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(bound)) as u32
    }
}

fn at(tick: u32) -> Time {
    Time::from_unix(i64::from(tick) * i64::from(HOUR)).expect("in range")
}

fn pid(key: &Key, number: u32) -> Pid {
    key.pid(&IdType::default(), VisitorId::new(&format!("v{number}")).expect("short"))
}

/// An index in which about half of the visitors have entries of all segments but `only.changes`.
fn index(dir: &std::path::Path, key: &Key, dice: &mut Dice, visitors: u32) -> Snapshot {
    let mut writer = Loader::open(dir, key.clone()).expect("free");
    writer.limit_shards(visitors / 3 + 1);
    let mut admission = writer.admission("s", IdType::default(), None, at(NOW)).expect("development");
    let mut batch = Batch::new("s");
    for _ in 0..visitors * 2 {
        let visitor = format!("v{}", dice.below(visitors) / 2);
        let segment = SEGMENTS[[0, 1, 2, 3, 5][dice.below(5) as usize]];
        let (observed, life) = (NOW - dice.below(10), dice.below(12));
        let row = Row {
            visitor: VisitorId::new(&visitor).expect("short"),
            segment: segment.into(),
            id_type: None,
            observed: Some(at(observed)),
            ttl: Some(Span::from_secs(life * HOUR)),
            expires: None,
            remove: life == 0,
        };
        batch.push(admission.admit(&row).expect("admitted").membership);
    }
    batch.finish(admission.into_segments());
    let feed = FeedKey { source: "s".into(), digest: "0".into(), options: String::new() };
    let line = LedgerLine { key: feed, received: at(NOW), report: serde_json::Value::Null, outcome: None };
    writer.load(vec![(batch, line)], at(NOW), &NoProgress).expect("published");
    Snapshot::open(dir, Some(key.clone())).expect("whole")
}

type Profile = BTreeMap<String, Entry>;

/// All that happened, and what follows from it.
struct Model {
    images: HashMap<Pid, Profile>,
    rows: Vec<(Pid, String, Entry)>,
    opted_out: HashSet<Pid>,
    erased: HashMap<Pid, Tick>,
}

impl Model {
    fn new(snapshot: &Snapshot, pids: &[Pid]) -> Self {
        let mut images: HashMap<Pid, Profile> = HashMap::new();
        for &pid in pids {
            let Some(shard) = snapshot.shard_of(pid) else { continue };
            let each = |rank, entry| {
                let name = shard.names()[rank as usize].to_string();
                images.entry(pid).or_default().insert(name, entry);
            };
            shard.lookup(pid, each).expect("whole");
        }
        Self { images, rows: Vec::new(), opted_out: HashSet::new(), erased: HashMap::new() }
    }

    fn apply(&mut self, change: Change) {
        let mut erase = |pid, at: Tick| _ = self.erased.entry(pid).and_modify(|e| *e = at.max(*e)).or_insert(at);
        match change {
            Change::Row { pid, segment, entry } => {
                self.rows.push((pid, SEGMENTS[segment as usize - 100].to_owned(), entry));
            }
            Change::OptOut { pid } => _ = self.opted_out.insert(pid),
            Change::Revoke { pid, at } => {
                if self.opted_out.remove(&pid) {
                    erase(pid, at);
                }
            }
            Change::Erase { pid, at } => erase(pid, at),
        }
    }

    fn profile(&self, pid: Pid) -> Profile {
        let mut profile = self.images.get(&pid).cloned().unwrap_or_default();
        for (_, name, entry) in self.rows.iter().filter(|(whose, ..)| *whose == pid) {
            profile.entry(name.clone()).and_modify(|kept| *kept = kept.merge(*entry)).or_insert(*entry);
        }
        profile.retain(|_, entry| {
            !self.opted_out.contains(&pid) && self.erased.get(&pid).is_none_or(|at| entry.observed > *at)
        });
        profile
    }

    /// The live members of each segment; under the empty name those of any.
    fn members(&self, profiles: impl Iterator<Item = Profile>, tick: Tick) -> BTreeMap<String, u64> {
        let mut members = BTreeMap::new();
        for profile in profiles {
            let live: BTreeSet<String> =
                profile.into_iter().filter(|(_, entry)| entry.live(tick)).map(|(name, _)| name).collect();
            let everyone = (!live.is_empty()).then(String::new);
            live.into_iter().chain(everyone).for_each(|name| *members.entry(name).or_default() += 1);
        }
        members
    }
}

fn some_change(dice: &mut Dice, pids: &[Pid]) -> Change {
    let pid = pids[dice.below(pids.len() as u32) as usize];
    let tick = Tick::new(NOW - 5 + dice.below(8));
    match dice.below(12) {
        0 => Change::OptOut { pid },
        1 => Change::Revoke { pid, at: tick },
        2 => Change::Erase { pid, at: tick },
        _ => {
            let observed = NOW - 9 + dice.below(12);
            let entry = Entry { observed: Tick::new(observed), expiry: Tick::new(observed + dice.below(12)) };
            Change::Row { pid, segment: 100 + dice.below(SEGMENTS.len() as u32), entry }
        }
    }
}

fn name(number: u32) -> Option<(Arc<str>, Arc<str>)> {
    SEGMENTS.get(number.checked_sub(100)? as usize).map(|name| (Arc::from(*name), Arc::from("s")))
}

/// What a lookup must find, with or without the overlay's help.
fn check_lookups(model: &Model, overlay: &Overlay, pids: &[Pid], case: &str) {
    let many = overlay.many(pids);
    for (place, &pid) in pids.iter().enumerate() {
        let (expected, touched) = (model.profile(pid), overlay.get(pid));
        assert_eq!(touched, many.get(place).cloned().flatten(), "{case}");
        assert_eq!(overlay.bars().opted_out(pid), model.opted_out.contains(&pid), "{case}");
        assert_eq!(touched.as_ref().is_some_and(|t| t.opted_out), model.opted_out.contains(&pid), "{case}");
        let found = match touched {
            None => model.images.get(&pid).cloned().unwrap_or_default(),
            Some(touched) => {
                let names: Vec<&str> = touched.entries.iter().map(|held| &*held.name.segment.name).collect();
                assert!(names.is_sorted(), "{case}");
                touched.entries.iter().map(|held| (held.name.segment.name.to_string(), held.entry)).collect()
            }
        };
        assert_eq!(found, expected, "{case}: {pid}");
    }
}

fn check_counts(model: &Model, overlay: &Overlay, pids: &[Pid], tick: Tick, case: &str) {
    let images = model.members(model.images.values().cloned(), tick);
    let expected = model.members(pids.iter().map(|&pid| model.profile(pid)), tick);
    let view = overlay.at(tick);
    let get = |members: &BTreeMap<String, u64>, name: &str| members.get(name).copied().unwrap_or(0);
    let len = |side: Side<'_>, name: &str| side.segment(name).map_or(0, roaring::RoaringBitmap::len);
    for name in SEGMENTS {
        let found = get(&images, name) - len(view.before(), name) + len(view.after(), name);
        assert_eq!(found, get(&expected, name), "{case}: {name}");
    }
    let everyone = get(&images, "") - view.before().everyone().len() + view.after().everyone().len();
    assert_eq!(everyone, get(&expected, ""), "{case}: everyone");
    let union = |side: Side<'_>| side.prefix("b").fold(roaring::RoaringBitmap::new(), |all, set| all | set);
    let with =
        |name: &str| overlay.get(pids[0]).is_some_and(|t| t.entries.iter().any(|h| *h.name.segment.name == *name));
    assert!(union(view.before()).is_subset(view.before().everyone()), "{case}");
    assert!(union(view.after()).is_subset(view.after().everyone()), "{case}");
    let known = view.segments().map(|segment| &*segment.name).collect::<Vec<_>>();
    assert!(known.is_sorted() && SEGMENTS.iter().all(|name| known.contains(name) || !with(name)), "{case}");
}

#[test]
fn lookups_and_counts_agree_with_a_naive_model_while_changes_come_and_the_clock_goes_both_ways() {
    let mut touched = 0;
    for seed in 0..100 {
        let (dir, key, mut dice) = (tempfile::tempdir().expect("room"), Key::from_bytes([9; 32]), Dice(seed));
        let visitors = 2 + dice.below(30);
        let snapshot = index(dir.path(), &key, &mut dice, visitors);
        // Some are the images' and some nobody's.
        let pids: Vec<Pid> = (0..visitors).map(|number| pid(&key, number)).collect();
        let (mut model, mut bars) = (Model::new(&snapshot, &pids), Bars::default());
        for _ in 0..dice.below(4) {
            let change = some_change(&mut dice, &pids);
            if !matches!(change, Change::Row { .. }) {
                bars.apply(change);
                model.apply(change);
            }
        }
        let overlay = Overlay::new(&snapshot, bars).expect("whole");
        let mut tick = NOW;
        for step in 0..60 {
            let case = format!("seed {seed}, step {step}");
            let changes: Vec<Change> = (0..dice.below(6)).map(|_| some_change(&mut dice, &pids)).collect();
            overlay.apply(&snapshot, &name, &changes).expect("whole");
            changes.iter().for_each(|&change| model.apply(change));
            check_lookups(&model, &overlay, &pids, &case);
            match dice.below(8) {
                0 => tick = NOW - dice.below(12),
                1..4 => tick += dice.below(3),
                _ => {}
            }
            // Not always: what comes between two looks goes into the sets together.
            if dice.below(3) > 0 {
                check_counts(&model, &overlay, &pids, Tick::new(tick), &case);
            }
        }
        // The same changes in one batch, and the bars at the end: what follows does not depend on the order.
        let mut bars = Bars::default();
        model.opted_out.iter().for_each(|&pid| bars.apply(Change::OptOut { pid }));
        model.erased.iter().for_each(|(&pid, &at)| bars.apply(Change::Erase { pid, at }));
        let again = Overlay::new(&snapshot, bars).expect("whole");
        let number = |name: &str| 100 + SEGMENTS.iter().position(|s| *s == name).expect("one of them") as u32;
        let rows = model.rows.iter().rev().map(|(pid, name, entry)| Change::Row {
            pid: *pid,
            segment: number(name),
            entry: *entry,
        });
        again.apply(&snapshot, &name, &rows.collect::<Vec<_>>()).expect("whole");
        check_lookups(&model, &again, &pids, &format!("seed {seed}, again"));
        check_counts(&model, &again, &pids, Tick::new(tick), &format!("seed {seed}, again"));
        touched += overlay.touched();
    }
    assert!(touched > 800, "{touched} visitors were touched");
}

#[test]
fn a_batch_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().expect("room");
    let snapshot = Snapshot::open(dir.path(), None).expect("empty");
    let overlay = Overlay::default();
    let someone = Pid::from_bits(7);
    let entry = Entry { observed: Tick::new(NOW), expiry: Tick::new(NOW + 1) };
    let row = |segment| Change::Row { pid: someone, segment, entry };
    let failed = overlay.apply(&snapshot, &name, &[row(100), Change::OptOut { pid: someone }, row(1)]);
    assert!(matches!(failed, Err(ImageError::Damaged { .. })));
    assert!(overlay.is_empty() && overlay.bars().is_empty() && overlay.many(&[someone]).is_empty());
    overlay.apply(&snapshot, &name, &[row(100)]).expect("a known name");
    let view = overlay.at(Tick::new(NOW));
    assert_eq!((view.before().everyone().len(), view.after().everyone().len()), (0, 1));
    assert_eq!(view.segments().count(), 1);
}

#[test]
fn what_changes_nothing_touches_nobody_and_opt_outs_of_strangers_are_light() {
    let (dir, key, mut dice) = (tempfile::tempdir().expect("room"), Key::from_bytes([9; 32]), Dice(1));
    let snapshot = index(dir.path(), &key, &mut dice, 20);
    let overlay = Overlay::default();
    let someone = (0..20).map(|n| pid(&key, n)).find(|&pid| !Model::new(&snapshot, &[pid]).images.is_empty());
    let someone = someone.expect("half of them");
    let held = Model::new(&snapshot, &[someone]).images.remove(&someone).expect("entries");
    let rows = held.iter().map(|(name, &entry)| {
        let segment = 100 + SEGMENTS.iter().position(|s| s == name).expect("one of them") as u32;
        Change::Row { pid: someone, segment, entry }
    });
    overlay.apply(&snapshot, &name, &rows.collect::<Vec<_>>()).expect("whole");
    assert!(!overlay.is_touched(someone) && overlay.touched() == 0);
    let stranger = Pid::from_bits(7);
    overlay.apply(&snapshot, &name, &[Change::OptOut { pid: stranger }]).expect("whole");
    assert!(overlay.get(stranger).is_some_and(|touched| touched.opted_out) && overlay.touched() == 0);
    overlay.apply(&snapshot, &name, &[Change::Revoke { pid: stranger, at: Tick::new(NOW) }]).expect("whole");
    assert!(overlay.get(stranger).is_none() && overlay.is_empty());
    assert!(overlay.fullness(0) < 1e-4 && overlay.bytes() < 10_000);
}

#[test]
fn counts_and_batch_lookups_see_all_of_a_batch_or_nothing() {
    const SEEN: usize = 300;
    const MAX_ROUNDS: u32 = 1_000_000;
    let dir = tempfile::tempdir().expect("room");
    let snapshot = Snapshot::open(dir.path(), None).expect("empty");
    let (overlay, seen, done) = (Overlay::default(), AtomicUsize::new(0), AtomicBool::new(false));
    let pids: Vec<Pid> = (0..40).map(|number| pid(&Key::from_bytes([9; 32]), number)).collect();
    let reader = || {
        let mut last = 0;
        while !done.load(Ordering::Relaxed) {
            for tick in [NOW, NOW + 1, NOW] {
                let view = overlay.at(Tick::new(tick));
                let members = |name: &str| view.after().segment(name).cloned().unwrap_or_default();
                assert_eq!(members("a").len(), members("b").len(), "one by one");
                assert_eq!((&members("a") | &members("b")).len(), 2 * members("a").len());
                seen.fetch_add(usize::from(members("a").len() != last), Ordering::Relaxed);
                last = members("a").len();
            }
            let many = overlay.many(&pids);
            let is_in = |touched: &&Arc<Touched>| touched.entries.iter().any(|held| !held.entry.is_removal());
            let in_some = many.iter().flatten().filter(is_in);
            assert_eq!(in_some.count() % 2, 0);
        }
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(reader)).collect();
        for round in (0..MAX_ROUNDS).take_while(|_| seen.load(Ordering::Relaxed) < SEEN) {
            if round % 10 == 0 {
                std::thread::yield_now();
            }
            // Every pair comes, into a segment each; then every pair goes.
            let pair = round as usize * 2 % pids.len();
            let goes = round as usize * 2 / pids.len() % 2 == 1;
            let observed = Tick::new(NOW + round);
            let entry = Entry { observed, expiry: Tick::new(observed.get() + if goes { 0 } else { 1_000 }) };
            let rows = [(0, 100), (1, 101)].map(|(n, segment)| Change::Row { pid: pids[pair + n], segment, entry });
            overlay.apply(&snapshot, &name, &rows).expect("whole");
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().expect("no reader failed"));
    });
    assert!(seen.into_inner() >= SEEN, "readers saw the overlay change");
}

#[test]
fn a_batch_of_many_visitors_has_breaths_before_it_is_visible_and_after() {
    let dir = tempfile::tempdir().expect("room");
    let (snapshot, overlay) = (Snapshot::open(dir.path(), None).expect("empty"), Overlay::default());
    let entry = Entry { observed: Tick::new(NOW), expiry: Tick::new(NOW + 1) };
    let rows = |first: u128, count: usize| -> Vec<Change> {
        let pids = (first..).take(count).map(Pid::from_bits);
        pids.map(|pid| Change::Row { pid, segment: 100, entry }).collect()
    };
    let visitors = 10 * BREATH_TOUCHED;
    let apply = |rows: &[Change]| taken(|| overlay.apply(&snapshot, &name, rows).expect("a known name"));
    offer_core();
    assert_eq!(apply(&rows(0, visitors)), 20, "they are read, and then settled");
    let many = taken(|| assert_eq!(overlay.at(Tick::new(NOW)).after().everyone().len(), visitors as u64));
    assert!((50..200).contains(&many), "{many} breaths on the way into the sets");
    let steps = apply(&rows(1 << 40, visitors)) - 20;
    assert!(steps.abs_diff(many) <= 2, "{steps} and {many}: who asks and who brings go by the same steps");
    assert!(apply(&rows(1 << 50, 1)) <= 1, "what is short has none");
}
