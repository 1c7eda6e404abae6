//! Cuts text in memory into records within a bound, whatever stands in it.
//!
//! A record ends at a line feed; in CSV, at one outside quotes. A record beyond [`MAX_RECORD_BYTES`] is passed over.
//! When a quoted field is not followed by a comma or an end of line, the quotes cannot be trusted: only the record's
//! first line is given up and the next line is a record again, so that a stray quote costs one row.
//!
//! Where a record ends depends on its own bytes alone, at most [`MAX_RECORD_BYTES`] of them (and, for one that is too
//! long, on its rest): text cut anywhere between two records gives the same records.

use super::quotes::{QUOTE, Quotes};
use super::{FeedError, Place};

/// The longest record, line end included: 64 KiB. Ids and names have at most 256 bytes each, so a row is far shorter.
pub const MAX_RECORD_BYTES: usize = 64 << 10;

/// One record.
pub(super) enum Line<'a> {
    /// Its bytes without the line end.
    Whole(&'a [u8]),
    /// Longer than the bound.
    TooLong,
    /// Its quotes are wrong. The bytes of its first line.
    BadQuote(&'a [u8]),
}

/// Where the record at the start of some bytes ends.
enum End {
    /// After so many bytes, which are one line.
    Line(usize),
    /// After so many bytes, which may be several lines.
    Lines(usize),
    /// Bad quotes; the first line ends after so many bytes.
    BadQuote(usize),
    /// Beyond the bound.
    TooLong,
}

/// The records of whole text, or of the end of a stream, whose last record may lack its line end.
pub(super) struct Records<'a> {
    ahead: &'a [u8],
    place: Place,
}

impl<'a> Records<'a> {
    /// `place` is that of the first byte.
    pub(super) fn new(bytes: &'a [u8], place: Place) -> Self {
        Self { ahead: bytes, place }
    }

    /// The bytes after the records handed out.
    pub(super) fn rest(&self) -> (&'a [u8], Place) {
        (self.ahead, self.place)
    }

    /// The next record that is not an empty line, and where it begins. `quoting`: whether a line feed between quotes
    /// belongs to the record.
    #[inline]
    pub(super) fn next(&mut self, quoting: bool) -> Result<Option<(Place, Line<'a>)>, FeedError> {
        while !self.ahead.is_empty() {
            let place = self.place;
            let end = record_end(self.ahead, quoting).map_or_else(|| self.last_end(quoting), Ok)?;
            let (length, bad) = match end {
                End::Line(length) => (length, false),
                End::Lines(length) => {
                    // Those within quotes; the last one is counted below, as that of any record.
                    self.place.line += count_lines(&self.ahead[..length - 1]);
                    (length, false)
                }
                End::BadQuote(length) => (length, true),
                End::TooLong => {
                    self.skip(quoting)?;
                    return Ok(Some((place, Line::TooLong)));
                }
            };
            let (record, rest) = self.ahead.split_at(length);
            self.place = Place { line: self.place.line + 1, offset: self.place.offset + length as u64 };
            self.ahead = rest;
            let text = trim_end(record);
            if !text.is_empty() {
                return Ok(Some((place, if bad { Line::BadQuote(text) } else { Line::Whole(text) })));
            }
        }
        Ok(None)
    }

    /// The end of the record that ends with the stream.
    fn last_end(&self, quoting: bool) -> Result<End, FeedError> {
        let length = self.ahead.len();
        let mut quotes = Quotes::default();
        if !quoting {
            return Ok(End::Line(length));
        }
        quotes.advance(self.ahead);
        match (quotes.is_open(), quotes.is_bad()) {
            (true, _) => Err(FeedError::OpenQuote(self.place)),
            (_, true) => Ok(End::BadQuote(memchr::memchr(b'\n', self.ahead).map_or(length, |at| at + 1))),
            // There may be line feeds within quotes; none ends the record.
            _ => Ok(End::Lines(length)),
        }
    }

    /// Moves on to the end of a record that is too long.
    fn skip(&mut self, quoting: bool) -> Result<(), FeedError> {
        let mut skip = Skip::new(quoting);
        let length = skip.advance(self.ahead).unwrap_or(self.ahead.len());
        if length == self.ahead.len() && skip.is_open() {
            return Err(FeedError::OpenQuote(self.place));
        }
        let (passed, rest) = self.ahead.split_at(length);
        self.place.line += count_lines(passed);
        self.place.offset += length as u64;
        self.ahead = rest;
        Ok(())
    }
}

/// Finds the end of a record that is too long, over as many pieces as it comes in.
pub(super) struct Skip {
    quoting: bool,
    quotes: Quotes,
}

impl Skip {
    pub(super) fn new(quoting: bool) -> Self {
        Self { quoting, quotes: Quotes::default() }
    }

    /// Reads on. Gives the length up to the record's end.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.quoting { self.quotes.advance(bytes) } else { memchr::memchr(b'\n', bytes).map(|at| at + 1) }
    }

    /// Whether a quote is open.
    pub(super) fn is_open(&self) -> bool {
        self.quotes.is_open()
    }
}

/// Where the last record ends that the bytes hold whole; 0 when they hold none.
pub(super) fn last_whole(bytes: &[u8], quoting: bool) -> usize {
    if !quoting || memchr::memchr(QUOTE, bytes).is_none() {
        return memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
    }
    let mut at = 0;
    loop {
        let ahead = &bytes[at..];
        let length = match record_end(ahead, quoting) {
            Some(End::Line(length) | End::Lines(length) | End::BadQuote(length)) => Some(length),
            Some(End::TooLong) => Skip::new(quoting).advance(ahead),
            None => None,
        };
        match length {
            Some(length) => at += length,
            None => return at,
        }
    }
}

/// Where the first record of the bytes ends; `None` when it goes on beyond them.
#[inline]
fn record_end(bytes: &[u8], quoting: bool) -> Option<End> {
    let within = &bytes[..bytes.len().min(MAX_RECORD_BYTES)];
    let end = end_within(within, quoting);
    if end.is_none() && within.len() == MAX_RECORD_BYTES { Some(End::TooLong) } else { end }
}

#[inline]
fn end_within(bytes: &[u8], quoting: bool) -> Option<End> {
    let line = memchr::memchr(b'\n', bytes).map(|at| at + 1);
    if !quoting {
        return line.map(End::Line);
    }
    // Most rows of most CSV files have no quotes.
    if let Some(length) = line
        && memchr::memchr(QUOTE, &bytes[..length]).is_none()
    {
        return Some(End::Line(length));
    }
    let mut quotes = Quotes::default();
    let end = quotes.advance(bytes)?;
    Some(if quotes.is_bad() { End::BadQuote(line.unwrap_or(end)) } else { End::Lines(end) })
}

/// How many line feeds there are.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// The bytes without one line feed and one carriage return at their end.
#[inline]
fn trim_end(bytes: &[u8]) -> &[u8] {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.strip_suffix(b"\r").unwrap_or(line)
}
