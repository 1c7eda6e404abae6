//! What a visitor may ask of the house: to be left out, to be forgotten, to be told what is held; and the audit.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;
use usher_index::{AuditLine, IdType, LegalBasis, Pid, Span, VisitorId};
use usher_loader::time;

use super::app::App;
use super::problem::{Kind, Problem};
use super::query::{Params, bad, decode};
use super::reply::{self, Reply};
use crate::keep::{KeepError, Served, Wish};

/// Within this the bytes of an erased visitor are gone from every file.
pub const ERASURE_DEADLINE: Span = Span::from_days(1);
/// Lines of the audit in one answer.
pub const MAX_AUDIT_LINES: usize = 1_000;

/// `PUT /v1/visitors/{id}/opt-out`: in force before the answer, until it is revoked.
///
/// # Errors
/// When the id cannot be used, or the wish cannot be written.
pub async fn opt_out(app: &App, raw_id: &str, query: Option<&str>) -> Result<Reply, Problem> {
    let pid = visitor(app, raw_id, query)?;
    app.keeper.fulfil(Wish::OptOut(pid)).await.map_err(unkept)?;
    Ok(reply::empty())
}

/// `DELETE /v1/visitors/{id}/opt-out`: what was observed until now stays out, what comes later may come in.
///
/// # Errors
/// As [`opt_out`].
pub async fn revoke(app: &App, raw_id: &str, query: Option<&str>) -> Result<Reply, Problem> {
    let pid = visitor(app, raw_id, query)?;
    app.keeper.fulfil(Wish::Revoke(pid)).await.map_err(unkept)?;
    Ok(reply::empty())
}

#[derive(Serialize)]
struct Erased {
    receipt: String,
    /// When the bytes are gone at the latest.
    deadline: String,
}

/// `DELETE /v1/visitors/{id}`: nothing of what was observed until now is told any more; its bytes go within a day.
///
/// # Errors
/// As [`opt_out`].
pub async fn erase(app: &App, raw_id: &str, query: Option<&str>) -> Result<Reply, Problem> {
    let pid = visitor(app, raw_id, query)?;
    let receipt = receipt()?;
    app.keeper.fulfil(Wish::Erase(pid, receipt.clone())).await.map_err(unkept)?;
    let mut reply = reply::json(&Erased { receipt, deadline: time::format(app.now().plus(ERASURE_DEADLINE)) });
    *reply.status_mut() = StatusCode::ACCEPTED;
    Ok(reply)
}

/// 128 random bits, which tell nothing about the visitor.
fn receipt() -> Result<String, Problem> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!("no random numbers: {error}");
        Problem::internal()
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// All that is held on a visitor.
#[derive(Serialize)]
struct Held {
    opted_out: bool,
    /// What was observed until then was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_until: Option<String>,
    sources: Vec<OfSource>,
}

#[derive(Serialize)]
struct OfSource {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    legal_basis: Option<LegalBasis>,
    memberships: Vec<OfSegment>,
}

#[derive(Serialize)]
struct OfSegment {
    segment: String,
    observed: String,
    expires: String,
    live: bool,
}

/// `GET /v1/visitors/{id}`: all that is held, by source, with times.
///
/// # Errors
/// When the id cannot be used, or an image is damaged.
pub fn access(app: &App, raw_id: &str, query: Option<&str>) -> Result<Reply, Problem> {
    let pid = visitor(app, raw_id, query)?;
    let (served, now) = (app.live.glance(), app.now());
    let tick = served.snapshot.tick();
    let mut sources: BTreeMap<String, Vec<OfSegment>> = BTreeMap::new();
    let found = served.entries(pid, |segment, source, entry| {
        let (observed, expires) = (time::format(tick.start(entry.observed)), time::format(tick.start(entry.expiry)));
        let held = OfSegment { segment: segment.to_owned(), observed, expires, live: entry.live(tick.floor(now)) };
        sources.entry(source.to_owned()).or_default().push(held);
    });
    found.map_err(|error| damaged(&served, &error))?;
    let charter = served.snapshot.charter();
    let sources = sources.into_iter().map(|(source, mut memberships)| {
        memberships.sort_unstable_by(|a, b| a.segment.cmp(&b.segment));
        let legal_basis = charter.source(&source).map(|source| source.legal_basis);
        OfSource { source, legal_basis, memberships }
    });
    let bars = served.overlay.bars();
    let held = Held {
        opted_out: bars.opted_out(pid),
        erased_until: bars.erased(pid).map(|at| time::format(tick.end(at))),
        sources: sources.collect(),
    };
    Ok(reply::of_generation(reply::json(&held), served.snapshot.generation()))
}

#[derive(Serialize)]
struct Audit {
    lines: Vec<Line>,
    /// The number to ask after for what follows; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// A line as it is shown.
#[derive(Serialize)]
struct Line {
    seq: u64,
    at: String,
    what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    hash: String,
}

impl From<AuditLine> for Line {
    fn from(AuditLine { seq, at, what, detail, receipt, hash }: AuditLine) -> Self {
        Line { seq, at: time::format(at), what, detail, receipt, hash }
    }
}

/// `GET /v1/audit?after=&limit=`: the lines of the audit, oldest first.
///
/// # Errors
/// When a parameter cannot be used or the state cannot be read.
pub fn audit(app: &App, query: Option<&str>) -> Result<Reply, Problem> {
    let params = Params::read(query, &["after", "limit"])?;
    let number = |name: &'static str, otherwise: u64| match params.get(name).map(str::parse::<u64>) {
        None => Ok(otherwise),
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => Err(bad(format!("The parameter {name}: expected a whole number."))),
    };
    let (after, limit) = (number("after", 0)?, number("limit", MAX_AUDIT_LINES as u64)?);
    let limit = (limit as usize).clamp(1, MAX_AUDIT_LINES);
    let lines = app.keeper.state().audit_lines(after, limit).map_err(|error| {
        tracing::error!("the audit cannot be read: {error}");
        Problem::internal()
    })?;
    let next = lines.last().filter(|_| lines.len() == limit).map(|line| line.seq);
    let lines = lines.into_iter().map(Line::from).collect();
    let mut reply = reply::json(&Audit { lines, next });
    reply.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    Ok(reply)
}

/// Whom the path and `id_type` mean.
fn visitor(app: &App, raw_id: &str, query: Option<&str>) -> Result<Pid, Problem> {
    let params = Params::read(query, &["id_type"])?;
    let id = match raw_id.contains('%') {
        true => decode(raw_id).map_err(|error| bad_id(&format!("In the path, {error}.")))?,
        false => Cow::Borrowed(raw_id),
    };
    let id = VisitorId::new(&id).map_err(|error| bad_id(&format!("{error}.")))?;
    let named = params.get("id_type").map(IdType::new).transpose();
    let named = named.map_err(|error| bad(format!("The parameter id_type: {error}.")))?;
    Ok(app.live.glance().key.pid(named.as_ref().unwrap_or(&app.default_id_type), id))
}

fn bad_id(detail: &str) -> Problem {
    Problem::new(Kind::BadId, detail.to_owned())
}

fn damaged(served: &Served, error: &usher_index::ImageError) -> Problem {
    tracing::error!(generation = served.snapshot.generation(), "an access failed: {error}");
    Problem::internal()
}

/// What a caller is told of a wish that was not fulfilled.
pub fn unkept(error: KeepError) -> Problem {
    match error {
        KeepError::Busy | KeepError::Full => {
            Problem::new(Kind::Busy, format!("Nothing was taken: {error}. Send it again later.")).retry_soon()
        }
        KeepError::Disk => {
            let detail = "Nothing was taken: the disk is nearly full, and what is left is kept for opt-outs and erasures. Make room, then send it again.";
            Problem::new(Kind::NoRoom, detail).retry_soon()
        }
        KeepError::Conflict => {
            Problem::new(Kind::Conflict, format!("Nothing was changed: {error}. Look at the audiences again."))
        }
        KeepError::Ended => Problem::new(
            Kind::Internal,
            "The state can no longer be written, so the server ends; whether this was written is not known. Send it again: twice does no harm.",
        ),
    }
}
