//! Changes of many visitors: they are folded before they are too many, and turned away when nobody can fold them.

use std::time::Duration;

use serde_json::json;
use usher_engine::http::limits::Limits;
use usher_engine::keep::fold::Rules;
use usher_index::overlay::NEVER_FULL_VISITORS;
use usher_index::{Key, Writer};

use super::change::eventually;
use super::client::{Client, Reply};
use super::{Site, problem, quick};

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

fn generation(client: &mut Client) -> u64 {
    let reply = client.get("/v1/visitors/v0/segments");
    reply.header("usher-generation").and_then(|text| text.parse().ok()).expect("a number")
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
    let reply = client.post("/v1/size", r#"{"expression": "interest.dance", "exact": true}"#).json();
    assert_eq!(reply["visitors"]["exact"], half + 100);
}

#[test]
fn what_nobody_folds_is_turned_away_and_a_visitors_wish_is_not() {
    let site = site();
    let mut client = site.client();
    let data = site.house.data();
    let key = std::fs::read_to_string(data.with_extension("key")).expect("the loader made a key");
    let other = Writer::open(&data, Key::from_hex(key.trim()).expect("the loader's key")).expect("nobody builds");
    for first in (0..NEVER_FULL_VISITORS).step_by(TOGETHER as usize) {
        assert_eq!(send(&mut client, first).status, 200, "{first} wait");
    }
    let reply = send(&mut client, NEVER_FULL_VISITORS);
    assert!(reply.header("retry-after").is_some());
    assert_eq!(problem(&reply), (503, "busy".to_owned()));
    client.send("PUT /v1/visitors/v0/opt-out HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.receive(false).status, 204);
    assert_eq!(
        (generation(&mut client), client.get("/v1/visitors/v0/segments").json()["segments"].clone()),
        (1, json!([]))
    );
    drop(other);
    eventually("they are taken again", || send(&mut client, NEVER_FULL_VISITORS).status == 200);
    assert_eq!(generation(&mut client), 2);
}
