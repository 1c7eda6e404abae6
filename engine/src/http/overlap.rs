//! `POST /v1/overlap`: how much some segments and audiences have in common.

use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use usher_loader::time;

use super::app::App;
use super::body;
use super::limits::{MAX_OVERLAP, MAX_SIZE_BYTES};
use super::measure::{Asked, Measured, Sizes, WITHHELD, measure};
use super::problem::{Kind, Problem};
use super::query::Params;
use super::reply::{self, Reply};
use crate::ask::disclose::Disclosed;
use crate::ask::expr::Expr;
use crate::ask::parse::parse;
use crate::ask::unknown::Unknown;

const SHAPE: &str = r#"{"segments": ["interest.theatre", "interest.ticketing", "@autumn"]}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    segments: Vec<String>,
}

/// Two sets together, or one by itself.
#[derive(Clone, Serialize)]
struct Cell {
    visitors: Disclosed,
    /// Of the row's set; absent where one of the two sizes is below the floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
}

#[derive(Serialize)]
struct Answer {
    segments: Vec<String>,
    matrix: Vec<Vec<Option<Cell>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<Unknown>,
    as_of: String,
}

/// Answers with the size of every set and of every two of them together.
///
/// # Errors
/// When the body cannot be used, or too many questions are being counted.
pub async fn answer(app: &App, query: Option<&str>, body: &mut Incoming) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let bytes = body::read(body, MAX_SIZE_BYTES, app.limits.body).await?;
    let Question { segments } = body::json(&bytes, SHAPE)?;
    if !(2..=MAX_OVERLAP).contains(&segments.len()) {
        let detail = format!("Expected 2 to {MAX_OVERLAP} segments or audiences; found {}.", segments.len());
        return Err(Problem::new(Kind::BadBody, detail));
    }
    let sets = segments.iter().map(|text| set(text)).collect::<Result<Vec<_>, _>>()?;
    let (mut places, mut asked) = (Vec::new(), Vec::new());
    for (row, one) in sets.iter().enumerate() {
        for (column, other) in sets.iter().enumerate().skip(row) {
            places.push((row, column));
            let both = || Expr::And(vec![one.clone(), other.clone()]);
            asked.push(Asked::new(if one == other { one.clone() } else { both() }));
        }
    }
    let Sizes { sizes, now, generation } = measure(app, asked).await?;
    let mut visitors = vec![vec![None; sets.len()]; sets.len()];
    for (&(row, column), Measured { visitors: size, .. }) in places.iter().zip(&sizes) {
        (visitors[row][column], visitors[column][row]) = (*size, *size);
    }
    let cell = |row: usize, column: usize| {
        let both = visitors[row][column]?;
        Some(Cell { visitors: both, share: share(both, visitors[row][row]) })
    };
    let matrix = (0..sets.len()).map(|row| (0..sets.len()).map(|column| cell(row, column)).collect()).collect();
    let withheld = sizes.iter().any(|size| size.visitors.is_none()).then_some(WITHHELD);
    let mut unknown: Vec<Unknown> = sizes.into_iter().flat_map(Measured::into_unknown).collect();
    unknown.sort_unstable();
    unknown.dedup();
    let answer = Answer { segments, matrix, withheld, unknown, as_of: time::format(now) };
    Ok(reply::of_generation(reply::json(&answer), generation))
}

/// A segment by its name as it is, or an audience by `@name`.
fn set(text: &str) -> Result<Expr, Problem> {
    let refuse = || {
        let detail = format!("Expected the name of a segment, `prefix.*` or `@audience`; found `{text}`.");
        Problem::new(Kind::BadBody, detail)
    };
    match parse(text) {
        Ok(expr @ (Expr::Segment(_) | Expr::Prefix(_) | Expr::Audience(_))) => Ok(expr),
        // A name that an expression would have in quotes.
        _ if usher_index::segments::is_segment_name(text) && !text.starts_with('@') => {
            Ok(Expr::Segment(text.to_owned()))
        }
        _ => Err(refuse()),
    }
}

/// The share of the row, of the numbers that are shown, at most 1.
fn share(both: Disclosed, row: Option<Disclosed>) -> Option<f64> {
    let (both, row) = (both.shown()?, row?.shown()?);
    (row > 0).then(|| (both as f64 / row as f64 * 100.0).round().min(100.0) / 100.0)
}
