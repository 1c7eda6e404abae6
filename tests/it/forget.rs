//! Erasure to the byte, opt-outs, veils, and what a build takes from the live state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use usher_bench::rng::Rng;
use usher_index::entry::Entry;
use usher_index::files::Folder;
use usher_index::{Change, Commit, IdType, Key, Pid, Segment, Snapshot, State, Tick, VisitorId};

use crate::programs::{House, Said, loader, path_text};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// The beginning of a tick.
const NOW: i64 = 500_000 * HOUR;

fn verb(house: &House, verb: &[&str], now: i64) -> Said {
    let (data, now) = (house.data(), now.to_string());
    loader(&[verb, &["--data", path_text(&data), "--now", &now, "--json"]].concat())
}

fn json(said: Said) -> Value {
    let out = said.fine();
    serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{error}: {out}"))
}

fn key(house: &House) -> Key {
    let text = std::fs::read_to_string(house.data().with_extension("key")).expect("the loader made it");
    Key::from_hex(text.trim()).expect("a key")
}

fn pid(house: &House, visitor: &str) -> Pid {
    key(house).pid(&IdType::default(), VisitorId::new(visitor).expect("an id of the test"))
}

/// Loads rows of (visitor, segment, observed).
fn load(house: &House, rows: &[(String, &str, i64)], now: i64) -> Value {
    let mut text = String::from("visitor,segment,observed\n");
    for (visitor, segment, observed) in rows {
        text += &format!("{visitor},{segment},{observed}\n");
    }
    let file = house.file("feed.csv", text.as_bytes());
    let (code, reports) = house.load(&[file], "mag", now, &[]);
    assert_eq!(code, 0, "{reports:?}");
    reports[0].clone()
}

fn crowd(count: u32, segment: &'static str, observed: i64) -> Vec<(String, &'static str, i64)> {
    (0..count).map(|number| (format!("v{number}"), segment, observed)).collect()
}

/// The exported memberships as (segment, pseudonym).
fn export(house: &House, wanted: &str, now: i64) -> BTreeSet<(String, String)> {
    let out = verb(house, &["export", wanted], now).fine();
    let line = |line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| line[name].as_str().expect("text").to_owned();
        (text("segment"), text("pid"))
    };
    out.lines().map(line).collect()
}

fn members(house: &House, wanted: &str, now: i64) -> BTreeSet<String> {
    export(house, wanted, now).into_iter().map(|(_, pid)| pid).collect()
}

/// Every file below the folder, with its bytes.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("an entry");
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.push((name.to_string_lossy().into_owned(), std::fs::read(&path).expect("readable")));
        }
    }
    files
}

/// The files below the folder that hold the pseudonym, either way round.
fn holders(folder: &Path, pid: Pid) -> Vec<String> {
    let (forth, mut back) = (pid.to_bytes(), pid.to_bytes());
    back.reverse();
    let holds = |bytes: &[u8]| bytes.windows(forth.len()).any(|window| window == forth || window == back);
    contents(folder).into_iter().filter(|(_, bytes)| holds(bytes)).map(|(name, _)| name).collect()
}

#[test]
fn the_erased_are_gone_to_the_byte_and_late_rows_stay_out() {
    let house = House::new(None);
    load(&house, &crowd(500, "interest.theatre", NOW - DAY), NOW);
    load(&house, &crowd(500, "interest.opera", NOW - HOUR), NOW);
    let gone = pid(&house, "v7");
    assert!(members(&house, "interest.*", NOW).contains(&gone.to_string()));
    let forgotten = json(verb(&house, &["forget", "--visitor", "v7"], NOW));
    assert_eq!(forgotten["receipt"].as_str().expect("text").len(), 32);
    // At once it counts no more; the bytes are there until the build.
    assert!(!members(&house, "interest.*", NOW).contains(&gone.to_string()));
    assert_eq!(json(verb(&house, &["inspect", "--visitor", "v7"], NOW))["memberships"], Value::Array(Vec::new()));
    assert_eq!(holders(&house.data(), gone), ["state.redb"]);
    let built = json(verb(&house, &["build"], NOW + HOUR));
    assert_eq!((&built["erasures"], &built["purged"], &built["visitors"]), (&1.into(), &2.into(), &499.into()));
    assert_eq!(holders(&house.data(), gone), Vec::<String>::new());
    let folder = Folder::open(&house.data()).expect("an index");
    assert_eq!(folder.generations().expect("readable"), [3], "no older generation is kept");
    // Neither does any image know the visitor whose remainder alone it would hold.
    let snapshot = Snapshot::open(&house.data(), Some(key(&house))).expect("sound");
    let shard = snapshot.shard_of(gone).expect("others are there");
    assert!(!shard.lookup(gone, |_, _| {}).expect("sound"));
    assert_eq!(snapshot.veils().len(), 1);
    // A late file does not bring the visitor back, neither now nor after further loads.
    for again in 0..2 {
        let report = load(&house, &crowd(100, "interest.ballet", NOW - 2 * HOUR - again), NOW + 2 * HOUR);
        assert_eq!((&report["taken"], &report["refused"]["erased"]), (&99.into(), &1.into()), "{report}");
        assert!(!members(&house, "interest.*", NOW + 2 * HOUR).contains(&gone.to_string()));
        assert_eq!(holders(&house.data(), gone), Vec::<String>::new());
    }
    // What is observed later is a new acquaintance.
    let report = load(&house, &crowd(100, "interest.circus", NOW + HOUR), NOW + 2 * HOUR);
    assert_eq!(report["taken"], 100);
    assert_eq!(members(&house, "interest.circus", NOW + 2 * HOUR).len(), 100);
    assert!(!members(&house, "interest.ballet", NOW + 2 * HOUR).contains(&gone.to_string()));
    house.verify();
    // The audit knows the receipt and not the visitor.
    let state = State::open(&house.data(), &key(&house), "a test").expect("free");
    let lines = state.audit_lines(0, 9).expect("readable");
    assert_eq!((lines.len(), lines[0].what.as_str()), (1, "erase"));
    assert_eq!(lines[0].receipt.as_deref(), forgotten["receipt"].as_str());
}

#[test]
fn a_veil_is_kept_for_the_longest_life_and_no_longer() {
    let house = House::new(None);
    load(&house, &crowd(3, "s", NOW), NOW);
    json(verb(&house, &["forget", "--visitor", "v0"], NOW));
    let veils = |now: i64| {
        json(verb(&house, &["build"], now));
        Snapshot::open(&house.data(), Some(key(&house))).expect("sound").veils().len()
    };
    // The development charter gives 120 days.
    assert_eq!([veils(NOW + HOUR), veils(NOW + 120 * DAY), veils(NOW + 121 * DAY)], [1, 1, 0]);
    // The generation before still names the file.
    assert_eq!(veils(NOW + 121 * DAY), 0);
    assert!(!contents(&house.data()).iter().any(|(name, _)| name.starts_with("veils.")));
}

#[test]
fn who_opted_out_is_dropped_and_kept_out() {
    let house = House::new(None);
    load(&house, &crowd(10, "s", NOW), NOW);
    let out = pid(&house, "v3").to_string();
    let forgotten = json(verb(&house, &["forget", "--visitor", "v3", "--opt-out"], NOW));
    assert_eq!(forgotten["opted_out"], true);
    assert_eq!(json(verb(&house, &["inspect", "--visitor", "v3"], NOW))["opted_out"], true);
    assert_eq!(json(verb(&house, &["build"], NOW + HOUR))["visitors"], 9);
    let report = load(&house, &crowd(10, "t", NOW + 9 * HOUR), NOW + 9 * HOUR);
    assert_eq!((&report["taken"], &report["refused"]["opted_out"]), (&9.into(), &1.into()));
    assert!(!members(&house, "*", NOW + 9 * HOUR).contains(&out));
    // The wish itself is kept, through every build.
    json(verb(&house, &["build"], NOW + 10 * HOUR));
    let report = load(&house, &crowd(10, "u", NOW + 11 * HOUR), NOW + 11 * HOUR);
    assert_eq!(report["refused"]["opted_out"], 1);
}

#[test]
fn beside_a_process_that_holds_the_state() {
    let house = House::new(None);
    load(&house, &crowd(10, "s", NOW - HOUR), NOW);
    json(verb(&house, &["forget", "--visitor", "v1"], NOW));
    json(verb(&house, &["build"], NOW));
    json(verb(&house, &["forget", "--visitor", "v2"], NOW));
    let state = State::open(&house.data(), &key(&house), "usher-engine serve on 127.0.0.1:8080").expect("free");
    for (args, route) in [
        (&["build"][..], "builds by itself"),
        (&["export", "s"], "stop it"),
        (&["forget", "--visitor", "v3"], "DELETE /v1/visitors/{id}"),
    ] {
        let said = verb(&house, args, NOW);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(said.err.contains("usher-engine serve on 127.0.0.1:8080") && said.err.contains(route), "{said:?}");
    }
    assert_eq!(json(verb(&house, &["verify"], NOW))["state"], Value::Null);
    // A load goes the bulk way: it knows the veils, not what is the other's to know.
    let manifest = |house: &House| {
        let snapshot = Snapshot::open(&house.data(), Some(key(house))).expect("sound");
        let manifest = snapshot.manifest().expect("a generation").clone();
        (manifest.folded, manifest.veils)
    };
    let before = manifest(&house);
    let report = load(&house, &crowd(10, "t", NOW - HOUR), NOW);
    assert_eq!((&report["taken"], &report["refused"]["erased"]), (&9.into(), &1.into()));
    assert_eq!((manifest(&house), before.0), (before, 1));
    drop(state);
    // The next build drops what it brought of them.
    assert_eq!(members(&house, "*", NOW).len(), 8);
    json(verb(&house, &["build"], NOW));
    assert_eq!(holders(&house.data(), pid(&house, "v2")), Vec::<String>::new());
    assert_eq!(json(verb(&house, &["verify"], NOW))["state"]["batches"], 0);
}

/// What the law says: of each visitor and segment the winner of all rows, then who must stay out.
#[derive(Default)]
struct Judge {
    rows: BTreeMap<(u32, usize), Entry>,
    erased: BTreeMap<u32, i64>,
    out: BTreeSet<u32>,
}

const SEGMENTS: [&str; 3] = ["a", "b", "c"];
const VISITORS: u32 = 12;
/// Of every row, in hours: shorter than a run, so that rows die.
const LIFE: u32 = 30;

impl Judge {
    fn row(&mut self, visitor: u32, segment: usize, observed: i64) {
        let tick = (observed / HOUR) as u32;
        let entry = Entry { observed: Tick::new(tick), expiry: Tick::new(tick + LIFE) };
        self.rows.entry((visitor, segment)).and_modify(|kept| *kept = kept.merge(entry)).or_insert(entry);
    }

    fn erase(&mut self, visitor: u32, at: i64) {
        let latest = self.erased.entry(visitor).or_insert(at);
        *latest = at.max(*latest);
        self.rows.retain(|(of, _), entry| *of != visitor || i64::from(entry.observed.get()) > at / HOUR);
    }

    fn bars(&self, visitor: u32, observed: i64) -> bool {
        self.out.contains(&visitor) || self.erased.get(&visitor).is_some_and(|at| observed / HOUR <= at / HOUR)
    }

    fn members(&self, pids: &[String], now: i64) -> BTreeSet<(String, String)> {
        let live = |(visitor, _): &(u32, usize), entry: &Entry| {
            i64::from(entry.expiry.get()) > now / HOUR && !self.out.contains(visitor)
        };
        let live = self.rows.iter().filter(|(place, entry)| live(place, entry));
        live.map(|(&(visitor, segment), _)| (SEGMENTS[segment].to_owned(), pids[visitor as usize].clone())).collect()
    }
}

const CHARTER: &str = "[house]\nname=\"p\"\nsteward=\"s\"\n[[source]]\nname=\"mag\"\nclass=\"behavioural\"\nprefixes=[\"\"]\nttl=\"30h\"\nmax_retention=\"90d\"\nlegal_basis=\"consent\"\n";

/// Changes through the state, as an engine makes them; those that it would refuse are left out.
fn change(house: &House, judge: &mut Judge, random: &mut Rng, now: i64) {
    let state = State::open(&house.data(), &key(house), "a test").expect("free");
    let segments = SEGMENTS.map(|name| Segment { name: name.into(), source: "mag".into() });
    let mut changes = Vec::new();
    for _ in 0..1 + random.below(8) {
        let visitor = random.below(VISITORS);
        let (pid, at) = (pid(house, &format!("v{visitor}")), Tick::new((now / HOUR) as u32));
        changes.push(match random.below(10) {
            0 => {
                judge.erase(visitor, now);
                Change::Erase { pid, at }
            }
            1 => {
                judge.out.insert(visitor);
                Change::OptOut { pid }
            }
            2 => {
                if judge.out.remove(&visitor) {
                    judge.erase(visitor, now);
                }
                Change::Revoke { pid, at }
            }
            _ if judge.bars(visitor, now) => continue,
            _ => {
                let segment = random.below(3) as usize;
                judge.row(visitor, segment, now);
                let entry = Entry { observed: at, expiry: Tick::new(at.get() + LIFE) };
                Change::Row { pid, segment: segment as u32, entry }
            }
        });
    }
    state.commit(&Commit { changes: &changes, segments: &segments, ..Commit::default() }).expect("writable");
    let veils = Arc::clone(Snapshot::open(&house.data(), Some(key(house))).expect("sound").veils());
    let bars = state.bars(veils).expect("readable");
    for visitor in 0..VISITORS {
        let pid = pid(house, &format!("v{visitor}"));
        assert_eq!(bars.refusal(pid, Tick::new((now / HOUR) as u32)).is_some(), judge.bars(visitor, now));
    }
}

fn late_feed(house: &House, judge: &mut Judge, random: &mut Rng, now: i64) {
    // One row at least is taken, so that the feed is.
    let mut rows = vec![("somebody".to_owned(), SEGMENTS[0], now)];
    judge.row(VISITORS, 0, now);
    let mut refused = 0;
    for _ in 0..random.below(9) {
        let (visitor, segment) = (random.below(VISITORS), random.below(3) as usize);
        let observed = now - i64::from(random.below(28)) * HOUR;
        rows.push((format!("v{visitor}"), SEGMENTS[segment], observed));
        if judge.bars(visitor, observed) {
            refused += 1;
        } else {
            judge.row(visitor, segment, observed);
        }
    }
    let report = load(house, &rows, now);
    let sum = |code: &str| report["refused"][code].as_u64().unwrap_or(0);
    assert_eq!(sum("erased") + sum("opted_out"), refused, "{report}");
}

#[test]
fn random_changes_builds_and_late_feeds_obey_the_law() {
    for seed in 0..3 {
        let (house, mut judge, mut random) = (House::new(Some(CHARTER)), Judge::default(), Rng::new(seed));
        let mut now = NOW;
        late_feed(&house, &mut judge, &mut random, now);
        let visitors = (0..VISITORS).map(|number| format!("v{number}")).chain(["somebody".to_owned()]);
        let pids: Vec<String> = visitors.map(|visitor| pid(&house, &visitor).to_string()).collect();
        for step in 0..30 {
            now += i64::from(random.below(3)) * HOUR + 1;
            match random.below(4) {
                0 => late_feed(&house, &mut judge, &mut random, now),
                1 => _ = json(verb(&house, &["build"], now)),
                _ => change(&house, &mut judge, &mut random, now),
            }
            assert_eq!(export(&house, "*", now), judge.members(&pids, now), "seed {seed}, step {step}");
        }
        house.verify();
    }
}
