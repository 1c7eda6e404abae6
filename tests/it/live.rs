//! What `usher-bench live` measures happens: opt-outs and rows are in force at once, and lookups go on while rows stream
//! in, visitors opt out, a tick passes and a compaction publishes.

use std::time::Duration;

use usher_bench::live::{self, Plan};
use usher_bench::lookup::Index;

#[test]
fn every_change_is_in_force_at_once_and_lookups_go_on_meanwhile() {
    let dir = tempfile::tempdir().expect("a folder");
    let (visitors, mut said) = (2_000, Vec::new());
    let index = Index::build(visitors, dir.path(), &mut said).unwrap_or_else(|error| panic!("{error:?}"));
    let seconds = Duration::from_secs;
    let plan = Plan {
        rounds: [2, 1],
        opt_outs: 20,
        round: Duration::from_millis(200),
        load: seconds(1),
        longest: seconds(60),
        border: seconds(2),
        fold: seconds(1),
        rate: Some(500),
        ..Plan::new(visitors, None)
    };
    live::run(&index, &plan, &mut said).unwrap_or_else(|error| panic!("{error:?}"));
    let said = String::from_utf8(said).expect("UTF-8");
    for line in ["durable opt-out, one caller, p99", "live rows a second", "while a fold publishes", "ticks begun"] {
        assert!(said.contains(line), "no {line} in {said}");
    }
}
