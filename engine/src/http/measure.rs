//! How many people some expressions mean, as it may be shown.

use std::sync::Arc;

use serde::Serialize;
use usher_index::Time;

use super::app::App;
use super::problem::Problem;
use crate::ask::AskError;
use crate::ask::disclose::Disclosed;
use crate::ask::expr::Expr;
use crate::ask::size::{Unknown, count};

/// A size as a planner may see it.
#[derive(Serialize)]
pub struct Measured {
    visitors: Disclosed,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<Unknown>,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// A planner.
    Disclosed,
    /// Somebody who may see counts as they are.
    Exact,
}

/// Counts the visitors of each expression, all at the same moment: that at which their turn came. Answers with the moment
/// and the generation.
///
/// # Errors
/// When one cannot be counted, or too many questions are being counted.
pub async fn measure(
    app: &App,
    expressions: Vec<Expr>,
    precision: Precision,
) -> Result<(Vec<Measured>, Time, u64), Problem> {
    let (live, clock) = (Arc::clone(&app.live), app.clock);
    // A count that waited for its turn is of the moment at which it is made.
    let count_all = move || {
        let (served, now) = (live.hold(), clock.now());
        let floor = served.snapshot.charter().house().size_floor;
        let one = |expression: &Expr| {
            let counted = count(&served.snapshot, &served.overlay, expression, now)?;
            let visitors = match precision {
                Precision::Disclosed => Disclosed::of(counted.visitors, floor),
                Precision::Exact => Disclosed::exact(counted.visitors),
            };
            Ok(Measured { visitors, unknown: counted.unknown })
        };
        let counted = expressions.iter().map(one).collect::<Result<Vec<_>, AskError>>();
        (counted, now, served.snapshot.generation())
    };
    let (counted, now, generation) = app.pool.run(count_all).await?;
    let counted = counted.map_err(|error| {
        tracing::error!(generation, "a count failed: {error}");
        Problem::internal()
    })?;
    Ok((counted, now, generation))
}
