//! The server among silent, slow and garbled connections: lookups go on, abusers are let go, places come free.

use std::time::Duration;

use usher_bench::abuse::{self, Plan};
use usher_engine::http::limits::Limits;

/// A deadline that a test waits for.
const SHORT: Duration = Duration::from_secs(1);

fn short() -> Limits {
    Limits { first_byte: SHORT, head: SHORT, body: SHORT, idle: 2 * SHORT, ..Limits::default() }
}

#[test]
fn lookups_go_on_among_abusers_and_each_is_let_go_at_its_deadline() {
    let mut said = Vec::new();
    let plan = Plan { silent: 200, limits: short() };
    let tally = abuse::run(&plan, &mut said).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(tally.abusers == 360 && tally.lookups > 100, "{tally:?}");
}

#[test]
fn the_bound_on_connections_holds_and_frees() {
    // Ten places, more silent connections than that: lookups wait for a place and get one.
    let mut said = Vec::new();
    let plan = Plan { silent: 30, limits: Limits { connections: 10, ..short() } };
    let tally = abuse::run(&plan, &mut said).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(tally.abusers == 54 && tally.lookups > 0, "{tally:?}");
}
