//! `GET /v1/segments?prefix=`: what there is to plan with.

use std::sync::Arc;

use serde::Serialize;
use usher_index::{Charter, Class, NoiseKey, Span, Time};
use usher_loader::time;

use super::app::App;
use super::measure::{failed, in_turn};
use super::problem::Problem;
use super::query::{Params, bad};
use super::reply::{self, Reply};
use crate::ask::AskError;
use crate::ask::disclose::Disclosed;
use crate::keep::Served;
use crate::keep::sizes::{Known, known};
use crate::keep::trend::{self, Point};

#[derive(Serialize)]
struct Listing {
    segments: Vec<Line>,
    as_of: String,
}

#[derive(Serialize)]
struct Line {
    name: String,
    source: String,
    /// Absent when the charter does not name the source any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Span>,
    visitors: Disclosed,
    /// Its size at the end of each day, on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    trend: Option<Vec<Point>>,
}

/// Lists the segments whose name begins with `prefix`, all without it, sorted by their UTF-8 bytes; with their sizes day by
/// day when `trend` is `true`.
///
/// # Errors
/// When a parameter cannot be used, or too many questions are being counted.
pub async fn list(app: &App, query: Option<&str>) -> Result<Reply, Problem> {
    let params = Params::read(query, &["prefix", "trend"])?;
    let prefix = params.get("prefix").unwrap_or("").to_owned();
    let wants_trend = match params.get("trend") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(bad("The parameter trend: expected true or false.".to_owned())),
    };
    let keeper = Arc::clone(&app.keeper);
    let (reply, _, generation) = in_turn(app, move |served, now| {
        let floor = served.snapshot.charter().house().size_floor;
        let trend = |name: &str| wants_trend.then(|| trend::of_segment(keeper.state(), name, floor));
        listing(served, &prefix, now, trend)
    })
    .await?;
    Ok(reply::of_generation(reply.map_err(|error| failed(&error, generation))?, generation))
}

fn listing(
    served: &Served,
    prefix: &str,
    now: Time,
    trend: impl Fn(&str) -> Option<Vec<Point>>,
) -> Result<Reply, AskError> {
    let key = served.key.noise_key();
    let mut segments = Vec::new();
    for segment in &known(served, prefix, now, &key)? {
        segments.push(Line { trend: trend(&segment.name), ..line(served.snapshot.charter(), segment, &key) });
    }
    Ok(reply::json(&Listing { segments, as_of: time::format(now) }))
}

fn line(charter: &Charter, Known { name, source, set }: &Known, key: &NoiseKey) -> Line {
    let owner = charter.owner_of(name).cloned().or_else(|| charter.source(source));
    Line {
        name: name.to_string(),
        source: source.to_string(),
        class: owner.as_ref().map(|owner| owner.class),
        ttl: owner.as_ref().map(|owner| owner.ttl),
        visitors: Disclosed::of(*set, charter.house().size_floor, key),
        trend: None,
    }
}

#[cfg(test)]
mod tests {
    use usher_index::change::Change as Row;
    use usher_index::{Entry, Overlay, Pid, Snapshot, Tick};

    use super::*;
    use crate::ask::discreet::discreet;
    use crate::ask::expr::Expr;
    use crate::ask::sample::Sample;

    fn listed(served: &Served, prefix: &str, hours: i64) -> serde_json::Value {
        let reply = listing(served, prefix, Sample::at(hours), |_| None).unwrap();
        serde_json::from_slice::<serde_json::Value>(&reply::bytes_of(reply)).unwrap()["segments"].take()
    }

    #[test]
    fn sizes_and_names_follow_the_changes() {
        let visitors: Vec<String> = (0..300).map(|i| format!("v{i}")).collect();
        let sample = Sample::new(visitors.iter().map(|v| (v.as_str(), "b.old", 9)));
        let key = sample.snapshot.key().unwrap().clone();
        let snapshot = Snapshot::open(sample.snapshot.folder().path(), Some(key.clone())).unwrap();
        let served = Served::new(snapshot, key, Overlay::default());
        let key = served.key.noise_key();
        // What is listed is what a question for the same segment is told.
        let told = |name: &str, hours| {
            let expr = Expr::Segment(name.to_owned());
            let set = discreet(&served.snapshot, &served.overlay, &expr, Sample::at(hours), &key).unwrap().counted;
            (set.visitors, serde_json::to_value(Disclosed::of(set, 100, &key)).unwrap())
        };
        let sizes = |hours| {
            let line = |line: &serde_json::Value| {
                let (size, told) = told(line["name"].as_str().unwrap(), hours);
                assert_eq!(line["visitors"], told, "{line} at {hours}");
                (line["name"].as_str().unwrap().to_owned(), size)
            };
            listed(&served, "", hours).as_array().unwrap().iter().map(line).collect::<Vec<_>>()
        };
        let line = |name: &str, size| (name.to_owned(), size);
        assert_eq!(sizes(0), [line("b.old", 300)]);
        let name = |number| Some((["a.new", "b.old"][number as usize].into(), "sample".into()));
        let tick = served.snapshot.tick().floor(Sample::at(0));
        let row = |pid: Pid, segment, life: u32| {
            let entry = Entry { observed: Tick::new(tick.get() + 1), expiry: Tick::new(tick.get() + 1 + life) };
            Row::Row { pid, segment, entry }
        };
        let pid = |visitor: &String| sample.pid(visitor);
        let mut changes: Vec<Row> = visitors[..150].iter().map(|v| row(pid(v), 0, 4)).collect();
        changes.extend(visitors[..50].iter().map(|v| row(pid(v), 1, 0)));
        changes.extend(visitors[290..].iter().map(|v| Row::OptOut { pid: pid(v) }));
        served.overlay.apply(&served.snapshot, &name, &changes).unwrap();
        assert_eq!(sizes(0), [line("a.new", 150), line("b.old", 240)]);
        // What the rows brought ends first; the images' own size is counted anew at another tick.
        assert_eq!(sizes(6), [line("a.new", 0), line("b.old", 240)]);
        assert_eq!(sizes(9), [line("a.new", 0), line("b.old", 0)]);
        assert_eq!(listed(&served, "a.", 0).as_array().unwrap().len(), 1);
        assert_eq!(listed(&served, "a.", 0)[0]["source"], "sample");
    }
}
