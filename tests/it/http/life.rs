//! The life of a server: deadlines, draining, and following what loaders publish.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::json;
use usher_engine::http::limits::Limits;
use usher_engine::keep::recheck::Pace;
use usher_index::files::manifest_name;

use super::change::eventually;
use super::client::{Client, get, post};
use super::{NONE, NOW, Site, problem, quick};
use crate::programs::loader;

/// A deadline that a test waits for.
const SHORT: Duration = Duration::from_millis(200);

/// Until the server answers from this generation.
fn wait_for(client: &mut Client, generation: &str) {
    let began = Instant::now();
    while client.get("/v1/visitors/late/segments").header("usher-generation") != Some(generation) {
        assert!(began.elapsed() < Duration::from_secs(10), "generation {generation} is not served");
        sleep(Duration::from_millis(5));
    }
}

/// The value of a metric without labels.
fn metric(client: &mut Client, name: &str) -> u64 {
    let text = client.get("/metrics").body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("{name} is not in {text}"))
}

#[test]
fn damage_under_a_running_server_turns_it_red_until_another_generation_answers() {
    let recheck = Pace { every: Duration::from_millis(20), pause: Duration::from_millis(1) };
    let site = Site::new(Limits { recheck, ..quick() });
    let mut client = site.client();
    let (sound, damaged) = ("usher_sound_checks ", "usher_damaged ");
    eventually("it is checked again and again", || metric(&mut client, sound) > 2);
    assert_eq!((client.get("/healthz/ready").status, metric(&mut client, damaged)), (200, 0));
    let image = fs::read_dir(site.house.data()).expect("readable").map(|entry| entry.expect("readable").path());
    let image = image.into_iter().find(|path| path.to_string_lossy().contains("/img.1.")).expect("an image");
    fs::set_permissions(&image, fs::Permissions::from_mode(0o640)).expect("ours");
    let file = fs::File::options().read(true).write(true).open(&image).expect("ours");
    let middle = file.metadata().expect("it is open").len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).expect("within");
    file.write_all_at(&[byte[0] ^ 1], middle).expect("room");
    eventually("the damage is found", || metric(&mut client, damaged) == 1);
    let ready = client.get("/healthz/ready");
    assert_eq!((ready.status, ready.json()), (503, json!({"status": "damaged"})));
    assert_eq!(client.get("/healthz/live").status, 200);
    // Nobody builds on it, until the file is put back from a copy.
    let feed = site.house.file("more.csv", b"visitor,segment\nlate,interest.opera\n");
    let said = loader(&["verify", "--data", &site.house.data().display().to_string()]);
    assert!(said.code == 1 && said.err.contains("img.1."), "{said:?}");
    file.write_all_at(&byte, middle).expect("room");
    assert_eq!(site.house.load(&[feed], "citymag", NOW, &[]).0, 0);
    wait_for(&mut client, "2");
    eventually("the new one is sound", || metric(&mut client, sound) > 0);
    assert_eq!((client.get("/healthz/ready").status, metric(&mut client, damaged)), (200, 0));
}

#[test]
fn a_published_generation_is_served_without_a_failed_request() {
    let site = Site::new(quick());
    let mut client = site.client();
    assert_eq!(client.get("/v1/visitors/late/segments").body, NONE);
    let file = site.house.file("late.csv", b"visitor,segment\nlate,interest.theatre\n");
    assert_eq!(site.house.load(&[file], "citymag", NOW, &[]).0, 0);
    wait_for(&mut client, "2");
    assert_eq!(client.get("/v1/visitors/late/segments").json()["segments"], json!(["interest.theatre"]));
    let size = client.post("/v1/size", r#"{"expression":"interest.theatre","exact":true}"#);
    assert_eq!(size.json()["visitors"], json!({ "exact": 202 }));
    let about = client.get("/v1/segments?prefix=interest.t").json()["segments"][0]["visitors"]["about"].as_u64();
    assert!(about.is_some_and(|about| about.abs_diff(202) <= 140), "{about:?}");
}

#[test]
fn a_generation_that_cannot_be_opened_leaves_the_present_one_serving() {
    let site = Site::new(quick());
    let mut client = site.client();
    let bad = site.house.data().join(manifest_name(2));
    fs::write(&bad, "not a manifest").expect("a temporary folder");
    sleep(SHORT);
    let reply = client.get("/v1/visitors/v1/segments");
    assert_eq!((reply.status, reply.header("usher-generation")), (200, Some("1")));
    fs::remove_file(bad).expect("it was written");
    let file = site.house.file("late.csv", b"visitor,segment\nlate,interest.theatre\n");
    for again in 0..2 {
        let more: &[&str] = if again > 0 { &["--again"] } else { &[] };
        assert_eq!(site.house.load(std::slice::from_ref(&file), "citymag", NOW, more).0, 0);
    }
    wait_for(&mut client, "3");
    assert_eq!(client.get("/v1/visitors/late/segments").json()["segments"], json!(["interest.theatre"]));
}

#[test]
fn slow_clients_are_let_go_and_resting_ones_are_not() {
    let limits = Limits { first_byte: SHORT, head: SHORT, body: SHORT, ..quick() };
    let site = Site::new(limits);
    let (mut silent, mut slow, mut resting) = (site.client(), site.client(), site.client());
    assert_eq!(resting.get("/healthz/live").status, 200);
    slow.send("GET /healthz/live HTTP/1.1\r\nHo");
    let began = Instant::now();
    assert!(silent.closed() && slow.closed());
    assert!(began.elapsed() >= SHORT / 2 && began.elapsed() < Duration::from_secs(5));
    sleep(2 * SHORT);
    assert_eq!(resting.get("/healthz/live").status, 200);
    resting.send(post("/v1/size", "").replace("Length: 0", "Length: 10"));
    assert_eq!(problem(&resting.receive(false)), (408, "timeout".to_owned()));
    assert!(resting.closed());
    let idle = Site::new(Limits { idle: SHORT, ..quick() });
    let mut resting = idle.client();
    assert_eq!(resting.get("/healthz/live").status, 200);
    assert!(resting.closed());
}

#[test]
fn an_answer_may_take_longer_than_a_head() {
    let site = Site::new(Limits { first_byte: SHORT, head: SHORT, ..quick() });
    let mut client = site.client();
    let whole = post("/v1/size", r#"{"expression":"interest.theatre","exact":true}"#);
    let (first, rest) = whole.split_at(whole.len() - 10);
    client.send(first);
    sleep(3 * SHORT);
    client.send(rest);
    assert_eq!(client.receive(false).status, 200);
    // What nobody wanted to read is not taken for the head of the next request.
    client.send(post("/nowhere", "").replace("Length: 0", "Length: 4") + "ab");
    assert_eq!(client.receive(false).status, 404);
    client.send("cd");
    sleep(3 * SHORT);
    assert_eq!(client.get("/healthz/live").status, 200);
}

#[test]
fn stopping_finishes_what_is_under_way() {
    let mut site = Site::new(quick());
    let address = site.address;
    let (mut resting, mut busy) = (site.client(), site.client());
    assert_eq!(resting.get("/healthz/ready").status, 200);
    let whole = post("/v1/size", r#"{"expression":"interest.theatre","exact":true}"#);
    let (first, rest) = whole.split_at(whole.len() - 10);
    busy.send(first);
    // Lookups alone so far, the last of them in part.
    let mut plain = site.client();
    let lookup = get("/v1/visitors/v1/segments");
    plain.send(lookup.clone() + &lookup[..lookup.len() / 2]);
    assert_eq!(plain.receive(false).header("connection"), None);
    sleep(SHORT);
    let server = site.server.take().expect("it runs");
    let stopping = spawn(move || server.stop(std::future::pending()));
    assert!(resting.closed());
    assert!(TcpStream::connect(address).is_err());
    busy.send(rest);
    let reply = busy.receive(false);
    assert_eq!(reply.json()["visitors"], json!({ "exact": 201 }));
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(busy.closed());
    plain.send(&lookup[lookup.len() / 2..]);
    let reply = plain.receive(false);
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(plain.closed());
    assert!(stopping.join().expect("no panic"), "a clean end");
}

#[test]
fn stopping_does_not_wait_for_ever() {
    let mut site = Site::new(Limits { drain: SHORT, ..quick() });
    let mut stuck = site.client();
    stuck.send(&get("/healthz/live")[..20]);
    sleep(SHORT);
    let began = Instant::now();
    assert!(!site.stop());
    assert!(began.elapsed() < Duration::from_secs(5));
    let mut site = Site::new(quick());
    let mut stuck = site.client();
    stuck.send(&get("/healthz/live")[..20]);
    sleep(SHORT);
    // A second signal.
    assert!(!site.server.take().expect("it runs").stop(std::future::ready(())));
}
