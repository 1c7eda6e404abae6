//! `GET /v1/segments?prefix=`: what there is to plan with.

use std::sync::{Arc, PoisonError};

use serde::Serialize;
use usher_index::segments::LOOKALIKE_PREFIX;
use usher_index::{Charter, Class, NoiseKey, Overlay, SegmentInfo, Span, Time};
use usher_loader::time;

use super::app::App;
use super::problem::Problem;
use super::query::Params;
use super::reply::{self, Reply};
use crate::ask::AskError;
use crate::ask::disclose::{Counted, Disclosed};
use crate::ask::discreet::counted;
use crate::ask::expr::Expr;
use crate::ask::size::count_images;
use crate::ask::touched::Change;
use crate::keep::Served;

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

/// A segment with its members.
struct Known {
    name: Arc<str>,
    source: Arc<str>,
    set: Counted,
    /// Whether `set` lacks who is in it, of whom the images have too many to name.
    is_unnamed: bool,
}

fn listing(served: &Served, prefix: &str, now: Time) -> Result<Reply, AskError> {
    let key = served.key.noise_key();
    let mut segments = known(served, prefix, now, &key)?;
    for segment in segments.iter_mut().filter(|segment| segment.is_unnamed) {
        let expr = Expr::Segment(segment.name.to_string());
        segment.set = counted(&served.snapshot, &served.overlay, &expr, segment.set.visitors, now, &key)?;
    }
    segments.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let line = |segment: &Known| line(served.snapshot.charter(), segment, &key);
    Ok(reply::json(&Listing { segments: segments.iter().map(line).collect(), as_of: time::format(now) }))
}

/// The segments of the images and those of the changes; not those that hold the members of lookalikes.
fn known(served: &Served, prefix: &str, now: Time, key: &NoiseKey) -> Result<Vec<Known>, AskError> {
    let images = sizes(served, now, key)?;
    let wanted = |name: &str| name.starts_with(prefix) && !name.starts_with(LOOKALIKE_PREFIX);
    let segments = served.snapshot.segments().iter().zip(images.iter()).filter(|(segment, _)| wanted(&segment.name));
    let mut segments: Vec<Known> = segments
        .map(|(SegmentInfo { name, source, .. }, &set)| Known {
            name: Arc::clone(name),
            source: Arc::clone(source),
            set,
            is_unnamed: false,
        })
        .collect();
    if served.overlay.is_empty() {
        return Ok(segments);
    }
    // After the images are counted: a thread that waits for others may take on another count, which looks here as well.
    let view = served.overlay.at(served.snapshot.tick().floor(now));
    let new = view.segments().filter(|segment| wanted(&segment.name));
    let new = new.filter(|segment| served.snapshot.segment(&segment.name).is_none());
    segments.extend(new.map(|segment| Known {
        name: Arc::clone(&segment.name),
        source: Arc::clone(&segment.source),
        set: Counted::default(),
        is_unnamed: false,
    }));
    for segment in &mut segments {
        let images = segment.set;
        segment.set = Change::of_segment(&view, &segment.name).apply_to(images, &view, &segment.name, key);
        segment.is_unnamed = segment.set.is_named() && !images.is_named();
    }
    Ok(segments)
}

fn line(charter: &Charter, Known { name, source, set, .. }: &Known, key: &NoiseKey) -> Line {
    let owner = charter.owner_of(name).cloned().or_else(|| charter.source(source));
    Line {
        name: name.to_string(),
        source: source.to_string(),
        class: owner.as_ref().map(|owner| owner.class),
        ttl: owner.as_ref().map(|owner| owner.ttl),
        visitors: Disclosed::of(*set, charter.house().size_floor, key),
    }
}

/// Every segment as the images alone have it, counted once a tick. Whoever asks first counts, the others wait for it.
fn sizes(served: &Served, now: Time, key: &NoiseKey) -> Result<Arc<[Counted]>, AskError> {
    let tick = served.snapshot.tick().floor(now);
    let mut kept = served.sizes.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, sizes)) = kept.as_ref().filter(|(at, _)| *at == tick) {
        return Ok(Arc::clone(sizes));
    }
    let nothing = Overlay::default();
    let size = |segment: &SegmentInfo| {
        let expr = Expr::Segment(segment.name.to_string());
        let visitors = count_images(&served.snapshot, &expr, now)?;
        counted(&served.snapshot, &nothing, &expr, visitors, now, key)
    };
    let sizes: Arc<[Counted]> = served.snapshot.segments().iter().map(size).collect::<Result<_, AskError>>()?;
    *kept = Some((tick, Arc::clone(&sizes)));
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use usher_index::change::Change as Row;
    use usher_index::{Entry, Overlay, Pid, Snapshot, Tick};

    use super::*;
    use crate::ask::discreet::discreet;
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
