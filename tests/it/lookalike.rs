//! Lookalikes through the program: the scores of stage 1 as a naive model finds them, who may not be listed, what has no
//! influence, and the chosen audience.

mod audience;
mod real;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use usher_bench::rng::Rng;
use usher_index::entry::Entry;
use usher_index::{Change, Commit, IdType, Key, Pid, Segment, State, Tick, VisitorId};

use crate::programs::{House, Said, path_text};

const HOUR: i64 = 3_600;
const NOW: i64 = 500_000 * HOUR;
const CHARTER: &str = r#"
[house]
name = "Parc"
steward = "dpo@parc.example"
[lookalike]
min_seed = 20
[forbidden]
prefixes = ["health."]
[[source]]
name = "mag"
class = "behavioural"
prefixes = [""]
ttl = "30d"
max_retention = "30d"
legal_basis = "consent"
"#;
/// The same without what it forbids: to bring in what a later charter keeps out.
fn permissive() -> String {
    CHARTER.replace("\"health.\"", "\"nothing.\"")
}

/// Who has what, live.
type World = BTreeMap<String, BTreeSet<String>>;

/// Visitors of three kinds, whose tastes overlap; the first kind is what a seed is taken from.
fn world(rng: &mut Rng, visitors: usize) -> World {
    let person = |number: usize, rng: &mut Rng| {
        let kind = number % 3;
        let mut has = BTreeSet::new();
        for taste in 0..40 {
            let chance = if taste % 3 == kind { 30 - taste / 2 } else { 8 };
            if rng.percent(chance as u32) {
                has.insert(format!("interest.{taste}"));
            }
        }
        has.insert(format!("geo.{}", rng.below(4)));
        (format!("v{number}"), has)
    };
    (0..visitors).map(|number| person(number, rng)).collect()
}

/// Visitors of the first kind, at random.
fn some_seed(rng: &mut Rng, visitors: usize, count: usize) -> Vec<String> {
    let mut seed: Vec<String> = (0..visitors).step_by(3).map(|number| format!("v{number}")).collect();
    rng.shuffle(&mut seed);
    seed.truncate(count);
    seed
}

/// A house with these rows and some that are dead.
fn load(world: &World, rng: &mut Rng) -> House {
    let house = House::new(Some(&permissive()));
    let mut rows = String::from("visitor,segment,ttl\n");
    for (visitor, segments) in world {
        segments.iter().for_each(|segment| rows += &format!("{visitor},{segment},20d\n"));
        for dead in 0..rng.below(4) {
            rows += &format!("{visitor},dead.{dead},1h\n");
        }
        if rng.percent(30) && !segments.contains("interest.1") {
            rows += &format!("{visitor},interest.1,1h\n");
        }
    }
    rows += "gone,interest.1,1h\n";
    let file = house.file("feed.csv", rows.as_bytes());
    let (code, reports) = house.load(&[file], "mag", NOW - 2 * HOUR, &[]);
    assert_eq!(code, 0, "{reports:?}");
    house
}

fn key(house: &House) -> Key {
    let text = std::fs::read_to_string(house.data().with_extension("key")).expect("the loader made it");
    Key::from_hex(text.trim()).expect("a key")
}

fn pid(key: &Key, visitor: &str) -> Pid {
    key.pid(&IdType::default(), VisitorId::new(visitor).expect("an id of the test"))
}

/// `usher-engine lookalike` with the seed, scoring everybody of the list.
fn ask(house: &House, seed: &[String], listed: &[String], more: &[&str]) -> Said {
    let lines = |name: &str, ids: &[String]| house.file(name, (ids.join("\n") + "\n").as_bytes());
    let (seed, listed) = (lines("seed.txt", seed), lines("listed.txt", listed));
    run(&house.data(), &seed, &listed, more)
}

fn run(data: &Path, seed: &Path, listed: &Path, more: &[&str]) -> Said {
    let now = NOW.to_string();
    let mut args = vec!["usher-engine", "lookalike", "--data", path_text(data), "--now", &now];
    args.extend(["--seed", path_text(seed), "--score", path_text(listed)]);
    args.extend(more);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = usher_engine::cmd::run(args, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).expect("programs write UTF-8");
    Said { code, out: text(out), err: text(err) }
}

fn scores(out: &str) -> BTreeMap<&str, f64> {
    out.lines()
        .map(|line| {
            let (visitor, score) = line.split_once('\t').expect("two columns");
            (visitor, score.parse().expect("a number"))
        })
        .collect()
}

/// The plainest stage 1, over the segments that `visible` lets through.
fn naive<'w>(world: &'w World, seed: &[String], visible: impl Fn(&str) -> bool) -> BTreeMap<&'w str, f64> {
    let eligible: BTreeMap<&str, Vec<&str>> = world
        .iter()
        .map(|(visitor, has)| (visitor.as_str(), has.iter().map(String::as_str).filter(|name| visible(name)).collect()))
        .filter(|(_, has): &(_, Vec<&str>)| !has.is_empty())
        .collect();
    let seed: BTreeSet<&str> = seed.iter().map(String::as_str).filter(|id| eligible.contains_key(id)).collect();
    let (mut all, mut of_seed): (BTreeMap<&str, f64>, BTreeMap<&str, f64>) = Default::default();
    for (visitor, has) in &eligible {
        for name in has {
            *all.entry(name).or_default() += 1.0;
            *of_seed.entry(name).or_default() += f64::from(u8::from(seed.contains(visitor)));
        }
    }
    let (total, n) = (eligible.len() as f64, seed.len() as f64);
    let weight = |name: &str| {
        let p = (of_seed[name] + 0.5) / (n + 1.0);
        let q = (all[name] - of_seed[name] + 0.5) / (total - n + 1.0);
        (p - q).abs() * (p * (1.0 - q) / (q * (1.0 - p))).ln()
    };
    let score = |has: &Vec<&str>| has.iter().map(|name| weight(name)).sum::<f64>() / (has.len() as f64).powf(0.25);
    eligible.iter().filter(|(id, _)| !seed.contains(*id)).map(|(id, has)| (*id, score(has))).collect()
}

fn assert_alike(found: &BTreeMap<&str, f64>, expected: &BTreeMap<&str, f64>, case: &str) {
    let keys = |of: &BTreeMap<&str, f64>| of.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(keys(found), keys(expected), "{case}");
    for (visitor, expected) in expected {
        let found = found[visitor];
        assert!((found - expected).abs() < 1e-5 * expected.abs().max(0.1), "{case}, {visitor}: {found}, {expected}");
    }
}

fn everybody(world: &World) -> Vec<String> {
    world.keys().cloned().chain(["gone".to_owned(), "nobody".to_owned()]).collect()
}

#[test]
fn scores_of_stage_one_are_those_of_the_naive_model() {
    for case in 0..25 {
        let mut rng = Rng::new(case);
        let visitors = 100 + rng.index(500);
        let world = world(&mut rng, visitors);
        let house = load(&world, &mut rng);
        let count = 20 + rng.index(visitors / 3 - 20);
        let mut seed = some_seed(&mut rng, visitors, count);
        seed.push("nobody".to_owned());
        let said = ask(&house, &seed, &everybody(&world), &["--method", "iv"]);
        let expected = naive(&world, &seed, |_| true);
        assert_alike(&scores(&said.fine()), &expected, &format!("seed {case}"));
        let exclude = ["--method", "iv", "--exclude", "interest.*", "--exclude", "geo.1"];
        let said = ask(&house, &seed, &everybody(&world), &exclude);
        let visible = |name: &str| !name.starts_with("interest.") && name != "geo.1";
        let matched = seed.iter().filter(|id| world.get(*id).is_some_and(|has| has.iter().any(|name| visible(name))));
        if matched.count() < 20 {
            assert!(said.code == 1 && said.err.contains("expected at least 20"), "seed {case}: {said:?}");
            continue;
        }
        assert_alike(&scores(&said.fine()), &naive(&world, &seed, visible), &format!("seed {case}, excluded"));
    }
}

#[test]
fn the_same_question_has_the_same_answer_and_no_seed_visitor_in_it() {
    let mut rng = Rng::new(7);
    let world = world(&mut rng, 900);
    let house = load(&world, &mut rng);
    let seed = some_seed(&mut rng, 900, 150);
    for method in ["iv", "pairs"] {
        let said = ask(&house, &seed, &everybody(&world), &["--method", method]);
        let again = ask(&house, &seed, &everybody(&world), &["--method", method]);
        assert_eq!((said.code, &said.out, &said.err), (0, &again.out, &again.err), "{method}");
        let listed = scores(&said.out);
        assert_eq!(listed.len(), 750, "{method}: everybody but the seed");
        assert!(seed.iter().all(|id| !listed.contains_key(id.as_str())), "{method}");
        assert!(said.err.contains("seed: 150 of 150 matched") && said.err.contains("below 1000"), "{}", said.err);
        assert!(!said.err.contains("does not predict"), "{}", said.err);
        let mean = |of: &dyn Fn(usize) -> bool| {
            let of: Vec<f64> =
                listed.iter().filter(|(id, _)| of(id[1..].parse().expect("a number"))).map(|(_, s)| *s).collect();
            of.iter().sum::<f64>() / of.len() as f64
        };
        assert!(mean(&|number| number % 3 == 0) > mean(&|number| number % 3 != 0), "{method}: the first kind is alike");
    }
}

#[test]
fn what_is_hidden_has_no_influence() {
    let mut rng = Rng::new(11);
    let plain = world(&mut rng, 600);
    let seed = some_seed(&mut rng, 600, 200);
    // What tells the seed from all others, under names that are no features.
    let mut marked = plain.clone();
    for (visitor, has) in &mut marked {
        let is_seed = seed.contains(visitor);
        for name in ["health.flu", "lookalike.spring.1", "crm.spectator", "secret"] {
            if is_seed || rng.percent(5) {
                has.insert(name.to_owned());
            }
        }
    }
    let (without, with) = (House::new(Some(&permissive())), House::new(Some(&permissive())));
    let key_file = path_text(&without.data().with_extension("key")).to_owned();
    for (house, world, more) in [(&without, &plain, &[][..]), (&with, &marked, &["--key-file", &key_file])] {
        let mut rows = String::from("visitor,segment\n");
        world.iter().for_each(|(visitor, has)| has.iter().for_each(|name| rows += &format!("{visitor},{name}\n")));
        let file = house.file("feed.csv", rows.as_bytes());
        assert_eq!(house.load(&[file], "mag", NOW - 2 * HOUR, more).0, 0);
    }
    let charter = with.file("strict.toml", CHARTER.as_bytes());
    for method in ["iv", "pairs"] {
        let usual = ["--method", method, "--key-file", &key_file];
        let expected = ask(&without, &seed, &everybody(&plain), &usual);
        let hidden = ["--charter", path_text(&charter), "--exclude", "crm.*", "--exclude", "secret"];
        let said = ask(&with, &seed, &everybody(&plain), &[&usual[..], &hidden].concat());
        assert_eq!((said.code, &said.out), (0, &expected.out), "{method}: {}", said.err);
        assert_eq!(said.err, expected.err, "{method}");
        let told = ask(&with, &seed, &everybody(&plain), &usual);
        assert_ne!(told.out, expected.out, "{method}: seen, they would say much");
    }
    let said = ask(&with, &seed, &everybody(&plain), &["--key-file", &key_file, "--exclude", "secrets"]);
    assert!(said.err.contains("no segment is called `secrets`"), "{}", said.err);
}

/// Commits changes: opt-outs, then rows.
fn change(house: &House, out: &[&String], rows: &[(&String, &String)]) {
    let key = key(house);
    let state = State::open(&house.data(), &key, "a test").expect("free");
    let segments: Vec<&String> =
        rows.iter().map(|(_, segment)| *segment).collect::<BTreeSet<_>>().into_iter().collect();
    let entry = Entry { observed: Tick::new(499_999), expiry: Tick::new(500_200) };
    let row = |(visitor, segment): &(&String, &String)| {
        let segment = segments.binary_search(segment).expect("listed") as u32;
        Change::Row { pid: pid(&key, visitor), segment, entry }
    };
    let mut changes: Vec<Change> = out.iter().map(|visitor| Change::OptOut { pid: pid(&key, visitor) }).collect();
    changes.extend(rows.iter().map(row));
    let named = |name: &&String| Segment { name: name.as_str().into(), source: "mag".into() };
    let segments: Vec<Segment> = segments.iter().map(named).collect();
    state.commit(&Commit { changes: &changes, segments: &segments, ..Commit::default() }).expect("room");
}

#[test]
fn what_no_build_has_folded_counts() {
    let mut rng = Rng::new(5);
    let whole = world(&mut rng, 500);
    let mut seed = some_seed(&mut rng, 500, 120);
    // A third of the rows come late, some under a name that the images do not know; ten visitors leave.
    let mut late: Vec<(String, String)> = Vec::new();
    let mut early = World::new();
    for (visitor, has) in &whole {
        let mut kept = has.clone();
        kept.retain(|name| name != "geo.3" && !rng.percent(10));
        late.extend(has.difference(&kept).map(|name| (visitor.clone(), name.clone())));
        early.insert(visitor.clone(), kept);
    }
    let house = load(&early, &mut rng);
    let out: Vec<&String> = whole.keys().step_by(50).collect();
    seed.push(out[0].clone());
    let rows: Vec<(&String, &String)> = late.iter().map(|(visitor, name)| (visitor, name)).collect();
    change(&house, &out, &rows);
    let mut left = whole.clone();
    left.retain(|visitor, _| !out.contains(&visitor));
    let said = ask(&house, &seed, &everybody(&whole), &["--method", "iv"]);
    assert_alike(&scores(&said.fine()), &naive(&left, &seed, |_| true), "late rows and opt-outs");
    let said = ask(&house, &seed, &everybody(&whole), &["--method", "iv", "--exclude", "interest.*"]);
    let visible = |name: &str| !name.starts_with("interest.");
    assert_alike(&scores(&said.fine()), &naive(&left, &seed, visible), "and with the hidden");
    let said = ask(&house, &seed, &everybody(&whole), &[]);
    let listed = scores(&said.out);
    assert!(said.code == 0 && listed.len() == left.keys().filter(|id| !seed.contains(id)).count(), "{}", said.err);

    let state = State::open(&house.data(), &key(&house), "usher-engine serve on 127.0.0.1:8080").expect("free");
    let said = ask(&house, &seed, &everybody(&whole), &[]);
    assert!(said.code == 1 && said.out.is_empty(), "{said:?}");
    assert!(said.err.contains("serve on 127.0.0.1:8080") && said.err.contains("POST /v1/lookalikes"), "{}", said.err);
    drop(state);
}
