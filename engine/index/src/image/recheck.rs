//! Checks the sections of an image once more, a step at a time: as the disk has them now, not as they were opened.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::reader::Image;
use super::section::{Section, Sections};
use crate::checksum::Running;
use crate::error::{FileError, ImageError};

/// A check under way.
pub struct Recheck {
    file: String,
    open: File,
    sections: Sections,
    /// Sections that are done, and bytes of the next one that are.
    done: usize,
    at: usize,
    sum: Running,
    buffer: Vec<u8>,
}

impl Recheck {
    /// Of the file that an image was opened from; `step_bytes` are read at a time.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn new(image: &Image, step_bytes: usize) -> Result<Self, ImageError> {
        let file = image.file().to_owned();
        let open = File::open(&file).map_err(FileError::new("open", Path::new(&file)))?;
        let sections = image.layout().clone();
        Ok(Self { file, open, sections, done: 0, at: 0, sum: Running::default(), buffer: vec![0; step_bytes.max(1)] })
    }

    /// Reads a step, by the file and not by a map: a bad sector is an error. How many bytes; `None` when all are read.
    ///
    /// # Errors
    /// When they cannot be read, or the section that ends here does not match its checksum.
    pub fn step(&mut self) -> Result<Option<usize>, ImageError> {
        let Some(&section) = Section::ALL.get(self.done) else { return Ok(None) };
        let range = self.sections.range(section);
        let bytes = self.buffer.len().min(range.len() - self.at);
        let offset = (range.start + self.at) as u64;
        self.open.read_exact_at(&mut self.buffer[..bytes], offset).map_err(|error| ImageError::Damaged {
            file: self.file.clone(),
            section: section.name(),
            offset,
            expected: format!("{bytes} bytes that can be read"),
            found: error.to_string(),
        })?;
        self.sum.update(&self.buffer[..bytes]);
        self.at += bytes;
        if self.at == range.len() {
            let found = std::mem::take(&mut self.sum).finish();
            self.sections.compare(&self.file, section, found)?;
            (self.done, self.at) = (self.done + 1, 0);
        }
        Ok(Some(bytes))
    }
}
