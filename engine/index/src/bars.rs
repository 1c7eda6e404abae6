//! Who must stay out: visitors who opted out, and what was observed of erased ones.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::change::Change;
use crate::entry::Entry;
use crate::id::Pid;
use crate::refusal::Refusal;
use crate::time::Tick;
use crate::veils::Veils;

/// The opt-outs and erasures in force, and the veils of the erasures that a build has folded.
///
/// Time of each question: one or two looks into hash tables, and a hash of the pseudonym when there are veils.
#[derive(Debug, Clone, Default)]
pub struct Bars {
    opted_out: HashSet<Pid>,
    erased: HashMap<Pid, Tick>,
    veils: Arc<Veils>,
}

impl Bars {
    /// With the veils of a generation, and nothing else yet.
    #[must_use]
    pub fn new(veils: Arc<Veils>) -> Self {
        Self { veils, ..Self::default() }
    }

    /// Puts a change into force. A row bars nobody.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Row { .. } => {}
            Change::OptOut { pid } => _ = self.opted_out.insert(pid),
            Change::Revoke { pid, at } => {
                // Whoever had not opted out has nothing to take back.
                if self.opted_out.remove(&pid) {
                    self.erase(pid, at);
                }
            }
            Change::Erase { pid, at } => self.erase(pid, at),
        }
    }

    fn erase(&mut self, pid: Pid, at: Tick) {
        let latest = self.erased.entry(pid).or_insert(at);
        *latest = at.max(*latest);
    }

    /// Whether nobody is barred.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opted_out.is_empty() && self.erased.is_empty() && self.veils.is_empty()
    }

    /// Whether the visitor opted out.
    #[must_use]
    pub fn opted_out(&self, pid: Pid) -> bool {
        self.opted_out.contains(&pid)
    }

    /// The last tick whose observations of this visitor were erased.
    #[must_use]
    pub fn erased(&self, pid: Pid) -> Option<Tick> {
        self.erased.get(&pid).copied().max(self.veils.of(pid))
    }

    /// Why a row observed at this tick stays out, if it does.
    #[must_use]
    pub fn refusal(&self, pid: Pid, observed: Tick) -> Option<Refusal> {
        if self.opted_out(pid) {
            return Some(Refusal::OptedOut);
        }
        self.erased(pid).is_some_and(|at| observed <= at).then_some(Refusal::Erased)
    }

    /// Drops from a visitor's entries those that are barred.
    pub fn retain<S>(&self, pid: Pid, entries: &mut Vec<(S, Entry)>) {
        if self.opted_out(pid) {
            entries.clear();
        } else if let Some(at) = self.erased(pid) {
            entries.retain(|(_, entry)| entry.observed > at);
        }
    }

    /// [`Bars::retain`] for entries of images, which hold nothing that a veil of theirs covers: no veil is looked at.
    pub fn retain_built<S>(&self, pid: Pid, entries: &mut Vec<(S, Entry)>) {
        if self.opted_out(pid) {
            entries.clear();
        } else if let Some(&at) = self.erased.get(&pid) {
            entries.retain(|(_, entry)| entry.observed > at);
        }
    }

    /// Whether [`Bars::retain_built`] may drop entries of the visitor.
    #[must_use]
    pub fn bars_built(&self, pid: Pid) -> bool {
        self.opted_out(pid) || self.erased.contains_key(&pid)
    }

    /// The visitors who opted out, in no order.
    pub fn all_opted_out(&self) -> impl Iterator<Item = Pid> {
        self.opted_out.iter().copied()
    }

    /// The erasures that no build has folded, in no order.
    pub fn all_erased(&self) -> impl Iterator<Item = (Pid, Tick)> {
        self.erased.iter().map(|(&pid, &at)| (pid, at))
    }
}
