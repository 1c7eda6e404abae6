//! What is changed over HTTP is in force before the answer, survives a restart, and is folded into images.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use usher_engine::http::limits::Limits;
use usher_engine::http::serve::Server;
use usher_engine::keep::fold::Rules;
use usher_index::{IdType, VisitorId};

use super::client::Client;
use super::{NONE, Site, config, problem, quick};

/// The charter's tick.
const HOUR: i64 = 3_600;

/// The server folds almost at once.
fn folding() -> Limits {
    let soon = Duration::from_millis(50);
    Limits {
        fold: Rules { look: Duration::from_millis(20), erasure: soon, change: soon, ..Rules::default() },
        ..quick()
    }
}

pub(super) fn request(client: &mut Client, method: &str, path: &str) -> super::client::Reply {
    client.send(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"));
    client.receive(false)
}

pub(super) fn segments(client: &mut Client, id: &str) -> Value {
    client.get(&format!("/v1/visitors/{id}/segments")).json()
}

/// The generation that answers now.
pub(super) fn generation(client: &mut Client) -> u64 {
    let reply = client.get("/v1/visitors/v0/segments");
    reply.header("usher-generation").and_then(|text| text.parse().ok()).expect("a number")
}

pub(super) fn exact(client: &mut Client, expression: &str) -> u64 {
    let body = json!({"expression": expression, "exact": true}).to_string();
    let reply = client.post("/v1/size", &body).json();
    reply["visitors"]["exact"].as_u64().unwrap_or_else(|| panic!("{reply}"))
}

pub(super) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Site {
    /// Ends the server and starts another over the same folder.
    fn again(&mut self, limits: Limits) {
        assert!(self.stop());
        let server = Server::start(config(&self.house, limits)).expect("the state is free again");
        self.address = server.address();
        self.server = Some(server);
    }

    fn pid(&self, id: &str) -> [u8; 10] {
        let key = config(&self.house, quick()).key;
        key.pid(&IdType::default(), VisitorId::new(id).expect("short")).to_bytes()
    }
}

/// Whether a file under the folder holds the bytes, in either order.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    fs::read_dir(folder).expect("readable").any(|entry| {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        let found = fs::read(&path).unwrap_or_default();
        found.windows(bytes.len()).any(|window| window == bytes || window == reversed)
    })
}

#[test]
fn rows_are_taken_refused_and_in_force() {
    let mut site = Site::new(quick());
    let mut client = site.client();
    let (theatre, dance) = (exact(&mut client, "interest.theatre"), exact(&mut client, "interest.dance"));
    let rows = concat!(
        r#"{"visitor":"fresh","segment":"interest.theatre"}"#,
        "\n",
        r#"{"visitor":"v1","segment":"interest.dance"}"#,
        "\n",
        r#"{"visitor":"v1","segment":"interest.dance"}"#,
        "\n",
        r#"{"visitor":"v0","segment":"interest.dance","action":"remove"}"#,
        "\n",
        r#"{"visitor":"v0","segment":"nobody.owns.this"}"#,
        "\n",
        "{not json}\n",
        r#"{"visitor":"v0","segment":"interest.opera","observed":"tomorrow"}"#,
        "\n",
    );
    let reply = client.post("/v1/memberships", rows);
    assert_eq!(reply.status, 200, "{reply:?}");
    let refused = json!({"unknown_source_prefix": 1, "bad_json": 1, "bad_time": 1});
    assert_eq!(reply.json(), json!({"taken": 4, "refused": refused}));
    let check = |client: &mut Client| {
        assert_eq!(segments(client, "fresh")["segments"], json!(["interest.theatre"]));
        assert_eq!(segments(client, "v1")["segments"], json!(["interest.dance", "interest.theatre"]));
        assert_eq!(segments(client, "v0")["segments"], json!(["interest.theatre"]));
        assert_eq!(exact(client, "interest.theatre"), theatre + 1);
        // One came and one left.
        assert_eq!(exact(client, "interest.dance"), dance);
        assert_eq!(exact(client, "interest.dance and interest.theatre"), dance);
        let batch = client.post("/v1/visitors/segments", r#"{"visitors":["v1","nobody","fresh"]}"#).json();
        let segments: Vec<&Value> =
            batch["results"].as_array().expect("a list").iter().map(|r| &r["segments"]).collect();
        assert_eq!(segments[1], &json!([]));
        assert_eq!(segments[2], &json!(["interest.theatre"]));
    };
    check(&mut client);
    // Sent again it changes nothing, and a restart forgets nothing.
    assert_eq!(client.post("/v1/memberships", rows).json()["taken"], 4);
    check(&mut client);
    site.again(folding());
    let mut client = site.client();
    check(&mut client);
    eventually("the changes are folded", || {
        client.get("/healthz/ready").status == 200 && {
            let generation = client.get("/v1/visitors/v0/segments");
            generation.header("usher-generation") != Some("1")
        }
    });
    check(&mut client);
}

#[test]
fn an_opt_out_is_in_force_on_every_connection_and_survives() {
    let mut site = Site::new(quick());
    let (mut client, mut other) = (site.client(), site.client());
    let before = exact(&mut client, "interest.theatre");
    assert_ne!(segments(&mut other, "v0")["segments"], json!([]));
    let reply = request(&mut client, "PUT", "/v1/visitors/v0/opt-out");
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    let out = json!({"segments": [], "audiences": [], "reason": "opted_out"});
    let check = |client: &mut Client| {
        assert_eq!(segments(client, "v0"), out);
        assert_eq!(exact(client, "interest.theatre"), before - 1);
        let refused = client.post("/v1/memberships", r#"{"visitor":"v0","segment":"interest.opera"}"#).json();
        assert_eq!(refused, json!({"taken": 0, "refused": {"opted_out": 1}}));
        let held = client.get("/v1/visitors/v0").json();
        assert_eq!((&held["opted_out"], &held["sources"]), (&json!(true), &json!([])));
    };
    check(&mut client);
    check(&mut other);
    site.again(folding());
    let mut client = site.client();
    check(&mut client);
    eventually("the opt-out is folded", || client.get("/v1/charter").header("usher-generation") != Some("1"));
    check(&mut client);
    // Taken back: what was observed before stays out.
    assert_eq!(request(&mut client, "DELETE", "/v1/visitors/v0/opt-out").status, 204);
    assert_eq!(segments(&mut client, "v0").to_string(), NONE.parse::<Value>().expect("JSON").to_string());
    let late = client.post("/v1/memberships", r#"{"visitor":"v0","segment":"interest.opera"}"#).json();
    assert_eq!(late["refused"], json!({"erased": 1}));
}

#[test]
fn an_erasure_is_forgotten_by_every_file_and_late_rows_stay_out() {
    let mut site = Site::new(folding());
    let mut client = site.client();
    let (data, pid) = (site.house.data(), site.pid("v4"));
    let added = client.post("/v1/memberships", r#"{"visitor":"v4","segment":"interest.opera"}"#).json();
    assert_eq!(added["taken"], 1);
    let held = client.get("/v1/visitors/v4").json();
    assert_eq!(held["sources"][0]["source"], "citymag");
    assert_eq!(held["sources"][0]["memberships"].as_array().map(Vec::len), Some(3));
    let reply = request(&mut client, "DELETE", "/v1/visitors/v4");
    let body = reply.json();
    assert_eq!(reply.status, 202, "{reply:?}");
    assert!(body["receipt"].as_str().is_some_and(|receipt| receipt.len() == 32) && body["deadline"].is_string());
    assert_eq!(segments(&mut client, "v4")["segments"], json!([]));
    let is_gone = || !holds(&data, &pid);
    eventually("the bytes are gone", is_gone);
    let late = |client: &mut Client, observed: i64| {
        let row = json!({"visitor": "v4", "segment": "interest.opera", "observed": observed}).to_string();
        client.post("/v1/memberships", &row).json()
    };
    for observed in [super::NOW - HOUR, super::NOW - 30 * HOUR] {
        assert_eq!(late(&mut client, observed)["refused"], json!({"erased": 1}));
    }
    let feed = site.house.file(
        "late.csv",
        format!("visitor,segment,observed\nv4,interest.opera,{}\nv5,interest.opera,\n", super::NOW - HOUR).as_bytes(),
    );
    assert_eq!(site.house.load(&[feed], "citymag", super::NOW, &[]).0, 0);
    eventually("the loader's generation is served", || {
        segments(&mut client, "v5")["segments"] == json!(["interest.opera", "interest.theatre"])
    });
    assert_eq!(segments(&mut client, "v4")["segments"], json!([]));
    assert!(is_gone());
    let lines = client.get("/v1/audit").json();
    let lines = lines["lines"].as_array().expect("lines");
    let erase = lines.iter().find(|line| line["what"] == "erase").expect("the erasure");
    assert_eq!(erase["receipt"], body["receipt"]);
    assert!(!lines.iter().any(|line| line.to_string().contains("v4")));
    site.again(quick());
    let mut client = site.client();
    assert_eq!(segments(&mut client, "v4")["segments"], json!([]));
    assert_eq!(late(&mut client, super::NOW - HOUR)["refused"], json!({"erased": 1}));
    assert!(is_gone());
}

#[test]
fn what_a_build_left_that_died_is_gone_when_the_server_starts() {
    let mut site = Site::new(quick());
    let (data, pid) = (site.house.data(), site.pid("v4"));
    assert_eq!(request(&mut site.client(), "DELETE", "/v1/visitors/v4").status, 202);
    site.stop();
    let before = crate::crash::contents(&data);
    site.house.build(super::NOW);
    assert!(!holds(&data, &pid));
    // As if it had died between its rename and its sweep: the older generation is there, and the state knows whom to forget.
    let mut left = 0;
    for (path, bytes) in before {
        let is_state = path.ends_with("state.redb");
        if is_state || !Path::new(&path).exists() {
            fs::write(&path, bytes).expect("ours");
            left += u32::from(!is_state);
        }
    }
    assert!(left >= 2 && holds(&data, &pid), "a manifest and an image");
    let server = Server::start(config(&site.house, quick())).expect("the state is free");
    assert!(!holds(&data, &pid), "at once");
    (site.address, site.server) = (server.address(), Some(server));
    let mut client = site.client();
    assert_eq!(segments(&mut client, "v4")["segments"], json!([]));
    let row = json!({"visitor": "v4", "segment": "interest.opera", "observed": super::NOW - HOUR}).to_string();
    assert_eq!(client.post("/v1/memberships", &row).json()["refused"], json!({"erased": 1}));
}

#[test]
fn rows_that_come_again_and_again_are_folded() {
    let rules = Rules { look: Duration::from_millis(20), bytes: 4_096, ..Rules::default() };
    let site = Site::new(Limits { fold: rules, ..quick() });
    let mut client = site.client();
    eventually("the same rows again and again are folded", || {
        let row = r#"{"visitor":"v1","segment":"interest.dance"}"#;
        assert_eq!(client.post("/v1/memberships", row).json()["taken"], 1);
        generation(&mut client) > 2
    });
    // Two generations are kept, and changes with the older one: those are no reason to fold again.
    eventually("it rests", || {
        let before = generation(&mut client);
        std::thread::sleep(Duration::from_millis(300));
        generation(&mut client) == before
    });
    assert_eq!(segments(&mut client, "v1")["segments"], json!(["interest.dance", "interest.theatre"]));
}

#[test]
fn a_whole_feed_is_taken_over_http_once() {
    let site = Site::new(quick());
    let mut client = site.client();
    let rows = "visitor,segment\nnew1,interest.opera\nnew2,interest.opera\nnew2,crm.spectator\n";
    let reply = client.post("/v1/feeds/citymag?max_refused=50%25", rows);
    assert_eq!(reply.status, 200, "{reply:?}");
    let report = reply.json();
    assert_eq!((&report["received"], &report["taken"], &report["new"]), (&json!(3), &json!(2), &json!(2)));
    assert_eq!(segments(&mut client, "new2")["segments"], json!(["interest.opera"]));
    let again = client.post("/v1/feeds/citymag?max_refused=50%25", rows).json();
    assert_eq!(again["already_delivered"], true);
    let reply = client.post("/v1/feeds/citymag", "uid,s\n1,2\n");
    assert_eq!((reply.status, reply.json()["failed"]["code"].as_str()), (422, Some("columns")));
    assert_eq!(problem(&client.post("/v1/feeds/stranger", rows)), (400, "bad-parameter".to_owned()));
    assert_eq!(problem(&client.post("/v1/feeds/citymag?format=xml", rows)), (400, "bad-parameter".to_owned()));
}

#[test]
fn wishes_that_cannot_be_read_change_nothing() {
    let site = Site::new(quick());
    let mut client = site.client();
    let long = "x".repeat(257);
    for (method, path) in [
        ("PUT", format!("/v1/visitors/{long}/opt-out")),
        ("DELETE", "/v1/visitors/%FF".to_owned()),
        ("PUT", "/v1/visitors//opt-out".to_owned()),
        ("GET", "/v1/visitors/".to_owned()),
    ] {
        assert_eq!(problem(&request(&mut client, method, &path)), (400, "bad-id".to_owned()), "{method} {path}");
    }
    assert_eq!(problem(&client.post("/v1/memberships?source=stranger", "{}")).0, 400);
    assert_eq!(problem(&request(&mut client, "POST", "/v1/visitors/v0/opt-out")).0, 405);
    let lines = client.get("/v1/audit").json();
    let whats: Vec<&Value> = lines["lines"].as_array().expect("lines").iter().map(|line| &line["what"]).collect();
    assert_eq!(whats, ["charter"], "of the start");
}

/// What the audit says, oldest first.
fn audit(client: &mut Client) -> Vec<(String, String)> {
    let lines = client.get("/v1/audit").json();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    lines["lines"].as_array().expect("lines").iter().map(|line| (text(line, "what"), text(line, "detail"))).collect()
}

#[test]
fn a_charter_and_an_exact_count_leave_a_line_each() {
    let mut site = Site::new(quick());
    let mut client = site.client();
    let charter = |generation: u64, path: &Path| {
        let text = fs::read(path).expect("written above");
        let digest = usher_index::checksum::digest(&text);
        ("charter".to_owned(), format!("digest {digest}, in generation {generation}"))
    };
    let first = site.house.file("first.toml", &super::sample("charter.toml"));
    let mut expected = vec![charter(1, &first)];
    assert_eq!(audit(&mut client), expected, "that of the loader, told by the engine");
    client.post("/v1/size", &json!({"expression": "interest.dance"}).to_string());
    exact(&mut client, "interest.dance and not interest.opera");
    expected.push(("exact_count".to_owned(), "local: interest.dance and not interest.opera".to_owned()));
    assert_eq!(audit(&mut client), expected);
    // The same bytes say nothing; others do, whoever publishes them.
    site.again(quick());
    let mut client = site.client();
    assert_eq!(audit(&mut client), expected);
    let text = String::from_utf8(super::sample("charter.toml")).expect("text") + "\n";
    let second = site.house.file("second.toml", text.as_bytes());
    let more = site.house.file("more.csv", b"visitor,segment\nw1,interest.dance\n");
    let path = second.to_str().expect("UTF-8");
    assert_eq!(site.house.load_under(&[more], "citymag", super::NOW, path).0, 0);
    expected.push(charter(2, &second));
    eventually("the loader's charter is audited", || audit(&mut client) == expected);
    site.stop();
    let third = site.house.file("third.toml", (text + "\n").as_bytes());
    let again = site.house.file("again.csv", b"visitor,segment\nw2,interest.dance\n");
    let path = third.to_str().expect("UTF-8");
    assert_eq!(site.house.load_under(&[again], "citymag", super::NOW, path).0, 0);
    expected.push(charter(3, &third));
    let key = config(&site.house, quick()).key;
    let state = usher_index::State::open(&site.house.data(), &key, "a test").expect("free");
    let lines = state.audit_lines(0, 9).expect("readable").into_iter().map(|line| (line.what, line.detail));
    assert_eq!(lines.collect::<Vec<_>>(), expected, "by the loader, which owned the state");
}
