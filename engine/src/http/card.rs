//! What is told of a lookalike: its model card.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use usher_index::{NoiseKey, Pid, Time};
use usher_loader::time;

use crate::ask::AskError;
use crate::ask::disclose::{Counted, Disclosed, NAMED_BELOW};
use crate::ask::discreet::discreet;
use crate::ask::expr::Expr;
use crate::ask::lookalike::{Exclusion, Method, Point, Shown, Trained};
use crate::keep::Served;

/// The version of the methods: a card of another one may be drawn otherwise today.
const MODEL_VERSION: u32 = 1;

/// How a lookalike was ordered: enough to draw it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The expression of the seed; `None` for a list of visitors, which is nowhere written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Segments that are no features: by name, or `prefix.*`.
    pub exclude: Vec<String>,
    /// How visitors are scored.
    pub method: Method,
    /// When it was ordered, in Unix seconds.
    pub created: i64,
}

/// A lookalike as the state keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// How to draw it again.
    pub order: Order,
    /// What was told when it was last drawn.
    pub card: Value,
}

/// A model of one moment, and what its card is made of.
pub struct Drawn<'d> {
    pub name: &'d str,
    pub order: &'d Order,
    pub trained: &'d Trained,
    pub seed: &'d [Pid],
    pub excluded: &'d [Exclusion],
    /// Exclusions that name no segment.
    pub unknown: &'d [Exclusion],
    pub now: Time,
}

/// The set of these visitors, for disclosure.
pub fn set_of(pids: &[Pid], key: &NoiseKey) -> Counted {
    let visitors = pids.len() as u64;
    let sum = || pids.iter().fold(0u128, |sum, pid| sum.wrapping_add(key.member(*pid)));
    Counted { visitors, members: if visitors < NAMED_BELOW { sum() } else { 0 } }
}

/// The card, without an audience.
///
/// # Errors
/// When an image is damaged.
pub fn card(served: &Served, drawn: &Drawn<'_>) -> Result<Value, AskError> {
    let Drawn { name, order, trained, seed, excluded, unknown, now } = *drawn;
    let key = served.key.noise_key();
    let floor = served.snapshot.charter().house().size_floor;
    let given = set_of(seed, &key);
    // A count of the same seed: other noise than that of the seed itself, the same each time.
    let of_seed = |visitors: u64, salt: u128| {
        let members = if visitors < NAMED_BELOW { given.members.wrapping_add(salt) } else { 0 };
        Disclosed::of(Counted { visitors, members }, floor, &key)
    };
    let points =
        trained.curve.points.iter().map(|point| point_of(point, of_seed(point.visitors, point.visitors.into())));
    let explanation = &trained.explanation;
    let over = singles(served, &explanation.over, now, &key)?;
    let under = singles(served, &explanation.under, now, &key)?;
    let pairs: Vec<Value> = explanation.pairs.iter().map(pair).collect();
    let warnings = trained.warnings.iter().map(ToString::to_string);
    let unknown = unknown.iter().map(|exclusion| format!("no segment is called {exclusion}: it excludes nothing"));
    Ok(json!({
        "name": name,
        "method": order.method,
        "model_version": MODEL_VERSION,
        "created": Time::from_unix(order.created).map(time::format),
        "as_of": time::format(now),
        "seed": { "expression": order.expression, "given": Disclosed::of(given, floor, &key), "matched": of_seed(trained.matched, 1) },
        "scored": of_seed(trained.scored, 2),
        "whole": trained.is_whole,
        "excluded": excluded.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "warnings": warnings.chain(unknown).collect::<Vec<_>>(),
        "curve": points.collect::<Vec<_>>(),
        "random": "recall = reach",
        "headline": {
            "half": trained.curve.half.map(share),
            "four_fifths": trained.curve.four_fifths.map(share),
            "lift_below_two": trained.curve.lift_below_two.map(share),
        },
        "explanation": { "over": over, "under": under, "pairs": pairs },
        "audience": null,
    }))
}

fn point_of(point: &Point, visitors: Disclosed) -> Value {
    let Point { reach, recall, low, high, lift, slice_lift, .. } = *point;
    json!({
        "reach": reach,
        "visitors": visitors,
        "recall": thousandths(recall),
        "low": thousandths(low),
        "high": thousandths(high),
        "lift": share(lift),
        "slice_lift": share(slice_lift),
    })
}

fn singles(served: &Served, shown: &[Shown], now: Time, key: &NoiseKey) -> Result<Vec<Value>, AskError> {
    let floor = served.snapshot.charter().house().size_floor;
    let one = |shown: &Shown| {
        let name = shown.segments.first().map_or("", |name| &**name);
        let set = discreet(&served.snapshot, &served.overlay, &Expr::Segment(name.to_owned()), now, key)?;
        let mut value = shares(shown);
        value["segment"] = name.into();
        value["visitors"] = json!(Disclosed::of(set.counted, floor, key));
        Ok(value)
    };
    shown.iter().map(one).collect()
}

fn pair(shown: &Shown) -> Value {
    let mut value = shares(shown);
    value["segments"] = json!(shown.segments.iter().map(|name| &**name).collect::<Vec<_>>());
    value
}

fn shares(shown: &Shown) -> Value {
    json!({
        "seed_share": share(shown.seed_share),
        "population_share": share(shown.population_share),
        "lift": share(shown.lift),
    })
}

/// Two significant digits: more would tell counts.
fn share(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}

fn thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::{share, thousandths};

    #[test]
    fn shares_have_two_digits() {
        assert_eq!((share(0.123_4), share(11.37), share(0.0), share(0.005_55)), (0.12, 11.0, 0.0, 0.005_6));
        assert_eq!((thousandths(0.123_45), thousandths(1.0)), (0.123, 1.0));
    }
}
