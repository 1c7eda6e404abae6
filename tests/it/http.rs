//! Every route, good and bad.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use usher_engine::http::limits::Limits;
use usher_engine::http::serve::{Config, Server, StartError};
use usher_index::Key;
use usher_loader::clock::Clock;

use crate::programs::{House, time};
use crate::source::root;

/// What is changed over HTTP is in force before the answer, survives, and is folded.
mod change;
/// Just enough HTTP.
mod client;
/// Deadlines, draining, following.
mod life;
/// Changes of many visitors.
mod many;
/// The same files in any order and by any way: one state.
mod orders;
/// The planner's page and its files.
mod page;
/// Many requests under way.
mod pipeline;
/// What planners do.
mod plan;
use client::{Client, Reply, get, post};

const NOW: i64 = 1_790_000_000;

const NONE: &str = r#"{"segments":[],"audiences":[]}"#;

/// A house with the samples' charter and a magazine's feed, and its server.
struct Site {
    house: House,
    server: Option<Server>,
    address: SocketAddr,
}

fn sample(name: &str) -> Vec<u8> {
    fs::read(root().join("data-samples").join(name)).expect("a committed sample")
}

/// A few visitors with ids that are hard on a URL, beside two hundred plain ones, half of whom like dance.
fn feed() -> String {
    let mut rows = "visitor,segment,id_type\na/b,interest.theatre,cookie\nzoë 100%,interest.opera,cookie\n".to_owned();
    for number in 0..200 {
        rows.push_str(&format!("v{number},interest.theatre,cookie\n"));
        if number % 2 == 0 {
            rows.push_str(&format!("v{number},interest.dance,cookie\n"));
        }
    }
    rows
}

impl Site {
    fn new(limits: Limits) -> Self {
        let house = House::new(Some(std::str::from_utf8(&sample("charter.toml")).expect("text")));
        let file = house.file("feed.csv", feed().as_bytes());
        assert_eq!(house.load(&[file], "citymag", NOW, &[]).0, 0);
        let server = Server::start(config(&house, limits)).expect("a free port");
        let address = server.address();
        Self { house, server: Some(server), address }
    }

    fn client(&self) -> Client {
        Client::new(self.address)
    }

    fn stop(&mut self) -> bool {
        self.server.take().is_none_or(|server| server.stop(std::future::pending()))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
    }
}

fn config(house: &House, limits: Limits) -> Config {
    let data = house.data();
    let key = fs::read_to_string(data.with_extension("key")).expect("the loader made a key");
    let key = Key::from_hex(key.trim()).expect("the loader's key");
    let clock = Clock::new(Some(time(NOW)));
    Config { data, listen: ([127, 0, 0, 1], 0).into(), key, clock, limits }
}

fn quick() -> Limits {
    Limits { follow: Duration::from_millis(20), ..Limits::default() }
}

fn problem(reply: &Reply) -> (u16, String) {
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reply:?}");
    let body = reply.json();
    assert_eq!(body["status"], reply.status);
    assert!(body["title"].is_string() && body["detail"].as_str().is_some_and(|detail| detail.len() > 15), "{body}");
    let kind = body["type"].as_str().and_then(|kind| kind.strip_prefix("urn:usher:problem:"));
    (reply.status, kind.expect("a type of ours").to_owned())
}

#[test]
fn one_visitor_is_looked_up_by_an_id_of_any_shape() {
    let site = Site::new(quick());
    let mut client = site.client();
    let reply = client.get("/v1/visitors/v0/segments");
    assert_eq!(reply.body, r#"{"segments":["interest.dance","interest.theatre"],"audiences":[]}"#);
    let headers = ["content-type", "cache-control", "usher-generation"].map(|name| reply.header(name));
    assert_eq!(headers, [Some("application/json"), Some("no-store"), Some("1")]);
    for (path, segments) in [
        ("a%2Fb/segments", r#"["interest.theatre"]"#),
        ("a%2fb/segments?gdpr=1&gdpr_consent=x&gpp=y&gpp_sid=7", r#"["interest.theatre"]"#),
        ("zo%C3%AB%20100%25/segments", r#"["interest.opera"]"#),
        ("v0/segments?only=segments", r#"["interest.dance","interest.theatre"]"#),
        ("v0/segments?only=interest.t", r#"["interest.theatre"]"#),
        ("v0/segments?id_type=cookie&only=%69nterest.d", r#"["interest.dance"]"#),
    ] {
        let reply = client.get(&format!("/v1/visitors/{path}"));
        assert_eq!((reply.status, reply.body), (200, format!(r#"{{"segments":{segments},"audiences":[]}}"#)), "{path}");
    }
    for path in ["nobody/segments", "segments/segments", "v0/segments?id_type=maid", "v0/segments?only=audiences"] {
        assert_eq!(client.get(&format!("/v1/visitors/{path}")).body, NONE, "{path}");
    }
}

#[test]
fn many_visitors_are_answered_as_each_alone_and_in_their_order() {
    let site = Site::new(quick());
    let mut client = site.client();
    let ids: Vec<String> = (0..1_000).map(|n| format!("v{}", n * 7 % 1_000)).collect();
    let reply = client.post("/v1/visitors/segments?only=interest.", &json!({ "visitors": ids }).to_string());
    assert_eq!((reply.status, reply.header("usher-generation")), (200, Some("1")));
    let body = reply.json();
    let results = body["results"].as_array().expect("a list");
    assert_eq!(results.len(), 1_000);
    for (id, result) in ids.iter().zip(results).step_by(37) {
        assert_eq!(client.get(&format!("/v1/visitors/{id}/segments")).json(), *result, "{id}");
    }
    let typed = r#"{"visitors":[{"id":"v1","id_type":"maid"},{"id":"v1"},"zo\u00eb 100%"]}"#;
    let theatre = r#"{"segments":["interest.theatre"],"audiences":[]}"#;
    let opera = theatre.replace("theatre", "opera");
    let reply = client.post("/v1/visitors/segments", typed);
    assert_eq!(reply.body, format!(r#"{{"results":[{NONE},{theatre},{opera}]}}"#));
    assert_eq!(client.post("/v1/visitors/segments", r#"{"visitors":[]}"#).body, r#"{"results":[]}"#);
}

/// Whether a disclosed size below 500 can be that of so many: its noise has a standard deviation of 25.
fn is_near(visitors: &Value, exact: u64) -> bool {
    match visitors["about"].as_u64() {
        Some(about) => about.abs_diff(exact) <= 140,
        None => *visitors == json!({ "below": 100 }) && exact < 230,
    }
}

#[test]
fn sizes_are_disclosed_and_exact_only_on_request() {
    let site = Site::new(quick());
    let mut client = site.client();
    let mut size = |body: Value| client.post("/v1/size", &body.to_string());
    let reply = size(json!({ "expression": "interest.theatre", "exact": true }));
    assert_eq!(reply.json()["visitors"], json!({ "exact": 201 }));
    let about = reply.json()["as_of"].as_str().expect("a time")[..16].to_owned();
    assert_eq!((about.as_str(), reply.header("usher-generation")), ("2026-09-21T14:13", Some("1")));
    let reply = size(json!({ "expression": "interest.theatre" })).json();
    assert!(is_near(&reply["visitors"], 201), "{reply}");
    assert!(reply.get("unknown").is_none());
    assert_eq!(size(json!({ "expression": "not interest.theatre" })).json()["visitors"], json!({ "below": 100 }));
    let reply = size(json!({ "expression": "interest.danse or interest.*", "exact": true })).json();
    let unknown = json!([{ "name": "interest.danse", "nearest": "interest.dance" }]);
    assert_eq!((&reply["visitors"], &reply["unknown"]), (&json!({ "exact": 202 }), &unknown));
}

#[test]
fn the_segments_are_listed_with_what_the_charter_says() {
    let site = Site::new(quick());
    let mut client = site.client();
    let reply = client.get("/v1/segments?prefix=interest.").json();
    let line = |name: &str| json!({ "name": name, "source": "citymag", "class": "behavioural", "ttl": "30d" });
    let expected = &reply["segments"];
    for (place, (name, exact)) in [("dance", 100), ("opera", 1), ("theatre", 201)].into_iter().enumerate() {
        let mut listed = expected[place].clone();
        let visitors = listed["visitors"].take();
        assert!(is_near(&visitors, exact), "{name}: {visitors}");
        listed.as_object_mut().expect("a line").remove("visitors");
        assert_eq!(listed, line(&format!("interest.{name}")));
    }
    assert_eq!(client.get("/v1/segments").json()["segments"], *expected);
    assert_eq!(client.get("/v1/segments?prefix=interest.o").json()["segments"], json!([expected[1]]));
    assert_eq!(client.get("/v1/segments?prefix=theatre").json()["segments"], json!([]));
    let charter = client.get("/v1/charter").json();
    assert_eq!((&charter["house"]["name"], &charter["development"]), (&json!("Theatre du Parc"), &json!(false)));
    assert_eq!(
        (&charter["sources"][0]["ttl"], &charter["forbidden"]["prefixes"][0]),
        (&json!("30d"), &json!("health."))
    );
}

#[test]
fn the_server_tells_its_health_and_its_counts() {
    let site = Site::new(quick());
    let mut client = site.client();
    for state in ["live", "ready", "startup"] {
        assert_eq!(client.get(&format!("/healthz/{state}")).status, 200);
    }
    client.get("/");
    client.get("/v1/visitors/secret-id/segments");
    client.get("/nowhere/secret-id");
    let metrics = client.get("/metrics").body;
    for line in [
        r#"usher_requests_total{route="/v1/visitors/{id}/segments",status="200"} 1"#,
        r#"usher_requests_total{route="unknown",status="404"} 1"#,
        r#"usher_request_duration_seconds_count{route="/"} 1"#,
        "usher_generation 1",
        "usher_visitors 202",
        "usher_memberships 302",
        "usher_open_connections 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(!metrics.contains("secret-id"));
}

#[test]
fn head_works_where_get_does() {
    let site = Site::new(quick());
    let mut client = site.client();
    for path in ["/", "/v1/visitors/v0/segments", "/v1/segments", "/v1/charter", "/healthz/ready"] {
        let full = client.get(path);
        client.send(get(path).replace("GET", "HEAD"));
        let head = client.receive(true);
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(head.header("content-length"), full.header("content-length"), "{path}");
        assert_eq!(head.header("usher-generation"), full.header("usher-generation"), "{path}");
    }
    assert_eq!(client.get("/healthz/live").status, 200);
}

#[test]
fn bad_requests_get_a_problem_that_says_what_to_do() {
    let site = Site::new(quick());
    let long = "x".repeat(257);
    for (request, status, kind) in [
        (get("/v1/nowhere"), 404, "not-found"),
        (get("/v1/visitors/a/b/segments"), 404, "not-found"),
        (get("/v1/segments/"), 404, "not-found"),
        (get("/v1/visitors//segments"), 400, "bad-id"),
        (get(&format!("/v1/visitors/{long}/segments")), 400, "bad-id"),
        (get("/v1/visitors/%ff%fe/segments"), 400, "bad-id"),
        (get("/v1/visitors/a%2/segments"), 400, "bad-id"),
        (get("/v1/visitors/a%zz/segments"), 400, "bad-id"),
        (get("/v1/visitors/a/segments?onyl=segments"), 400, "bad-parameter"),
        (get("/v1/visitors/a/segments?only="), 400, "bad-parameter"),
        (get("/v1/visitors/a/segments?only=a&only=b"), 400, "bad-parameter"),
        (get("/v1/visitors/a/segments?id_type=Cookie"), 400, "bad-parameter"),
        (get("/v1/visitors/a/segments?only=%ff"), 400, "bad-parameter"),
        (get("/v1/segments?prefx=a"), 400, "bad-parameter"),
        (get("/v1/charter?a=b"), 400, "bad-parameter"),
        (post("/v1/visitors/segments", "{"), 400, "bad-body"),
        (post("/v1/visitors/segments", r#"{"visitors":"a"}"#), 400, "bad-body"),
        (post("/v1/visitors/segments", r#"{"visitors":["a",""]}"#), 400, "bad-id"),
        (post("/v1/visitors/segments", &json!({ "visitors": vec!["a"; 1_001] }).to_string()), 400, "too-many-visitors"),
        (post("/v1/size", r#"{"expression":"a","exakt":true}"#), 400, "bad-body"),
        (post("/v1/size", r#"{"expression":""}"#), 400, "bad-expression"),
        (post("/v1/size", &json!({ "expression": "x".repeat(70_000) }).to_string()), 413, "too-large"),
        (post("/v1/size", "").replace("Length: 0", "Length: 999999999999"), 413, "too-large"),
        (post("/v1/size", "").replace("Content-Length: 0", "Transfer-Encoding: chunked") + &chunks(), 413, "too-large"),
    ] {
        let mut client = site.client();
        client.send(&request);
        let reply = client.receive(false);
        assert_eq!(problem(&reply), (status, kind.to_owned()), "{reply:?}");
        assert!(!reply.body.contains(&long));
    }
}

/// A body of 80 kB, without a length told beforehand.
fn chunks() -> String {
    format!("4000\r\n{}\r\n", " ".repeat(0x4000)).repeat(5)
}

#[test]
fn methods_and_positions_are_told() {
    let site = Site::new(quick());
    let mut client = site.client();
    for (path, method, allow) in [
        ("/v1/size", "GET", "POST"),
        ("/v1/visitors/segments", "PUT", "POST"),
        ("/v1/visitors/a/segments", "POST", "GET, HEAD"),
        ("/metrics", "DELETE", "GET, HEAD"),
        ("/", "OPTIONS", "GET, HEAD"),
    ] {
        client.send(get(path).replacen("GET", method, 1));
        let reply = client.receive(false);
        assert_eq!(problem(&reply), (405, "method-not-allowed".to_owned()));
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
    let body = client.post("/v1/size", "{\n  \"expression\": 7}").json();
    assert_eq!((&body["line"], &body["column"]), (&json!(2), &json!(17)));
    let secret =
        client.post("/v1/visitors/segments", "{\"visitors\": [\"ok\",\n {\"id\": \"sesame\", \"sesame\": 1}]}");
    assert_eq!(secret.json()["line"], 2);
    assert!(!secret.body.contains("sesame"), "{secret:?}");
    let body = client.post("/v1/size", r#"{"expression":"interest.opera and and x"}"#).json();
    assert_eq!((&body["column"], body.get("line")), (&json!(20), None));
}

#[test]
fn only_this_machine_is_answered() {
    let site = Site::new(quick());
    let mut client = site.client();
    for (header, status) in [
        ("Host: evil.example", 403),
        ("Host: 127.0.0.1:9\r\nOrigin: http://evil.example", 403),
        ("Host: localhost\r\nOrigin: null", 403),
        ("Host: localhost\r\nX-Forwarded-For: 10.1.1.1", 403),
        ("Host: localhost\r\nForwarded: for=10.1.1.1", 403),
        ("Host: [::1]:8080\r\nOrigin: http://[::1]:8080", 200),
        ("Host: 127.0.0.1", 200),
    ] {
        client.send(format!("GET /v1/visitors/v0/segments HTTP/1.1\r\n{header}\r\n\r\n"));
        let reply = client.receive(false);
        assert_eq!(reply.status, status, "{header}");
        if status == 403 {
            assert_eq!(problem(&reply).1, "not-local");
        }
    }
    let open = Config { listen: ([0, 0, 0, 0], 0).into(), ..config(&site.house, quick()) };
    assert!(matches!(Server::start(open), Err(StartError::NotLoopback(_))));
    let taken = Config { listen: site.address, ..config(&site.house, quick()) };
    let error = Server::start(taken).err().expect("the port is taken");
    assert!(matches!(error, StartError::Taken(_)) && error.to_string().contains("--listen"), "{error}");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let site = Site::new(quick());
    let mut client = site.client();
    let size = post("/v1/size", r#"{"expression":"interest.opera","exact":true}"#);
    client.send([get("/v1/visitors/v1/segments"), size, get("/nowhere"), get("/v1/visitors/v0/segments")].concat());
    assert_eq!(client.receive(false).json()["segments"], json!(["interest.theatre"]));
    assert_eq!(client.receive(false).json()["visitors"], json!({ "exact": 1 }));
    assert_eq!(client.receive(false).status, 404);
    assert_eq!(client.receive(false).json()["segments"], json!(["interest.dance", "interest.theatre"]));
}
