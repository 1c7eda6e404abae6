//! Text to row: the last step before admission judges it.

use usher_index::{IdError, Refusal, Row, Span, Text, VisitorId};

use crate::feed::{Column, Record};
use crate::time;

/// A row that was refused: why, and the field that was looked at, where it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    /// The field.
    pub column: Option<Column>,
}

impl Refused {
    fn at(column: Column, refusal: Refusal) -> Self {
        Self { refusal, column: Some(column) }
    }

    /// For what admission refuses: the field that its reason is about.
    #[must_use]
    pub fn by_admission(refusal: Refusal) -> Self {
        let column = match refusal {
            Refusal::Expired | Refusal::FutureObserved | Refusal::BadTime => Column::Observed,
            Refusal::IdTypeNotAllowed | Refusal::BadIdType => Column::IdType,
            Refusal::OptedOut | Refusal::Erased => Column::Visitor,
            Refusal::BadTtl => Column::Ttl,
            Refusal::BadAction => Column::Action,
            Refusal::UnknownSourcePrefix
            | Refusal::NotOwner
            | Refusal::Forbidden
            | Refusal::BadSegment
            | Refusal::TooLong
            | Refusal::Missing
            | Refusal::BadUtf8 => Column::Segment,
        };
        Self::at(column, refusal)
    }
}

/// Reads the fields of a record. Nothing is copied.
///
/// # Errors
/// On the first field that is missing, not UTF-8, too long or not of its form.
#[inline]
pub fn read<'a>(record: &Record<'a>) -> Result<Row<'a>, Refused> {
    let visitor = visitor(record.get(Column::Visitor))?;
    let segment = match record.get(Column::Segment) {
        b"" => return Err(Refused::at(Column::Segment, Refusal::Missing)),
        bytes => Text::of(bytes).ok_or(Refused::at(Column::Segment, Refusal::BadUtf8))?,
    };
    let mut row = Row { visitor, segment, id_type: None, observed: None, ttl: None, expires: None, remove: false };
    if let Some(bytes) = given(record, Column::IdType) {
        row.id_type = Some(text(Column::IdType, bytes)?);
    }
    if let Some(bytes) = given(record, Column::Observed) {
        row.observed = Some(moment(Column::Observed, bytes)?);
    }
    if let Some(bytes) = given(record, Column::Expires) {
        row.expires = Some(moment(Column::Expires, bytes)?);
    }
    if let Some(bytes) = given(record, Column::Ttl) {
        row.ttl = Some(life(bytes)?);
    }
    row.remove = match record.get(Column::Action) {
        b"" | b"add" => false,
        b"remove" => true,
        _ => return Err(Refused::at(Column::Action, Refusal::BadAction)),
    };
    Ok(row)
}

#[inline]
fn given<'a>(record: &Record<'a>, column: Column) -> Option<&'a [u8]> {
    Some(record.get(column)).filter(|bytes| !bytes.is_empty())
}

#[inline]
fn visitor(bytes: &[u8]) -> Result<VisitorId<'_>, Refused> {
    VisitorId::from_bytes(bytes).map_err(|error| {
        let refusal = match error {
            IdError::Empty => Refusal::Missing,
            IdError::TooLong(_) => Refusal::TooLong,
            IdError::NotUtf8(_) | IdError::BadType | IdError::BadPid => Refusal::BadUtf8,
        };
        Refused::at(Column::Visitor, refusal)
    })
}

#[inline]
fn text(column: Column, bytes: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(bytes).map_err(|_| Refused::at(column, Refusal::BadUtf8))
}

fn moment(column: Column, bytes: &[u8]) -> Result<usher_index::Time, Refused> {
    time::parse_bytes(bytes).map_err(|_| Refused::at(column, Refusal::BadTime))
}

fn life(bytes: &[u8]) -> Result<Span, Refused> {
    let text = text(Column::Ttl, bytes)?;
    Span::parse(text).map_err(|_| Refused::at(Column::Ttl, Refusal::BadTtl))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{Feed, Item, Shape, Space};
    use crate::source::{Bounds, Input};

    const HEADER: &str = "visitor\tsegment\tid_type\tobserved\tttl\texpires\taction\n";

    /// Reads one record and hands its row to `check`.
    fn with_row(fields: &[u8], check: impl Fn(Result<Row<'_>, Refused>)) {
        let text = [HEADER.as_bytes(), fields].concat();
        let input = Input::stream(&text[..], |_| {}, Bounds::default()).expect("memory");
        let mut feed = Feed::open(input, "f.tsv", &Shape::default()).expect("a header");
        let mut seen = 0;
        let block = feed.block(Space::default()).expect("memory").expect("a record");
        let read = feed.parser().each(&block, |_, item| {
            let Item::Record(record, _) = item else { panic!("seven fields") };
            check(read(&record));
            seen += 1;
            Ok(())
        });
        assert!(read.is_ok() && seen == 1);
    }

    #[test]
    fn a_row_with_everything_is_read() {
        with_row(b"v\ts\tmaid\t1000\t2h\t1970-01-01T01:00:00Z\tremove", |row| {
            let Ok(row) = row else { panic!("a good row") };
            assert_eq!((row.segment.as_str(), row.id_type, row.remove), ("s", Some("maid"), true));
            assert_eq!(row.observed.map(usher_index::Time::unix), Some(1_000));
            assert_eq!(row.expires.map(usher_index::Time::unix), Some(3_600));
            assert_eq!(row.ttl, Some(Span::from_secs(7_200)));
        });
        with_row(b"v\ts\t\t\t\t\t", |row| {
            let Ok(row) = row else { panic!("a good row") };
            assert!(
                row.observed.is_none()
                    && row.ttl.is_none()
                    && row.expires.is_none()
                    && row.id_type.is_none()
                    && !row.remove
            );
        });
    }

    #[test]
    fn every_bad_field_has_its_code_and_column() {
        let long = [&b"x".repeat(257)[..], b"\ts\t\t\t\t\t"].concat();
        let cases: [(&[u8], Column, Refusal); 11] = [
            (b"\ts\t\t\t\t\t", Column::Visitor, Refusal::Missing),
            (b"v\xff\ts\t\t\t\t\t", Column::Visitor, Refusal::BadUtf8),
            (&long, Column::Visitor, Refusal::TooLong),
            (b"v\t\t\t\t\t\t", Column::Segment, Refusal::Missing),
            (b"v\t\xc3\t\t\t\t\t", Column::Segment, Refusal::BadUtf8),
            (b"v\ts\t\tyesterday\t\t\t", Column::Observed, Refusal::BadTime),
            (b"v\ts\t\t1777924800000\t\t\t", Column::Observed, Refusal::BadTime),
            (b"v\ts\t\t\t\t2026-05-04T20:00:00\t", Column::Expires, Refusal::BadTime),
            (b"v\ts\t\t\t1y\t\t", Column::Ttl, Refusal::BadTtl),
            (b"v\ts\t\t\t\xff\t\t", Column::Ttl, Refusal::BadUtf8),
            (b"v\ts\t\t\t\t\tdelete", Column::Action, Refusal::BadAction),
        ];
        for (fields, column, refusal) in cases {
            with_row(fields, |row| assert_eq!(row.err(), Some(Refused::at(column, refusal))));
        }
    }
}
