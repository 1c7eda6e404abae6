//! `POST /v1/size`: how many people is that.

use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use usher_loader::{audit, time};

use super::app::App;
use super::body;
use super::govern::unkept;
use super::limits::MAX_SIZE_BYTES;
use super::measure::{Asked, Measured, Sizes, measure, measure_exactly, overspent};
use super::problem::{Kind, Problem};
use super::query::Params;
use super::reply::{self, Reply};
use crate::ask::expr::Expr;
use crate::ask::parse::parse;
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
    #[serde(flatten)]
    measured: Measured,
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
    let expression = expression(&question.expression)?;
    let Sizes { sizes, now, generation } = match question.exact {
        true => measure_exactly(app, &expression).await?,
        false => measure(app, vec![Asked::new(expression)]).await?,
    };
    if question.exact {
        let (what, detail) = audit::exact_count(LOCAL, &question.expression);
        app.keeper.fulfil(Wish::Note { what, detail }).await.map_err(unkept)?;
    }
    let measured = sizes.into_iter().next().ok_or_else(Problem::internal)?;
    if let Some(seconds) = measured.retry_after {
        return Err(overspent(seconds));
    }
    Ok(reply::of_generation(reply::json(&Answer { measured, as_of: time::format(now) }), generation))
}

/// Reads an expression.
///
/// # Errors
/// [`Kind::BadExpression`], with the column.
pub(super) fn expression(text: &str) -> Result<Expr, Problem> {
    parse(text).map_err(|error| Problem::new(Kind::BadExpression, format!("At {error}.")).at_column(error.column))
}
