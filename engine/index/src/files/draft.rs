//! A file on its way to its name: its first bytes can be the last that are known.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};

use tempfile::NamedTempFile;

use super::{FILE_MODE, Folder, TEMPORARY};
use crate::breath::{BREATH_BYTES, breathe, pieces};
use crate::checksum::Running;
use crate::error::FileError;
use crate::witness::{Handle, Step};

/// Bytes are flushed so many at a time: 8 MiB, which a disk takes in one go.
const FLUSH_BYTES: u64 = 8 << 20;

/// A file under a temporary name, which it loses when it is dropped.
pub struct Draft {
    file: NamedTempFile,
    folder: Folder,
    /// The temporary name, and what the folder's witness calls the file.
    temporary: String,
    handle: Handle,
    /// Where what is appended begins, and where it ends so far.
    start: u64,
    end: u64,
    /// So much of it is flushed.
    flushed: u64,
}

impl Draft {
    /// An empty file in the folder. What is appended begins at byte `start`.
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
        Ok(Self { file, folder: folder.clone(), temporary, handle, start, end: start, flushed: start })
    }

    /// Writes the bytes that follow those written so far, and flushes when there are many.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.write(bytes, self.end)?;
        self.end += bytes.len() as u64;
        if self.end - self.flushed >= FLUSH_BYTES {
            self.file.as_file().sync_data().map_err(FileError::new("flush a file in", self.folder.path()))?;
            self.folder.show(Step::Flushed { file: self.handle });
            self.flushed = self.end;
        }
        Ok(())
    }

    /// Writes the first bytes of the file, for which room was left.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn write_head(&self, bytes: &[u8]) -> Result<(), FileError> {
        debug_assert_eq!(bytes.len() as u64, self.start, "as many as were left out");
        self.write(bytes, 0)
    }

    /// Bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// The digest of the file, read back.
    ///
    /// # Errors
    /// When the disk does not give it back.
    pub fn digest(&self) -> Result<String, FileError> {
        let (mut running, mut at) = (Running::default(), 0);
        let mut piece = vec![0; BREATH_BYTES.min(self.end as usize)];
        while at < self.end {
            let piece = &mut piece[..BREATH_BYTES.min((self.end - at) as usize)];
            let read = self.file.as_file().read_exact_at(piece, at);
            read.map_err(FileError::new("read back a file in", self.folder.path()))?;
            running.update(piece);
            at += piece.len() as u64;
            breathe();
        }
        Ok(running.digest())
    }

    /// Completes the file: flush, rename, flush of the folder. Without `replace` an existing file of the name is an error
    /// of kind `AlreadyExists`.
    ///
    /// # Errors
    /// When any step fails; then no file of the name appears.
    pub fn publish(self, name: &str, replace: bool) -> Result<(), FileError> {
        let path = self.folder.join(name);
        self.file.as_file().sync_all().map_err(FileError::new("flush", &path))?;
        self.folder.show(Step::Flushed { file: self.handle });
        let renamed = if replace { self.file.persist(&path) } else { self.file.persist_noclobber(&path) };
        renamed.map_err(|e| FileError::new("rename to", &path)(e.error))?;
        self.folder.show(Step::Renamed { from: &self.temporary, to: name });
        self.folder.sync()
    }

    /// In pieces: within a call the system may keep the core for as long as the copy takes.
    fn write(&self, bytes: &[u8], mut offset: u64) -> Result<(), FileError> {
        for piece in pieces(bytes, BREATH_BYTES) {
            let written = self.file.as_file().write_all_at(piece, offset);
            written.map_err(FileError::new("write a file in", self.folder.path()))?;
            self.folder.show(Step::Written { file: self.handle, offset, bytes: piece });
            offset += piece.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::digest;

    #[test]
    fn a_file_may_get_its_first_bytes_last() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(dir.path()).expect("an empty folder");
        let whole: Vec<u8> = (0..=255).collect();
        for start in [0, 1, 100, 256] {
            let mut draft = Draft::new(&folder, start as u64).expect("created");
            whole[start..].chunks(7).try_for_each(|bytes| draft.append(bytes)).expect("written");
            draft.write_head(&whole[..start]).expect("written");
            assert_eq!((draft.bytes(), draft.digest().expect("read")), (256, digest(&whole)), "{start}");
            draft.publish("whole", true).expect("published");
            assert_eq!(fs::read(dir.path().join("whole")).expect("there"), whole, "{start}");
        }
        let again = Draft::new(&folder, 0).and_then(|draft| draft.publish("whole", false));
        assert_eq!(again.err().map(|error| error.source.kind()), Some(std::io::ErrorKind::AlreadyExists));
    }
}
