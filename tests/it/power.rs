//! A simulated power cut at every step of a commit, a load, a build and a settlement.

use usher_bench::power;

#[test]
fn what_was_acknowledged_survives_a_cut_at_every_step() {
    let mut out = Vec::new();
    let tally = power::run(1_500, 1, true, &mut out).unwrap_or_else(|error| panic!("{error:?}"));
    println!("{}", String::from_utf8_lossy(&out));
    assert!(tally.images >= 1_500 && tally.violations == 0, "{tally:?}");
    for step in ["create", "write", "resize", "flush", "name", "flush folder"] {
        assert!(tally.steps[step] > 0, "no {step} in {:?}", tally.steps);
    }
}

#[test]
fn a_disk_that_forgets_what_it_flushed_is_found_out() {
    let tally = power::run(300, 1, false, &mut Vec::new()).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(tally.violations > 0, "{tally:?}");
}
