//! What the server says about itself: charter, health and metrics.

use std::sync::atomic::Ordering;

use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::app::App;
use super::metrics::State;
use super::problem::Problem;
use super::query::Params;
use super::reply::{self, Reply};

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /v1/charter`: the charter in force.
///
/// # Errors
/// When there are parameters.
pub fn charter(app: &App, query: Option<&str>) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let served = app.live.glance();
    Ok(reply::of_generation(reply::json(served.snapshot.charter()), served.snapshot.generation()))
}

/// `GET /healthz/live`: the event loop answers.
#[must_use]
pub fn live() -> Reply {
    health("live", StatusCode::OK)
}

/// `GET /healthz/startup`: an index is open, since connections are taken only then.
#[must_use]
pub fn startup() -> Reply {
    health("started", StatusCode::OK)
}

/// `GET /healthz/ready`: send requests here. Not any more once the server is stopping, the state cannot be written, or the
/// daily check found an image damaged.
#[must_use]
pub fn ready(app: &App) -> Reply {
    if app.draining.load(Ordering::Relaxed) {
        return health("draining", StatusCode::SERVICE_UNAVAILABLE);
    }
    if !app.keeper.is_well() {
        return health("failed", StatusCode::SERVICE_UNAVAILABLE);
    }
    if app.live.glance().damaged.load(Ordering::Relaxed) {
        return health("damaged", StatusCode::SERVICE_UNAVAILABLE);
    }
    health("ready", StatusCode::OK)
}

fn health(status: &str, code: StatusCode) -> Reply {
    let mut reply = reply::json(&json!({ "status": status }));
    *reply.status_mut() = code;
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// `GET /metrics`, as Prometheus reads it.
///
/// # Errors
/// None in practice: writing to memory does not fail.
pub fn metrics(app: &App) -> Result<Reply, Problem> {
    let text = app.metrics.scrape(State::of(&app.live.glance())).map_err(|_| Problem::internal())?;
    Ok(reply::of(METRICS_TYPE, text.into_bytes()))
}
