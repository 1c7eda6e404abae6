//! What the server says about itself: charter, health, metrics and the page at `/`.

use std::sync::atomic::Ordering;

use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::app::App;
use super::metrics::State;
use super::problem::Problem;
use super::query::Params;
use super::reply::{self, Reply};

const PAGE: &str = include_str!("page.html");

/// Nothing but the page itself: no script, no style, no frame, no form.
const PAGE_POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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

/// `GET /`: what this server is and what to try.
#[must_use]
pub fn page(app: &App) -> Reply {
    let served = app.live.glance();
    let state = State::of(&served);
    let charter = served.snapshot.charter();
    let house = if charter.is_development() { "No charter yet" } else { charter.house().name.as_str() };
    let text = PAGE
        .replace("{house}", &escape(house))
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{generation}", &state.generation.to_string())
        .replace("{visitors}", &state.visitors.to_string())
        .replace("{memberships}", &state.memberships.to_string())
        .replace("{segments}", &state.segments.to_string());
    let mut reply = reply::of("text/html; charset=utf-8", text.into_bytes());
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_page() {
        assert_eq!(escape("<b>\"A & B\"</b>"), "&lt;b&gt;&quot;A &amp; B&quot;&lt;/b&gt;");
    }
}
