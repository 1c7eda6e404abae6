//! An audience of a lookalike on its way into the index: first its members, then its name.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use rayon::ThreadPool;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use usher_index::segments::{LOOKALIKE_SOURCE, Segments};
use usher_index::{Entry, FeedKey, LedgerLine, Membership, NoProgress, Pid, Published, Segment, Time, WriteError};
use usher_loader::turn::{self, For};

use super::app::App;
use super::card::Kept;
use super::govern::unkept;
use super::limits::{FEED_PATIENCE, FOLLOW_INTERVAL, MAX_LIVE_AUDIENCE};
use super::lookalikes::{keep, kept};
use super::problem::{Kind, Problem};
use crate::ask::audiences::{Audience, Definition};
use crate::keep::{AudienceChange, KeepError, Rows, Served, Wish, cores, yielding};

/// An audience on its way into the index.
pub struct Making {
    /// The server.
    pub app: Arc<App>,
    /// Of the lookalike and of the audience.
    pub name: Arc<str>,
    /// Which its members get.
    pub segment: String,
    /// How it was drawn, and the card that tells of this audience.
    pub kept: Kept,
    /// Of when it is.
    pub now: Time,
    /// Who was in it before.
    pub old: Vec<Pid>,
    /// The segment that they were in.
    pub before: Option<String>,
}

impl Making {
    /// Few members are live at once; many are built in while the caller goes on. No other is made until this one is named.
    ///
    /// # Errors
    /// When something else is being built in, or nothing can be written.
    pub async fn store(self, entries: Vec<(Pid, Entry)>, making: OwnedSemaphorePermit) -> Result<StatusCode, Problem> {
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
            return Err(Problem::new(Kind::Busy, detail).retry_soon());
        };
        let threads = yielding("audience", cores()).map_err(|error| {
            tracing::error!("no threads to build an audience with: {error}");
            Problem::internal()
        })?;
        tokio::spawn(async move {
            let _places = (place, making);
            let (served, segment, now) = (self.app.live.hold(), self.segment.clone(), self.now);
            match spawn_blocking(move || build(&served, &segment, &entries, now, &threads)).await {
                Ok(Ok(published)) => self.follow(published.generation).await,
                Ok(Err(error)) => tracing::error!(audience = &*self.name, "the audience could not be built: {error}"),
                Err(_) => tracing::error!(audience = &*self.name, "building the audience panicked"),
            }
        });
        Ok(StatusCode::ACCEPTED)
    }

    /// Names the audience once its members are served.
    async fn follow(self, generation: u64) {
        let began = Instant::now();
        while self.app.live.glance().snapshot.generation() < generation {
            if began.elapsed() > FEED_PATIENCE {
                let audience = &*self.name;
                tracing::error!(audience, generation, "an audience was built and is not served: make it again");
                return;
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
        if self.finish().await.is_err() {
            tracing::error!("an audience was built and could not be named; make it again");
        }
    }

    async fn finish(&self) -> Result<(), Problem> {
        // Not over one that was drawn anew, or deleted, meanwhile.
        if kept(&self.app, &self.name).is_ok_and(|kept| kept.order == self.kept.order) {
            keep(&self.app, &self.name, &self.kept).await?;
        }
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

/// Waits for its turn, then builds the members in on `threads`.
fn build(
    served: &Served,
    segment: &str,
    entries: &[(Pid, Entry)],
    now: Time,
    threads: &ThreadPool,
) -> Result<Published, WriteError> {
    let (data, wait) = (served.snapshot.folder().path(), (For::Anybody, FEED_PATIENCE));
    let told = &mut |text: &str| tracing::info!("an audience {text}");
    let mut writer = turn::writer(data, &served.key, "usher-engine serve, which builds an audience", wait, told)?;
    // Not on a thread that yields: commits wait for who holds the bars.
    writer.bar(served.overlay.bars().clone());
    let mut batch = writer.batch(LOOKALIKE_SOURCE);
    entries.iter().for_each(|&(pid, entry)| batch.push(Membership::of_lookalike(pid, entry)));
    batch.finish(Segments::of(segment));
    let key = FeedKey { source: LOOKALIKE_SOURCE.into(), digest: segment.to_owned(), options: String::new() };
    let line = LedgerLine { key, received: now, report: Value::Null, outcome: None };
    threads.install(|| writer.load(vec![(batch, line)], now, &NoProgress))
}
