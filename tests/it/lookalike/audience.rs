//! Models through the library: the chosen audience, seeds that say nothing, and what is explained.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use usher_bench::rng::Rng;
use usher_engine::ask::lookalike::{Exclusion, Method, Population, Profiles, Seed, TrainError, Trained, Wanted, train};
use usher_engine::keep::adopt;
use usher_index::{Overlay, Pid, Snapshot, State};

use super::{NOW, change, key, load, pid, some_seed, world};
use crate::programs::{House, time};

/// The overlay of what the state of a house holds.
fn open(house: &House) -> (Snapshot, Overlay) {
    let key = key(house);
    let snapshot = Snapshot::open(&house.data(), Some(key.clone())).expect("a whole index");
    let state = State::open_if_present(&house.data(), &key, "a test").expect("free");
    let overlay = state.map(|state| adopt::overlay(&snapshot, &state).expect("whole").0).unwrap_or_default();
    (snapshot, overlay)
}

fn trained(population: &Population<'_>, seed: &[Pid], method: Method) -> Result<Trained, TrainError> {
    train(population, &Seed::new(population, seed).expect("whole"), method)
}

#[test]
fn the_audience_is_the_best_and_as_large_as_its_reach() {
    let mut rng = Rng::new(23);
    let world = world(&mut rng, 1_500);
    let house = load(&world, &mut rng);
    let members: Vec<&String> = world.keys().collect();
    let late: Vec<(&String, String)> =
        members.iter().step_by(9).map(|visitor| (*visitor, "geo.9".to_owned())).collect();
    let rows: Vec<(&String, &String)> = late.iter().map(|(visitor, name)| (*visitor, name)).collect();
    change(&house, &[members[3]], &rows);
    let (snapshot, overlay) = open(&house);
    let key = key(&house);
    let seed: Vec<Pid> = some_seed(&mut rng, 1_500, 200).iter().map(|id| pid(&key, id)).collect();
    for (method, exclude) in [(Method::Iv, "interest.*"), (Method::Iv, "geo.9"), (Method::Pairs, "geo.2")] {
        let exclude: Vec<Exclusion> = vec![exclude.parse().expect("any text is one")];
        let population = Population::new(&snapshot, &overlay, &exclude, time(NOW)).expect("whole");
        let Trained { model, curve, scored, .. } = trained(&population, &seed, method).expect("a model");
        let mut profiles = Profiles::default();
        let mut score = |visitor: &String| model.score(&population, pid(&key, visitor), &mut profiles).expect("whole");
        let all: BTreeMap<Pid, f32> =
            members.iter().filter_map(|visitor| Some((pid(&key, visitor), score(visitor)?))).collect();
        assert_eq!(all.len() as u64, scored);
        let mut before = BTreeSet::new();
        for point in &curve.points {
            let chosen = model.choose(&population, Wanted::Reach(point.reach)).expect("whole");
            assert_eq!((chosen.pids.len() as u64, chosen.ranked), (point.visitors, scored), "{method:?} {point:?}");
            assert_eq!(chosen, model.choose(&population, Wanted::Visitors(point.visitors)).expect("whole"));
            let set: BTreeSet<Pid> = chosen.pids.iter().copied().collect();
            assert!(set.len() == chosen.pids.len() && seed.iter().all(|pid| !set.contains(pid)));
            assert!(set.is_superset(&before), "a larger reach has everybody of a smaller one");
            let last = set.iter().map(|pid| all[pid]).min_by(f32::total_cmp).unwrap_or(f32::INFINITY);
            let best = all.iter().filter(|(pid, _)| !set.contains(pid)).map(|(_, score)| *score).max_by(f32::total_cmp);
            assert!(best.is_some_and(|best| best <= last), "{method:?} {point:?}: {best:?} is left out, {last} is in");
            assert!(set.is_empty() || chosen.threshold == last);
            before = set;
        }
        let nobody = model.choose(&population, Wanted::Visitors(0)).expect("whole");
        let everybody = model.choose(&population, Wanted::Visitors(u64::MAX)).expect("whole");
        assert!(nobody.pids.is_empty() && everybody.pids.len() as u64 == scored);
        // Over the same population with a segment less, the model goes on with what it knows.
        let over = model.over(&population).choose(&population, Wanted::Reach(0.1)).expect("whole");
        assert_eq!(over, model.choose(&population, Wanted::Reach(0.1)).expect("whole"));
    }
}

#[test]
fn a_seed_that_says_nothing_is_told_so() {
    let mut rng = Rng::new(31);
    let world = world(&mut rng, 1_200);
    let house = load(&world, &mut rng);
    let (snapshot, overlay) = open(&house);
    let population = Population::new(&snapshot, &overlay, &[], time(NOW)).expect("whole");
    let key = key(&house);
    let mut anybody: Vec<Pid> = world.keys().map(|id| pid(&key, id)).collect();
    rng.shuffle(&mut anybody);
    let by_chance = trained(&population, &anybody[..150], Method::Iv).expect("a model");
    assert!(!by_chance.curve.predicts(), "{:?}", by_chance.curve.points);
    assert_eq!(by_chance.warnings.len(), 2);
    let few = trained(&population, &anybody[..19], Method::Iv);
    assert!(matches!(few, Err(TrainError::SmallSeed { given: 19, matched: 19, least: 20 })), "{few:?}");
    let all = trained(&population, &anybody, Method::Pairs);
    assert!(matches!(all, Err(TrainError::NobodyElse)), "{all:?}");
}

#[test]
fn what_stands_out_is_explained_by_many_alone() {
    let mut rng = Rng::new(41);
    let mut world = world(&mut rng, 1_500);
    let seed = some_seed(&mut rng, 1_500, 300);
    for (number, id) in seed.iter().enumerate() {
        let has = world.get_mut(id).expect("in the world");
        has.insert("twin.a".to_owned());
        has.insert("twin.b".to_owned());
        if number < 49 {
            has.insert("few".to_owned());
        }
    }
    let house = load(&world, &mut rng);
    let (snapshot, overlay) = open(&house);
    let population = Population::new(&snapshot, &overlay, &[], time(NOW)).expect("whole");
    let key = key(&house);
    let pids: Vec<Pid> = seed.iter().map(|id| pid(&key, id)).collect();
    let explanation = trained(&population, &pids, Method::Pairs).expect("a model").explanation;
    let first = &explanation.over[0];
    assert_eq!(first.segments, [Arc::from("twin.a")], "of the twins the first by name");
    assert!(
        (first.seed_share - 1.0).abs() < 1e-9 && first.visitors == 300 && (first.population_share - 0.2).abs() < 1e-9
    );
    assert!((first.lift - 303.0 / 63.0).abs() < 1e-9, "{first:?}");
    let named = |name: &str| explanation.over.iter().chain(&explanation.under).any(|shown| *shown.segments[0] == *name);
    assert!(!named("twin.b") && !named("few"), "{explanation:?}");
    assert!(explanation.over.len() <= 10 && explanation.under.len() <= 5 && explanation.pairs.len() <= 5);
    for shown in &explanation.pairs {
        let has = |id: &&String| shown.segments.iter().all(|name| world[*id].contains(&**name));
        let (in_seed, all) = (seed.iter().filter(has).count(), world.keys().filter(has).count());
        assert!(in_seed >= 50 && shown.visitors == all as u64, "{shown:?}");
        assert!((shown.seed_share - in_seed as f64 / 300.0).abs() < 1e-9, "{shown:?}");
    }
}
