//! `PUT /v1/lookalikes/{name}/audience`: the visitors most like a seed become an audience.
//!
//! They are memberships of a new segment of the house's own source, through the same ways as any row: merge, opt-out,
//! erasure and expiry apply by themselves. Few go the way of live changes; many are built into images, which takes a
//! moment: then the answer is 202.

use std::sync::Arc;

use http::StatusCode;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use usher_index::segments::{LOOKALIKE_PREFIX, LOOKALIKE_SOURCE, Segments};
use usher_index::{
    Entry, FeedKey, LedgerLine, Membership, NoProgress, NoiseKey, Pid, Published, Segment, Time, WriteError,
};
use usher_loader::time;
use usher_loader::turn::{self, For};

use super::app::App;
use super::body;
use super::card::{Kept, set_of};
use super::govern::unkept;
use super::limits::{FEED_PATIENCE, MAX_LIVE_AUDIENCE, MAX_SIZE_BYTES};
use super::lookalikes::{Source, Undrawn, card_of, draw, keep, kept, settled, source_again, unfit};
use super::measure::in_turn;
use super::problem::{Kind, Problem};
use super::query::Params;
use super::reply::{self, Reply};
use crate::ask::audiences::{Audience, Definition};
use crate::ask::disclose::Disclosed;
use crate::ask::expr::Expr;
use crate::ask::lookalike::Wanted;
use crate::ask::members::members;
use crate::keep::{AudienceChange, KeepError, Rows, Served, Wish};

const SHAPE: &str = r#"{"reach": 0.05} or {"visitors": 250000}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    reach: Option<f64>,
    visitors: Option<u64>,
}

/// Who was chosen, and what is to be told.
struct Picked {
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
/// When the body cannot be used, there is no such lookalike, the audience would be too small, or nothing can be written.
pub async fn put(app: &Arc<App>, raw: &str, query: Option<&str>, body: &mut Incoming) -> Result<Reply, Problem> {
    Params::read(query, &[])?;
    let name = super::audiences::name(raw)?;
    let bytes = body::read(body, MAX_SIZE_BYTES, app.limits.body).await?;
    let wanted = wanted(&body::json(&bytes, SHAPE)?)?;
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
    kept.order.sets += 1;
    let segment = format!("{LOOKALIKE_PREFIX}{name}.{}", kept.order.sets);
    let (picked, now, generation) = {
        let (name, segment, order, before) = (name.to_string(), segment.clone(), kept.order.clone(), before.clone());
        let question = move |served: &Served, now| {
            Ok(pick(
                served,
                now,
                &Draft { name: &name, segment: &segment, order: &order, wanted },
                &source,
                before.as_deref(),
            ))
        };
        in_turn(app, question).await?
    };
    let Picked { entries, card, audience, churn, old } = settled(picked, generation)?;
    kept.card = card;
    let told = json!({
        "name": *name, "segment": segment, "reach": audience["reach"], "visitors": audience["visitors"], "churn": churn,
    });
    let done = Making { app: Arc::clone(app), name, segment, kept, now, old, before };
    let status = done.store(entries).await?;
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
    segment: &'d str,
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
    let audience =
        json!({ "segment": draft.segment, "reach": reach, "visitors": shown(&pids), "created": time::format(now) });
    let (churn, old) = match before {
        Some(segment) => churn(served, now, segment, &pids, &key)?,
        None => (Value::Null, Vec::new()),
    };
    let mut card = card_of(served, now, draft.name, draft.order, &fresh)?;
    card["audience"] = audience.clone();
    Ok(Picked { entries, card, audience, churn, old })
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
fn churn(served: &Served, now: Time, before: &str, pids: &[Pid], key: &NoiseKey) -> Result<(Value, Vec<Pid>), Undrawn> {
    let expr = Expr::Segment(before.to_owned());
    let old = members(&served.snapshot, &served.overlay, &expr, now, usize::MAX).map_err(|error| match error {
        crate::ask::members::MembersError::Ask(error) => Undrawn::Ask(error),
        error @ crate::ask::members::MembersError::TooMany { .. } => Undrawn::Refused(unfit(format!("{error}."))),
    })?;
    let floor = served.snapshot.charter().house().size_floor;
    // Both ascend.
    let less = |some: &[Pid], others: &[Pid]| {
        let left: Vec<Pid> = some.iter().copied().filter(|pid| others.binary_search(pid).is_err()).collect();
        Disclosed::of(set_of(&left, key), floor, key)
    };
    Ok((json!({ "joined": less(pids, &old), "left": less(&old, pids) }), old))
}

/// An audience on its way into the index.
struct Making {
    app: Arc<App>,
    name: Arc<str>,
    segment: String,
    kept: Kept,
    now: Time,
    /// Who was in it before, and the segment that they were in.
    old: Vec<Pid>,
    before: Option<String>,
}

impl Making {
    /// Few members are live at once; many are built in while the caller goes on.
    async fn store(self, entries: Vec<(Pid, Entry)>) -> Result<StatusCode, Problem> {
        if entries.len() <= MAX_LIVE_AUDIENCE {
            let segment = Segment { name: self.segment.as_str().into(), source: LOOKALIKE_SOURCE.into() };
            let rows = entries.iter().map(|&(pid, entry)| (pid, 0, entry)).collect();
            match self.app.keeper.fulfil(Wish::Rows(Rows { segments: vec![segment], rows })).await {
                Ok(_) => {
                    self.finish().await?;
                    return Ok(StatusCode::OK);
                }
                // As many changes as are kept in memory: into the images, then.
                Err(KeepError::Full) => {}
                Err(error) => return Err(unkept(error)),
            }
        }
        let Ok(place) = self.app.feeds.clone().try_acquire_owned() else {
            let detail = "Something else is being built in; make the audience when it is done.";
            return Err(Problem::new(Kind::Busy, detail).retry_after(super::pool::retry_secs()));
        };
        tokio::spawn(async move {
            let _place = place;
            let (served, segment, now) = (self.app.live.hold(), self.segment.clone(), self.now);
            match spawn_blocking(move || build(&served, &segment, &entries, now)).await {
                Ok(Ok(published)) => self.follow(published.generation).await,
                Ok(Err(error)) => tracing::error!(audience = &*self.name, "the audience could not be built: {error}"),
                Err(_) => tracing::error!(audience = &*self.name, "building the audience panicked"),
            }
        });
        Ok(StatusCode::ACCEPTED)
    }

    /// Names the audience once its members are served.
    async fn follow(self, generation: u64) {
        let began = std::time::Instant::now();
        while self.app.live.glance().snapshot.generation() < generation && began.elapsed() < FEED_PATIENCE {
            tokio::time::sleep(super::limits::FOLLOW_INTERVAL).await;
        }
        if self.finish().await.is_err() {
            tracing::error!("an audience was built and could not be named; make it again");
        }
    }

    async fn finish(&self) -> Result<(), Problem> {
        keep(&self.app, &self.name, &self.kept).await?;
        let definition = Definition::Lookalike { segment: self.segment.clone() };
        let audience = Some(Arc::new(Audience { definition, created: self.now }));
        let change = AudienceChange { name: Arc::clone(&self.name), audience };
        self.app.keeper.fulfil(Wish::Audience(change)).await.map_err(unkept)?;
        self.let_go().await;
        Ok(())
    }

    /// Ends the memberships of those who were in the audience before, which nobody is shown any more. Those of a large audience
    /// would fill the live changes: they end with their life.
    async fn let_go(&self) {
        let Some(before) = self.before.as_deref().filter(|_| self.old.len() <= MAX_LIVE_AUDIENCE) else { return };
        let observed = self.app.live.glance().snapshot.tick().floor(self.now);
        let segments = vec![Segment { name: before.into(), source: LOOKALIKE_SOURCE.into() }];
        let rows = self.old.iter().map(|&pid| (pid, 0, Entry { observed, expiry: observed })).collect();
        if let Err(error) = self.app.keeper.fulfil(Wish::Rows(Rows { segments, rows })).await {
            tracing::warn!(audience = &*self.name, "who was in it before stays until the end of the life: {error}");
        }
    }
}

fn build(served: &Served, segment: &str, entries: &[(Pid, Entry)], now: Time) -> Result<Published, WriteError> {
    let (data, wait) = (served.snapshot.folder().path(), (For::Anybody, FEED_PATIENCE));
    let told = &mut |text: &str| tracing::info!("an audience {text}");
    let mut writer = turn::writer(data, &served.key, "usher-engine serve, which builds an audience", wait, told)?;
    writer.bar(served.overlay.bars().clone());
    let mut batch = writer.batch(LOOKALIKE_SOURCE);
    entries.iter().for_each(|&(pid, entry)| batch.push(Membership::of_lookalike(pid, entry)));
    batch.finish(Segments::of(segment));
    let key = FeedKey { source: LOOKALIKE_SOURCE.into(), digest: segment.to_owned(), options: String::new() };
    let line = LedgerLine { key, received: now, report: Value::Null, outcome: None };
    writer.load(vec![(batch, line)], now, &NoProgress)
}
