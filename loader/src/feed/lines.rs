//! Lines and their fields in one pass, for text in which no quote encloses a separator: TSV, and most of CSV.
//!
//! The bytes that end a field are marked 64 at a time, a bit each, and walked from mark to mark; nothing is looked at
//! twice. What a line is, and which lines are too long, [`Records`](super::records) says: this reads the same.

use super::{AT_ONCE, Columns, FeedError, Item, MAX_RECORD_BYTES, Malformed, Place, Record};

/// Bytes whose marks are one word.
const CHUNK: usize = u64::BITS as usize;
/// Bytes that are marked at a time.
const WORD: usize = size_of::<u64>();

/// Hands every line to `sink`, in order, up to [`AT_ONCE`] at a time, without the empty ones. `place` is that of the first
/// byte.
///
/// # Errors
/// Those of the sink.
pub(super) fn each<F>(
    bytes: &[u8],
    place: Place,
    separator: u8,
    columns: &Columns,
    sink: &mut F,
) -> Result<(), FeedError>
where
    F: FnMut(&[(Place, Item<'_>)]) -> Result<(), FeedError>,
{
    let (mut items, mut waiting) = ([(place, Item::TooLong); AT_ONCE], 0);
    let mut marks = Marks::new(bytes, separator);
    let (mut line, mut begin) = (place.line, 0);
    while begin < bytes.len() {
        let (mut record, mut start, mut index) = (Record::EMPTY, begin, 0);
        // The last line may lack its end.
        let mut end = bytes.len();
        while let Some(at) = marks.next() {
            if bytes[at] == b'\n' {
                end = at;
                break;
            }
            columns.place(index, &bytes[start..at], &mut record);
            (start, index) = (at + 1, index + 1);
        }
        let here = Place { line, offset: place.offset + begin as u64 };
        // A carriage return is no separator, so it stands in the last field.
        let text_end = end - usize::from(end > begin && bytes[end - 1] == b'\r');
        if text_end > begin || end - begin >= MAX_RECORD_BYTES {
            columns.place(index, &bytes[start..text_end], &mut record);
            let text = &bytes[begin..text_end];
            let item = if end - begin >= MAX_RECORD_BYTES {
                Item::TooLong
            } else if columns.are(index + 1) {
                Item::Record(record, text)
            } else {
                Item::Malformed(Malformed::FieldCount, text)
            };
            items[waiting] = (here, item);
            waiting += 1;
        }
        if waiting == AT_ONCE {
            sink(&items)?;
            waiting = 0;
        }
        (line, begin) = (line + 1, end + 1);
    }
    if waiting > 0 { sink(&items[..waiting]) } else { Ok(()) }
}

/// The places of separators and line feeds.
struct Marks<'a> {
    /// What was not looked at yet.
    rest: &'a [u8],
    separator: u8,
    /// The marks that were not walked yet, and the place of the first byte that they are about.
    marked: u64,
    base: usize,
    /// The place of the first byte of the rest.
    ahead: usize,
}

impl<'a> Marks<'a> {
    fn new(bytes: &'a [u8], separator: u8) -> Self {
        Self { rest: bytes, separator, marked: 0, base: 0, ahead: 0 }
    }

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.marked == 0 {
            self.base = self.ahead;
            match self.rest.split_first_chunk::<CHUNK>() {
                Some((chunk, rest)) => {
                    self.marked = marks_of(chunk, self.separator);
                    self.rest = rest;
                    self.ahead += CHUNK;
                }
                None if self.rest.is_empty() => return None,
                None => {
                    // Zeros are no marks.
                    let mut chunk = [0; CHUNK];
                    chunk[..self.rest.len()].copy_from_slice(self.rest);
                    self.marked = marks_of(&chunk, self.separator);
                    self.ahead += self.rest.len();
                    self.rest = &[];
                }
            }
        }
        let at = self.base + self.marked.trailing_zeros() as usize;
        self.marked &= self.marked - 1;
        Some(at)
    }
}

/// A bit for each byte that is the separator or a line feed, the lowest for the first.
#[inline]
fn marks_of(chunk: &[u8; CHUNK], separator: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    /// Moves the lowest bit of each byte into the highest byte, in order.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    // In vectors, where the processor has them.
    let hits = chunk.map(|byte| u8::from(byte == separator) | u8::from(byte == b'\n'));
    let (words, _) = hits.as_chunks::<WORD>();
    words.iter().rev().fold(0, |marks, word| {
        let ones = u64::from_le_bytes(*word) & ONES;
        marks << WORD | ones.wrapping_mul(GATHER) >> (u64::BITS - WORD as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::records::{Line, Records};
    use crate::feed::{Column, tsv};

    const START: Place = Place { line: 7, offset: 1_000 };

    /// A line as text: where it begins, and its bytes, its fields by column or what is wrong with it.
    fn told(place: Place, item: &Item<'_>) -> String {
        let what = match item {
            Item::Record(record, bytes) => format!("{:?} {bytes:?}", Column::ALL.map(|column| record.get(column))),
            Item::Malformed(why, bytes) => format!("{} {bytes:?}", why.code()),
            Item::BadUtf8(_) => "bad utf8".to_owned(),
            Item::TooLong => "too long".to_owned(),
        };
        format!("{} {} {what}", place.line, place.offset)
    }

    fn ours(text: &[u8], columns: &Columns) -> Vec<String> {
        let mut seen = Vec::new();
        let mut sink = |items: &[(Place, Item<'_>)]| {
            assert!(!items.is_empty());
            seen.extend(items.iter().map(|(place, item)| told(*place, item)));
            Ok(())
        };
        each(text, START, b'\t', columns, &mut sink).expect("the sink takes all");
        seen
    }

    /// Cut into records first, and those into fields.
    fn slowly(text: &[u8], columns: &Columns) -> Vec<String> {
        let mut seen = Vec::new();
        let mut records = Records::new(text, START);
        while let Some((place, line)) = records.next(false).expect("there are no quotes") {
            seen.push(match line {
                Line::Whole(bytes) => {
                    let mut record = Record::EMPTY;
                    let count = tsv::fields(bytes, |at, field| columns.place(at, field, &mut record));
                    let bad = Item::Malformed(Malformed::FieldCount, bytes);
                    told(place, &if columns.are(count) { Item::Record(record, bytes) } else { bad })
                }
                Line::TooLong => told(place, &Item::TooLong),
                Line::BadQuote(_) => "a bad quote".to_owned(),
            });
        }
        seen
    }

    /// Every text of up to seven of these pieces, the last line ended or not.
    #[test]
    fn one_pass_reads_what_two_read() {
        let columns: Columns = "visitor,_,segment".parse().expect("known names");
        let pieces: [&[u8]; 7] =
            [b"a", b"\t", b"\n", b"\r\n", b"\xff\xc3", b"\"", b"seventeen letters, and a few more"];
        let mut whole = 0;
        for length in 0..=7u32 {
            for mut number in 0..pieces.len().pow(length) {
                let mut text = Vec::new();
                for _ in 0..length {
                    text.extend_from_slice(pieces[number % pieces.len()]);
                    number /= pieces.len();
                }
                let seen = ours(&text, &columns);
                assert_eq!(seen, slowly(&text, &columns), "{:?}", text.escape_ascii().to_string());
                whole += seen.iter().filter(|line| !line.contains("field_count")).count();
            }
        }
        assert!(whole > 10_000, "{whole}");
    }

    #[test]
    fn long_lines_and_fields_are_the_same() {
        let columns: Columns = "visitor,segment".parse().expect("known names");
        for length in [MAX_RECORD_BYTES - 4, MAX_RECORD_BYTES - 3, MAX_RECORD_BYTES - 2, MAX_RECORD_BYTES - 1, 200_000]
        {
            let long = vec![b'x'; length];
            for end in [&b""[..], b"\r", b"\n", b"\r\n", b"\nv\ts", b"\n\nv\ts\r\n"] {
                for start in [&b""[..], b"v\ts\n", b"\t\n", b"v\t"] {
                    let text = [start, &long, b"\t", end].concat();
                    assert_eq!(ours(&text, &columns), slowly(&text, &columns), "{length}, {start:?}, {end:?}");
                    let text = [start, &long, end].concat();
                    assert_eq!(ours(&text, &columns), slowly(&text, &columns), "{length}, {start:?}, {end:?}");
                }
            }
        }
    }

    /// Marks of every byte at every place of a chunk.
    #[test]
    fn marks_are_where_the_bytes_are() {
        for byte in 0..=u8::MAX {
            for at in 0..CHUNK {
                let mut chunk = [b'a'; CHUNK];
                chunk[at] = byte;
                chunk[CHUNK - 1 - at] = b'\n';
                let is_mark = |at: &usize| chunk[*at] == b';' || chunk[*at] == b'\n';
                let expected = (0..CHUNK).filter(is_mark).fold(0, |marks, at| marks | 1 << at);
                assert_eq!(marks_of(&chunk, b';'), expected, "{byte} at {at}");
            }
        }
    }
}
