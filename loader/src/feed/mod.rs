//! From bytes to records: CSV, TSV and JSON lines, one record at a time and none of them kept.
//!
//! A [`Feed`] cuts its stream into [`Block`]s of whole records; a [`Parser`] reads those, on any thread.

mod blocks;
mod columns;
mod csv;
mod error;
mod format;
mod header;
mod jsonl;
mod lines;
mod quotes;
mod records;
mod tsv;

pub use blocks::{Block, Space};
pub use columns::{Column, Columns, ColumnsError};
pub use error::FeedError;
pub use format::Format;
pub use records::MAX_RECORD_BYTES;

use crate::source::Input;
use blocks::Blocks;
use records::Line;

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of its first line, from 1, header and empty lines counted too.
    pub line: u64,
    /// Bytes of unpacked text before it.
    pub offset: u64,
}

/// The fields of one record as they arrived. It has no `Debug`: fields hold visitor ids.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    values: [&'a [u8]; Column::ALL.len()],
}

impl<'a> Record<'a> {
    const EMPTY: Self = Self { values: [b""; Column::ALL.len()] };

    /// A field; empty when the record has none.
    #[inline]
    #[must_use]
    pub fn get(&self, column: Column) -> &'a [u8] {
        self.values[column as usize]
    }

    #[inline]
    fn set(&mut self, column: Column, value: &'a [u8]) {
        self.values[column as usize] = value;
    }
}

/// Why a record has no fields that could be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Another number of fields than the columns.
    FieldCount,
    /// A quoted field is followed by neither comma nor line end.
    BadQuote,
    /// Not a JSON object whose known keys hold text or whole numbers.
    BadJson,
}

impl Malformed {
    /// The stable code, in snake case.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::FieldCount => "field_count",
            Self::BadQuote => "bad_quote",
            Self::BadJson => "bad_json",
        }
    }
}

/// The most records that are handed on at once: so many wait for memory side by side instead of one after the other.
pub const AT_ONCE: usize = 8;

/// What stands at one place of a feed. It has no `Debug`: fields hold visitor ids.
#[derive(Clone, Copy)]
pub enum Item<'a> {
    /// A record, and the bytes it was read from, without the line end.
    Record(Record<'a>, &'a [u8]),
    /// Bytes that are no record.
    Malformed(Malformed, &'a [u8]),
    /// Bytes that are not UTF-8, where the format as a whole asks for it.
    BadUtf8(&'a [u8]),
    /// A record beyond [`MAX_RECORD_BYTES`]; its bytes were passed over.
    TooLong,
}

/// How a feed is to be read. The default finds out.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// The format, when neither name nor first line should tell it.
    pub format: Option<Format>,
    /// The columns of a file without a header line.
    pub columns: Option<Columns>,
    /// Whether such a file has a header line after all, to be passed over.
    pub header: bool,
}

/// A feed that has been opened: its format and columns are known.
pub struct Feed<'p> {
    blocks: Blocks<Input<'p>>,
    parser: Parser,
    /// The block that the header line stood in.
    first: Option<Block>,
}

impl<'p> Feed<'p> {
    /// Looks at the first bytes and, where there is one, the header line. `name` is the file's, for its extension.
    ///
    /// # Errors
    /// When the bytes are no text, or neither format nor columns can be told from them.
    pub fn open(input: Input<'p>, name: &str, shape: &Shape) -> Result<Self, FeedError> {
        let mut blocks = Blocks::new(input)?;
        format::refuse_binary(blocks.ahead())?;
        let format = match shape.format.or_else(|| Format::of_name(name)) {
            Some(format) => format,
            None => Format::of_first_line(blocks.ahead())?,
        };
        let mut first = blocks.next(format == Format::Csv, Space::default())?;
        let columns = header::columns(&mut first, format, shape)?;
        Ok(Self { blocks, parser: Parser { format, columns }, first })
    }

    /// What reads its blocks.
    #[must_use]
    pub fn parser(&self) -> &Parser {
        &self.parser
    }

    /// The format it is read as.
    #[must_use]
    pub fn format(&self) -> Format {
        self.parser.format
    }

    /// Its columns; `None` for JSON lines.
    #[must_use]
    pub fn columns(&self) -> Option<&Columns> {
        self.parser.columns.as_ref()
    }

    /// The stream below, for its counts.
    #[must_use]
    pub fn input(&self) -> &Input<'p> {
        self.blocks.input()
    }

    /// The next records; `None` after the last.
    ///
    /// # Errors
    /// When the stream breaks off.
    pub fn block(&mut self, space: Space) -> Result<Option<Block>, FeedError> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.blocks.next(self.parser.quoting(), space),
        }
    }
}

/// Reads the blocks of one feed.
#[derive(Debug, Clone)]
pub struct Parser {
    format: Format,
    /// `None` for JSON lines.
    columns: Option<Columns>,
}

impl Parser {
    fn quoting(&self) -> bool {
        self.format == Format::Csv
    }

    /// Hands every record of a block to `sink`, in order, without its empty lines.
    ///
    /// # Errors
    /// When the stream ends within quotes, and those of the sink.
    pub fn each<F>(&self, block: &Block, mut sink: F) -> Result<(), FeedError>
    where
        F: FnMut(Place, Item<'_>) -> Result<(), FeedError>,
    {
        self.groups(block, |items| items.iter().try_for_each(|&(place, item)| sink(place, item)))
    }

    /// [`Parser::each`], up to [`AT_ONCE`] records at a time where they are not unpacked one by one.
    ///
    /// # Errors
    /// As [`Parser::each`].
    pub fn groups<F>(&self, block: &Block, mut sink: F) -> Result<(), FeedError>
    where
        F: FnMut(&[(Place, Item<'_>)]) -> Result<(), FeedError>,
    {
        if block.is_too_long() {
            return sink(&[(block.place(), Item::TooLong)]);
        }
        let sink = &mut sink;
        match (&self.columns, self.format) {
            (None, _) => {
                drive(block, false, sink, |place, bytes, sink| jsonl::with_item(bytes, |item| sink(&[(place, item)])))
            }
            (Some(columns), Format::Csv) if block.has_quotes() => {
                let mut scratch = vec![0; MAX_RECORD_BYTES];
                drive(block, true, sink, |place, bytes, sink| {
                    let mut record = Record::EMPTY;
                    let count = csv::fields(bytes, &mut scratch, |at, field| columns.place(at, field, &mut record));
                    sink(&[(place, item(columns.are(count).then_some(record), bytes))])
                })
            }
            (Some(columns), format) => {
                let separator = if format == Format::Csv { quotes::COMMA } else { tsv::TAB };
                lines::each(block.text(), block.place(), separator, columns, sink)
            }
        }
    }
}

#[inline]
fn item<'a>(record: Option<Record<'a>>, bytes: &'a [u8]) -> Item<'a> {
    record.map_or(Item::Malformed(Malformed::FieldCount, bytes), |record| Item::Record(record, bytes))
}

/// Hands the lines that cannot be parsed to the sink, and all others to `parse`, together with the sink.
#[inline]
fn drive<F, P>(block: &Block, quoting: bool, sink: &mut F, mut parse: P) -> Result<(), FeedError>
where
    F: FnMut(&[(Place, Item<'_>)]) -> Result<(), FeedError>,
    P: FnMut(Place, &[u8], &mut F) -> Result<(), FeedError>,
{
    let mut records = block.records();
    while let Some((place, line)) = records.next(quoting)? {
        match line {
            Line::Whole(bytes) => parse(place, bytes, sink)?,
            Line::BadQuote(bytes) => sink(&[(place, Item::Malformed(Malformed::BadQuote, bytes))])?,
            Line::TooLong => sink(&[(place, Item::TooLong)])?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Bounds;

    /// One line a record: its fields that are not empty, or what is wrong with it.
    fn read(name: &str, text: &[u8], shape: &Shape) -> Result<Vec<String>, FeedError> {
        let mut feed = Feed::open(Input::stream(text, |_| {}, Bounds::default())?, name, shape)?;
        let mut seen = Vec::new();
        while let Some(block) = feed.block(Space::default())? {
            feed.parser().each(&block, |place, item| {
                let text = match item {
                    Item::Record(record, _) => {
                        Column::ALL.map(|column| String::from_utf8_lossy(record.get(column))).join("|")
                    }
                    Item::Malformed(why, _) => why.code().to_owned(),
                    Item::BadUtf8(_) => "bad utf8".to_owned(),
                    Item::TooLong => "too long".to_owned(),
                };
                seen.push(format!("{} {text}", place.line));
                Ok(())
            })?;
        }
        Ok(seen)
    }

    #[test]
    fn the_three_formats_say_the_same() {
        let csv = b"segment,visitor,city,ttl\r\n\"a,b\",v1,x,\r\nc,v2,,30d\r\n";
        let tsv = b"segment\tvisitor\tcity\tttl\na,b\tv1\tx\t\nc\tv2\t\t30d\n";
        let json = b"\n{\"visitor\":\"v1\",\"segment\":\"a,b\",\"city\":{\"name\":\"x\"}}\n{\"segment\":\"c\",\"ttl\":\"30d\",\"visitor\":\"v2\",\"action\":null}";
        for (name, text) in
            [("f.csv", &csv[..]), ("f.TSV.gz", tsv), ("f.jsonl.zst", json), ("f", csv), ("f", tsv), ("f", json)]
        {
            let seen = read(name, text, &Shape::default()).expect("a feed");
            assert_eq!(seen, ["2 v1|a,b|||||", "3 v2|c|||30d||"], "{name}");
        }
    }

    #[test]
    fn columns_may_be_given_and_a_header_passed_over() {
        let columns = || Some("visitor,_,segment".parse().expect("known names"));
        let shape = Shape { columns: columns(), ..Shape::default() };
        assert_eq!(read("f", b"v\tx\ts\n", &shape).expect("a feed"), ["1 v|s|||||"]);
        assert_eq!(read("f", b"v\ts\n", &shape).expect("a feed"), ["1 field_count"]);
        let shape = Shape { columns: columns(), header: true, ..Shape::default() };
        assert_eq!(read("f", b"a,b,c\nv,x,s\n", &shape).expect("a feed"), ["2 v|s|||||"]);
        assert!(matches!(read("f.jsonl", b"{}", &shape), Err(FeedError::NotForJson("--columns"))));
    }

    #[test]
    fn what_is_no_feed_is_named() {
        let error = |text: &[u8], name| read(name, text, &Shape::default()).expect_err("no feed").to_string();
        assert!(error(b"PK\x01\0rest", "f.csv").contains("a zero byte stands at byte 3"));
        assert!(error(b"\xff\xfev\0", "f.csv").contains("UTF-16"));
        assert!(error(b"visitor segment\n", "f").contains("--format"));
        assert!(error(b"visitor\tsegment\n", "f.csv").contains("--format tsv"));
        assert!(error(b" [\n {\"visitor\":\"v\"}]", "f").contains("one object a line"));
        assert!(error(b"uid,segment\nv,s\n", "f").contains("none of them is `visitor`"));
        assert!(error(b"\xe9,\x80\n", "f.csv").contains("not UTF-8"));
        assert!(error(&[b'x'; 100_000], "f.csv").contains("longer than 64 KiB"));
        assert!(error(b"\xef\xbb\xbf\r\n", "f.csv").contains("no rows"));
    }

    #[test]
    fn bad_records_are_counted_and_the_others_read() {
        let long = "x".repeat(MAX_RECORD_BYTES);
        let csv = format!("visitor,segment\n\"a\"b,s\n{long},s\nv,s,t\nv,s\n");
        let seen = read("f.csv", csv.as_bytes(), &Shape::default()).expect("a feed");
        assert_eq!(seen, ["2 bad_quote", "3 too long", "4 field_count", "5 v|s|||||"]);
        let seen =
            read("f.jsonl", b"[1]\n{\"visitor\":true}\n{\"visitor\":7,\"ttl\":\"\\u0041\"}\n{", &Shape::default());
        assert_eq!(seen.expect("a feed"), ["1 bad_json", "2 bad_json", "3 7||||A||", "4 bad_json"]);
    }
}
