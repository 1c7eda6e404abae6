//! What every request can reach.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::Semaphore;
use usher_index::{IdType, Time};
use usher_loader::clock::Clock;

use super::budget::Budget;
use super::limits::Limits;
use super::lookalikes::Seeds;
use super::metrics::Metrics;
use super::pool::Pool;
use crate::keep::{Keeper, Live};

/// The server's parts.
pub struct App {
    /// The generation that answers.
    pub live: Arc<Live>,
    /// Who changes the state.
    pub keeper: Arc<Keeper>,
    /// Places for whole feeds.
    pub feeds: Arc<Semaphore>,
    /// The place for a lookalike audience in the making: one at a time, so that no two take the same segment.
    pub making: Arc<Semaphore>,
    /// Where `now` comes from.
    pub clock: Clock,
    /// What is counted while requests pass.
    pub metrics: Arc<Metrics>,
    /// The threads for planners' questions.
    pub pool: Pool,
    /// Seeds that came as a list.
    pub seeds: Seeds,
    /// What planners were told today.
    pub budget: Budget,
    /// The bounds in force.
    pub limits: Limits,
    /// The id type of a lookup that names none.
    pub default_id_type: IdType,
    /// Set when the server stops taking connections.
    pub draining: AtomicBool,
}

impl App {
    /// This moment.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }
}
