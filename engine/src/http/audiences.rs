//! `/v1/audiences`: named expressions, which lookups answer with beside segments.

use std::sync::Arc;

use http::StatusCode;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use usher_loader::time;

use super::app::App;
use super::body;
use super::budget::Charge;
use super::govern::unkept;
use super::limits::{MAX_AUDIENCES_LISTED, MAX_SIZE_BYTES};
use super::measure::{Asked, Measured, Sizes, measure};
use super::problem::{Kind, Problem};
use super::query::{Params, bad, decode};
use super::reply::{self, Reply};
use super::size::expression;
use crate::ask::audiences::{Audience, Definition, MAX_AUDIENCES, MAX_NAME_BYTES, is_name};
use crate::keep::trend::{self, Point};
use crate::keep::{AudienceChange, Wish};

const SHAPE: &str = r#"{"expression": "interest.theatre and not crm.spectator"}"#;
/// Audiences that a refusal names.
const MAX_USERS_NAMED: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    expression: String,
}

/// An audience as it is shown.
#[derive(Serialize)]
struct Shown {
    name: String,
    /// Whom it means; absent for the members of a lookalike.
    #[serde(skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
    /// The segment that a lookalike's members are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    lookalike: Option<String>,
    #[serde(flatten)]
    measured: Measured,
    created: String,
    /// Its size day by day; of one audience alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    trend: Option<Vec<Point>>,
}

#[derive(Serialize)]
struct Listing {
    audiences: Vec<Shown>,
    /// To ask for those that come after: `?after=` this.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    as_of: String,
}

/// `PUT /v1/audiences/{name}`: in force for the next lookup. 201 for a new name, else 200.
///
/// # Errors
/// When the name or the expression cannot be used, or the wish cannot be written.
pub async fn put(app: &App, raw: &str, query: Option<&str>, body: &mut Incoming) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let name = name(raw)?;
    let bytes = body::read(body, MAX_SIZE_BYTES, app.limits.body).await?;
    let Wanted { expression: text } = body::json(&bytes, SHAPE)?;
    let wanted = expression(&text)?;
    let known = {
        let audiences = app.live.catalogue.audiences();
        let known = audiences.get(&name).map(Arc::clone);
        if let Some(Definition::Lookalike { .. }) = known.as_ref().map(|audience| &audience.definition) {
            let detail = format!("{name} is the audience of a lookalike; take another name, or delete it first.");
            return Err(Problem::new(Kind::Conflict, detail));
        }
        if known.is_none() && audiences.len() >= MAX_AUDIENCES {
            let detail = format!("There are {MAX_AUDIENCES} audiences already, as many as there may be; delete some.");
            return Err(Problem::new(Kind::Conflict, detail));
        }
        audiences.expand_as(&name, &wanted).map_err(|error| Problem::new(Kind::BadExpression, format!("{error}.")))?;
        known
    };
    // A new expression under an old name is the same audience.
    let created = known.as_ref().map_or_else(|| app.now(), |known| known.created);
    let audience = Arc::new(Audience { definition: Definition::Expression(wanted), created });
    let change = AudienceChange { name: Arc::clone(&name), audience: Some(Arc::clone(&audience)) };
    app.keeper.fulfil(Wish::Audience(change)).await.map_err(unkept)?;
    let mut reply = show(app, name, audience).await?;
    if known.is_none() {
        *reply.status_mut() = StatusCode::CREATED;
    }
    Ok(reply)
}

/// `GET /v1/audiences/{name}`.
///
/// # Errors
/// When there is no such audience, or too many questions are being counted.
pub async fn get(app: &App, raw: &str, query: Option<&str>) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let name = name(raw)?;
    let audience = app.live.catalogue.audiences().get(&name).map(Arc::clone);
    show(app, Arc::clone(&name), audience.ok_or_else(|| unknown(&name))?).await
}

/// `DELETE /v1/audiences/{name}`.
///
/// # Errors
/// When there is no such audience, or another one names it.
pub async fn delete(app: &App, raw: &str, query: Option<&str>) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let name = name(raw)?;
    {
        let audiences = app.live.catalogue.audiences();
        audiences.get(&name).ok_or_else(|| unknown(&name))?;
        let users: Vec<&str> = audiences.users(&name).take(MAX_USERS_NAMED).collect();
        if !users.is_empty() {
            let detail = format!("{name} is named by {}; change what names it, then delete it.", users.join(", "));
            return Err(Problem::new(Kind::Conflict, detail));
        }
    }
    app.keeper.fulfil(Wish::Audience(AudienceChange { name, audience: None })).await.map_err(unkept)?;
    Ok(reply::empty())
}

/// `GET /v1/audiences?prefix=&after=&limit=`: those whose name begins with `prefix`, sorted by their UTF-8 bytes.
///
/// # Errors
/// When a parameter cannot be used, or too many questions are being counted.
pub async fn list(app: &App, query: Option<&str>) -> Result<Reply, Problem> {
    let params = Params::read(query, &["prefix", "after", "limit"])?;
    let prefix = params.get("prefix").unwrap_or("").to_owned();
    let limit = match params.get("limit") {
        None => MAX_AUDIENCES_LISTED,
        Some(text) => {
            text.parse().ok().filter(|limit| (1..=MAX_AUDIENCES_LISTED).contains(limit)).ok_or_else(|| {
                bad(format!("The parameter limit: expected a number from 1 to {MAX_AUDIENCES_LISTED}."))
            })?
        }
    };
    let after = params.get("after").unwrap_or("").to_owned();
    let (wanted, next) = {
        let audiences = app.live.catalogue.audiences();
        let from = audiences.after(&after).filter(|(name, _)| name.starts_with(&*prefix));
        let mut wanted: Vec<_> =
            from.take(limit + 1).map(|(name, audience)| (Arc::clone(name), Arc::clone(audience))).collect();
        let more = wanted.len() > limit;
        wanted.truncate(limit);
        let next = wanted.last().filter(|_| more).map(|(name, _)| name.to_string());
        (wanted, next)
    };
    let asked = wanted.iter().map(|(name, audience)| asked(name, audience)).collect();
    let Sizes { sizes, now, generation } = measure(app, asked).await?;
    let lines = wanted.into_iter().zip(sizes);
    let audiences = lines.map(|((name, audience), measured)| shown(&name, &audience, measured)).collect();
    let listing = Listing { audiences, next, as_of: time::format(now) };
    Ok(reply::of_generation(reply::json(&listing), generation))
}

fn asked(name: &str, audience: &Audience) -> Asked {
    Asked { expression: audience.expression(), charge: Charge::Audience(name.to_owned()) }
}

async fn show(app: &App, name: Arc<str>, audience: Arc<Audience>) -> Result<Reply, Problem> {
    let Sizes { sizes, generation, .. } = measure(app, vec![asked(&name, &audience)]).await?;
    let measured = sizes.into_iter().next().ok_or_else(Problem::internal)?;
    let floor = app.live.glance().snapshot.charter().house().size_floor;
    let trend = Some(trend::of_audience(app.keeper.state(), &name, floor));
    let shown = Shown { trend, ..shown(&name, &audience, measured) };
    Ok(reply::of_generation(reply::json(&shown), generation))
}

fn shown(name: &str, audience: &Audience, measured: Measured) -> Shown {
    let (expression, lookalike) = match &audience.definition {
        Definition::Expression(expression) => (Some(expression.to_string()), None),
        Definition::Lookalike { segment } => (None, Some(segment.clone())),
    };
    Shown {
        name: name.to_owned(),
        expression,
        lookalike,
        measured,
        created: time::format(audience.created),
        trend: None,
    }
}

/// The name in a raw path.
pub(super) fn name(raw: &str) -> Result<Arc<str>, Problem> {
    let text = decode(raw).map_err(|error| bad_name(&format!("In the path, {error}.")))?;
    match is_name(&text) {
        true => Ok(text.into()),
        false => Err(bad_name(&format!(
            "An audience's name has 1 to {MAX_NAME_BYTES} bytes of letters, digits, `_`, `.`, `:` and `-`."
        ))),
    }
}

fn bad_name(detail: &str) -> Problem {
    Problem::new(Kind::BadName, detail.to_owned())
}

fn unknown(name: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("There is no audience {name}; GET /v1/audiences lists those there are."))
}
