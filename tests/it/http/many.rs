//! Changes of many visitors: they are folded before they are too many, and turned away when nobody can fold them.

use std::time::Duration;

use serde_json::json;
use usher_engine::http::limits::Limits;
use usher_engine::keep::fold::Rules;
use usher_index::Writer;
use usher_index::overlay::NEVER_FULL_VISITORS;

use super::change::{eventually, exact, generation, request, segments};
use super::client::{Client, Reply};
use super::{Site, config, problem, quick};

/// Visitors of a request.
const TOGETHER: u64 = 1_000;

/// Only that there are many is a reason to fold.
fn site() -> Site {
    Site::new(Limits { fold: Rules { look: Duration::from_millis(20), ..Rules::default() }, ..quick() })
}

/// Sends a row of each of the next visitors.
fn send(client: &mut Client, first: u64) -> Reply {
    let row = |number| json!({"visitor": format!("many{number}"), "segment": "interest.dance"}).to_string();
    let rows: Vec<String> = (first..first + TOGETHER).map(row).collect();
    client.post("/v1/memberships", &rows.join("\n"))
}

#[test]
fn they_are_folded_before_rows_would_be_turned_away() {
    let site = site();
    let mut client = site.client();
    let half = NEVER_FULL_VISITORS / 2;
    for first in (0..half - TOGETHER).step_by(TOGETHER as usize) {
        assert_eq!(send(&mut client, first).status, 200);
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(generation(&mut client), 1, "{half} are many, and fewer are not");
    assert_eq!(send(&mut client, half - TOGETHER).status, 200);
    eventually("half of what may wait is folded", || generation(&mut client) == 2);
    assert_eq!(exact(&mut client, "interest.dance"), half + 100);
}

#[test]
fn what_nobody_folds_is_turned_away_and_a_visitors_wish_is_not() {
    let site = site();
    let mut client = site.client();
    let other = Writer::open(&site.house.data(), config(&site.house, quick()).key).expect("nobody builds");
    for first in (0..NEVER_FULL_VISITORS).step_by(TOGETHER as usize) {
        assert_eq!(send(&mut client, first).status, 200, "{first} wait");
    }
    let reply = send(&mut client, NEVER_FULL_VISITORS);
    assert!(reply.header("retry-after").is_some());
    assert_eq!(problem(&reply), (503, "busy".to_owned()));
    assert_eq!(request(&mut client, "PUT", "/v1/visitors/v0/opt-out").status, 204);
    assert_eq!((generation(&mut client), segments(&mut client, "v0")["segments"].clone()), (1, json!([])));
    drop(other);
    eventually("they are taken again", || send(&mut client, NEVER_FULL_VISITORS).status == 200);
    assert_eq!(generation(&mut client), 2);
}
