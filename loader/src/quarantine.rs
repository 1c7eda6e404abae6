//! What was not taken, for the provider: where each row stands and why, but no value of it.
//!
//! The file is text: a header line, then line number, byte offset, column and code, between tabs. `--only-lines` reads
//! its first field.

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use usher_index::files::QUARANTINE;

use crate::feed::{Column, Place};

/// The most rows that one quarantine lists; a feed with more is beyond mending line by line.
pub const MAX_QUARANTINE_ROWS: usize = 100_000;
/// The first line of the file.
const HEADER: &str = "line\tbyte\tcolumn\tcode";

/// One row that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it begins.
    pub place: Place,
    /// The field that was looked at, where it is one.
    pub column: Option<Column>,
    /// Why.
    pub code: &'static str,
}

/// The rows of one feed that were not taken; the first ones only, when they are many.
#[derive(Debug, Default)]
pub struct Quarantine {
    rows: Vec<Quarantined>,
    more: u64,
}

impl Quarantine {
    /// Notes a row.
    pub fn push(&mut self, row: Quarantined) {
        if self.rows.len() < MAX_QUARANTINE_ROWS { self.rows.push(row) } else { self.more += 1 }
    }

    /// The first row noted.
    #[must_use]
    pub fn first(&self) -> Option<&Quarantined> {
        self.rows.first()
    }

    /// Writes it into the data folder and says where; `None` when there is nothing to write.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, data: &Path, source: &str, digest: &str) -> io::Result<Option<PathBuf>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let folder = data.join(QUARANTINE);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.{digest}.tsv", safe_name(source)));
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        self.write_rows(&mut BufWriter::new(file.as_file_mut()))?;
        file.persist(&path)?;
        Ok(Some(path))
    }

    fn write_rows(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "{HEADER}")?;
        for Quarantined { place, column, code } in &self.rows {
            writeln!(to, "{}\t{}\t{}\t{code}", place.line, place.offset, column.map_or("-", Column::name))?;
        }
        if self.more > 0 {
            writeln!(to, "# and {} more rows, not listed", self.more)?;
        }
        to.flush()
    }
}

/// The name with everything but letters, digits, `_` and `-` replaced, so that it names a file in any folder.
fn safe_name(source: &str) -> String {
    source.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// Why a quarantine could not be read.
#[derive(Debug, Error)]
pub enum OnlyLinesError {
    /// The system said no.
    #[error("cannot read the quarantine {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line without a line number.
    #[error("line {line} of the quarantine {} does not begin with a line number; name a file that the loader wrote", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line.
        line: usize,
    },
    /// No row at all.
    #[error("the quarantine {} lists no rows", .0.display())]
    Empty(PathBuf),
}

/// The lines of a feed that are to be replayed: those that a quarantine lists.
#[derive(Debug, Clone)]
pub struct OnlyLines {
    /// Sorted and distinct.
    lines: Vec<u64>,
    /// Whether the quarantine says that it does not list all rows.
    is_cut: bool,
}

impl OnlyLines {
    /// Reads a quarantine.
    ///
    /// # Errors
    /// When the file cannot be read or is none.
    pub fn read(path: &Path) -> Result<Self, OnlyLinesError> {
        let failed = |source| OnlyLinesError::File { path: path.to_path_buf(), source };
        let file = BufReader::new(fs::File::open(path).map_err(failed)?);
        let (mut lines, mut is_cut) = (Vec::new(), false);
        for (index, text) in file.lines().enumerate() {
            let text = text.map_err(failed)?;
            is_cut |= text.starts_with('#');
            if text.is_empty() || text == HEADER || text.starts_with('#') {
                continue;
            }
            let number = text.split('\t').next().and_then(|field| field.parse().ok());
            lines.push(number.ok_or_else(|| OnlyLinesError::Line { path: path.to_path_buf(), line: index + 1 })?);
        }
        if lines.is_empty() {
            return Err(OnlyLinesError::Empty(path.to_path_buf()));
        }
        lines.sort_unstable();
        lines.dedup();
        Ok(Self { lines, is_cut })
    }

    /// Whether more rows were refused than the quarantine lists.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether the line is one of them. Logarithmic.
    #[must_use]
    pub fn contains(&self, line: u64) -> bool {
        self.lines.binary_search(&line).is_ok()
    }

    /// A digest of the numbers, for the ledger.
    #[must_use]
    pub fn digest(&self) -> String {
        let bytes: Vec<u8> = self.lines.iter().flat_map(|line| line.to_le_bytes()).collect();
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: u64) -> Quarantined {
        Quarantined { place: Place { line, offset: line * 10 }, column: Some(Column::Observed), code: "bad_time" }
    }

    #[test]
    fn what_is_written_is_replayed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut quarantine = Quarantine::default();
        assert_eq!(quarantine.write(dir.path(), "mag", "00").expect("nothing to write"), None);
        quarantine.push(Quarantined { column: None, code: "bad_json", ..row(7) });
        quarantine.push(row(3));
        let path = quarantine.write(dir.path(), "../mag", "00").expect("a writable folder").expect("two rows");
        assert_eq!(path, dir.path().join("quarantine/___mag.00.tsv"));
        let text = fs::read_to_string(&path).expect("it was written");
        assert_eq!(text, "line\tbyte\tcolumn\tcode\n7\t70\t-\tbad_json\n3\t30\tobserved\tbad_time\n");
        let only = OnlyLines::read(&path).expect("a quarantine");
        assert!(only.contains(3) && only.contains(7) && !only.contains(1) && !only.is_cut());
    }

    #[test]
    fn the_list_is_bounded_and_says_how_many_it_left_out() {
        let mut quarantine = Quarantine::default();
        (1..=MAX_QUARANTINE_ROWS as u64 + 2).for_each(|line| quarantine.push(row(line)));
        let mut text = Vec::new();
        quarantine.write_rows(&mut text).expect("memory");
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text.lines().count(), MAX_QUARANTINE_ROWS + 2);
        assert_eq!(text.lines().last(), Some("# and 2 more rows, not listed"));
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), text).expect("a writable file");
        assert!(OnlyLines::read(file.path()).expect("a quarantine").is_cut());
    }

    #[test]
    fn other_files_are_no_quarantine() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("q.tsv");
        fs::write(&path, "visitor\tsegment\n").expect("a writable folder");
        assert!(matches!(OnlyLines::read(&path), Err(OnlyLinesError::Line { line: 1, .. })));
        fs::write(&path, "").expect("a writable folder");
        assert!(matches!(OnlyLines::read(&path), Err(OnlyLinesError::Empty(_))));
        assert!(matches!(OnlyLines::read(dir.path()), Err(OnlyLinesError::File { .. })));
    }
}
