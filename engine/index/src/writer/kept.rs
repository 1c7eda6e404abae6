//! Which files of the folder are kept, and the end of all others.

use crate::error::{FileError, WriteError};
use crate::files::{Folder, charter_name, manifest_name};
use crate::manifest::Manifest;
use crate::snapshot::Snapshot;

/// What others are told meanwhile.
const SWEEPER: &str = "usher-engine serve, which sweeps what a build left";

/// All files that a manifest names, itself too.
pub(super) fn files_of(manifest: &Manifest) -> Vec<String> {
    let images = manifest.images.iter().map(|image| image.file.clone());
    let charter = manifest.charter.as_deref().map(charter_name);
    let veils = manifest.veils.iter().map(|veils| veils.file.clone());
    images.chain(charter).chain(veils).chain([manifest_name(manifest.generation)]).collect()
}

/// Unlinks what a build left that died between its rename and its sweep: generations that hold what was erased may be
/// among it. Nothing is unlinked while a newer generation than the snapshot is there, which is damaged or fresh. Only the
/// holder of the build lock may call it.
pub(super) fn sweep(snapshot: &Snapshot) -> Result<(), FileError> {
    let folder = snapshot.folder();
    let Some(manifest) = snapshot.manifest() else { return Ok(()) };
    if folder.generations()?.first() != Some(&manifest.generation) {
        return Ok(());
    }
    let previous = manifest.previous.and_then(|number| read(folder, number));
    let files: Vec<String> = std::iter::once(manifest).chain(&previous).flat_map(files_of).collect();
    folder.sweep(&files)
}

/// The manifest of a generation, if it can be read: else it is none to fall back to.
fn read(folder: &Folder, generation: u64) -> Option<Manifest> {
    let bytes = std::fs::read(folder.join(&manifest_name(generation))).ok()?;
    Manifest::read("", &bytes).ok()
}

/// Sweeps what a build left behind that died, unless somebody builds now: a build that ends sweeps by itself.
///
/// # Errors
/// When the folder cannot be read or a file not be unlinked.
pub fn sweep_left(snapshot: &Snapshot) -> Result<(), WriteError> {
    match snapshot.folder().lock_build(SWEEPER) {
        Ok(_lock) => Ok(sweep(snapshot)?),
        Err(WriteError::Locked { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
