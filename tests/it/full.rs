//! A disk that fills up under a running engine: rows are turned away, visitors' wishes are not, and nothing that was
//! acknowledged is lost.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use usher_bench::kill::engine::{Engine, PATIENCE};
use usher_bench::wire::{Answer, Wire, bare, get, post};

use crate::crash::Mount;
use crate::kill::again;
use crate::programs::{House, path_text};

const NOW: i64 = 1_790_000_000;
/// An eighth of the disk is where rows end, a sixteenth is the reserve.
const DISK: &str = "size=64m";
/// Between the two bounds.
const NEARLY_FULL: u64 = 6 << 20;
const BLOCK: usize = 64 << 10;

/// An engine over the house, as a process of its own.
struct Served {
    engine: Engine,
    wire: Wire,
}

impl Served {
    fn start(house: &House) -> Self {
        let (data, now) = (house.data(), NOW.to_string());
        let args = ["serve", "--data", path_text(&data), "--listen", "127.0.0.1:0", "--now", &now];
        let mut engine = Engine::spawn(again("engine", &args)).expect("this test binary");
        let (address, _) = engine.ready().unwrap_or_else(|error| panic!("{error:?}"));
        let wire = Wire::open(address, PATIENCE).expect("it listens");
        Self { engine, wire }
    }

    fn ask(&mut self, request: &[u8]) -> Answer {
        let answer = self.wire.send(request).and_then(|()| self.wire.answer());
        answer.unwrap_or_else(|error| panic!("{error:?}{}", self.engine.said()))
    }

    fn opt_out(&mut self, visitor: u32) {
        let answer = self.ask(&bare("PUT", &format!("/v1/visitors/v{visitor}/opt-out")));
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    fn erase(&mut self, visitor: u32) {
        let answer = self.ask(&bare("DELETE", &format!("/v1/visitors/v{visitor}")));
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    fn row(&mut self, visitor: &str) -> (u16, Value) {
        let row = json!({"visitor": visitor, "segment": "s.a"}).to_string();
        let answer = self.ask(&post("/v1/memberships", &row));
        (answer.status, serde_json::from_slice(&answer.body).expect("JSON"))
    }

    fn segments(&mut self, visitor: u32) -> Value {
        let answer = self.ask(&get(&format!("/v1/visitors/v{visitor}/segments")));
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Rows and feeds are told to make room; who opted out or was erased is, and all others are looked up as before.
    fn is_full(&mut self, opted_out: &[u32], erased: &[u32]) {
        let (status, problem) = self.row("fresh");
        assert_eq!((status, problem["type"].as_str()), (507, Some("urn:usher:problem:no-room")), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains("Make room, then send it again")));
        let answer = self.ask(&post("/v1/feeds/mag", "visitor,segment\nfresh,s.a\n"));
        assert_eq!(answer.status, 507, "{answer:?}");
        for &visitor in opted_out {
            assert_eq!(self.segments(visitor)["reason"], "opted_out", "v{visitor}");
        }
        for &visitor in erased {
            assert_eq!(self.segments(visitor), json!({"segments": [], "audiences": []}), "v{visitor}");
        }
        assert_eq!(self.segments(999)["segments"], json!(["s.a"]));
    }
}

/// Fills the disk, but for so many bytes.
fn fill(ballast: &Path, leave: u64) {
    let mut file = File::options().create(true).append(true).open(ballast).expect("a file needs no block");
    let block = vec![7; BLOCK];
    loop {
        match file.write(&block) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(error) => panic!("{error}"),
        }
    }
    let length = file.metadata().expect("it is open").len();
    file.set_len(length - leave).expect("shorter");
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn on_a_full_disk_the_engine_goes_on_for_visitors_and_loses_nothing() {
    let house = House::new(None);
    let Some(_mount) = Mount::tmpfs(&house.data(), DISK) else { return };
    let rows: String = (0..1_000).map(|number| format!("v{number},s.a\n")).collect();
    let feed = house.file("feed.csv", format!("visitor,segment\n{rows}").as_bytes());
    assert_eq!(house.load(&[feed], "mag", NOW, &[]).0, 0);
    let (ballast, reserve) = (house.data().join("ballast"), house.data().join("RESERVE"));
    let mut served = Served::start(&house);
    assert_eq!(served.row("first").0, 200);
    eventually("the reserve is set aside", || reserve.exists());

    fill(&ballast, NEARLY_FULL);
    served.opt_out(1);
    served.erase(2);
    served.is_full(&[1], &[2]);
    assert!(reserve.exists(), "it is not needed yet");

    // From one moment to the next, without a byte left.
    fill(&ballast, 0);
    served.opt_out(3);
    assert!(!reserve.exists(), "it is what the opt-out was written to");
    served.erase(4);
    (100..300).for_each(|visitor| served.opt_out(visitor));
    served.is_full(&[1, 3, 100, 299], &[2, 4]);

    served.engine.kill().unwrap_or_else(|error| panic!("{error:?}"));
    let mut served = Served::start(&house);
    served.is_full(&[1, 3, 100, 299], &[2, 4]);
    served.opt_out(5);

    fs::remove_file(&ballast).expect("it is there");
    eventually("rows are taken again", || served.row("fresh").0 == 200);
    eventually("the reserve is set aside again", || reserve.exists());
    served.engine.kill().unwrap_or_else(|error| panic!("{error:?}"));
    // Filled while nobody serves: the reserve is what a start can use.
    fill(&ballast, 0);
    let mut served = Served::start(&house);
    served.opt_out(6);
    served.is_full(&[1, 3, 5, 6, 100, 299], &[2, 4]);
    served.engine.kill().unwrap_or_else(|error| panic!("{error:?}"));
    house.verify();
}
