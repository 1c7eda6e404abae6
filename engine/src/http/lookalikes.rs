//! `/v1/lookalikes`: who resembles a seed, and the audience of the most alike.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use usher_index::state::Shelf;
use usher_index::{IdType, Pid, Time, VisitorId};
use usher_loader::time;

use super::app::App;
use super::body;
use super::budget::{Charge, LOCAL};
use super::card::{Drawn, Kept, Order, card, set_of};
use super::govern::unkept;
use super::limits::{MAX_LOOKALIKES, MAX_SEED_BYTES, MAX_SEED_VISITORS, SEEDS_HELD};
use super::measure::{expand, failed, in_turn, overspent};
use super::problem::{Kind, Problem};
use super::query::Params;
use super::reply::{self, Reply};
use super::size::expression;
use crate::ask::AskError;
use crate::ask::audiences::{Definition, MAX_NAME_BYTES, is_name};
use crate::ask::expr::Expr;
use crate::ask::lookalike::{Exclusion, Method, Population, Seed, TrainError, Trained, train};
use crate::ask::members::{MembersError, members};
use crate::keep::{Served, Wish};

const SHAPE: &str = r#"{"name": "autumn", "seed": {"expression": "crm.spectator"}, "exclude": ["crm.*"], "method": "pairs"} or "seed": {"visitors": ["id", {"id": "x", "id_type": "maid"}]}"#;

/// Seeds that came as a list, by the name of their lookalike: kept in memory alone, so that no file holds them.
#[derive(Default)]
pub struct Seeds(Mutex<Vec<(String, Arc<[Pid]>)>>);

impl Seeds {
    fn put(&self, name: &str, seed: Arc<[Pid]>) {
        let mut seeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seeds.retain(|(other, _)| other != name);
        seeds.push((name.to_owned(), seed));
        let over = seeds.len().saturating_sub(SEEDS_HELD);
        seeds.drain(..over);
    }

    fn get(&self, name: &str) -> Option<Arc<[Pid]>> {
        let seeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seeds.iter().find(|(other, _)| other == name).map(|(_, seed)| Arc::clone(seed))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    seed: GivenSeed,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    method: Method,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenSeed {
    expression: Option<String>,
    visitors: Option<Vec<Visitor>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Visitor {
    Id(String),
    Typed { id: String, id_type: Option<String> },
}

/// Where the visitors of a seed come from.
#[derive(Clone)]
pub enum Source {
    /// Who is in an expression without audiences.
    Expression(Expr),
    /// These.
    Visitors(Arc<[Pid]>),
}

/// Why nothing is drawn.
pub enum Undrawn {
    /// An image is damaged.
    Ask(AskError),
    /// What the caller can change.
    Refused(Problem),
}

impl From<AskError> for Undrawn {
    fn from(error: AskError) -> Self {
        Self::Ask(error)
    }
}

/// A model of this moment.
pub struct Fresh<'s> {
    /// Over whom.
    pub population: Population<'s>,
    /// The model with its curve.
    pub trained: Trained,
    /// The seed as it was found.
    pub seed: Vec<Pid>,
    /// What is no feature.
    pub excluded: Vec<Exclusion>,
}

/// `POST /v1/lookalikes`: draws one. 201 with its card.
///
/// # Errors
/// When the body cannot be used, the seed is too small, or too many questions are being counted.
pub async fn make(app: &App, query: Option<&str>, body: &mut Incoming) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let bytes = body::read(body, MAX_SEED_BYTES, app.limits.body).await?;
    let Wanted { name, seed, exclude, method } = body::json(&bytes, SHAPE)?;
    check_name(app, &name)?;
    check_room(app, &name)?;
    let (text, source) = source_of(app, seed)?;
    let order = Order { expression: text, exclude, method, created: app.now().unix() };
    let (result, now, generation) = {
        let (name, order, source) = (name.clone(), order.clone(), source.clone());
        in_turn(app, move |served, now| drawn(served, now, &name, &order, &source)).await?
    };
    let (card, seed) = settled(result, generation)?;
    app.budget.charge(LOCAL, &Charge::Set, seed, now).map_err(|spent| overspent(spent.seconds))?;
    keep(app, &name, &Kept { order, card: card.clone() }).await?;
    if let Source::Visitors(pids) = source {
        app.seeds.put(&name, pids);
    }
    let mut reply = reply::of_generation(reply::json(&card), generation);
    *reply.status_mut() = StatusCode::CREATED;
    Ok(reply)
}

fn drawn(
    served: &Served,
    now: Time,
    name: &str,
    order: &Order,
    source: &Source,
) -> Result<(Value, crate::ask::disclose::Counted), Undrawn> {
    let fresh = draw(served, now, order, source)?;
    let key = served.key.noise_key();
    Ok((card_of(served, now, name, order, &fresh)?, set_of(&fresh.seed, &key)))
}

/// The card of a model that was just drawn.
///
/// # Errors
/// When an image is damaged.
pub fn card_of(served: &Served, now: Time, name: &str, order: &Order, fresh: &Fresh<'_>) -> Result<Value, AskError> {
    let Fresh { population, trained, seed, excluded } = fresh;
    let unknown = population.features().unknown();
    card(served, &Drawn { name, order, trained, seed, excluded, unknown, now })
}

/// Draws a model. What the seed is made of is no feature: it would tell who is in the seed, and nothing else.
///
/// # Errors
/// See [`Undrawn`].
pub fn draw<'s>(served: &'s Served, now: Time, order: &Order, source: &Source) -> Result<Fresh<'s>, Undrawn> {
    let damaged = |error: usher_index::ImageError| Undrawn::Ask(error.into());
    let mut excluded: Vec<Exclusion> =
        order.exclude.iter().map(|text| text.parse().unwrap_or_else(|never| match never {})).collect();
    let seed = match source {
        Source::Visitors(pids) => pids.to_vec(),
        Source::Expression(expr) => {
            expr.for_each_leaf(&mut |leaf| match leaf {
                Expr::Segment(name) => excluded.push(Exclusion::Segment(name.clone())),
                Expr::Prefix(prefix) => excluded.push(Exclusion::Prefix(prefix.clone())),
                _ => {}
            });
            members(&served.snapshot, &served.overlay, expr, now, MAX_SEED_VISITORS).map_err(|error| match error {
                MembersError::Ask(error) => Undrawn::Ask(error),
                MembersError::TooMany { .. } => Undrawn::Refused(unfit(format!("Of the seed: {error}."))),
            })?
        }
    };
    excluded.sort_unstable();
    excluded.dedup();
    let population = Population::new(&served.snapshot, &served.overlay, &excluded, now).map_err(damaged)?;
    let found = Seed::new(&population, &seed).map_err(damaged)?;
    let trained = train(&population, &found, order.method).map_err(|error| match error {
        TrainError::Image(error) => damaged(error),
        // How many were found is told as other sizes are, not to the last visitor.
        TrainError::SmallSeed { least, .. } => Undrawn::Refused(unfit(format!(
            "The seed is too small: fewer than {least} of its visitors are known with a live segment that is not excluded."
        ))),
        error @ TrainError::NobodyElse => Undrawn::Refused(unfit(format!("{error}."))),
    })?;
    Ok(Fresh { population, trained, seed, excluded })
}

/// What came of a question, for the caller.
///
/// # Errors
/// The caller's problem, or ours.
pub fn settled<T>(result: Result<T, Undrawn>, generation: u64) -> Result<T, Problem> {
    result.map_err(|error| match error {
        Undrawn::Refused(problem) => problem,
        Undrawn::Ask(error) => failed(&error, generation),
    })
}

/// `GET /v1/lookalikes/{name}`.
///
/// # Errors
/// When there is none of the name.
pub fn get(app: &App, raw: &str, query: Option<&str>) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    Ok(no_store(reply::json(&kept(app, &super::audiences::name(raw)?)?.card)))
}

/// `GET /v1/lookalikes`.
///
/// # Errors
/// When there are parameters, or the state cannot be read.
pub fn list(app: &App, query: Option<&str>) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let records = app.keeper.state().records(Shelf::Models).map_err(|error| unread(&error))?;
    let line = |(name, bytes): (String, Vec<u8>)| {
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        let created = Time::from_unix(kept.order.created).map(time::format);
        Some(json!({ "name": name, "created": created, "method": kept.order.method }))
    };
    let lines: Vec<Value> = records.into_iter().filter_map(line).collect();
    Ok(no_store(reply::json(&json!({ "lookalikes": lines }))))
}

/// `DELETE /v1/lookalikes/{name}`: the card goes; an audience that was made of it stays.
///
/// # Errors
/// When there is none of the name, or the wish cannot be written.
pub async fn delete(app: &App, raw: &str, query: Option<&str>) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let name = super::audiences::name(raw)?;
    kept(app, &name)?;
    app.keeper.fulfil(Wish::Lookalike { name: name.to_string(), kept: None }).await.map_err(unkept)?;
    Ok(reply::empty())
}

/// The lookalike of a name.
///
/// # Errors
/// When there is none, or the state cannot be read.
pub fn kept(app: &App, name: &str) -> Result<Kept, Problem> {
    let unknown = || {
        Problem::new(Kind::NotFound, format!("There is no lookalike {name}; GET /v1/lookalikes lists those there are."))
    };
    let bytes = app.keeper.state().record(Shelf::Models, name).map_err(|error| unread(&error))?.ok_or_else(unknown)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        tracing::error!(lookalike = name, "this lookalike cannot be read: draw it anew: {error}");
        Problem::internal()
    })
}

/// Writes a lookalike down.
///
/// # Errors
/// When it cannot be written.
pub async fn keep(app: &App, name: &str, kept: &Kept) -> Result<(), Problem> {
    let wish = Wish::Lookalike { name: name.to_owned(), kept: Some(reply::text(kept)) };
    app.keeper.fulfil(wish).await.map_err(unkept).map(drop)
}

/// Where the seed of a lookalike comes from today.
///
/// # Errors
/// When it was a list that is not in memory any more.
pub fn source_again(app: &App, name: &str, order: &Order) -> Result<Source, Problem> {
    match &order.expression {
        Some(text) => Ok(Source::Expression(expand(&app.live, &expression(text)?)?)),
        None => app.seeds.get(name).map(Source::Visitors).ok_or_else(|| {
            let detail = format!("The seed of {name} was a list of visitors, which is kept in memory alone and is gone: draw the lookalike again.");
            Problem::new(Kind::Conflict, detail)
        }),
    }
}

/// Whether there may be one more, or it takes the place of one of its name.
fn check_room(app: &App, name: &str) -> Result<(), Problem> {
    let records = app.keeper.state().records(Shelf::Models).map_err(|error| unread(&error))?;
    if records.len() < MAX_LOOKALIKES || records.iter().any(|(other, _)| other == name) {
        return Ok(());
    }
    let detail = format!("There are {MAX_LOOKALIKES} lookalikes already, as many as there may be; delete some.");
    Err(Problem::new(Kind::Conflict, detail))
}

fn check_name(app: &App, name: &str) -> Result<(), Problem> {
    if !is_name(name) {
        let detail = format!(
            "The name of a lookalike has 1 to {MAX_NAME_BYTES} bytes of letters, digits, `_`, `.`, `:` and `-`."
        );
        return Err(Problem::new(Kind::BadName, detail));
    }
    let known = app.live.catalogue.audiences().get(name).map(Arc::clone);
    if known.is_some_and(|known| matches!(known.definition, Definition::Expression(_))) {
        let detail = format!("There is an audience {name} already; take another name, or delete it first.");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    Ok(())
}

fn source_of(app: &App, seed: GivenSeed) -> Result<(Option<String>, Source), Problem> {
    match seed {
        GivenSeed { expression: Some(text), visitors: None } => {
            let expr = expand(&app.live, &expression(&text)?)?;
            Ok((Some(text), Source::Expression(expr)))
        }
        GivenSeed { expression: None, visitors: Some(visitors) } => {
            if visitors.len() > MAX_SEED_VISITORS {
                let detail = format!("A seed has at most {MAX_SEED_VISITORS} visitors.");
                return Err(Problem::new(Kind::TooManyVisitors, detail));
            }
            let served = app.live.glance();
            let mut types: HashMap<String, IdType> = HashMap::new();
            let mut pid = |(place, visitor): (usize, &Visitor)| {
                let bad = |error: &dyn std::fmt::Display| {
                    Problem::new(Kind::BadId, format!("seed.visitors[{place}]: {error}."))
                };
                let (id, id_type) = match visitor {
                    Visitor::Id(id) => (id, None),
                    Visitor::Typed { id, id_type } => (id, id_type.as_deref()),
                };
                let id = VisitorId::new(id).map_err(|error| bad(&error))?;
                let Some(text) = id_type else { return Ok(served.key.pid(&app.default_id_type, id)) };
                if !types.contains_key(text) {
                    types.insert(text.to_owned(), IdType::new(text).map_err(|error| bad(&error))?);
                }
                Ok(served.key.pid(&types[text], id))
            };
            let pids = visitors.iter().enumerate().map(&mut pid).collect::<Result<Arc<[Pid]>, Problem>>()?;
            Ok((None, Source::Visitors(pids)))
        }
        _ => Err(Problem::new(
            Kind::BadBody,
            format!("A seed has an expression or visitors, one of them. Expected {SHAPE}"),
        )),
    }
}

/// A refusal of what cannot be drawn.
pub fn unfit(detail: String) -> Problem {
    Problem::new(Kind::Unfit, detail)
}

fn unread(error: &usher_index::StateError) -> Problem {
    tracing::error!("the state cannot be read: {error}");
    Problem::internal()
}

fn no_store(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    reply
}
