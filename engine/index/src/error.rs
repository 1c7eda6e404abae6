//! What can go wrong with the folder and its files. Each error says where, what was expected and what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An operation of the file system that failed.
#[derive(Debug, Error)]
#[error("cannot {doing} {}: {source}{}", path.display(), advice(source))]
pub struct FileError {
    /// What was being done, as a verb: `read`, `create`, ...
    pub doing: &'static str,
    /// To which file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: names the deed and the file.
    pub fn new(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self { doing, path, source }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "; free some space and run it again, the index is as it was",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "; give this user the right to write there, the index is as it was"
        }
        _ => "",
    }
}

/// Bytes that are not what the format says.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value or a checksum is wrong.
    #[error("{file} is damaged: {section} at byte {offset}: expected {expected}, found {found}")]
    Damaged {
        /// The file.
        file: String,
        /// The part of the file, as FORMAT.md names it.
        section: &'static str,
        /// Offset of the value, from the start of the file for whole sections, else of the section.
        offset: u64,
        /// What the format asks for.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Written by a later version of Usher.
    #[error(
        "{file} is of format {found}; this Usher reads formats up to {known}: use the version that wrote it, or newer"
    )]
    Newer {
        /// The file.
        file: String,
        /// Its format version.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
}

/// Why a charter was refused: where, what was expected, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("charter, line {line}, column {column}: {message}")]
pub struct CharterError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
}

/// Why an index could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// An image or a manifest is damaged or too new.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The charter kept in the folder cannot be read.
    #[error("the charter kept in {file} cannot be used: {source}")]
    Charter {
        /// The file.
        file: String,
        /// Where and why.
        source: CharterError,
    },
    /// Another key made the pseudonyms.
    #[error("this is not the key of the index in {}: its check value is {expected}, that of the key given is {found}; name the right one with --key-file", folder.display())]
    WrongKey {
        /// The data folder.
        folder: PathBuf,
        /// The check value in the manifest.
        expected: String,
        /// That of the key given.
        found: String,
    },
    /// Every manifest is damaged.
    #[error("no generation of the index in {} can be opened; the newest says: {newest}", folder.display())]
    NoneVerifies {
        /// The data folder.
        folder: PathBuf,
        /// Why the newest was refused.
        newest: Box<OpenError>,
    },
    /// The folder holds something else.
    #[error("{} is not an Usher index (it has no FORMAT file, and is not empty); name another folder with --data", .0.display())]
    NotAnIndex(PathBuf),
}

/// Why an index could not be changed. Whatever it says, the index is as it was.
#[derive(Debug, Error)]
pub enum WriteError {
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The present index could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Present or new images are damaged.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Another process holds `LOCK.build`.
    #[error("another build goes on in {}, that of {holder}; wait for it to finish and run this again", folder.display())]
    Locked {
        /// The data folder.
        folder: PathBuf,
        /// Who builds: the number of the process, and what it calls itself; empty while it has not said so yet.
        holder: String,
    },
    /// Another process published first.
    #[error("generation {generation} of {} was published by another process meanwhile; run this again", folder.display())]
    Outrun {
        /// The data folder.
        folder: PathBuf,
        /// The generation.
        generation: u64,
    },
    /// The charter names no such source.
    #[error("the charter knows no source `{name}`; it names {known}")]
    UnknownSource {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A source may not deliver such ids.
    #[error("source `{source_name}` does not deliver ids of type `{id_type}`; the charter allows it {allowed}")]
    IdType {
        /// The source.
        source_name: String,
        /// The type given.
        id_type: String,
        /// The types it may deliver.
        allowed: String,
    },
    /// The charter does not fit the index.
    #[error("{0}")]
    Charter(#[from] CharterError),
    /// The live state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A bound of the format.
    #[error("{what} {found} is beyond the bound of the format, {bound}")]
    Bound {
        /// What is bounded.
        what: &'static str,
        /// How much it is.
        found: u64,
        /// How much it may be.
        bound: u64,
    },
    /// `build` at an unlikely moment.
    #[error(
        "now ({now} in Unix seconds) is {days} days from the newest time the index has seen ({newest}); purging at a wrong clock loses data: give --now to confirm"
    )]
    Clock {
        /// The moment of the build.
        now: i64,
        /// The newest time the index has seen.
        newest: i64,
        /// Whole days between them.
        days: u32,
    },
}

/// Why the live state could not be opened, read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder is no index.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Another process owns it.
    #[error("the live state in {} belongs to {holder}", folder.display())]
    Held {
        /// The data folder.
        folder: PathBuf,
        /// Who owns it: the number of the process, and what it calls itself.
        holder: String,
    },
    /// Another key made the pseudonyms.
    #[error(
        "this is not the key of the live state: its check value is {expected}, that of the key given is {found}; name the right one with --key-file"
    )]
    WrongKey {
        /// The check value in the state.
        expected: String,
        /// That of the key given.
        found: String,
    },
    /// Written by a later version of Usher.
    #[error(
        "the live state is of format {found}; this Usher reads formats up to {known}: use the version that wrote it, or newer"
    )]
    Newer {
        /// Its format version.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// Bytes that are not what the format says.
    #[error("the live state is damaged: {what}; restore state.redb from a copy")]
    Damaged {
        /// What is.
        what: String,
    },
    /// A line of the audit was altered, or is missing.
    #[error("the audit was altered: line {line} is missing or does not follow the line before")]
    Audit {
        /// The first such line.
        line: u64,
    },
    /// The store failed.
    #[error("cannot {doing} the live state: {source}")]
    Store {
        /// What was being done, as a verb.
        doing: &'static str,
        /// What the store said.
        source: Box<redb::Error>,
    },
    /// A commit failed before.
    #[error("a write to the live state failed before, so nothing more is taken; run it again once the disk is well")]
    Poisoned,
    /// More at once than is taken.
    #[error("{what}: {found}, and {bound} are the most")]
    Bound {
        /// What is bounded.
        what: &'static str,
        /// How much it is.
        found: u64,
        /// How much it may be.
        bound: u64,
    },
}
