//! The state's file: that of the store, and its steps are shown to the folder's witness.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::store;
use crate::error::{FileError, StateError};
use crate::files::Folder;
use crate::witness::{Handle, Step};

/// For this user alone: it holds pseudonyms.
const STATE_MODE: u32 = 0o600;

/// A file of the data folder as the store sees it.
#[derive(Debug)]
pub(super) struct StateFile {
    folder: Folder,
    handle: Handle,
    file: FileBackend,
}

impl StateFile {
    /// Opens the file, or makes an empty one.
    pub(super) fn open(folder: &Folder, name: &str) -> Result<Self, StateError> {
        let path = folder.join(name);
        let fresh = !path.exists();
        let mut options = File::options();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(STATE_MODE).open(&path);
        let file = FileBackend::new(opened.map_err(FileError::new("open", &path))?).map_err(store("open"))?;
        Ok(Self { folder: folder.clone(), handle: folder.opened(name, fresh), file })
    }
}

impl StorageBackend for StateFile {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.file.set_len(len)?;
        self.folder.show(Step::Resized { file: self.handle, length: len });
        Ok(())
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.file.sync_data()?;
        self.folder.show(Step::Flushed { file: self.handle });
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.file.write(offset, data)?;
        self.folder.show(Step::Written { file: self.handle, offset, bytes: data });
        Ok(())
    }

    fn close(&self) -> Result<(), std::io::Error> {
        self.file.close()
    }
}
