//! The pseudonym key of an index: a file with 64 hexadecimal digits, beside the data folder unless another is named.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use usher_index::{Key, OpenError, Snapshot};

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file is missing.
    #[error("there is no key in {}: the index in {} was made with one and cannot be used without; restore that file, or name it with --key-file", key.display(), data.display())]
    Lost {
        /// Where it was looked for.
        key: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
    /// `--key-file` names nothing.
    #[error("--key-file {}: there is no such file; a key is 64 hexadecimal digits", .0.display())]
    Missing(PathBuf),
    /// The file holds something else.
    #[error("{} holds no key: expected 64 hexadecimal digits and nothing else", .0.display())]
    NotAKey(PathBuf),
    /// The system said no.
    #[error("cannot {doing} the key file {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No name to put `.key` behind.
    #[error("{} has no name beside which a key could lie; name the file with --key-file", .0.display())]
    Nameless(PathBuf),
    /// The data folder cannot be looked at.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A key, and whether it was made just now.
#[derive(Debug)]
pub struct KeyFile {
    /// The key.
    pub key: Key,
    /// Its file.
    pub path: PathBuf,
    /// Whether the file is new.
    pub created: bool,
}

/// The key of the index in `data`: `named`, or the file beside the folder, which is made when the index has no
/// generation yet.
///
/// # Errors
/// When a file cannot be read or written, holds no key, or is missing beside an index that has one.
pub fn obtain(data: &Path, named: Option<&Path>) -> Result<KeyFile, KeyFileError> {
    if let Some(found) = find(data, named)? {
        return Ok(found);
    }
    let path = beside(data)?;
    if Snapshot::newest_generation(data)? > 0 {
        return Err(KeyFileError::Lost { key: path, data: data.to_path_buf() });
    }
    match create(&path) {
        Ok(key) => Ok(KeyFile { key, path, created: true }),
        // Another process was faster: its key is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let key = read(&path)?;
            Ok(KeyFile { key, path, created: false })
        }
        Err(source) => Err(KeyFileError::File { doing: "create", path, source }),
    }
}

/// The key of the index in `data` if there is one: `named`, or the file beside the folder. Nothing is made.
///
/// # Errors
/// When `named` is missing, or a file cannot be read or holds no key.
pub fn find(data: &Path, named: Option<&Path>) -> Result<Option<KeyFile>, KeyFileError> {
    let path = match named {
        Some(path) if !path.exists() => return Err(KeyFileError::Missing(path.to_path_buf())),
        Some(path) => path.to_path_buf(),
        None => beside(data)?,
    };
    if !path.exists() {
        return Ok(None);
    }
    let key = read(&path)?;
    Ok(Some(KeyFile { key, path, created: false }))
}

/// `DIR.key` beside the data folder `DIR`.
///
/// # Errors
/// When the folder has no name, such as `/`.
pub fn beside(data: &Path) -> Result<PathBuf, KeyFileError> {
    // A folder that is there may be called `.` or `..`; its real path has a name.
    let real = fs::canonicalize(data).unwrap_or_else(|_| data.to_path_buf());
    let nameless = || KeyFileError::Nameless(data.to_path_buf());
    let mut name = real.file_name().ok_or_else(nameless)?.to_owned();
    name.push(".key");
    Ok(real.with_file_name(name))
}

fn read(path: &Path) -> Result<Key, KeyFileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::InvalidData => KeyFileError::NotAKey(path.to_path_buf()),
        _ => KeyFileError::File { doing: "read", path: path.to_path_buf(), source },
    };
    let text = fs::read_to_string(path).map_err(failed)?;
    Key::from_hex(text.trim()).map_err(|_| KeyFileError::NotAKey(path.to_path_buf()))
}

/// Makes a key and its file, readable by this user alone, whole or not at all, and there after a power cut.
fn create(path: &Path) -> io::Result<Key> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let key = Key::from_bytes(bytes);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", key.to_hex())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_index_gets_a_key_of_its_own_and_keeps_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = dir.path().join("data/");
        let made = obtain(&data, None).expect("a new key");
        assert!(made.created);
        assert_eq!(made.path, dir.path().join("data.key"));
        let mode = fs::metadata(&made.path).expect("it was made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = obtain(&data, None).expect("the key is there");
        assert!(!again.created);
        assert_eq!(again.key.to_hex(), made.key.to_hex());
        fs::create_dir(&data).expect("a new folder");
        assert_eq!(beside(&data.join("../data")).expect("a name"), fs::canonicalize(&made.path).expect("it is there"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (data, named) = (dir.path().join("data"), dir.path().join("k"));
        assert!(find(&data, None).expect("nothing there").is_none());
        assert!(matches!(obtain(&data, Some(&named)), Err(KeyFileError::Missing(_))));
        fs::write(&named, "0123").expect("a writable folder");
        assert!(matches!(obtain(&data, Some(&named)), Err(KeyFileError::NotAKey(_))));
        fs::write(&named, [0xff; 64]).expect("a writable folder");
        assert!(matches!(obtain(&data, Some(&named)), Err(KeyFileError::NotAKey(_))));
        fs::write(&named, "ab".repeat(32)).expect("a writable folder");
        assert_eq!(obtain(&data, Some(&named)).expect("a key").key.to_hex(), "ab".repeat(32));
    }
}
