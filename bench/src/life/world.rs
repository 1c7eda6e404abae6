//! The world in which a life is lived: a folder, its state, what is served of it, and the models beside.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use usher_engine::keep::adopt;
use usher_engine::keep::{Served, follow};
use usher_index::state::oldest_folded;
use usher_index::{
    AuditEntry, Batch, Change, Charter, Commit, Entry, FeedKey, Folder, IdType, LedgerLine, NoProgress, Row, Segment,
    Snapshot, Span, State, Tick, VisitorId, Writer,
};

use super::act::{Act, Deed, Fact};
use super::model::{Held, Model};
use super::{CHARTER, HOUR, KINDS, Kind, NOW, id, key, pid, tick, time};

/// Rows may be observed so many seconds after now: sources have clocks of their own.
const SKEW: i64 = 300;
/// The longest life of a source, in seconds.
const LONGEST: i64 = 96 * HOUR;

/// A folder and all that is known of it.
pub struct World {
    folder: Folder,
    state: Option<State>,
    served: Option<Served>,
    /// What is in the folder.
    whole: Model,
    /// What is served: feeds that came beside the state are seen when their generation is.
    seen: Model,
    now: i64,
    /// The clock does not go back before this moment: what was purged or forgotten then does not come back.
    floor: i64,
    /// The latest observation of any row.
    newest: u32,
    sent: Vec<Sent>,
    feeds: u32,
    shard_visitors: u32,
}

/// A row that was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    visitor: u32,
    kind: Kind,
    number: u32,
    /// Unix seconds.
    observed: i64,
    hours: u32,
}

impl Sent {
    fn held(self) -> Held {
        let hours = i64::from(self.hours.min(self.kind.hours));
        Held { observed: tick(self.observed), expiry: tick(self.observed + hours * HOUR) }
    }

    fn entry(self) -> Entry {
        let Held { observed, expiry } = self.held();
        Entry { observed: Tick::new(observed), expiry: Tick::new(expiry) }
    }

    /// Whether a row that is sent now is neither of the future nor too old.
    fn timely(self, now: i64) -> bool {
        self.observed <= now + SKEW && self.observed + i64::from(self.kind.hours) * HOUR > now
    }
}

impl World {
    /// An empty folder. Shards of `shard_visitors` at most.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn found(folder: Folder, shard_visitors: u32) -> Result<Self> {
        let state = Some(State::open_in(&folder, &key(), "a life")?);
        Ok(Self {
            folder,
            state,
            served: None,
            whole: Model::default(),
            seen: Model::default(),
            now: NOW,
            floor: 0,
            newest: 0,
            sent: Vec::new(),
            feeds: 0,
            shard_visitors,
        })
    }

    /// What is in the folder.
    #[must_use]
    pub fn whole(&self) -> &Model {
        &self.whole
    }

    /// What is to be seen of what is served.
    #[must_use]
    pub fn seen(&self) -> &Model {
        &self.seen
    }

    /// What is served, after the first [`Act::Adopt`] or [`Act::Reopen`].
    #[must_use]
    pub fn served(&self) -> Option<&Served> {
        self.served.as_ref()
    }

    /// The moment, in Unix seconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.now
    }

    fn state(&self) -> Result<&State> {
        self.state.as_ref().context("a state that could not be opened again")
    }

    /// Does it.
    ///
    /// # Errors
    /// When something fails that nothing disturbs, or admission judges a row in another way than its law.
    pub fn act(&mut self, act: &Act) -> Result<()> {
        match act {
            Act::Commit(deeds) => self.commit(deeds),
            Act::Load { facts, barred } => self.load(facts, *barred),
            Act::Fold { anew } => self.fold(*anew),
            Act::Rebuild => {
                self.writer()?.rebuild(time(self.now), true, &NoProgress)?;
                self.floor = self.now;
                Ok(())
            }
            Act::Adopt => self.adopt(),
            Act::Settle => Ok(self.state()?.settle(oldest_folded(&self.folder)?).map(drop)?),
            Act::Reopen => self.reopen(),
            Act::Clock(minutes) => {
                self.now = (self.now + i64::from(*minutes) * 60).max(self.floor);
                Ok(())
            }
        }
    }

    fn resolve(&mut self, fact: Fact) -> Option<Sent> {
        let sent = match fact {
            Fact::Again(back) => *self.sent.get(self.sent.len().checked_sub(back + 1)?)?,
            Fact::Fresh { visitor, kind, age, hours } => {
                // Somewhere in its tick; in the present one at its beginning, which is not in the future.
                let within = if age == 0 { 0 } else { i64::from(visitor * 997 + hours * 131) % HOUR };
                let observed = (self.now / HOUR - i64::from(age)) * HOUR + within;
                Sent { visitor, kind: KINDS[kind], number: kind as u32, observed, hours }
            }
        };
        self.sent.push(sent);
        Some(sent)
    }

    fn commit(&mut self, deeds: &[Deed]) -> Result<()> {
        let (mut changes, at) = (Vec::new(), tick(self.now));
        for deed in deeds {
            changes.push(match *deed {
                Deed::Row(fact) => {
                    let Some(sent) = self.resolve(fact).filter(|sent| sent.timely(self.now)) else { continue };
                    self.newest = self.newest.max(sent.held().observed);
                    self.each(|model| model.row(sent.visitor, sent.kind.name, sent.held()));
                    Change::Row { pid: pid(sent.visitor), segment: sent.number, entry: sent.entry() }
                }
                Deed::OptOut(visitor) => {
                    self.each(|model| model.opt_out(visitor));
                    Change::OptOut { pid: pid(visitor) }
                }
                Deed::Revoke(visitor) => {
                    // Were the clock to go back before an observation, a build or none between opt-out and revocation
                    // would decide whether it comes back. No law says which; so here nothing comes back.
                    let at = at.max(self.newest);
                    self.each(|model| model.revoke(visitor, at));
                    Change::Revoke { pid: pid(visitor), at: Tick::new(at) }
                }
                Deed::Erase(visitor, ago) => {
                    self.each(|model| model.erase(visitor, at - ago));
                    Change::Erase { pid: pid(visitor), at: Tick::new(at - ago) }
                }
            });
        }
        let segments = KINDS.map(|kind| Segment { name: kind.name.into(), source: kind.source.into() });
        let line = AuditEntry { at: time(self.now), what: "life".to_owned(), detail: String::new(), receipt: None };
        self.state()?.commit(&Commit {
            changes: &changes,
            segments: &segments,
            audit: &[line],
            ..Commit::default()
        })?;
        if let Some(Served { snapshot, overlay, .. }) = &self.served {
            let name =
                |number: u32| segments.get(number as usize).map(|s| (Arc::clone(&s.name), Arc::clone(&s.source)));
            overlay.apply(snapshot, &name, &changes)?;
        }
        Ok(())
    }

    fn each(&mut self, change: impl Fn(&mut Model)) {
        change(&mut self.whole);
        change(&mut self.seen);
    }

    fn writer(&self) -> Result<Writer> {
        let mut writer = Writer::open_in(self.folder.clone(), key())?;
        writer.adopt_charter(Charter::parse(CHARTER)?)?;
        writer.limit_shards(self.shard_visitors);
        Ok(writer)
    }

    fn load(&mut self, facts: &[Fact], barred: bool) -> Result<()> {
        let rows: Vec<Sent> = facts.iter().filter_map(|&fact| self.resolve(fact)).collect();
        let mut writer = self.writer()?;
        if barred {
            let veils = Arc::clone(writer.snapshot().veils());
            writer.bar(self.state()?.bars(veils)?);
        }
        let mut feeds = Vec::new();
        for source in ["mag", "house"] {
            let (mut batch, received) = (Batch::new(source), time(self.now));
            let mut admission = writer.admission(source, IdType::default(), None, received)?;
            for sent in rows.iter().filter(|sent| sent.kind.source == source) {
                let id = id(sent.visitor);
                let row = Row {
                    visitor: VisitorId::new(&id)?,
                    segment: sent.kind.name.into(),
                    id_type: None,
                    observed: Some(time(sent.observed)),
                    ttl: Some(Span::from_secs(sent.hours * 3_600)),
                    expires: None,
                    remove: sent.hours == 0,
                };
                let (held, timely) = (sent.held(), sent.timely(self.now));
                let out = self.whole.opted_out(sent.visitor) || self.whole.erased(sent.visitor, held.observed);
                match admission.admit(&row) {
                    Ok(admitted) => {
                        ensure!(timely && !(barred && out), "a row was let in: {sent:?}");
                        ensure!(admitted.membership.entry() == sent.entry(), "{sent:?} became {admitted:?}");
                        self.newest = self.newest.max(held.observed);
                        self.whole.row(sent.visitor, sent.kind.name, held);
                        batch.push(admitted.membership);
                    }
                    Err(refusal) => ensure!(!timely || out, "a row was refused: {refusal}, {sent:?}"),
                }
            }
            batch.finish(admission.into_segments());
            self.feeds += 1;
            let key = FeedKey { source: source.into(), digest: self.feeds.to_string(), options: String::new() };
            feeds.push((batch, LedgerLine { key, received, report: Default::default(), outcome: None }));
        }
        writer.load(feeds, time(self.now), &NoProgress)?;
        Ok(())
    }

    fn fold(&mut self, anew: bool) -> Result<()> {
        let mut writer = self.writer()?;
        writer.fold(self.state()?)?;
        if anew {
            writer.rebuild(time(self.now), true, &NoProgress)?;
        } else {
            writer.load(Vec::new(), time(self.now), &NoProgress)?;
        }
        // Old veils are forgotten, too.
        if anew || self.whole.earliest_erasure().is_some_and(|at| at < tick(self.now - LONGEST)) {
            self.floor = self.floor.max(self.now);
        }
        Ok(())
    }

    fn adopt(&mut self) -> Result<()> {
        let snapshot = Snapshot::open_in(self.folder.clone(), Some(key()))?;
        let (overlay, _) = adopt::overlay(&snapshot, self.state()?)?;
        self.served = Some(Served::new(snapshot, key(), overlay));
        self.seen = self.whole.clone();
        Ok(())
    }

    fn reopen(&mut self) -> Result<()> {
        (self.served, self.state) = (None, None);
        let state = State::open_in(&self.folder, &key(), "a life")?;
        self.served = Some(follow::open(self.folder.path(), key(), &state, time(self.now))?);
        self.state = Some(state);
        self.seen = self.whole.clone();
        Ok(())
    }
}
