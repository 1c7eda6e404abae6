//! Why a whole feed was refused. Whatever it is, the index is as it was.

use thiserror::Error;

use super::{ColumnsError, MAX_RECORD_BYTES, Place};
use crate::source::SourceError;

/// Why a feed failed. The name of the file stands in front of it in every message; no value of a row stands in it.
#[derive(Debug, Error)]
pub enum FeedError {
    /// The file could not be read or unpacked.
    #[error(transparent)]
    Source(SourceError),
    /// Not text.
    #[error(
        "it is not text: a zero byte stands at byte {0}; Usher reads CSV, TSV and JSON lines, plain or packed with gzip or zstd"
    )]
    Binary(u64),
    /// Text in two-byte units.
    #[error("it is UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)")]
    Utf16,
    /// Neither name nor first line tells the format.
    #[error(
        "its name does not tell the format and its first line has neither tab nor comma nor `{{`; give --format csv, tsv or jsonl"
    )]
    UnknownFormat,
    /// The header line is no header line.
    #[error(
        "its first line {0}; a header line names the columns, and for a file without one say --columns visitor,segment,..."
    )]
    NoHeader(&'static str),
    /// All rows in one list.
    #[error("it is one JSON list; Usher reads JSON lines: write one object a line (jq -c '.[]')")]
    JsonList,
    /// The columns do not fit.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    /// An option that JSON lines have no use for.
    #[error("{0} is for CSV and TSV; JSON lines name their fields themselves")]
    NotForJson(&'static str),
    /// A quote that nothing closes.
    #[error("the quote that opens in the record at line {}, byte {} is never closed: the file is cut, or it is not CSV (--format tsv knows no quotes)", .0.line, .0.offset)]
    OpenQuote(Place),
    /// Rows there are none.
    #[error("it has no rows; a feed has at least one")]
    NoRows,
    /// None of the lines asked for.
    #[error("none of the lines that --only-lines lists is in it; is this the file that the quarantine is about?")]
    NoSuchLines,
    /// Not one row could be taken.
    #[error("every row was refused ({received} of {received}); {why}")]
    AllRefused {
        /// Rows read.
        received: u64,
        /// The reasons with their counts, the place of the first such row, and what to do.
        why: String,
    },
    /// Too large a share was refused.
    #[error("{lost} of {received} rows were refused, beyond the {bound} of --max-refused; {why}")]
    TooManyRefused {
        /// Rows read.
        received: u64,
        /// Rows malformed or refused.
        lost: u64,
        /// The share that is allowed, as text.
        bound: String,
        /// As above.
        why: String,
    },
    /// Rows for `--rejects` could not be written.
    #[error("cannot write the rejected rows: {0}")]
    Rejects(std::io::Error),
    /// The list of rows that were not taken could not be written.
    #[error("cannot write the quarantine in the data folder: {0}")]
    Quarantine(std::io::Error),
}

impl FeedError {
    /// A stable word for it, for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source(source) => match source {
                SourceError::Missing => "missing",
                SourceError::Folder => "folder",
                SourceError::Empty => "empty",
                SourceError::Read { .. } => "unreadable",
                SourceError::Cut { .. } => "cut",
                SourceError::Damaged { .. } => "damaged",
                SourceError::TooLarge(_) => "too_large",
                SourceError::Bomb { .. } => "bomb",
                SourceError::Foreign(_) => "foreign_packing",
            },
            Self::Binary(_) | Self::Utf16 => "not_text",
            Self::UnknownFormat | Self::JsonList | Self::NotForJson(_) => "format",
            Self::NoHeader(_) | Self::Columns(_) => "columns",
            Self::OpenQuote(_) => "open_quote",
            Self::NoRows => "no_rows",
            Self::NoSuchLines => "no_such_lines",
            Self::AllRefused { .. } => "all_refused",
            Self::TooManyRefused { .. } => "too_many_refused",
            Self::Rejects(_) | Self::Quarantine(_) => "not_written",
        }
    }

    /// For a first line beyond the bound of a record.
    pub(super) fn long_header() -> Self {
        const { assert!(MAX_RECORD_BYTES == 64 << 10, "the text below says 64 KiB") }
        Self::NoHeader("is longer than 64 KiB")
    }
}

impl From<std::io::Error> for FeedError {
    fn from(error: std::io::Error) -> Self {
        Self::Source(error.into())
    }
}

impl From<SourceError> for FeedError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}
