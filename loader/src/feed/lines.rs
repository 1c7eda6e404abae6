//! Cuts a stream into records within a bound, whatever stands in it.
//!
//! A record ends at a line feed; in CSV, at one outside quotes. A record beyond [`MAX_RECORD_BYTES`] is skipped in
//! bounded memory. When a quoted field is not followed by a comma or an end of line, the quotes cannot be trusted: only
//! the record's first line is given up and the next line is a record again, so that a stray quote costs one row.

use std::io::Read;

use super::quotes::{QUOTE, Quotes};
use super::{FeedError, Place};

/// The longest record, line end included: 64 KiB. Ids and names have at most 256 bytes each, so a row is far shorter.
pub const MAX_RECORD_BYTES: usize = 64 << 10;
/// Bytes of a stream kept at a time.
const BUFFER_BYTES: usize = 512 << 10;
/// The mark that some editors put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A stream cut into records.
pub(super) struct Lines<R> {
    input: R,
    buffer: Box<[u8]>,
    /// Where the next record begins in the buffer, and where the bytes end.
    start: usize,
    end: usize,
    /// Whether the stream has no more.
    ended: bool,
    /// Where the next record begins in the stream.
    place: Place,
}

/// One record.
pub(super) enum Line<'a> {
    /// Its bytes without the line end.
    Whole(&'a [u8]),
    /// Longer than the bound; its bytes are gone.
    TooLong,
    /// Its quotes are wrong. The bytes of its first line.
    BadQuote(&'a [u8]),
}

/// Where the record at the start of the buffer ends.
enum End {
    /// After so many bytes, which are one line.
    Line(usize),
    /// After so many bytes, which may be several lines.
    Lines(usize),
    /// Bad quotes; the first line ends after so many bytes.
    BadQuote(usize),
    /// Beyond the bound.
    TooLong,
    /// There is no record left.
    Nothing,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Result<Self, FeedError> {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        let mut lines = Self { input, buffer, start: 0, end: 0, ended: false, place: Place { line: 1, offset: 0 } };
        lines.fill()?;
        if lines.ahead().starts_with(BYTE_ORDER_MARK) {
            lines.start = BYTE_ORDER_MARK.len();
            lines.place.offset = BYTE_ORDER_MARK.len() as u64;
        }
        Ok(lines)
    }

    /// The bytes that are in memory and not handed out yet: at the start, as many as the buffer holds.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The stream, to ask it for its counts.
    pub(super) fn input(&self) -> &R {
        &self.input
    }

    /// The next record that is not an empty line, and where it begins. `quoting`: whether a line feed between quotes
    /// belongs to the record.
    #[inline]
    pub(super) fn next(&mut self, quoting: bool) -> Result<Option<(Place, Line<'_>)>, FeedError> {
        loop {
            let end = self.find_end(quoting)?;
            let place = self.place;
            let (length, bad) = match end {
                End::Line(length) => {
                    self.place.line += 1;
                    (length, false)
                }
                End::Lines(length) => {
                    self.place.line += count_lines(&self.ahead()[..length]);
                    (length, false)
                }
                End::BadQuote(length) => {
                    self.place.line += 1;
                    (length, true)
                }
                End::TooLong => {
                    self.skip(quoting)?;
                    return Ok(Some((place, Line::TooLong)));
                }
                End::Nothing => return Ok(None),
            };
            let text = trim_end(self.start, &self.ahead()[..length]);
            self.consume(length);
            if !text.is_empty() {
                let record = &self.buffer[text];
                return Ok(Some((place, if bad { Line::BadQuote(record) } else { Line::Whole(record) })));
            }
        }
    }

    #[inline]
    fn find_end(&mut self, quoting: bool) -> Result<End, FeedError> {
        loop {
            match record_end(self.ahead(), quoting) {
                Some(End::Line(length) | End::Lines(length)) if length > MAX_RECORD_BYTES => return Ok(End::TooLong),
                Some(end) => return Ok(end),
                None if self.end - self.start >= MAX_RECORD_BYTES => return Ok(End::TooLong),
                None if self.ended && self.start == self.end => return Ok(End::Nothing),
                None if self.ended => return self.last_record(quoting),
                None => self.fill()?,
            }
        }
    }

    /// The record that ends with the stream.
    fn last_record(&self, quoting: bool) -> Result<End, FeedError> {
        let mut quotes = Quotes::default();
        quotes.advance(self.ahead());
        if quoting && quotes.is_open() {
            return Err(FeedError::OpenQuote(self.place));
        }
        let length = self.ahead().len();
        if quoting && quotes.is_bad() {
            return Ok(End::BadQuote(memchr::memchr(b'\n', self.ahead()).map_or(length, |at| at + 1)));
        }
        Ok(End::Lines(length))
    }

    /// Moves on by so many bytes of the buffer.
    #[inline]
    fn consume(&mut self, length: usize) {
        self.place.offset += length as u64;
        self.start += length;
    }

    /// Moves on to the end of a record that is too long.
    fn skip(&mut self, quoting: bool) -> Result<(), FeedError> {
        let begins = self.place;
        let mut quotes = Quotes::default();
        loop {
            let ahead = &self.buffer[self.start..self.end];
            let end = if quoting { quotes.advance(ahead) } else { memchr::memchr(b'\n', ahead).map(|at| at + 1) };
            let length = end.unwrap_or(ahead.len());
            self.place.line += count_lines(&ahead[..length]);
            self.consume(length);
            if end.is_some() {
                return Ok(());
            }
            if self.ended {
                return if quotes.is_open() { Err(FeedError::OpenQuote(begins)) } else { Ok(()) };
            }
            self.fill()?;
        }
    }

    /// Moves the bytes ahead to the front and reads until the buffer is full or the stream ends.
    fn fill(&mut self) -> Result<(), FeedError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.end..])? {
                0 => {
                    self.ended = true;
                    break;
                }
                read => self.end += read,
            }
        }
        Ok(())
    }
}

/// Where the first record of the bytes ends; `None` when it goes on beyond them.
#[inline]
fn record_end(bytes: &[u8], quoting: bool) -> Option<End> {
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

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// The place of the bytes without one line feed and one carriage return at their end.
#[inline]
fn trim_end(from: usize, bytes: &[u8]) -> std::ops::Range<usize> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    from..from + line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, as a slow pipe does.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let length = into.len().min(7_777);
            self.0.read(&mut into[..length])
        }
    }

    fn cut(text: &[u8], quoting: bool) -> Result<Vec<(u64, u64, String)>, FeedError> {
        let mut lines = Lines::new(Drip(text))?;
        let mut seen = Vec::new();
        while let Some((place, line)) = lines.next(quoting)? {
            let text = match line {
                Line::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Line::BadQuote(bytes) => format!("bad: {}", String::from_utf8_lossy(bytes)),
                Line::TooLong => "too long".to_owned(),
            };
            seen.push((place.line, place.offset, text));
        }
        Ok(seen)
    }

    fn expect(rows: &[(u64, u64, &str)]) -> Vec<(u64, u64, String)> {
        rows.iter().map(|(line, offset, text)| (*line, *offset, (*text).to_owned())).collect()
    }

    #[test]
    fn line_ends_marks_and_empty_lines_are_no_part_of_a_record() {
        for quoting in [false, true] {
            let seen = cut(b"\xef\xbb\xbfa\r\n\n\r\nb\nc", quoting).expect("text");
            assert_eq!(seen, expect(&[(1, 3, "a"), (4, 9, "b"), (5, 11, "c")]));
        }
    }

    #[test]
    fn a_line_feed_in_quotes_belongs_to_the_record_of_csv_alone() {
        let text = b"a,\"x\r\ny\"\nb,\"\"\"\n\"\n";
        let seen = cut(text, true).expect("closed quotes");
        assert_eq!(seen, expect(&[(1, 0, "a,\"x\r\ny\""), (3, 9, "b,\"\"\"\n\"")]));
        assert_eq!(cut(text, false).expect("text").len(), 4);
    }

    #[test]
    fn a_stray_quote_costs_one_line() {
        let seen = cut(b"\"a,x\nb,y\n\"c,z\nd,\"w\"\n", true).expect("the quotes close in the end");
        assert_eq!(seen, expect(&[(1, 0, "bad: \"a,x"), (2, 5, "b,y"), (3, 9, "bad: \"c,z"), (4, 14, "d,\"w\"")]));
        assert_eq!(cut(b"\"a\"\rx\n", true).expect("closed quotes"), expect(&[(1, 0, "bad: \"a\"\rx")]));
        assert!(matches!(cut(b"a,x\n\"b,y\n", true), Err(FeedError::OpenQuote(Place { line: 2, offset: 4 }))));
    }

    #[test]
    fn a_huge_record_is_skipped_and_the_next_is_found() {
        let long = "x".repeat(3 * BUFFER_BYTES);
        for (row, quoting) in [(long.clone(), false), (long.clone(), true), (format!("\"{long}\n{long}\""), true)] {
            let text = format!("a\n{row}\nb\n");
            let lines = row.matches('\n').count() as u64;
            let seen = cut(text.as_bytes(), quoting).expect("text");
            let last = (3 + lines, row.len() as u64 + 3, "b");
            assert_eq!(seen, expect(&[(1, 0, "a"), (2, 2, "too long"), last]));
        }
        let at_the_bound = "x".repeat(MAX_RECORD_BYTES - 1) + "\n";
        assert_eq!(cut(at_the_bound.as_bytes(), false).expect("text")[0].2.len(), MAX_RECORD_BYTES - 1);
        assert_eq!(cut(format!("x{at_the_bound}").as_bytes(), false).expect("text")[0].2, "too long");
        assert_eq!(cut(long.as_bytes(), false).expect("text")[0].2, "too long");
    }
}
