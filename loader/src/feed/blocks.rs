//! Cuts a stream into blocks of whole records, so that several threads can parse it.

use std::io::Read;

use super::quotes::QUOTE;
use super::records::{Records, Skip, count_lines, last_whole};
use super::{FeedError, MAX_RECORD_BYTES, Place};

/// The most bytes of a block: some thousand rows, which one thread parses in about a millisecond.
const BLOCK_BYTES: usize = 512 << 10;
/// The least memory that is taken for one: a request of a few rows needs no more.
const LEAST_BYTES: usize = 4 << 10;
const _: () = assert!(BLOCK_BYTES > MAX_RECORD_BYTES, "a block without the end of a record holds one too long");
/// The mark that some editors put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whole records of a feed.
pub struct Block {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    place: Place,
    holds: Holds,
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Records, but not the last of the stream.
    Records,
    /// The last records.
    Last,
    /// Nothing of one record that is longer than a block.
    TooLong,
}

impl Block {
    /// Whether the stream ends with it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.holds == Holds::Last
    }

    /// Whether it stands for one record that is too long, and nothing else.
    pub(super) fn is_too_long(&self) -> bool {
        self.holds == Holds::TooLong
    }

    /// Where it begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Its bytes.
    pub(super) fn text(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether a quote stands in it.
    pub(super) fn has_quotes(&self) -> bool {
        memchr::memchr(QUOTE, self.text()).is_some()
    }

    /// Its records.
    pub(super) fn records(&self) -> Records<'_> {
        Records::new(self.text(), self.place)
    }

    /// Leaves out the first records: `rest` are the bytes after them, and their place.
    pub(super) fn begin_at(&mut self, (bytes, place): (usize, Place)) {
        self.start = self.end - bytes;
        self.place = place;
    }

    /// The space that it takes, for another block.
    #[must_use]
    pub fn into_space(self) -> Space {
        Space(self.bytes)
    }
}

/// Memory for a block. At first there is none of it: it grows with what is read.
#[derive(Default)]
pub struct Space(Vec<u8>);

/// A stream cut into blocks.
pub(super) struct Blocks<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where the next record begins in the buffer, and where the bytes end.
    start: usize,
    end: usize,
    /// Whether the stream has no more.
    ended: bool,
    /// Where the next record begins in the stream.
    place: Place,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(input: R) -> Result<Self, FeedError> {
        let buffer = Vec::new();
        let mut blocks = Self { input, buffer, start: 0, end: 0, ended: false, place: Place { line: 1, offset: 0 } };
        blocks.fill()?;
        if blocks.ahead().starts_with(BYTE_ORDER_MARK) {
            blocks.consume(BYTE_ORDER_MARK.len());
        }
        Ok(blocks)
    }

    /// The bytes that are in memory and not handed out yet: at the start, as many as a block holds.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The stream, to ask it for its counts.
    pub(super) fn input(&self) -> &R {
        &self.input
    }

    /// The next block; `None` after the last. `quoting`: whether a line feed between quotes belongs to the record.
    pub(super) fn next(&mut self, quoting: bool, Space(space): Space) -> Result<Option<Block>, FeedError> {
        self.fill()?;
        let (place, ahead) = (self.place, self.ahead());
        let length = if self.ended { ahead.len() } else { last_whole(ahead, quoting) };
        if ahead.is_empty() {
            return Ok(None);
        }
        if length == 0 {
            self.skip(quoting)?;
            return Ok(Some(Block { bytes: space, start: 0, end: 0, place, holds: Holds::TooLong }));
        }
        let bytes = std::mem::replace(&mut self.buffer, space);
        let (start, end) = (self.start, self.start + length);
        self.place.line += count_lines(&bytes[start..end]);
        self.place.offset += length as u64;
        let rest = &bytes[end..self.end];
        if self.buffer.len() < rest.len() {
            self.buffer.resize(rest.len(), 0);
        }
        self.buffer[..rest.len()].copy_from_slice(rest);
        (self.start, self.end) = (0, rest.len());
        let holds = if self.ended { Holds::Last } else { Holds::Records };
        Ok(Some(Block { bytes, start, end, place, holds }))
    }

    fn consume(&mut self, length: usize) {
        self.start += length;
        self.place.offset += length as u64;
    }

    /// Moves on to the end of a record that is longer than the buffer.
    fn skip(&mut self, quoting: bool) -> Result<(), FeedError> {
        let begins = self.place;
        let mut skip = Skip::new(quoting);
        loop {
            let end = skip.advance(self.ahead());
            let length = end.unwrap_or(self.ahead().len());
            self.place.line += count_lines(&self.ahead()[..length]);
            self.consume(length);
            if end.is_some() {
                return Ok(());
            }
            if self.ended {
                return if skip.is_open() { Err(FeedError::OpenQuote(begins)) } else { Ok(()) };
            }
            self.fill()?;
        }
    }

    /// Moves the bytes ahead to the front and reads until there are those of a block, or the stream ends.
    fn fill(&mut self) -> Result<(), FeedError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while !self.ended && self.end < BLOCK_BYTES {
            if self.end == self.buffer.len() {
                self.buffer.resize((2 * self.end).clamp(LEAST_BYTES, BLOCK_BYTES), 0);
            }
            match self.input.read(&mut self.buffer[self.end..])? {
                0 => self.ended = true,
                read => self.end += read,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::records::Line;

    /// Gives a few bytes at a time, as a slow pipe does.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let length = into.len().min(7_777);
            self.0.read(&mut into[..length])
        }
    }

    fn cut(text: &[u8], quoting: bool) -> Result<Vec<(u64, u64, String)>, FeedError> {
        let mut blocks = Blocks::new(Drip(text))?;
        let mut seen = Vec::new();
        while let Some(block) = blocks.next(quoting, Space::default())? {
            let mut records = block.records();
            while let Some((place, line)) = records.next(quoting)? {
                let text = match line {
                    Line::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Line::BadQuote(bytes) => format!("bad: {}", String::from_utf8_lossy(bytes)),
                    Line::TooLong => "too long".to_owned(),
                };
                seen.push((place.line, place.offset, text));
            }
            if block.is_too_long() {
                seen.push((block.place().line, block.place().offset, "too long".to_owned()));
            }
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
        let long = "x".repeat(3 * BLOCK_BYTES);
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

    /// Long enough for several blocks, so that every kind of record stands at the end of one.
    #[test]
    fn blocks_give_the_records_that_one_piece_gives() {
        let long = "x".repeat(MAX_RECORD_BYTES + 5);
        let pieces = ["a,b\n", "\"c\nd\",e\r\n", "\n", "\"f,g\n", &long, "\n", "\"h\"\"\",i\n", "\"", &long, "\n\"\n"];
        let mut text = String::new();
        for number in 0..6_000usize {
            text += pieces[number * 7 % pieces.len()];
            text += &"z".repeat(number % 401);
            text += "\n";
        }
        for quoting in [false, true] {
            let place = Place { line: 1, offset: 0 };
            let mut records = crate::feed::records::Records::new(text.as_bytes(), place);
            let mut whole = Vec::new();
            let closed = loop {
                match records.next(quoting) {
                    Ok(Some((place, _))) => whole.push((place.line, place.offset)),
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            match cut(text.as_bytes(), quoting) {
                Ok(seen) => {
                    let seen: Vec<_> = seen.into_iter().map(|(line, offset, _)| (line, offset)).collect();
                    assert!(closed && seen == whole, "quoting: {quoting}");
                }
                Err(_) => assert!(!closed),
            }
            assert!(text.len() > 4 * BLOCK_BYTES && whole.len() > 1_000);
        }
    }
}
