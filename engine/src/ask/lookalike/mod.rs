//! Who resembles them? From a seed of visitors to a model, an honest reach curve, and the audience of a chosen size.
//!
//! [`Population`] (who is there, and how many have each segment) -> [`Seed`] -> [`train`] -> [`Trained`]: a [`Model`],
//! its [`Curve`] and [`Explanation`]; then [`Model::choose`]. A *feature* is a segment that may speak about visitors:
//! not excluded, not forbidden by the charter, not a lookalike audience. Who has a live one is *eligible*; who is eligible
//! and not in the seed is *ranked*.
//!
//! Two methods. Stage 1 ([`iv`]) weighs features by counts alone. Stage 2 ([`pairs`]) is a ridge on the strongest
//! features and pairs of them, plus half of stage 1. Both train on a [`sample`] of whole blocks, and the same [`scan`]
//! over containers scores everybody. Sums are whole numbers: same input, same model, same audience, on any machine
//! with any number of threads.

mod choose;
mod columns;
mod curve;
mod explain;
mod features;
mod iv;
mod model;
mod pairs;
mod population;
mod ridge;
mod rows;
mod sample;
mod scan;
mod seed;
mod train;

pub use choose::{Chosen, Wanted};
pub use curve::{Curve, Point, REACHES};
pub use explain::{Explanation, Shown};
pub use features::{Exclusion, Features};
pub use model::{Method, Model};
pub use population::Population;
pub use seed::{Profiles, Seed};
pub use train::{LEAST_SEED, SMALL_SEED, TrainError, Trained, Warning, train};
