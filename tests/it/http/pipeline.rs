//! Many requests under way on one connection: what is answered leaves, in order, whatever stands behind it.

use std::thread::spawn;

use serde_json::json;
use usher_bench::rng::Rng;

use super::client::{Client, get, post};
use super::{NONE, Site, problem, quick};

const LOOKUP: &str = "/v1/visitors/v1/segments";
const FOUND: &str = r#"{"segments":["interest.theatre"],"audiences":[]}"#;

/// More than hyper answers in one turn.
const MANY: usize = 50;

fn found(client: &mut Client, times: usize) {
    for number in 0..times {
        let reply = client.receive(false);
        assert_eq!((reply.status, reply.body.as_str()), (200, FOUND), "answer {number}");
    }
}

/// A question of which the last bytes have not come.
fn cut() -> (String, String) {
    let whole = post("/v1/size", r#"{"expression":"interest.theatre","exact":true}"#);
    let (first, rest) = whole.split_at(whole.len() - 10);
    (first.to_owned(), rest.to_owned())
}

#[test]
fn an_answer_does_not_wait_for_the_one_behind_it() {
    let site = Site::new(quick());
    let mut client = site.client();
    let (first, rest) = cut();
    // Behind the answers: a body that is not whole, then a head that is not.
    client.send(get(LOOKUP).repeat(3) + &first);
    found(&mut client, 3);
    client.send(rest + &get(LOOKUP) + "GET /v1/vis");
    assert_eq!(client.receive(false).json()["visitors"], json!({ "exact": 201 }));
    found(&mut client, 1);
    client.send("itors/v1/segments HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n");
    found(&mut client, 1);
}

#[test]
fn what_is_broken_takes_no_answer_with_it() {
    let site = Site::new(quick());
    let garbage = "\u{16}\u{3} no HTTP\r\n\r\n".to_owned();
    let large = format!("GET {LOOKUP} HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    for (before, broken, expected) in [
        (0, &garbage, (400, "bad-head")),
        (3, &garbage, (400, "bad-head")),
        (MANY, &garbage, (400, "bad-head")),
        (2, &large, (431, "head-too-large")),
    ] {
        let mut client = site.client();
        client.send(get(LOOKUP).repeat(before) + broken);
        found(&mut client, before);
        let reply = client.receive(false);
        let (status, kind) = problem(&reply);
        assert_eq!(((status, kind.as_str()), reply.header("connection")), (expected, Some("close")));
    }
}

#[test]
fn the_last_request_is_answered_before_the_end() {
    let site = Site::new(quick());
    for last in ["Connection: close\r\n\r\n", "X: y\r\n\r\n"] {
        let mut client = site.client();
        let head = get(LOOKUP);
        client.send(head.repeat(MANY) + &head.replace("\r\n\r\n", "\r\n") + last);
        if last.starts_with('X') {
            client.finish();
        }
        found(&mut client, MANY + 1);
        assert!(client.closed(), "{last}");
    }
    let mut client = site.client();
    client.send(get(LOOKUP).replace("1.1", "1.0"));
    assert_eq!(client.receive(false).body, FOUND);
    assert!(client.closed());
}

#[test]
fn a_client_that_reads_late_gets_everything() {
    // Far more than the outbox and the system take in for it.
    const LATE: usize = 60;
    let site = Site::new(quick());
    let ids: Vec<String> = (0..1_000).map(|number| format!("v{}", number % 300)).collect();
    let batch = post("/v1/visitors/segments", &json!({ "visitors": ids }).to_string());
    let mut client = site.client();
    let mut sender = client.other();
    let sending = spawn(move || {
        for _ in 0..LATE {
            sender.send(get(LOOKUP).repeat(MANY) + &batch + &get("/v1/visitors/nobody/segments"));
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    for _ in 0..LATE {
        found(&mut client, MANY);
        assert_eq!(client.receive(false).json()["results"].as_array().map(Vec::len), Some(1_000));
        assert_eq!(client.receive(false).body, NONE);
    }
    sending.join().expect("everything was sent");
}

#[test]
fn a_plain_lookup_is_answered_as_one_with_a_header_that_means_nothing() {
    let site = Site::new(quick());
    for path in [LOOKUP, "/v1/visitors/v0/segments", "/v1/visitors/nobody/segments"] {
        let plain = site.client().get(path);
        let mut client = site.client();
        client.send(get(path).replace("\r\n\r\n", "\r\nX: y\r\n\r\n"));
        let other = client.receive(false);
        assert_eq!((plain.timeless(), &plain.body), (other.timeless(), &other.body));
        let date = plain.header("date").expect("a date");
        assert!(date.ends_with(" GMT") && date.len() == "Mon, 04 May 2026 20:00:00 GMT".len(), "{date}");
    }
}

#[test]
fn requests_of_every_kind_in_pieces_of_any_size_are_answered_in_their_order() {
    let site = Site::new(quick());
    let kinds = [
        (get(LOOKUP), FOUND.to_owned()),
        (get("/v1/visitors/nobody/segments"), NONE.to_owned()),
        (get(LOOKUP).replace("\r\n\r\n", "\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n"), FOUND.to_owned()),
        (get("/v1/visitors/a%2Fb/segments"), FOUND.to_owned()),
        (get("/v1/visitors/v0/segments?only=interest.d"), FOUND.replace("theatre", "dance")),
        (post("/v1/visitors/segments", r#"{"visitors":["v1"]}"#), format!(r#"{{"results":[{FOUND}]}}"#)),
    ];
    for seed in 0..200 {
        let mut random = Rng::new(seed);
        // Most connections ask for lookups alone, or for something else late.
        let plain = random.below(80);
        let asked: Vec<_> = (0..1 + random.below(80))
            .map(|number| &kinds[random.index(if number < plain { 3 } else { kinds.len() })])
            .collect();
        let bytes: String = asked.iter().map(|(request, _)| request.as_str()).collect();
        let (mut client, mut rest) = (site.client(), bytes.as_bytes());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + random.index(900)).min(rest.len()));
            client.send(piece);
            rest = after;
            if random.below(4) == 0 {
                std::thread::yield_now();
            }
        }
        for (number, (request, expected)) in asked.iter().enumerate() {
            assert_eq!(client.receive(false).body, *expected, "seed {seed}, request {number}: {request}");
        }
    }
}
