//! `GET /v1/segments?prefix=`: what there is to plan with.

use std::sync::{Arc, PoisonError};

use serde::Serialize;
use usher_index::{Charter, Class, SegmentInfo, Span, Time};
use usher_loader::time;

use super::app::App;
use super::live::Served;
use super::problem::Problem;
use super::query::Params;
use super::reply::{self, Reply};
use crate::ask::AskError;
use crate::ask::disclose::Disclosed;
use crate::ask::expr::Expr;
use crate::ask::size::count;

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
    let sizes = sizes(served, now)?;
    let charter = served.snapshot.charter();
    let with_sizes = served.snapshot.segments().iter().zip(sizes.iter());
    let wanted = with_sizes.filter(|(segment, _)| segment.name.starts_with(prefix));
    let segments = wanted.map(|(segment, &size)| line(charter, segment, size)).collect();
    Ok(reply::json(&Listing { segments, as_of: time::format(now) }))
}

fn line<'a>(charter: &Charter, segment: &'a SegmentInfo, size: u64) -> Line<'a> {
    let source = charter.owner_of(&segment.name).cloned().or_else(|| charter.source(&segment.source));
    Line {
        name: &segment.name,
        source: &segment.source,
        class: source.as_ref().map(|source| source.class),
        ttl: source.as_ref().map(|source| source.ttl),
        visitors: Disclosed::of(size, charter.house().size_floor),
    }
}

/// The exact size of every segment, counted once a tick. Whoever asks first counts, the others wait for it.
fn sizes(served: &Served, now: Time) -> Result<Arc<[u64]>, AskError> {
    let tick = served.snapshot.tick().floor(now);
    let mut kept = served.sizes.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, sizes)) = kept.as_ref().filter(|(at, _)| *at == tick) {
        return Ok(Arc::clone(sizes));
    }
    let size = |segment: &SegmentInfo| {
        count(&served.snapshot, &Expr::Segment(segment.name.to_string()), now).map(|count| count.visitors)
    };
    let sizes: Arc<[u64]> = served.snapshot.segments().iter().map(size).collect::<Result<_, AskError>>()?;
    *kept = Some((tick, Arc::clone(&sizes)));
    Ok(sizes)
}
