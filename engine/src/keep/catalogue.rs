//! The audiences in force: read from the state when the process starts, changed by the thread that writes it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use usher_index::state::Shelf;
use usher_index::{Snapshot, State, StateError};

use super::served::Served;
use super::wish::AudienceChange;
use crate::ask::audiences::{Audience, Audiences};
use crate::ask::rules::{Matcher, Numbers, Rule};

/// The house's audiences, and the numbers that their rules are written in.
pub struct Catalogue {
    audiences: RwLock<Audiences>,
    /// How often they were changed, and one: rules that were made meanwhile are known by it.
    version: AtomicU64,
    numbers: Arc<Numbers>,
}

/// Changes of the audiences that are about to be committed. Until they are, nobody sees them.
pub(super) struct Changing<'c> {
    catalogue: &'c Catalogue,
    audiences: Option<RwLockWriteGuard<'c, Audiences>>,
    /// Whose members change.
    affected: BTreeSet<Arc<str>>,
}

/// The audiences that the state holds. One that cannot be read is passed over, and told: the others are not lost with it.
///
/// # Errors
/// When the state cannot be read.
pub fn audiences(state: &State) -> Result<Audiences, StateError> {
    let mut audiences = Audiences::default();
    for (name, bytes) in state.records(Shelf::Audiences)? {
        match Audience::read(&bytes) {
            Some(audience) => audiences.put(name.into(), Arc::new(audience)),
            None => tracing::error!(audience = name, "this audience cannot be read: save it anew"),
        }
    }
    Ok(audiences)
}

impl Catalogue {
    /// What the state holds.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn read(state: &State) -> Result<Self, StateError> {
        Ok(Self { audiences: RwLock::new(audiences(state)?), version: AtomicU64::new(1), numbers: Arc::default() })
    }

    /// The audiences. A change of them waits for as long as this is held.
    pub fn audiences(&self) -> RwLockReadGuard<'_, Audiences> {
        self.audiences.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the rules of a generation, unless it has those of the present audiences.
    pub(super) fn rule(&self, served: &Served) {
        let audiences = self.audiences();
        // Changed under the lock alone.
        let version = self.version.load(Ordering::Relaxed);
        if served.ruled.swap(version, Ordering::Relaxed) != version {
            let rules = (!audiences.is_empty()).then(|| self.matcher(&audiences, &served.snapshot));
            served.rules.store(rules.map(Arc::new));
        }
    }

    fn matcher(&self, audiences: &Audiences, snapshot: &Snapshot) -> Matcher {
        Matcher::new(Arc::clone(&self.numbers), snapshot, rules(audiences))
    }

    pub(super) fn change(&self) -> Changing<'_> {
        Changing { catalogue: self, audiences: None, affected: BTreeSet::new() }
    }
}

/// The rules of all audiences.
#[must_use]
pub fn rules(audiences: &Audiences) -> Vec<Rule> {
    audiences.after("").filter_map(|(name, _)| rule(audiences, name)).collect()
}

/// The rule of an audience; `None` when there is no such audience, or too much in it once those that it names are spelt out.
fn rule(audiences: &Audiences, name: &Arc<str>) -> Option<Rule> {
    let expression = audiences.get(name)?.expression();
    match audiences.expand(&expression) {
        Ok(expression) => Some(Rule { name: Arc::clone(name), expression: Arc::new(expression) }),
        Err(error) => {
            tracing::error!(audience = &**name, "nobody is in this audience: {error}");
            None
        }
    }
}

impl Changing<'_> {
    /// Notes a change. False: it does not go together with those before it, and is not noted.
    pub(super) fn take(&mut self, AudienceChange { name, audience }: &AudienceChange) -> bool {
        let audiences = self
            .audiences
            .get_or_insert_with(|| self.catalogue.audiences.write().unwrap_or_else(PoisonError::into_inner));
        if !audiences.fits(name, audience.as_deref()) {
            return false;
        }
        match audience {
            Some(audience) => audiences.put(Arc::clone(name), Arc::clone(audience)),
            None => _ = audiences.remove(name),
        }
        self.affected.extend(audiences.affected(name));
        true
    }

    /// Puts what was noted into force for lookups: to be called when it is committed.
    pub(super) fn rule(self, served: &Served) {
        let Some(audiences) = self.audiences else { return };
        let (mut put, mut removed) = (Vec::new(), Vec::new());
        for name in self.affected {
            match rule(&audiences, &name) {
                Some(rule) => put.push(rule),
                None => removed.push(name),
            }
        }
        let rules = match &*served.rules.load() {
            Some(rules) => rules.with(&served.snapshot, put, &removed),
            None => self.catalogue.matcher(&audiences, &served.snapshot),
        };
        served.rules.store((!rules.is_empty()).then(|| Arc::new(rules)));
        let version = self.catalogue.version.fetch_add(1, Ordering::Relaxed) + 1;
        served.ruled.store(version, Ordering::Relaxed);
    }
}
