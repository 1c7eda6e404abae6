//! The columns of a feed: from the options, or from its first line.

use super::records::Line;
use super::{Block, Columns, FeedError, Format, Place, Shape, csv, tsv};

/// The columns that the options or the header line give; takes the header line off the first block.
pub(super) fn columns(first: &mut Option<Block>, format: Format, shape: &Shape) -> Result<Option<Columns>, FeedError> {
    if format == Format::Jsonl {
        return match (&shape.columns, shape.header) {
            (Some(_), _) => Err(FeedError::NotForJson("--columns")),
            (None, true) => Err(FeedError::NotForJson("--header")),
            (None, false) => Ok(None),
        };
    }
    let quoting = format == Format::Csv;
    match &shape.columns {
        Some(columns) => {
            if shape.header {
                with_first(first, quoting, |_| ())?;
            }
            Ok(Some(columns.clone()))
        }
        None => with_first(first, quoting, |line| header_line(line.as_ref(), quoting))?.map(Some),
    }
}

/// Hands the first record to `use_it` and takes it off its block.
fn with_first<T>(
    first: &mut Option<Block>,
    quoting: bool,
    use_it: impl FnOnce(Option<(Place, Line<'_>)>) -> T,
) -> Result<T, FeedError> {
    let Some(block) = first else { return Ok(use_it(None)) };
    if block.is_too_long() {
        let used = use_it(Some((block.place(), Line::TooLong)));
        *first = None;
        return Ok(used);
    }
    let mut records = block.records();
    let used = use_it(records.next(quoting)?);
    let (rest, place) = records.rest();
    let rest = (rest.len(), place);
    block.begin_at(rest);
    Ok(used)
}

fn header_line(line: Option<&(Place, Line<'_>)>, quoting: bool) -> Result<Columns, FeedError> {
    let (place, record) = match line {
        Some((place, Line::Whole(record))) => (place, record),
        Some((_, Line::TooLong)) => return Err(FeedError::long_header()),
        Some((_, Line::BadQuote(_))) => return Err(FeedError::NoHeader("has quotes that do not enclose a field")),
        None => return Err(FeedError::NoRows),
    };
    if std::str::from_utf8(record).is_err() {
        return Err(FeedError::NoHeader("is not UTF-8 text"));
    }
    let mut names = Vec::new();
    let mut scratch = vec![0; record.len()];
    let mut name = |_, field: &[u8]| names.push(String::from_utf8_lossy(field).into_owned());
    let count = if quoting { csv::fields(record, &mut scratch, &mut name) } else { tsv::fields(record, &mut name) };
    debug_assert_eq!(count, names.len());
    Ok(Columns::from_header(&names, place.line, other_separator(record, quoting))?)
}

/// What to say when the line seems to be in the other of the two formats.
fn other_separator(record: &[u8], quoting: bool) -> Option<&'static str> {
    let has = |byte| memchr::memchr(byte, record).is_some();
    match quoting {
        true if has(b'\t') => Some("; it holds tabs: perhaps --format tsv"),
        true if has(b';') => Some("; it holds semicolons: Usher reads commas and tabs"),
        false if has(b',') => Some("; it holds commas: perhaps --format csv"),
        _ => None,
    }
}
