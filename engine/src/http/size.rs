//! `POST /v1/size`: how many people is that.

use std::sync::Arc;

use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use usher_loader::time;

use super::app::App;
use super::body;
use super::limits::MAX_SIZE_BYTES;
use super::problem::{Kind, Problem};
use super::query::Params;
use super::reply::{self, Reply};
use crate::ask::disclose::Disclosed;
use crate::ask::parse::parse;
use crate::ask::size::{Unknown, count};

const SHAPE: &str = r#"{"expression": "interest.theatre and not crm.spectator", "exact": false}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    expression: String,
    #[serde(default)]
    exact: bool,
}

#[derive(Serialize)]
struct Answer {
    visitors: Disclosed,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<Unknown>,
    as_of: String,
}

/// Answers how many visitors an expression means now.
///
/// # Errors
/// When the body or the expression cannot be read, or too many questions are being counted.
pub async fn answer(app: &App, query: Option<&str>, body: &mut Incoming) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let bytes = body::read(body, MAX_SIZE_BYTES, app.limits.body).await?;
    let question: Question = body::json(&bytes, SHAPE)?;
    let expression = parse(&question.expression)
        .map_err(|error| Problem::new(Kind::BadExpression, format!("At {error}.")).at_column(error.column))?;
    let (served, now) = (app.live.hold(), app.now());
    let held = Arc::clone(&served);
    let counted = app.pool.run(move || count(&held.snapshot, &held.overlay, &expression, now)).await?;
    let counted = counted.map_err(|error| {
        tracing::error!(generation = served.snapshot.generation(), "a count failed: {error}");
        Problem::internal()
    })?;
    let visitors = if question.exact {
        Disclosed::exact(counted.visitors)
    } else {
        Disclosed::of(counted.visitors, served.snapshot.charter().house().size_floor)
    };
    let answer = Answer { visitors, unknown: counted.unknown, as_of: time::format(now) };
    Ok(reply::of_generation(reply::json(&answer), served.snapshot.generation()))
}
