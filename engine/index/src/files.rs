//! The data folder: the names of its files, and the only ways in which they come and go.
//!
//! A file appears by a rename, after its bytes are flushed; the folder is flushed after the rename. So a crash leaves
//! either no file of that name or the whole file, and what has been named stays named.

mod draft;
mod named;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use draft::Draft;
pub use named::NamedLock;

use crate::error::{FileError, OpenError, WriteError};
use crate::witness::{Handle, Step, Witness};

/// The version of the folder's layout.
pub const FOLDER_VERSION: u32 = 1;
const FORMAT_FILE: &str = "FORMAT";
const BUILD_LOCK: &str = "LOCK.build";
/// Read by a group, written by nobody: files are only ever unlinked.
const FILE_MODE: u32 = 0o440;
pub(crate) const TEMPORARY: &str = ".tmp-";
const MANIFEST: &str = "manifest.";
const IMAGE: &str = "img.";
const CHARTER: &str = "charter.";
const VEILS: &str = "veils.";
/// The sub-folder in which refused rows are listed by position.
pub const QUARANTINE: &str = "quarantine";

/// The file name of an image.
#[must_use]
pub fn image_name(generation: u64, shard: u32, digest: &str) -> String {
    format!("{IMAGE}{generation}.{shard}.{digest}")
}

/// The file name of a manifest.
#[must_use]
pub fn manifest_name(generation: u64) -> String {
    format!("{MANIFEST}{generation}")
}

/// The file name of a charter.
#[must_use]
pub fn charter_name(digest: &str) -> String {
    format!("{CHARTER}{digest}")
}

/// The file name of the veils that a generation brought.
#[must_use]
pub fn veils_name(generation: u64) -> String {
    format!("{VEILS}{generation}")
}

fn generation_of(name: &str) -> Option<u64> {
    name.strip_prefix(MANIFEST)?.parse().ok()
}

/// The data folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    witness: Option<Arc<dyn Witness>>,
}

impl Folder {
    /// An existing index, or an empty or absent folder that may become one (nothing is created).
    ///
    /// # Errors
    /// When it holds something else, is of a newer layout, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let folder = Self { path: path.to_path_buf(), witness: None };
        let format = folder.join(FORMAT_FILE);
        match fs::read_to_string(&format) {
            Ok(text) => folder.check_version(&text)?,
            // What a crash left of the first file does not make the folder somebody else's.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if folder.names()?.iter().any(|name| !name.starts_with(TEMPORARY)) {
                    return Err(OpenError::NotAnIndex(folder.path));
                }
            }
            Err(e) => return Err(FileError::new("read", &format)(e).into()),
        }
        Ok(folder)
    }

    /// The same folder; every step by which this value or a copy of it changes the folder is shown to `witness`.
    #[must_use]
    pub fn watched_by(self, witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// What the witness calls a file that is open to be written.
    pub(crate) fn opened(&self, file: &str, fresh: bool) -> Handle {
        self.witness.as_ref().map_or(0, |witness| witness.opened(file, fresh))
    }

    pub(crate) fn show(&self, step: Step<'_>) {
        if let Some(witness) = &self.witness {
            witness.saw(step);
        }
    }

    fn check_version(&self, text: &str) -> Result<(), OpenError> {
        let file = self.join(FORMAT_FILE).display().to_string();
        let found = text.trim().strip_prefix("usher ").and_then(|version| version.parse::<u32>().ok());
        match found {
            Some(found) if found > FOLDER_VERSION => {
                Err(crate::error::ImageError::Newer { file, found, known: FOLDER_VERSION }.into())
            }
            Some(_) => Ok(()),
            None => Err(crate::error::ImageError::Damaged {
                file,
                section: "version",
                offset: 0,
                expected: format!("`usher {FOLDER_VERSION}`"),
                found: format!("{:?}", text.chars().take(40).collect::<String>()),
            }
            .into()),
        }
    }

    /// Makes the folder an index, if it is not one yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(&self) -> Result<(), FileError> {
        fs::create_dir_all(&self.path).map_err(FileError::new("create", &self.path))?;
        let format = self.join(FORMAT_FILE);
        if !format.exists() {
            let text = format!("usher {FOLDER_VERSION}\n");
            self.publish(FORMAT_FILE, text.as_bytes(), true)?;
            if let Some(parent) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_folder(parent)?;
            }
        }
        Ok(())
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes the lock of builders, until it is dropped; `holder` is what others are told meanwhile.
    ///
    /// # Errors
    /// [`WriteError::Locked`] when another process has it.
    pub fn lock_build(&self, holder: &str) -> Result<NamedLock, WriteError> {
        let taken = NamedLock::take(self.join(BUILD_LOCK), holder)?;
        taken.map_err(|holder| WriteError::Locked { folder: self.path.clone(), holder })
    }

    /// Writes a file: temporary name, flush, rename, flush of the folder. Without `replace` an existing file of the
    /// name is an error of kind `AlreadyExists`.
    ///
    /// # Errors
    /// When any step fails; then no file of the name appears.
    pub fn publish(&self, name: &str, bytes: &[u8], replace: bool) -> Result<(), FileError> {
        let mut draft = Draft::new(self, 0)?;
        draft.append(bytes)?;
        draft.publish(name, replace)
    }

    /// Flushes the folder, so that files that came or were renamed stay.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        sync_folder(&self.path)?;
        self.show(Step::FolderFlushed);
        Ok(())
    }

    /// The generations that have a manifest, newest first.
    ///
    /// # Errors
    /// When the folder cannot be read; an absent folder has none.
    pub fn generations(&self) -> Result<Vec<u64>, FileError> {
        let mut generations: Vec<u64> = self.names()?.iter().filter_map(|name| generation_of(name)).collect();
        generations.sort_unstable_by(|a, b| b.cmp(a));
        Ok(generations)
    }

    /// Unlinks images, charters, veils and manifests that none of the kept manifests names, and left-over temporary files.
    /// Only the holder of the build lock may call it.
    ///
    /// # Errors
    /// When the folder cannot be read or a file cannot be unlinked.
    pub fn sweep(&self, keep: &[String]) -> Result<(), FileError> {
        let ours =
            |name: &str| [MANIFEST, IMAGE, CHARTER, VEILS, TEMPORARY].iter().any(|prefix| name.starts_with(prefix));
        let left: Vec<String> = self.names()?.into_iter().filter(|name| ours(name) && !keep.contains(name)).collect();
        if left.is_empty() {
            return Ok(());
        }
        // What takes the place of what goes must last before it.
        self.sync()?;
        for name in left {
            let path = self.join(&name);
            fs::remove_file(&path).map_err(FileError::new("remove", &path))?;
            self.show(Step::Removed { file: &name });
        }
        self.sync()
    }

    fn names(&self) -> Result<Vec<String>, FileError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(FileError::new("read", &self.path)(e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(FileError::new("read", &self.path))?;
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }
}

/// Flushes a folder, so that renames in it survive a power cut.
fn sync_folder(path: &Path) -> Result<(), FileError> {
    let folder = File::open(path).map_err(FileError::new("open", path))?;
    folder.sync_all().map_err(FileError::new("flush", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_not_replaced_unless_asked() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(dir.path()).expect("an empty folder");
        folder.create().expect("writable");
        folder.publish("manifest.1", b"a", false).expect("new");
        let again = folder.publish("manifest.1", b"b", false).expect_err("it exists");
        assert_eq!(again.source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(folder.join("manifest.1")).expect("kept"), b"a");
        assert_eq!(folder.generations().expect("readable"), [1]);
    }

    #[test]
    fn only_one_builder_and_only_an_index() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join("holiday.jpg"), b"").expect("writable");
        assert!(matches!(Folder::open(dir.path()), Err(OpenError::NotAnIndex(_))));
        let folder = Folder::open(&dir.path().join("new")).expect("absent is fine");
        folder.create().expect("writable");
        let held = folder.lock_build("a test").expect("free");
        let said = folder.lock_build("another").expect_err("taken").to_string();
        assert!(said.contains(&format!("process {}, a test", std::process::id())), "{said}");
        drop(held);
        folder.lock_build("another").expect("free again");
        fs::write(folder.join(FORMAT_FILE), "usher 99\n").expect("writable");
        assert!(matches!(Folder::open(folder.path()), Err(OpenError::Image(crate::error::ImageError::Newer { .. }))));
    }

    #[test]
    fn the_sweep_leaves_what_is_named_and_what_is_not_ours() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(dir.path()).expect("an empty folder");
        folder.create().expect("writable");
        for name in ["img.1.0.aa", "img.2.0.bb", "manifest.1", "manifest.2", "veils.1", "veils.2", ".tmp-x", "notes"] {
            fs::write(folder.join(name), b"").expect("writable");
        }
        folder.sweep(&["img.2.0.bb".into(), "manifest.2".into(), "veils.2".into()]).expect("readable");
        let mut left = folder.names().expect("readable");
        left.sort();
        assert_eq!(left, [FORMAT_FILE, "img.2.0.bb", "manifest.2", "notes", "veils.2"]);
    }
}
