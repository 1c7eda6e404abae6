//! How many people some expressions mean, as it may be shown.

use std::sync::Arc;

use serde::Serialize;
use usher_index::{NoiseKey, Time};

use super::app::App;
use super::budget::{Charge, LOCAL, Overspent};
use super::problem::{Kind, Problem};
use crate::ask::AskError;
use crate::ask::disclose::Disclosed;
use crate::ask::discreet::{Discreet, discreet};
use crate::ask::expand::suggest;
use crate::ask::expr::Expr;
use crate::ask::size::count;
use crate::ask::unknown::Unknown;
use crate::keep::{Live, Served};

/// A size as a planner may see it.
#[derive(Serialize)]
pub struct Measured {
    /// `None`: the day's budget is spent.
    pub visitors: Option<Disclosed>,
    /// Why it is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<Unknown>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<String>,
    /// Until the budget is whole again.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

impl Measured {
    /// Names that nothing has.
    pub fn into_unknown(self) -> Vec<Unknown> {
        self.unknown
    }
}

/// What stands in the place of a size that is not told.
pub const WITHHELD: &str = "budget";

/// A question for a size.
pub struct Asked {
    /// Whom it means; audiences in it may still be names.
    pub expression: Expr,
    /// What it costs.
    pub charge: Charge,
}

impl Asked {
    /// A question of a planner: a single segment is free.
    #[must_use]
    pub fn new(expression: Expr) -> Self {
        let charge = if matches!(expression, Expr::Segment(_)) { Charge::Nothing } else { Charge::Set };
        Self { expression, charge }
    }
}

/// The sizes, when they were counted, and in which generation.
pub struct Sizes {
    /// One for each question.
    pub sizes: Vec<Measured>,
    /// When.
    pub now: Time,
    /// In which generation.
    pub generation: u64,
}

/// Counts the visitors of each expression, all at the same moment: that at which their turn came.
///
/// # Errors
/// When an audience in one leads back to itself, one cannot be counted, or too many questions are being counted.
pub async fn measure(app: &App, asked: Vec<Asked>) -> Result<Sizes, Problem> {
    let expanded = asked.iter().map(|asked| expand(&app.live, &asked.expression)).collect::<Result<Vec<_>, _>>()?;
    let (answer, now, generation) = in_turn(app, move |served, now| {
        let (key, floor) = (served.key.noise_key(), served.snapshot.charter().house().size_floor);
        let of = |expr: &Expr| discreet(&served.snapshot, &served.overlay, expr, now, &key);
        let counted = expanded.iter().map(of).collect::<Result<Vec<_>, AskError>>()?;
        Ok((counted, key, floor))
    })
    .await?;
    let (mut counted, key, floor) = answer.map_err(|error| failed(&error, generation))?;
    counted.iter_mut().for_each(|set| name_audiences(&app.live, &mut set.unknown));
    let show = |(asked, set): (&Asked, Discreet)| {
        let charged = app.budget.charge(LOCAL, &asked.charge, set.counted, now);
        shown(set, charged, floor, &key)
    };
    Ok(Sizes { sizes: asked.iter().zip(counted).map(show).collect(), now, generation })
}

fn shown(set: Discreet, charged: Result<(), Overspent>, floor: u64, key: &NoiseKey) -> Measured {
    let Discreet { counted, ignored, unknown } = set;
    match charged {
        Ok(()) => {
            let visitors = Some(Disclosed::of(counted, floor, key));
            Measured { visitors, withheld: None, unknown, ignored, retry_after: None }
        }
        Err(Overspent { seconds }) => {
            let (withheld, retry_after) = (Some(WITHHELD), Some(seconds));
            Measured { visitors: None, withheld, unknown, ignored: Vec::new(), retry_after }
        }
    }
}

/// The exact count of an expression, for those who may see it.
///
/// # Errors
/// As [`measure`].
pub async fn measure_exactly(app: &App, expression: &Expr) -> Result<Sizes, Problem> {
    let expanded = expand(&app.live, expression)?;
    let count_it = move |served: &Served, now| count(&served.snapshot, &served.overlay, &expanded, now);
    let (counted, now, generation) = in_turn(app, count_it).await?;
    let mut counted = counted.map_err(|error| failed(&error, generation))?;
    name_audiences(&app.live, &mut counted.unknown);
    let visitors = Some(Disclosed::exact(counted.visitors));
    let exact = Measured { visitors, withheld: None, unknown: counted.unknown, ignored: Vec::new(), retry_after: None };
    Ok(Sizes { sizes: vec![exact], now, generation })
}

/// Asks a question of the generation in force when its turn comes: one that waited is of the moment at which it is asked.
///
/// # Errors
/// When too many questions are being counted.
pub async fn in_turn<T: Send + 'static>(
    app: &App,
    question: impl FnOnce(&Served, Time) -> T + Send + 'static,
) -> Result<(T, Time, u64), Problem> {
    let (live, clock) = (Arc::clone(&app.live), app.clock);
    let ask = move || {
        let (served, now) = (live.hold(), clock.now());
        (question(&served, now), now, served.snapshot.generation())
    };
    app.pool.run(ask).await
}

/// What the caller hears of a snapshot that could not answer; the log has the cause.
pub fn failed(error: &AskError, generation: u64) -> Problem {
    tracing::error!(generation, "a question failed: {error}");
    Problem::internal()
}

/// Puts the house's audiences into an expression.
///
/// # Errors
/// When one leads back to itself, or too much is in the expression then.
pub fn expand(live: &Live, expression: &Expr) -> Result<Expr, Problem> {
    let expanded = live.catalogue.audiences().expand(expression);
    expanded.map_err(|error| Problem::new(Kind::BadExpression, format!("{error}.")))
}

/// Finds the audiences that were meant by unknown ones.
fn name_audiences(live: &Live, unknown: &mut [Unknown]) {
    let audiences = live.catalogue.audiences();
    suggest(unknown, &audiences.after("").map(|(name, _)| &**name));
}

/// A refusal of a size that is not told.
pub fn overspent(seconds: u32) -> Problem {
    let detail = "Today's budget of different sets is spent, so that nobody can tell one visitor from the differences; single segments, and sets that were asked for today, are still told. It is whole again at midnight UTC.";
    Problem::new(Kind::Overspent, detail).retry_after(seconds)
}
