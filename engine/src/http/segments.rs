//! `GET /v1/segments?prefix=`: what there is to plan with.

use std::sync::{Arc, PoisonError};

use serde::Serialize;
use usher_index::{Charter, Class, SegmentInfo, Span, Time};
use usher_loader::time;

use super::app::App;
use super::problem::Problem;
use super::query::Params;
use super::reply::{self, Reply};
use crate::ask::AskError;
use crate::ask::disclose::Disclosed;
use crate::ask::expr::Expr;
use crate::ask::size::count_images;
use crate::ask::touched::Change;
use crate::keep::Served;

#[derive(Serialize)]
struct Listing<'a> {
    segments: Vec<Line<'a>>,
    as_of: String,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    source: &'a str,
    /// Absent when the charter does not name the source any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Span>,
    visitors: Disclosed,
}

/// Lists the segments whose name begins with `prefix`, all without it, sorted by their UTF-8 bytes.
///
/// # Errors
/// When a parameter is unknown, or too many questions are being counted.
pub async fn list(app: &App, query: Option<&str>) -> Result<Reply, Problem> {
    let params = Params::read(query, &["prefix"])?;
    let prefix = params.get("prefix").unwrap_or("").to_owned();
    let (served, now) = (app.live.hold(), app.now());
    let generation = served.snapshot.generation();
    let listed = app.pool.run(move || listing(&served, &prefix, now)).await?;
    let reply = listed.map_err(|error| {
        tracing::error!(generation, "the segments cannot be counted: {error}");
        Problem::internal()
    })?;
    Ok(reply::of_generation(reply, generation))
}

fn listing(served: &Served, prefix: &str, now: Time) -> Result<Reply, AskError> {
    let tick = served.snapshot.tick().floor(now);
    let images = sizes(served, now)?;
    let of_images = served.snapshot.segments().iter().zip(images.iter());
    let of_images = of_images.filter(|(segment, _)| segment.name.starts_with(prefix));
    let charter = served.snapshot.charter();
    let as_of = time::format(now);
    if served.overlay.is_empty() {
        let segments = of_images.map(|(segment, &size)| line(charter, &segment.name, &segment.source, size));
        return Ok(reply::json(&Listing { segments: segments.collect(), as_of }));
    }
    // After the images are counted: a thread that waits for others may take on another count, which looks here as well.
    let view = served.overlay.at(tick);
    let of_images = of_images.map(|(segment, &size)| {
        let size = Change::of_segment(&view, &segment.name).apply(size);
        line(charter, &segment.name, &segment.source, size)
    });
    let mut segments: Vec<_> = of_images.collect();
    let new = view.segments().filter(|segment| served.snapshot.segment(&segment.name).is_none());
    segments.extend(new.filter(|segment| segment.name.starts_with(prefix)).map(|segment| {
        let size = Change::of_segment(&view, &segment.name).apply(0);
        line(charter, &segment.name, &segment.source, size)
    }));
    segments.sort_unstable_by_key(|line| line.name);
    Ok(reply::json(&Listing { segments, as_of }))
}

fn line<'a>(charter: &Charter, name: &'a str, source: &'a str, size: u64) -> Line<'a> {
    let owner = charter.owner_of(name).cloned().or_else(|| charter.source(source));
    Line {
        name,
        source,
        class: owner.as_ref().map(|owner| owner.class),
        ttl: owner.as_ref().map(|owner| owner.ttl),
        visitors: Disclosed::of(size, charter.house().size_floor),
    }
}

/// The exact size of every segment in the images alone, counted once a tick. Whoever asks first counts, the others wait for it.
fn sizes(served: &Served, now: Time) -> Result<Arc<[u64]>, AskError> {
    let tick = served.snapshot.tick().floor(now);
    let mut kept = served.sizes.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, sizes)) = kept.as_ref().filter(|(at, _)| *at == tick) {
        return Ok(Arc::clone(sizes));
    }
    let size = |segment: &SegmentInfo| count_images(&served.snapshot, &Expr::Segment(segment.name.to_string()), now);
    let sizes: Arc<[u64]> = served.snapshot.segments().iter().map(size).collect::<Result<_, AskError>>()?;
    *kept = Some((tick, Arc::clone(&sizes)));
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use usher_index::change::Change as Row;
    use usher_index::{Entry, Overlay, Pid, Snapshot, Tick};

    use super::*;
    use crate::ask::sample::Sample;

    fn listed(served: &Served, prefix: &str, hours: i64) -> serde_json::Value {
        let reply = listing(served, prefix, Sample::at(hours)).unwrap();
        serde_json::from_slice::<serde_json::Value>(&reply::bytes_of(reply)).unwrap()["segments"].take()
    }

    #[test]
    fn sizes_and_names_follow_the_changes() {
        let visitors: Vec<String> = (0..300).map(|i| format!("v{i}")).collect();
        let sample = Sample::new(visitors.iter().map(|v| (v.as_str(), "b.old", 9)));
        let key = sample.snapshot.key().unwrap().clone();
        let snapshot = Snapshot::open(sample.snapshot.folder().path(), Some(key.clone())).unwrap();
        let served = Served::new(snapshot, key, Overlay::default());
        let sizes = |hours| {
            let line = |line: &serde_json::Value| {
                let about = line["visitors"]["about"].as_u64().unwrap_or(0);
                (line["name"].as_str().unwrap().to_owned(), about)
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
