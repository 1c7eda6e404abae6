//! Fields between commas, quoted where they hold one (RFC 4180).
//!
//! A record that [`Records`](super::records) let pass has closed quotes, each followed by a comma or the end. A field
//! without quotes is borrowed from the record, and so is a quoted one without doubled quotes inside.

use super::quotes::{COMMA, QUOTE};
use super::tsv;

/// Hands each field of a record to `each`, with its place, and says how many there were. Doubled quotes are resolved
/// into `scratch`, which is at least as long as the record.
#[inline]
pub(super) fn fields<'a>(record: &'a [u8], scratch: &'a mut [u8], each: impl FnMut(usize, &'a [u8])) -> usize {
    match memchr::memchr(QUOTE, record) {
        None => tsv::split(record, COMMA, each),
        Some(_) => quoted_fields(record, scratch, each),
    }
}

fn quoted_fields<'a>(record: &'a [u8], scratch: &'a mut [u8], mut each: impl FnMut(usize, &'a [u8])) -> usize {
    let (mut rest, mut free, mut index) = (record, scratch, 0);
    loop {
        let field = if rest.first() == Some(&QUOTE) {
            let length = quoted_length(rest);
            let inner = &rest[1..length - 1];
            rest = &rest[length..];
            match memchr::memchr(QUOTE, inner) {
                None => inner,
                Some(_) => unescape(inner, &mut free),
            }
        } else {
            let length = memchr::memchr(COMMA, rest).unwrap_or(rest.len());
            let field = &rest[..length];
            rest = &rest[length..];
            field
        };
        each(index, field);
        index += 1;
        match rest.split_first() {
            Some((_, after_comma)) => rest = after_comma,
            None => return index,
        }
    }
}

/// Bytes of the quoted field at the start, its two quotes included.
fn quoted_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(QUOTE, rest)) {
        at += found + 1;
        if bytes.get(at) != Some(&QUOTE) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// Copies the text with each doubled quote made one.
fn unescape<'a>(inner: &[u8], free: &mut &'a mut [u8]) -> &'a [u8] {
    let space = std::mem::take(free);
    let (mut from, mut to) = (0, 0);
    while from < inner.len() {
        space[to] = inner[from];
        from += if inner[from] == QUOTE { 2 } else { 1 };
        to += 1;
    }
    let (field, rest) = space.split_at_mut(to);
    *free = rest;
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Place;
    use crate::feed::records::{Line, Records};

    const START: Place = Place { line: 1, offset: 0 };

    fn ours(text: &str) -> Vec<Vec<String>> {
        let mut lines = Records::new(text.as_bytes(), START);
        let mut records = Vec::new();
        while let Some((_, Line::Whole(record))) = lines.next(true).expect("closed quotes") {
            let (mut scratch, mut seen) = (vec![0; record.len()], Vec::new());
            let count = fields(record, &mut scratch, |_, field| seen.push(String::from_utf8_lossy(field).into_owned()));
            assert_eq!(count, seen.len());
            records.push(seen);
        }
        records
    }

    fn theirs(text: &str) -> Vec<Vec<String>> {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let records = reader.records().map(|record| record.expect("text"));
        records.map(|record| record.iter().map(str::to_owned).collect()).collect()
    }

    /// Every text of up to six of these pieces: some 50,000 files.
    #[test]
    fn the_csv_crate_reads_the_same_fields() {
        let pieces = ["a", ",", "\n", "\"b\"", "\"\"", "\"x,\r\n\"\"y\""];
        let mut compared = 0;
        for length in 1..=6u32 {
            for mut number in 0..6usize.pow(length) {
                let mut text = String::new();
                for _ in 0..length {
                    text += pieces[number % 6];
                    number /= 6;
                }
                if is_strict(&text) {
                    assert_eq!(ours(&text), theirs(&text), "{text:?}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 5_000, "{compared}");
    }

    /// Whether the quotes are as RFC 4180 has them; elsewhere the crate guesses, and we refuse.
    fn is_strict(text: &str) -> bool {
        let mut lines = Records::new(text.as_bytes(), START);
        while let Ok(Some((_, line))) = lines.next(true) {
            match line {
                Line::Whole(_) => {}
                Line::BadQuote(_) | Line::TooLong => return false,
            }
        }
        lines.next(true).is_ok()
    }
}
