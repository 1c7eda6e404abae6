//! What planners do over HTTP: audiences, sizes with noise and a budget, overlaps, lookalikes and their audiences.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use usher_bench::rng::Rng;
use usher_engine::ask::disclose::MAX_SMALL_SETS;
use usher_engine::http::limits::Limits;
use usher_engine::http::serve::{Config, Server};
use usher_loader::clock::Clock;

use super::change::eventually;
use super::client::{Client, Reply};
use super::{NOW, Site, config, problem, quick};
use crate::programs::{House, time};

fn put(client: &mut Client, path: &str, body: &Value) -> Reply {
    let body = body.to_string();
    client.send(format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    client.receive(false)
}

fn delete(client: &mut Client, path: &str) -> u16 {
    client.send(format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    client.receive(false).status
}

fn save(client: &mut Client, name: &str, expression: &str) -> u16 {
    put(client, &format!("/v1/audiences/{name}"), &json!({ "expression": expression })).status
}

fn audiences_of(client: &mut Client, visitor: &str) -> Value {
    client.get(&format!("/v1/visitors/{visitor}/segments")).json()["audiences"].clone()
}

#[test]
fn an_audience_is_in_the_next_lookup_and_survives() {
    let mut site = Site::new(quick());
    let mut client = site.client();
    assert_eq!(save(&mut client, "dancers", "interest.dance"), 201);
    assert_eq!(save(&mut client, "others", "interest.* and not @dancers"), 201);
    assert_eq!(audiences_of(&mut client, "v0"), json!(["dancers"]));
    assert_eq!(audiences_of(&mut client, "v1"), json!(["others"]));
    assert_eq!(audiences_of(&mut client, "nobody"), json!([]));
    // What names an audience follows it.
    assert_eq!(save(&mut client, "dancers", "interest.theatre"), 200);
    assert_eq!(audiences_of(&mut client, "v1"), json!(["dancers"]));
    let batch = client.post("/v1/visitors/segments?only=audiences", r#"{"visitors":["v1","zo\u00eb 100%"]}"#).json();
    assert_eq!(batch["results"][0], json!({ "segments": [], "audiences": ["dancers"] }));
    assert_eq!(batch["results"][1]["audiences"], json!(["others"]));
    // A live row counts.
    let row = r#"{"visitor":"late","segment":"interest.theatre"}"#;
    assert_eq!(client.post("/v1/memberships?source=citymag", row).json()["taken"], 1);
    assert_eq!(audiences_of(&mut client, "late"), json!(["dancers"]));
    let exact = client.post("/v1/size", r#"{"expression":"@dancers","exact":true}"#).json();
    assert_eq!(exact["visitors"], json!({ "exact": 202 }));
    site.stop();
    let server = Server::start(config(&site.house, quick())).expect("a free port");
    let mut client = Client::new(server.address());
    assert_eq!(audiences_of(&mut client, "late"), json!(["dancers"]));
    let listed = client.get("/v1/audiences").json();
    let names: Vec<&str> =
        listed["audiences"].as_array().expect("a list").iter().filter_map(|a| a["name"].as_str()).collect();
    assert_eq!(names, ["dancers", "others"]);
    assert_eq!(delete(&mut client, "/v1/audiences/others"), 204);
    assert_eq!(delete(&mut client, "/v1/audiences/dancers"), 204);
    assert_eq!(audiences_of(&mut client, "late"), json!([]));
    let audit = client.get("/v1/audit").json().to_string();
    assert!(audit.contains("audience_saved") && audit.contains("audience_deleted"), "{audit}");
}

#[test]
fn audiences_that_cannot_be_are_refused() {
    let site = Site::new(quick());
    let mut client = site.client();
    assert_eq!(save(&mut client, "a", "interest.dance"), 201);
    assert_eq!(save(&mut client, "b", "@a or interest.opera"), 201);
    let refused = |reply: Reply| problem(&reply);
    let cycle = put(&mut client, "/v1/audiences/a", &json!({ "expression": "not @b" }));
    assert!(cycle.body.contains("a -> b -> a"), "{cycle:?}");
    assert_eq!(refused(cycle), (400, "bad-expression".to_owned()));
    let column = put(&mut client, "/v1/audiences/c", &json!({ "expression": "interest.dance and" })).json();
    assert_eq!(column["column"], 19);
    for name in ["a%20b", "", "%22", &"n".repeat(129)] {
        let reply = put(&mut client, &format!("/v1/audiences/{name}"), &json!({ "expression": "x" }));
        assert_eq!(refused(reply), (400, "bad-name".to_owned()), "{name}");
    }
    assert_eq!(delete(&mut client, "/v1/audiences/a"), 409, "b names it");
    assert_eq!(delete(&mut client, "/v1/audiences/zz"), 404);
    assert_eq!(refused(client.get("/v1/audiences/zz")), (404, "not-found".to_owned()));
    let reserved = r#"{"visitor":"x","segment":"lookalike.a.1"}"#;
    assert_eq!(client.post("/v1/memberships?source=citymag", reserved).json()["refused"], json!({ "not_owner": 1 }));
}

#[test]
fn sizes_are_noted_day_by_day() {
    let often = || Limits { trend: Duration::from_millis(20), ..quick() };
    let mut site = Site::new(often());
    let mut client = site.client();
    assert_eq!(save(&mut client, "dancers", "interest.theatre and interest.dance"), 201);
    let days = |client: &mut Client| {
        let audience = client.get("/v1/audiences/dancers").json();
        let segments = client.get("/v1/segments?trend=true").json();
        let days = |points: &Value| -> Vec<String> {
            let points = points.as_array().expect("a list").iter();
            points.map(|point| point["day"].as_str().expect("a day").to_owned()).collect()
        };
        let theatre = segments["segments"].as_array().expect("a list").iter().find(|s| s["name"] == "interest.theatre");
        let theatre = theatre.expect("a segment");
        // What was told that day is told now: it is the same set.
        assert!(
            theatre["trend"].as_array().is_none_or(|all| all.iter().all(|one| one["visitors"] == theatre["visitors"]))
        );
        (days(&audience["trend"]), days(&theatre["trend"]))
    };
    let first = vec!["2026-09-21".to_owned()];
    // The audience may have come after the sizes of the day were noted.
    eventually("the first day is noted", || days(&mut client).1 == first);
    site.stop();
    let tomorrow = Config { clock: Clock::new(Some(time(NOW + 86_400))), ..config(&site.house, often()) };
    let server = Server::start(tomorrow).expect("a free port");
    let mut client = Client::new(server.address());
    let both = vec!["2026-09-21".to_owned(), "2026-09-22".to_owned()];
    eventually("the second day is noted", || days(&mut client).1 == both && days(&mut client).0.ends_with(&both[1..]));
    assert_eq!(delete(&mut client, "/v1/audiences/dancers"), 204);
    assert_eq!(save(&mut client, "dancers", "interest.dance"), 201);
    assert!(days(&mut client).0.is_empty(), "the old points went with the old audience");
}

#[test]
fn a_day_has_a_budget_of_sets() {
    let site = Site::new(quick());
    let mut client = site.client();
    // Every one of them is another set: one more visitor joins each time.
    let mut size = |expression: &str| client.post("/v1/size", &json!({ "expression": expression }).to_string());
    let first = size("interest.theatre or interest.dance").json();
    assert_eq!(first["ignored"], json!(["interest.dance"]), "{first}");
    let mut client = site.client();
    let mut told = 0;
    for number in 0..MAX_SMALL_SETS + 3 {
        let row = format!(r#"{{"visitor":"new{number}","segment":"interest.theatre"}}"#);
        assert_eq!(client.post("/v1/memberships?source=citymag", &row).json()["taken"], 1);
        let reply = client.post("/v1/size", r#"{"expression":"interest.theatre or interest.dance"}"#);
        match reply.status {
            200 => told += 1,
            _ => {
                assert_eq!(problem(&reply), (429, "budget-spent".to_owned()));
                assert!(reply.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
            }
        }
    }
    // The first set was the first of the day.
    assert_eq!(told, MAX_SMALL_SETS - 1);
    assert_eq!(client.post("/v1/size", r#"{"expression":"interest.theatre"}"#).status, 200, "a single segment is free");
    let overlap = client.post("/v1/overlap", r#"{"segments":["interest.theatre","interest.dance"]}"#).json();
    assert_eq!((&overlap["matrix"][0][1], &overlap["withheld"]), (&Value::Null, &json!("budget")), "{overlap}");
    assert!(overlap["matrix"][0][0]["visitors"]["about"].is_u64());
}

/// A house of 3,000 visitors: lovers of `x` tend to be `crm.buyer`s, everybody has something.
fn crowd(seed: u64) -> (House, Vec<(usize, BTreeSet<String>)>) {
    let charter = "[house]\nname = \"Parc\"\nsteward = \"dpo@parc.example\"\n[lookalike]\nmin_seed = 50\nmin_audience = 100\n[[source]]\nname = \"all\"\nclass = \"behavioural\"\nprefixes = [\"\"]\nttl = \"30d\"\nmax_retention = \"90d\"\nlegal_basis = \"consent\"\n";
    let house = House::new(Some(charter));
    let mut random = Rng::new(seed);
    let (mut rows, mut visitors) = ("visitor,segment\n".to_owned(), Vec::new());
    for number in 0..3_000 {
        let loves = random.below(10) == 0;
        let mut held = BTreeSet::from([format!("base.{}", random.below(8))]);
        for (segment, in_love, otherwise) in
            [("love.x", 8, 1), ("love.y", 5, 2), ("crm.buyer", 6, 1), ("noise.z", 3, 3)]
        {
            if random.below(10) < if loves { in_love } else { otherwise } {
                held.insert(segment.to_owned());
            }
        }
        held.iter().for_each(|segment| rows.push_str(&format!("v{number},{segment}\n")));
        visitors.push((number, held));
    }
    let file = house.file("crowd.csv", rows.as_bytes());
    assert_eq!(house.load(&[file], "all", NOW, &[]).0, 0);
    (house, visitors)
}

#[test]
fn the_most_alike_become_an_audience_without_the_seed() {
    let (house, visitors) = crowd(11);
    let server = Server::start(config(&house, quick())).expect("a free port");
    let mut client = Client::new(server.address());
    let order = json!({ "name": "fans", "seed": { "expression": "crm.buyer" }, "exclude": ["noise.*"] });
    let reply = client.post("/v1/lookalikes", &order.to_string());
    let card = reply.json();
    assert_eq!(reply.status, 201, "{card}");
    assert_eq!(card["excluded"], json!(["crm.buyer", "noise.*"]), "what the seed is made of says nothing");
    assert_eq!(card["explanation"]["over"][0]["segment"], "love.x", "{card}");
    assert_eq!(card, client.get("/v1/lookalikes/fans").json());
    let made = put(&mut client, "/v1/lookalikes/fans/audience", &json!({ "reach": 0.1 }));
    assert_eq!((made.status, &made.json()["segment"]), (200, &json!("lookalike.fans.1")), "{made:?}");
    let (mut members, mut lovers) = (0, 0);
    for (number, held) in &visitors {
        let answer = client.get(&format!("/v1/visitors/v{number}/segments")).json();
        assert!(!answer["segments"].to_string().contains("lookalike."), "{answer}");
        if answer["audiences"] == json!(["fans"]) {
            members += 1;
            lovers += u64::from(held.contains("love.x"));
            assert!(!held.contains("crm.buyer"), "v{number} is of the seed");
        }
    }
    let seed = visitors.iter().filter(|(_, held)| held.contains("crm.buyer")).count();
    assert_eq!(members, ((3_000 - seed) as f64 * 0.1).round() as u64);
    assert!(lovers * 10 > members * 9, "{lovers} of {members}");
    let exact = client.post("/v1/size", r#"{"expression":"@fans","exact":true}"#).json();
    assert_eq!(exact["visitors"], json!({ "exact": members }));
    // Again, and further: the old ones are hidden, and who joined is told.
    let again = put(&mut client, "/v1/lookalikes/fans/audience", &json!({ "visitors": 600 })).json();
    assert_eq!((&again["segment"], &again["churn"]["left"]), (&json!("lookalike.fans.2"), &json!({ "below": 100 })));
    assert!(
        again["churn"]["joined"]["about"].as_u64().is_some_and(|about| about.abs_diff(600 - members) < 160),
        "{again}"
    );
    let exact = client.post("/v1/size", r#"{"expression":"@fans","exact":true}"#).json();
    assert_eq!(exact["visitors"], json!({ "exact": 600 }));
    let of_old = |id: &str, client: &mut Client| {
        let held = client.get(&format!("/v1/visitors/{id}")).json();
        let sources =
            held["sources"].as_array().expect("a list").iter().flat_map(|source| source["memberships"].as_array());
        let live = sources.flatten().filter(|held| held["live"] == true);
        live.filter(|held| held["segment"] == "lookalike.fans.1").count()
    };
    let still = visitors.iter().filter(|(number, _)| of_old(&format!("v{number}"), &mut client) > 0).count();
    assert_eq!(still, 0, "who was in it before is let go");
    // Opting out ends it.
    let opted = visitors.iter().map(|(number, _)| format!("v{number}"));
    let member = opted.into_iter().find(|id| audiences_of(&mut client, id) == json!(["fans"])).expect("a member");
    assert_eq!(put(&mut client, &format!("/v1/visitors/{member}/opt-out"), &json!({})).status, 204);
    assert_eq!(audiences_of(&mut client, &member), json!([]));
    let exact = client.post("/v1/size", r#"{"expression":"@fans","exact":true}"#).json();
    assert_eq!(exact["visitors"], json!({ "exact": 599 }));
    assert!(!client.get("/v1/segments").body.contains("lookalike."));
}

#[test]
fn no_two_audiences_share_a_segment() {
    let (house, _) = crowd(13);
    let server = Server::start(config(&house, quick())).expect("a free port");
    let mut client = Client::new(server.address());
    let order = json!({ "name": "fans", "seed": { "expression": "crm.buyer" } });
    for number in ["lookalike.fans.1", "lookalike.fans.2"] {
        assert_eq!(client.post("/v1/lookalikes", &order.to_string()).status, 201);
        let made = put(&mut client, "/v1/lookalikes/fans/audience", &json!({ "visitors": 200 })).json();
        assert_eq!(made["segment"], number, "{made}");
        // Drawn anew, it does not begin anew.
        assert_eq!(delete(&mut client, "/v1/lookalikes/fans"), 204);
    }
    assert_eq!(client.post("/v1/lookalikes", &order.to_string()).status, 201);
    let one = || {
        let mut client = Client::new(server.address());
        put(&mut client, "/v1/lookalikes/fans/audience", &json!({ "visitors": 300 }))
    };
    let made: Vec<Reply> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut segments = BTreeSet::from(["lookalike.fans.1".to_owned(), "lookalike.fans.2".to_owned()]);
    for reply in &made {
        match reply.status {
            200 => {
                let segment = reply.json()["segment"].as_str().expect("a name").to_owned();
                assert!(segments.insert(segment), "{reply:?} is not the first of its segment: {segments:?}");
            }
            _ => assert_eq!(problem(reply), (503, "busy".to_owned())),
        }
    }
    assert!(segments.contains("lookalike.fans.3"), "{made:?}");
}

#[test]
fn a_list_of_visitors_is_a_seed_and_small_things_are_refused() {
    let (house, visitors) = crowd(12);
    let server = Server::start(config(&house, quick())).expect("a free port");
    let mut client = Client::new(server.address());
    let buyers = visitors.iter().filter(|(_, held)| held.contains("crm.buyer"));
    let ids: Vec<String> = buyers.map(|(number, _)| format!("v{number}")).collect();
    let order = json!({ "name": "list", "seed": { "visitors": ids }, "exclude": ["crm.*"], "method": "iv" });
    let reply = client.post("/v1/lookalikes", &order.to_string());
    assert_eq!((reply.status, &reply.json()["method"]), (201, &json!("iv")), "{reply:?}");
    assert_eq!(put(&mut client, "/v1/lookalikes/list/audience", &json!({ "visitors": 500 })).status, 200);
    let small = put(&mut client, "/v1/lookalikes/list/audience", &json!({ "visitors": 99 }));
    assert_eq!(problem(&small), (422, "unfit".to_owned()));
    for name in ["few", "list"] {
        let few = json!({ "name": name, "seed": { "visitors": ids[..20] } });
        assert_eq!(problem(&client.post("/v1/lookalikes", &few.to_string())), (422, "unfit".to_owned()));
    }
    let again = put(&mut client, "/v1/lookalikes/list/audience", &json!({ "visitors": 500 }));
    assert_eq!(again.status, 200, "what was refused did not take the seed's place: {again:?}");
    for body in [json!({ "reach": 0 }), json!({ "reach": 1.5 }), json!({}), json!({ "reach": 0.1, "visitors": 5 })] {
        assert_eq!(put(&mut client, "/v1/lookalikes/list/audience", &body).status, 400, "{body}");
    }
    for seed in [json!({}), json!({ "expression": "a", "visitors": [] }), json!({ "expression": "a and" })] {
        let order = json!({ "name": "n", "seed": seed });
        assert_eq!(client.post("/v1/lookalikes", &order.to_string()).status, 400, "{order}");
    }
    assert_eq!(put(&mut client, "/v1/lookalikes/nothing/audience", &json!({ "reach": 0.1 })).status, 404);
    drop(client);
    assert!(server.stop(std::future::pending()));
    // The list was nowhere written down.
    let server = Server::start(config(&house, quick())).expect("a free port");
    let mut client = Client::new(server.address());
    let gone = put(&mut client, "/v1/lookalikes/list/audience", &json!({ "visitors": 500 }));
    assert_eq!(problem(&gone), (409, "conflict".to_owned()));
    eventually("the audience is still there", || {
        client.post("/v1/size", r#"{"expression":"@list","exact":true}"#).json()["visitors"] == json!({ "exact": 500 })
    });
}
