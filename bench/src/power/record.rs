//! Records what a folder does as the steps of a disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use usher_index::witness::{Handle, Step, Witness};

use super::disk::{Event, Inode};

/// A witness that remembers everything.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    events: Vec<Event>,
    names: HashMap<String, Inode>,
    files: Inode,
}

impl Recorder {
    /// Notes that the n-th operation begins.
    pub fn began(&self, operation: usize) {
        self.with(|record| record.events.push(Event::Began(operation)));
    }

    /// Notes that the caller of the n-th operation was told that it is done.
    pub fn acknowledged(&self, operation: usize) {
        self.with(|record| record.events.push(Event::Acknowledged(operation)));
    }

    /// All that happened.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.with(|record| std::mem::take(&mut record.events))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Record) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Witness for Recorder {
    fn opened(&self, file: &str, fresh: bool) -> Handle {
        self.with(|record| {
            if let (false, Some(&known)) = (fresh, record.names.get(file)) {
                return known;
            }
            let inode = record.files;
            record.files += 1;
            record.names.insert(file.to_owned(), inode);
            record.events.push(Event::Created(inode));
            record.events.push(Event::Named { names: vec![(file.to_owned(), Some(inode))] });
            inode
        })
    }

    fn saw(&self, step: Step<'_>) {
        self.with(|record| {
            let event = match step {
                Step::Written { file, offset, bytes } => {
                    Event::Wrote { inode: file, offset: offset as usize, bytes: bytes.to_vec() }
                }
                Step::Resized { file, length } => Event::Resized { inode: file, length: length as usize },
                Step::Flushed { file } => Event::Flushed(file),
                Step::Renamed { from, to } => {
                    let inode = record.names.remove(from);
                    record.names.extend(inode.map(|inode| (to.to_owned(), inode)));
                    Event::Named { names: vec![(from.to_owned(), None), (to.to_owned(), inode)] }
                }
                Step::FolderFlushed => Event::FolderFlushed,
                Step::Removed { file } => {
                    record.names.remove(file);
                    Event::Named { names: vec![(file.to_owned(), None)] }
                }
            };
            record.events.push(event);
        });
    }
}
