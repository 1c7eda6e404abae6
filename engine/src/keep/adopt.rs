//! From a generation that was opened to one that is served: with an overlay of all that its images lack.

use std::sync::Arc;

use thiserror::Error;
use usher_index::{Change, ImageError, Overlay, Snapshot, State, StateError};

use super::served::Served;

/// Changes that are put over a generation at a time.
const STEP_CHANGES: usize = 65_536;

/// So few changes are left to the thread that commits: it puts them over the generation in a moment.
const FEW_CHANGES: usize = 500;

/// Why changes cannot be put over images.
#[derive(Debug, Error)]
pub enum AdoptError {
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// An image is damaged.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// A generation with the changes until some moment.
pub struct Candidate {
    served: Served,
    up_to: u64,
}

/// An overlay over the snapshot with all that the state holds and the images lack, and the number of its last batch.
///
/// # Errors
/// When the state or an image cannot be read.
pub fn overlay(snapshot: &Snapshot, state: &State) -> Result<(Overlay, u64), AdoptError> {
    let folded = snapshot.manifest().map_or(0, |manifest| manifest.folded);
    let mut changes = Vec::new();
    // Opt-outs and erasures are in the bars already, as they were left. To go through them once more would take back an
    // opt-out that came after its revocation, and so erase what nobody wished erased.
    let unfolded = state.unfolded(folded, Arc::clone(snapshot.veils()), |_, change| {
        changes.extend(Some(change).filter(|change| matches!(change, Change::Row { .. })));
    })?;
    let overlay = Overlay::new(snapshot, unfolded.bars)?;
    apply(&overlay, snapshot, state, &changes)?;
    Ok((overlay, unfolded.up_to))
}

fn apply(overlay: &Overlay, snapshot: &Snapshot, state: &State, changes: &[Change]) -> Result<(), AdoptError> {
    let segments = state.segments();
    let name = |number: u32| {
        let segment = segments.get(number as usize)?;
        Some((Arc::clone(&segment.name), Arc::clone(&segment.source)))
    };
    for step in changes.chunks(STEP_CHANGES) {
        overlay.apply(snapshot, &name, step)?;
    }
    Ok(())
}

impl Candidate {
    /// A generation whose overlay holds the changes up to batch `up_to`.
    #[must_use]
    pub fn new(served: Served, up_to: u64) -> Self {
        Self { served, up_to }
    }

    /// Takes in what was committed while it was made, until little is left for the thread that commits, or no less: no wish is
    /// fulfilled while that thread takes in the rest.
    ///
    /// # Errors
    /// When the state or an image cannot be read.
    pub fn catch_up(&mut self, state: &State) -> Result<(), AdoptError> {
        let mut before = usize::MAX;
        loop {
            let changes = self.take_in(state)?;
            // Where changes come nearly as fast as they are taken in, going on would not end.
            if changes <= FEW_CHANGES || changes > before / 2 {
                return Ok(());
            }
            before = changes;
        }
    }

    /// The same with every change committed since. Only the thread that commits may ask, so that there are no more.
    ///
    /// # Errors
    /// When the state or an image cannot be read.
    pub(super) fn complete(mut self, state: &State) -> Result<Served, AdoptError> {
        self.take_in(state)?;
        Ok(self.served)
    }

    /// Returns how many changes there were.
    fn take_in(&mut self, state: &State) -> Result<usize, AdoptError> {
        let (mut changes, up_to) = (Vec::new(), state.last_sequence());
        state.changes(self.up_to, up_to, |_, change| changes.push(change))?;
        apply(&self.served.overlay, &self.served.snapshot, state, &changes)?;
        self.up_to = up_to;
        Ok(changes.len())
    }
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate").field("up_to", &self.up_to).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use usher_index::{Commit, Key, Pid, Tick};

    use super::*;

    #[test]
    fn who_catches_up_meets_every_change_once_and_in_order() {
        let (dir, key) = (tempfile::tempdir().unwrap(), Key::from_bytes([7; 32]));
        let [anna, ben, carl] = [1, 2, 3].map(|byte| Pid::from_bytes([byte; 10]));
        let state = State::open(dir.path(), &key, "a test").unwrap();
        let commit = |change| _ = state.commit(&Commit { changes: &[change], ..Commit::default() }).unwrap();
        commit(Change::OptOut { pid: anna });
        let snapshot = Snapshot::open(dir.path(), Some(key.clone())).unwrap();
        let (overlay, up_to) = overlay(&snapshot, &state).unwrap();
        let mut candidate = Candidate::new(Served::new(snapshot, key, overlay), up_to);
        commit(Change::OptOut { pid: ben });
        commit(Change::Revoke { pid: ben, at: Tick::new(5) });
        candidate.catch_up(&state).unwrap();
        commit(Change::OptOut { pid: ben });
        commit(Change::Revoke { pid: anna, at: Tick::new(7) });
        commit(Change::OptOut { pid: carl });
        let served = candidate.complete(&state).unwrap();
        let bars = served.overlay.bars();
        assert_eq!([anna, ben, carl].map(|pid| bars.opted_out(pid)), [false, true, true]);
        assert_eq!([anna, ben, carl].map(|pid| bars.erased(pid)), [Some(Tick::new(7)), Some(Tick::new(5)), None]);
    }

    #[test]
    fn an_opt_out_after_an_idle_revocation_erases_nothing() {
        let (dir, key, pid) = (tempfile::tempdir().unwrap(), Key::from_bytes([7; 32]), Pid::from_bytes([1; 10]));
        let state = State::open(dir.path(), &key, "a test").unwrap();
        for change in [Change::Revoke { pid, at: Tick::new(5) }, Change::OptOut { pid }] {
            state.commit(&Commit { changes: &[change], ..Commit::default() }).unwrap();
        }
        let snapshot = Snapshot::open(dir.path(), Some(key)).unwrap();
        let (overlay, up_to) = overlay(&snapshot, &state).unwrap();
        let bars = overlay.bars();
        assert_eq!((up_to, bars.opted_out(pid), bars.erased(pid)), (2, true, None));
    }
}
