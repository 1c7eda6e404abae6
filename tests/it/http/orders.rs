//! The same files in any order, by the loader and as live rows, with wishes among them and one sent twice: one state.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use usher_bench::expr::Expr;
use usher_bench::rng::Rng;
use usher_engine::http::limits::Limits;
use usher_engine::http::serve::Server;
use usher_engine::keep::fold::Rules as Folding;
use usher_index::files::Folder;
use usher_index::{Charter, Snapshot, Writer};
use usher_loader::key;

use super::client::Client;
use super::{NOW, config, quick};
use crate::naive::{Naive, Row, Rules, Source};
use crate::programs::{House, ask, loader, path_text, time};
use crate::random;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const FILES: usize = 10;
const ROWS: usize = 150;
const VISITORS: u32 = 40;
/// How many orders are tried.
const ORDERS: u64 = 4;
/// How many of the questions are asked at the console as well.
const ASKED: usize = 8;
/// Who opts out, and who wants to be forgotten, at some moment of each order.
const OPTED_OUT: &str = "v3";
const ERASED: &str = "v8";

const CHARTER: &str = r#"
[house]
name = "House of orders"
steward = "s@example.org"
[[source]]
name = "mag"
class = "behavioural"
prefixes = ["interest."]
ttl = "30d"
max_retention = "90d"
legal_basis = "consent"
[[source]]
name = "shop"
class = "behavioural"
prefixes = ["intent."]
ttl = "25d"
max_retention = "90d"
legal_basis = "consent"
"#;

/// Each with its segments; the files take turns.
const SOURCES: [(&str, [&str; 4]); 2] = [
    ("mag", ["interest.theatre", "interest.opera", "interest.dance", "interest.film"]),
    ("shop", ["intent.ticket", "intent.ticket.tonight", "intent.season", "intent.gift"]),
];
const PREFIXES: [&str; 3] = ["interest", "intent", "intent.ticket"];

fn rules() -> Rules {
    let mag = Source { name: "mag", prefixes: &["interest."], ttl: 30 * DAY };
    let shop = Source { name: "shop", prefixes: &["intent."], ttl: 25 * DAY };
    Rules { sources: vec![mag, shop], forbidden: Vec::new(), tick: HOUR }
}

/// A feed and its source.
struct File {
    number: usize,
    source: &'static str,
    rows: Vec<Row>,
}

/// Observations meet at few moments, so that rows contend for the same membership, also at the same tick.
fn files(random: &mut Rng) -> Vec<File> {
    let row = |random: &mut Rng, segments: &[&str; 4]| Row {
        observed: Some(NOW - DAY - i64::from(random.below(12)) * 10 * HOUR - i64::from(random.below(2)) * 60),
        ttl: random.percent(50).then(|| i64::from(1 + random.below(20)) * 12 * HOUR),
        remove: random.percent(15),
        ..Row::new(&format!("v{}", random.below(VISITORS)), segments[random.index(4)])
    };
    let file = |number: usize| {
        let (source, segments) = &SOURCES[number % 2];
        let rows = (0..ROWS).map(|_| row(random, segments)).collect();
        File { number, source, rows }
    };
    (0..FILES).map(file).collect()
}

/// What every order must come to.
fn judge(files: &[File]) -> Naive {
    let mut judge = Naive::new(rules());
    for file in files {
        for row in file.rows.iter().filter(|row| row.visitor != OPTED_OUT && row.visitor != ERASED) {
            assert!(judge.take(file.source, row, NOW), "the test's rows are good: {row:?}");
        }
    }
    judge
}

fn csv(rows: &[Row]) -> String {
    let mut text = String::from("visitor,segment,observed,ttl,action\n");
    for row in rows {
        let (observed, action) = (row.observed.unwrap_or_default(), if row.remove { "remove" } else { "add" });
        let ttl = row.ttl.map_or(String::new(), |ttl| format!("{ttl}s"));
        text += &format!("{},{},{observed},{ttl},{action}\n", row.visitor, row.segment);
    }
    text
}

fn json_lines(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = json!({"visitor": row.visitor, "segment": row.segment, "observed": row.observed});
        if let Some(ttl) = row.ttl {
            line["ttl"] = format!("{ttl}s").into();
        }
        if row.remove {
            line["action"] = "remove".into();
        }
        text += &format!("{line}\n");
    }
    text
}

/// What is to be done, in some order.
enum Step {
    File(usize),
    OptOut,
    Erase,
}

/// All files, one of them twice, and both wishes.
fn steps(random: &mut Rng) -> Vec<Step> {
    let mut steps: Vec<Step> = (0..FILES).chain([random.index(FILES)]).map(Step::File).collect();
    steps.extend([Step::OptOut, Step::Erase]);
    random.shuffle(&mut steps);
    steps
}

struct Site {
    house: House,
    server: Option<Server>,
}

impl Site {
    fn new(limits: Limits) -> Self {
        let house = House::new(Some(CHARTER));
        Folder::open(&house.data()).expect("a path").create().expect("a temporary folder");
        let key = key::obtain(&house.data(), None).expect("a temporary folder").key;
        let mut writer = Writer::open(&house.data(), key).expect("a new index");
        writer.adopt_charter(Charter::parse(CHARTER).expect("a charter")).expect("its first");
        writer.publish_charter(time(NOW)).expect("a temporary folder");
        let server = Server::start(config(&house, limits)).expect("a free port");
        Self { house, server: Some(server) }
    }

    fn client(&self) -> Client {
        Client::new(self.server.as_ref().expect("it runs").address())
    }

    /// `follow` waits for a fold that is under way, which `load` would not.
    fn load(&self, file: &File, rows: &[Row]) {
        let inbox = self.house.data().with_file_name(format!("inbox-{}-{}", file.number, rows.len()));
        fs::create_dir_all(&inbox).expect("a temporary folder");
        fs::write(inbox.join("feed.csv"), csv(rows)).expect("a temporary folder");
        let (data, now) = (self.house.data(), NOW.to_string());
        let args = ["follow", path_text(&inbox), "--once", "--settle", "0s", "--data", path_text(&data)];
        loader(&[&args[..], &["--source", file.source, "--now", &now, "--json"]].concat()).fine();
    }

    fn post(&self, client: &mut Client, file: &File, rows: &[Row]) {
        let reply = client.post(&format!("/v1/memberships?source={}", file.source), &json_lines(rows));
        assert_eq!(reply.status, 200, "{reply:?}");
        let answer = reply.json();
        let refused = answer["refused"].as_object().expect("a map");
        assert!(refused.keys().all(|code| code == "opted_out" || code == "erased"), "{answer}");
    }

    fn wish(client: &mut Client, method: &str, path: &str) -> u16 {
        client.send(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"));
        client.receive(false).status
    }

    fn go(&self, step: &Step, files: &[File], random: &mut Rng) {
        let client = &mut self.client();
        let number = match step {
            Step::OptOut => {
                let path = format!("/v1/visitors/{OPTED_OUT}/opt-out");
                return assert_eq!(Self::wish(client, "PUT", &path), 204);
            }
            Step::Erase => {
                return assert_eq!(Self::wish(client, "DELETE", &format!("/v1/visitors/{ERASED}")), 202);
            }
            Step::File(number) => *number,
        };
        let file = &files[number];
        let middle = [0, ROWS, random.index(ROWS - 1) + 1][random.index(3)];
        let (loaded, posted) = file.rows.split_at(middle);
        let post_first = random.percent(50);
        if post_first && !posted.is_empty() {
            self.post(client, file, posted);
        }
        if !loaded.is_empty() {
            self.load(file, loaded);
        }
        if !post_first && !posted.is_empty() {
            self.post(client, file, posted);
        }
    }

    /// Until the server serves what the loader published last.
    fn catch_up(&self) {
        let mut client = self.client();
        super::change::eventually("the newest generation is served", || {
            let newest = Snapshot::newest_generation(&self.house.data()).expect("readable").to_string();
            client.get("/v1/charter").header("usher-generation") == Some(&newest)
        });
    }
}

/// All lookups, by visitor.
type Lookups = BTreeMap<String, Vec<String>>;

fn visitors() -> Vec<String> {
    (0..VISITORS).map(|number| format!("v{number}")).collect()
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

fn served(client: &mut Client, questions: &[Expr]) -> (Lookups, Vec<u64>) {
    let reply = client.post("/v1/visitors/segments", &json!({"visitors": visitors()}).to_string()).json();
    let results = reply["results"].as_array().expect("a list").iter().map(|result| names(&result["segments"]));
    let lookups = visitors().into_iter().zip(results).collect();
    let count = |expr: &Expr| {
        let body = json!({"expression": expr.to_string(), "exact": true}).to_string();
        let reply = client.post("/v1/size", &body).json();
        reply["visitors"]["exact"].as_u64().unwrap_or_else(|| panic!("{reply}"))
    };
    (lookups, questions.iter().map(count).collect())
}

/// By `usher-engine ask`, which opens images and live state itself each time.
fn asked(house: &House, questions: &[Expr], visitors: &[&str]) -> (Lookups, Vec<u64>) {
    let (data, now) = (house.data(), NOW.to_string());
    let ask = |more: &[&str]| ask(&[&["--data", path_text(&data), "--now", &now], more].concat()).fine();
    let lookup = |visitor: &&str| {
        let answer: Value = serde_json::from_str(&ask(&["--visitor", visitor])).expect("JSON");
        ((*visitor).to_owned(), names(&answer["segments"]))
    };
    let count = |expr: &Expr| ask(&[&expr.to_string()]).trim().parse().expect("a number");
    (visitors.iter().map(lookup).collect(), questions.iter().map(count).collect())
}

/// By the images alone.
fn folded(house: &House, questions: &[Expr]) -> (Lookups, Vec<u64>) {
    house.build(NOW);
    house.verify();
    let (open, visitors) = (house.open(), visitors());
    let found = open.lookups(visitors.iter().map(String::as_str), NOW);
    let counts = questions.iter().map(|expr| open.count_of(expr, NOW)).collect();
    (visitors.into_iter().zip(found).collect(), counts)
}

fn questions(random: &mut Rng) -> Vec<Expr> {
    let segments: Vec<&str> = SOURCES.iter().flat_map(|(_, segments)| *segments).collect();
    let single = segments.iter().map(|name| usher_bench::expr::segment(name));
    let mut questions: Vec<Expr> = single.collect();
    questions.extend((0..12).map(|_| random::expr(random, &segments, &PREFIXES, 3)));
    questions
}

#[test]
fn every_order_and_every_way_comes_to_one_state() {
    let mut random = Rng::new(10);
    let (files, questions) = (files(&mut random), questions(&mut random));
    let judge = judge(&files);
    let lookups = visitors().into_iter().map(|visitor| {
        let names = judge.lookup(&visitor, NOW).into_iter().map(str::to_owned).collect();
        (visitor, names)
    });
    let view = judge.at(NOW);
    let expected: (Lookups, Vec<u64>) = (lookups.collect(), questions.iter().map(|expr| view.count(expr)).collect());
    assert!(expected.0.values().filter(|names| !names.is_empty()).count() > 20, "the test asks for something");
    for seed in 0..ORDERS {
        println!("seed {seed}");
        let mut random = Rng::new(seed);
        let soon = Duration::from_millis(30);
        let fold = Folding { look: Duration::from_millis(10), erasure: soon, change: soon, ..Folding::default() };
        // Every other order goes on while changes are folded all the time.
        let limits = if seed % 2 == 0 { quick() } else { Limits { fold, ..quick() } };
        let mut site = Site::new(limits);
        for step in steps(&mut random) {
            site.go(&step, &files, &mut random);
        }
        site.catch_up();
        assert_eq!(served(&mut site.client(), &questions), expected, "seed {seed}, served");
        assert!(site.server.take().is_some_and(|server| server.stop(std::future::pending())));
        let (lookups, counts) = asked(&site.house, &questions[..ASKED], &["v0", OPTED_OUT, ERASED]);
        assert!(lookups.iter().all(|(visitor, names)| expected.0[visitor] == *names), "seed {seed}: {lookups:?}");
        assert_eq!(counts, expected.1[..ASKED], "seed {seed}, at the console");
        assert_eq!(folded(&site.house, &questions), expected, "seed {seed}, all folded");
    }
}
