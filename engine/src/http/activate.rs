//! `PUT /v1/lookalikes/{name}/audience`: the visitors most like a seed become an audience.
//!
//! They are memberships of a new segment of the house's own source, through the same ways as any row: merge, opt-out,
//! erasure and expiry apply by themselves. Few go the way of live changes; many are built into images, which takes a
//! moment: then the answer is 202.

use std::sync::Arc;

use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use usher_index::segments::LOOKALIKE_PREFIX;
use usher_index::{Entry, NoiseKey, Pid, Time};
use usher_loader::time;

use super::app::App;
use super::body;
use super::card::set_of;
use super::limits::MAX_SIZE_BYTES;
use super::lookalikes::{Source, Undrawn, card_of, draw, kept, settled, source_again, unfit};
use super::making::Making;
use super::measure::in_turn;
use super::problem::{Kind, Problem};
use super::query::Params;
use super::reply::{self, Reply};
use crate::ask::AskError;
use crate::ask::audiences::Definition;
use crate::ask::disclose::Disclosed;
use crate::ask::expr::Expr;
use crate::ask::lookalike::Wanted;
use crate::ask::members::each_member;
use crate::keep::Served;

const SHAPE: &str = r#"{"reach": 0.05} or {"visitors": 250000}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    reach: Option<f64>,
    visitors: Option<u64>,
}

/// Who was chosen, and what is to be told.
struct Picked {
    segment: String,
    entries: Vec<(Pid, Entry)>,
    card: Value,
    audience: Value,
    churn: Value,
    /// Who was in the audience before.
    old: Vec<Pid>,
}

/// Makes the audience, in the place of the one that was made before.
///
/// # Errors
/// When the body cannot be used, there is no such lookalike, another audience is being made, this one would be too small, or
/// nothing can be written.
pub async fn put(app: &Arc<App>, raw: &str, query: Option<&str>, body: &mut Incoming) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let name = super::audiences::name(raw)?;
    let bytes = body::read(body, MAX_SIZE_BYTES, app.limits.body).await?;
    let wanted = wanted(&body::json(&bytes, SHAPE)?)?;
    let Ok(place) = app.making.clone().try_acquire_owned() else {
        let detail = "Another audience of a lookalike is being made; make this one when it is done.";
        return Err(Problem::new(Kind::Busy, detail).retry_soon());
    };
    let mut kept = kept(app, &name)?;
    let source = source_again(app, &name, &kept.order)?;
    let before = match app.live.catalogue.audiences().get(&name).map(|audience| audience.definition.clone()) {
        Some(Definition::Lookalike { segment }) => Some(segment),
        Some(Definition::Expression(_)) => {
            let detail = format!("There is an audience {name} that is no lookalike; delete it first.");
            return Err(Problem::new(Kind::Conflict, detail));
        }
        None => None,
    };
    let (picked, now, generation) = {
        let (name, order, before) = (name.to_string(), kept.order.clone(), before.clone());
        let question = move |served: &Served, now| {
            pick(served, now, &Draft { name: &name, order: &order, wanted }, &source, before.as_deref())
        };
        in_turn(app, question).await?
    };
    let Picked { segment, entries, card, audience, churn, old } = settled(picked, generation)?;
    kept.card = card;
    let told = json!({
        "name": *name, "segment": segment, "reach": audience["reach"], "visitors": audience["visitors"], "churn": churn,
    });
    let done = Making { app: Arc::clone(app), name, segment, kept, now, old, before };
    let status = done.store(entries, place).await?;
    let mut reply = reply::of_generation(reply::json(&told), generation);
    *reply.status_mut() = status;
    Ok(reply)
}

fn wanted(asked: &Asked) -> Result<Wanted, Problem> {
    match *asked {
        Asked { reach: Some(reach), visitors: None } if reach > 0.0 && reach <= 1.0 => Ok(Wanted::Reach(reach)),
        Asked { reach: None, visitors: Some(visitors) } if visitors > 0 => Ok(Wanted::Visitors(visitors)),
        _ => {
            let detail = format!("Expected a reach above 0 and up to 1, or a number of visitors: {SHAPE}.");
            Err(Problem::new(Kind::BadBody, detail))
        }
    }
}

/// An audience that is to be.
struct Draft<'d> {
    name: &'d str,
    order: &'d super::card::Order,
    wanted: Wanted,
}

fn pick(
    served: &Served,
    now: Time,
    draft: &Draft<'_>,
    source: &Source,
    before: Option<&str>,
) -> Result<Picked, Undrawn> {
    let damaged = |error: usher_index::ImageError| Undrawn::Ask(error.into());
    let fresh = draw(served, now, draft.order, source)?;
    let chosen = fresh.trained.model.choose(&fresh.population, draft.wanted).map_err(damaged)?;
    let rules = served.snapshot.charter().lookalike();
    let entries = entries(served, &chosen.pids, now).map_err(damaged)?;
    if (entries.len() as u64) < rules.min_audience {
        return Err(Undrawn::Refused(unfit(format!(
            "The audience would have fewer than {} visitors, the least that the charter allows; reach further.",
            rules.min_audience
        ))));
    }
    let (key, floor) = (served.key.noise_key(), served.snapshot.charter().house().size_floor);
    let pids: Vec<Pid> = entries.iter().map(|(pid, _)| *pid).collect();
    let shown = |pids: &[Pid]| Disclosed::of(set_of(pids, &key), floor, &key);
    let reach = match draft.wanted {
        Wanted::Reach(reach) => reach,
        Wanted::Visitors(_) => (pids.len() as f64 / chosen.ranked.max(1) as f64 * 10_000.0).round() / 10_000.0,
    };
    let segment = next_segment(served, draft.name, now);
    let audience =
        json!({ "segment": segment, "reach": reach, "visitors": shown(&pids), "created": time::format(now) });
    let (churn, old) = match before {
        Some(segment) => churn(served, now, segment, &pids, &key)?,
        None => (Value::Null, Vec::new()),
    };
    let mut card = card_of(served, now, draft.name, draft.order, &fresh)?;
    card["audience"] = audience.clone();
    Ok(Picked { segment, entries, card, audience, churn, old })
}

/// The segment of the next audience of a lookalike. Those of earlier ones are in the index as long as anybody is in them,
/// also when their lookalike was deleted: none is used again.
fn next_segment(served: &Served, name: &str, now: Time) -> String {
    let prefix = format!("{LOOKALIKE_PREFIX}{name}.");
    let number = |segment: &str| segment.strip_prefix(&prefix)?.parse::<u64>().ok();
    let built = served.snapshot.segments().iter().filter_map(|segment| number(&segment.name)).max();
    let view = served.overlay.at(served.snapshot.tick().floor(now));
    let live = view.segments().filter_map(|segment| number(&segment.name)).max();
    format!("{prefix}{}", built.max(live).unwrap_or(0) + 1)
}

/// A membership for each: as long as the charter lets lookalikes live, but no longer than the last of the visitor's own.
fn entries(served: &Served, pids: &[Pid], now: Time) -> Result<Vec<(Pid, Entry)>, usher_index::ImageError> {
    let tick = served.snapshot.tick();
    let observed = tick.floor(now);
    let longest = tick.floor(now.plus(served.snapshot.charter().lookalike().ttl));
    let mut entries = Vec::with_capacity(pids.len());
    for &pid in pids {
        let mut last = observed;
        served.entries(pid, |name, _, entry| {
            if !name.starts_with(LOOKALIKE_PREFIX) && entry.live(observed) {
                last = last.max(entry.expiry);
            }
        })?;
        let entry = Entry { observed, expiry: longest.min(last) };
        if entry.live(observed) {
            entries.push((pid, entry));
        }
    }
    Ok(entries)
}

/// Who joined and who left since the audience was made the last time, and who was in it.
fn churn(
    served: &Served,
    now: Time,
    before: &str,
    pids: &[Pid],
    key: &NoiseKey,
) -> Result<(Value, Vec<Pid>), AskError> {
    let mut old = Vec::new();
    each_member(&served.snapshot, &served.overlay, &Expr::Segment(before.to_owned()), now, |pid| old.push(pid))?;
    let floor = served.snapshot.charter().house().size_floor;
    // Both ascend.
    let less = |some: &[Pid], others: &[Pid]| {
        let left: Vec<Pid> = some.iter().copied().filter(|pid| others.binary_search(pid).is_err()).collect();
        Disclosed::of(set_of(&left, key), floor, key)
    };
    Ok((json!({ "joined": less(pids, &old), "left": less(&old, pids) }), old))
}
