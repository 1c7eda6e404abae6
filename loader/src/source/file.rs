//! Files by name.

use std::fs::File;
use std::path::Path;

use super::{STDIN, SourceError};

/// Looks whether a feed of this name can be read at all, without reading it. Standard input always can.
///
/// # Errors
/// When the file is missing, a folder, empty or not readable.
pub fn check(path: &Path) -> Result<(), SourceError> {
    if path == Path::new(STDIN) { Ok(()) } else { open(path).map(drop) }
}

/// Opens a file and says how many bytes it has; `None` when that is not known, as for a pipe.
pub(super) fn open(path: &Path) -> Result<(File, Option<u64>), SourceError> {
    let file = File::open(path).map_err(SourceError::opening)?;
    let about = file.metadata().map_err(SourceError::opening)?;
    if about.is_dir() {
        return Err(SourceError::Folder);
    }
    if !about.is_file() {
        return Ok((file, None));
    }
    match about.len() {
        0 => Err(SourceError::Empty),
        length => Ok((file, Some(length))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let empty = dir.path().join("empty.tsv");
        File::create(&empty).expect("a new file");
        assert!(matches!(check(&dir.path().join("none")), Err(SourceError::Missing)));
        assert!(matches!(check(dir.path()), Err(SourceError::Folder)));
        assert!(matches!(check(&empty), Err(SourceError::Empty)));
        assert!(check(Path::new(STDIN)).is_ok());
    }
}
