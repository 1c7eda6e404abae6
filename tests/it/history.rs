//! Random lives of an index answer as a naive model does, and the order of rows and wishes does not matter.

use usher_bench::history::{Plan, run};

#[test]
fn random_lives_answer_as_the_model_does() {
    let mut out = Vec::new();
    let plan = Plan { histories: 60, steps: 60, seed: 1_000_000 };
    let tally = run(plan, &mut out).unwrap_or_else(|error| panic!("{error:?}"));
    println!("{}", String::from_utf8_lossy(&out));
    assert_eq!((tally.histories, tally.steps.values().sum::<u64>()), (60, 3_600), "{tally:?}");
    assert!(tally.found > 3_000 && tally.orders > 6, "{tally:?}");
    let kinds = ["commit", "load", "blind load", "fold", "fold anew", "blind rebuild", "adopt", "settle", "reopen"];
    for kind in kinds.into_iter().chain(["clock on", "clock back"]) {
        assert!(tally.steps.contains_key(kind), "no {kind} in {tally:?}");
    }
    for deed in ["row", "opt-out", "revocation", "erasure"] {
        assert!(tally.deeds.contains_key(deed), "no {deed} in {tally:?}");
    }
}
