//! A file on its way to its name: some of its bytes can be on the disk before the others are known.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};

use tempfile::NamedTempFile;

use super::{FILE_MODE, Folder, TEMPORARY};
use crate::breath::{BREATH_BYTES, pieces};
use crate::error::FileError;
use crate::witness::{Handle, Step};

/// Bytes written ahead are flushed so many at a time: 8 MiB, which a disk takes in one go.
const FLUSH_BYTES: u64 = 8 << 20;

/// A file under a temporary name, which it loses when it is dropped.
pub struct Draft {
    file: NamedTempFile,
    folder: Folder,
    /// The temporary name, and what the folder's witness calls the file.
    temporary: String,
    handle: Handle,
    /// Where what was written ahead begins and ends, and how much of it is flushed.
    ahead: std::ops::Range<u64>,
    flushed: u64,
}

impl Draft {
    /// An empty file in the folder. What is written ahead will begin at byte `start`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new(folder: &Folder, start: u64) -> Result<Self, FileError> {
        let file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .permissions(fs::Permissions::from_mode(FILE_MODE))
            .tempfile_in(&folder.path)
            .map_err(FileError::new("create a file in", &folder.path))?;
        let temporary = file.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let handle = folder.opened(&temporary, true);
        Ok(Self { file, folder: folder.clone(), temporary, handle, ahead: start..start, flushed: start })
    }

    /// Writes the bytes that follow those written ahead so far, and flushes when there are many.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn write_ahead(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.write(bytes, self.ahead.end).map_err(FileError::new("write a file in", self.folder.path()))?;
        self.ahead.end += bytes.len() as u64;
        if self.ahead.end - self.flushed >= FLUSH_BYTES {
            self.file.as_file().sync_data().map_err(FileError::new("flush a file in", self.folder.path()))?;
            self.folder.show(Step::Flushed { file: self.handle });
            self.flushed = self.ahead.end;
        }
        Ok(())
    }

    /// Completes the file: what of `bytes` was not written ahead, flush, rename, flush of the folder. Without `replace`
    /// an existing file of the name is an error of kind `AlreadyExists`.
    ///
    /// # Errors
    /// When any step fails; then no file of the name appears.
    pub fn publish(self, name: &str, bytes: &[u8], replace: bool) -> Result<(), FileError> {
        let path = self.folder.join(name);
        let rest = || -> io::Result<()> {
            // Nothing written ahead: an empty range, wherever it is.
            let (start, end) = (bytes.len().min(self.ahead.start as usize), bytes.len().min(self.ahead.end as usize));
            self.write(&bytes[..start], 0)?;
            self.write(&bytes[end..], end as u64)
        };
        rest().map_err(FileError::new("write", &path))?;
        self.file.as_file().sync_all().map_err(FileError::new("flush", &path))?;
        self.folder.show(Step::Flushed { file: self.handle });
        let renamed = if replace { self.file.persist(&path) } else { self.file.persist_noclobber(&path) };
        renamed.map_err(|e| FileError::new("rename to", &path)(e.error))?;
        self.folder.show(Step::Renamed { from: &self.temporary, to: name });
        self.folder.sync()
    }

    /// In pieces: within a call the system may keep the core for as long as the copy takes.
    fn write(&self, bytes: &[u8], mut offset: u64) -> io::Result<()> {
        for piece in pieces(bytes, BREATH_BYTES) {
            self.file.as_file().write_all_at(piece, offset)?;
            self.folder.show(Step::Written { file: self.handle, offset, bytes: piece });
            offset += piece.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_ahead_is_part_of_the_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(dir.path()).expect("an empty folder");
        let whole: Vec<u8> = (0..=255).collect();
        for (start, end) in [(0, 0), (0, 256), (100, 100), (64, 200)] {
            let mut draft = Draft::new(&folder, start as u64).expect("created");
            whole[start..end].chunks(7).try_for_each(|bytes| draft.write_ahead(bytes)).expect("written");
            draft.publish("whole", &whole, true).expect("published");
            assert_eq!(fs::read(dir.path().join("whole")).expect("there"), whole, "{start}..{end}");
        }
        let again = Draft::new(&folder, 0).and_then(|draft| draft.publish("whole", &whole, false));
        assert_eq!(again.err().map(|error| error.source.kind()), Some(io::ErrorKind::AlreadyExists));
    }
}
