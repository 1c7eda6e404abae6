//! An index at the console: its images, and over them what the live state holds beyond them.

use std::path::Path;

use anyhow::bail;
use usher_index::state::STATE_FILE;
use usher_index::{Key, Overlay, Snapshot, State, StateError};
use usher_loader::key;

use crate::config;
use crate::keep::overlay;

/// How a verb opens an index.
pub(super) struct Opening<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// The key file that was named.
    pub key_file: Option<&'a Path>,
    /// A charter that holds for this run only.
    pub charter: Option<&'a Path>,
    /// Whether images alone can be asked without the key.
    pub keyless: bool,
    /// What another owner of the live state is told.
    pub verb: &'a str,
    /// Through what the present owner is asked the same.
    pub route: &'a str,
}

impl Opening<'_> {
    /// The snapshot, over it all that no build has folded, and the state, if there is one: held until it is dropped.
    pub fn open(&self) -> anyhow::Result<(Snapshot, Overlay, Option<State>)> {
        if !self.data.is_dir() {
            bail!(
                "{}: there is no such folder; make an index with `usher-loader load FILE --source NAME --data {0}`",
                self.data.display()
            );
        }
        let is_live = self.data.join(STATE_FILE).exists();
        let key = match self.key_file {
            // A key that is named is checked all the same.
            None if !is_live && self.keyless => None,
            named => key::find(self.data, named)?.map(|found| found.key),
        };
        // The state first: nobody folds and forgets its changes while the images are opened.
        let state = match (is_live, &key) {
            (true, Some(key)) => self.take(key)?,
            (true, None) => bail!(no_key(self.data)?),
            (false, _) => None,
        };
        let mut snapshot = Snapshot::open(self.data, key)?;
        if let Some(file) = self.charter {
            snapshot.set_charter(config::charter(file)?);
        }
        let overlay = match &state {
            Some(state) => overlay(&snapshot, state)?.0,
            None => Overlay::default(),
        };
        Ok((snapshot, overlay, state))
    }

    /// The live state, if it is free. Who holds it knows changes that nobody else can.
    fn take(&self, key: &Key) -> anyhow::Result<Option<State>> {
        match State::open_if_present(self.data, key, self.verb) {
            Err(StateError::Held { holder, .. }) => {
                bail!("the live state belongs to {holder}; through it: {}", self.route)
            }
            opened => Ok(opened?),
        }
    }
}

/// What to do without the key.
pub(super) fn no_key(data: &Path) -> anyhow::Result<String> {
    let expected = key::beside(data)?;
    Ok(format!(
        "there is no key in {}; visitors and changes that no build has folded are found only with the index's key: name its file with --key-file",
        expected.display()
    ))
}
