//! `POST /v1/size`: how many people is that.

use std::sync::Arc;

use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use usher_loader::{audit, time};

use super::app::App;
use super::body;
use super::limits::MAX_SIZE_BYTES;
use super::problem::{Kind, Problem};
use super::query::Params;
use super::reply::{self, Reply};
use crate::ask::disclose::Disclosed;
use crate::ask::parse::parse;
use crate::ask::size::{Unknown, count};
use crate::keep::Wish;

const SHAPE: &str = r#"{"expression": "interest.theatre and not crm.spectator", "exact": false}"#;

/// Who asks a server without keys, for the audit.
const LOCAL: &str = "local";

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
/// When the body or the expression cannot be read, an exact count cannot be audited, or too many questions are being counted.
pub async fn answer(app: &App, query: Option<&str>, body: &mut Incoming) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let bytes = body::read(body, MAX_SIZE_BYTES, app.limits.body).await?;
    let question: Question = body::json(&bytes, SHAPE)?;
    let expression = parse(&question.expression)
        .map_err(|error| Problem::new(Kind::BadExpression, format!("At {error}.")).at_column(error.column))?;
    let (live, clock) = (Arc::clone(&app.live), app.clock);
    // A count that waited for its turn is of the moment at which it is made.
    let (served, now, counted) = app
        .pool
        .run(move || {
            let (served, now) = (live.hold(), clock.now());
            let counted = count(&served.snapshot, &served.overlay, &expression, now);
            (served, now, counted)
        })
        .await?;
    let counted = counted.map_err(|error| {
        tracing::error!(generation = served.snapshot.generation(), "a count failed: {error}");
        Problem::internal()
    })?;
    if question.exact {
        let (what, detail) = audit::exact_count(LOCAL, &question.expression);
        app.keeper.fulfil(Wish::Note { what, detail }).await.map_err(super::govern::unkept)?;
    }
    let visitors = if question.exact {
        Disclosed::exact(counted.visitors)
    } else {
        Disclosed::of(counted.visitors, served.snapshot.charter().house().size_floor)
    };
    let answer = Answer { visitors, unknown: counted.unknown, as_of: time::format(now) };
    Ok(reply::of_generation(reply::json(&answer), served.snapshot.generation()))
}
