//! Which field of a row is what.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Record;

/// A field that Usher reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Who: required.
    Visitor,
    /// Which segment: required.
    Segment,
    /// The type of the id, when it is not the feed's.
    IdType,
    /// When the fact was seen.
    Observed,
    /// How long it holds.
    Ttl,
    /// Until when it holds.
    Expires,
    /// `add` or `remove`.
    Action,
}

impl Column {
    /// Every column.
    pub const ALL: [Self; 7] =
        [Self::Visitor, Self::Segment, Self::IdType, Self::Observed, Self::Ttl, Self::Expires, Self::Action];

    /// Its name in a header line, in `--columns` and as a JSON key.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Segment => "segment",
            Self::IdType => "id_type",
            Self::Observed => "observed",
            Self::Ttl => "ttl",
            Self::Expires => "expires",
            Self::Action => "action",
        }
    }

    /// The column of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}

/// Names that `--columns` takes for fields that are not read: any field, and the consent that rows may carry.
const UNREAD: [&str; 2] = ["_", "consent"];

/// Why a list of columns was refused. Never quotes a header line: without one, it would be a row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ColumnsError {
    /// A required column is missing from the header line.
    #[error(
        "the header line (line {line}) names {count} column{} and none of them is `{}`; for a file without a header line say --columns visitor,segment,...{}",
        if *count == 1 { "" } else { "s" }, missing.name(), hint.unwrap_or("")
    )]
    Header {
        /// The required column.
        missing: Column,
        /// How many the header names.
        count: usize,
        /// Number of the header line.
        line: u64,
        /// What else might be wrong.
        hint: Option<&'static str>,
    },
    /// A required column is missing from `--columns`.
    #[error("--columns must name `{}`, such as: --columns visitor,segment,expires", .0.name())]
    Option(Column),
    /// A column stands twice.
    #[error("column `{}` stands twice; each field has its own, and `_` for a field to leave out", .0.name())]
    Twice(Column),
    /// `--columns` has a name that means nothing.
    #[error(
        "--columns knows no `{0}`; it takes visitor, segment, id_type, observed, ttl, expires, action, consent, and `_` for a field to leave out"
    )]
    Unknown(String),
}

/// The fields of a row in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    fields: Vec<Option<Column>>,
    ignored: Vec<String>,
}

impl Columns {
    /// Takes a header line's names: those that are not ours are ignored, upper and lower case are one.
    ///
    /// # Errors
    /// When `visitor` or `segment` is missing or one stands twice.
    pub fn from_header(names: &[String], line: u64, hint: Option<&'static str>) -> Result<Self, ColumnsError> {
        let mut columns = Self { fields: Vec::new(), ignored: Vec::new() };
        for name in names {
            let column = Column::of(&name.trim().to_ascii_lowercase());
            if column.is_none() {
                columns.ignored.push(name.trim().to_owned());
            }
            columns.fields.push(column);
        }
        columns.refuse_twice()?;
        match columns.missing() {
            Some(missing) => Err(ColumnsError::Header { missing, count: names.len(), line, hint }),
            None => Ok(columns),
        }
    }

    /// What field `index` is; `None` for one that is not read or not there.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Column> {
        self.fields.get(index).copied().flatten()
    }

    /// Puts a field into its place, if it is read.
    #[inline]
    pub(super) fn place<'a>(&self, index: usize, field: &'a [u8], record: &mut Record<'a>) {
        if let Some(column) = self.get(index) {
            record.set(column, field);
        }
    }

    /// Whether there are so many.
    #[inline]
    pub(super) fn are(&self, count: usize) -> bool {
        count == self.fields.len()
    }

    /// Names of the header line that are not read.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    fn missing(&self) -> Option<Column> {
        [Column::Visitor, Column::Segment].into_iter().find(|column| !self.fields.contains(&Some(*column)))
    }

    fn refuse_twice(&self) -> Result<(), ColumnsError> {
        let stands = |column| self.fields.iter().filter(|field| **field == Some(column)).count();
        match Column::ALL.into_iter().find(|column| stands(*column) > 1) {
            Some(column) => Err(ColumnsError::Twice(column)),
            None => Ok(()),
        }
    }
}

impl FromStr for Columns {
    type Err = ColumnsError;

    /// Reads the list of `--columns`.
    fn from_str(list: &str) -> Result<Self, ColumnsError> {
        let mut columns = Self { fields: Vec::new(), ignored: Vec::new() };
        for name in list.split(',').map(str::trim) {
            let column = Column::of(name);
            if column.is_none() && !UNREAD.contains(&name) {
                return Err(ColumnsError::Unknown(name.to_owned()));
            }
            columns.fields.push(column);
        }
        columns.refuse_twice()?;
        columns.missing().map_or(Ok(columns), |missing| Err(ColumnsError::Option(missing)))
    }
}

impl fmt::Display for Columns {
    /// The list as `--columns` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", field.map_or("_", Column::name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Result<Columns, ColumnsError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Columns::from_header(&names, 1, None)
    }

    #[test]
    fn a_header_may_have_any_order_and_names_of_others() {
        let columns = header(&["city", " Segment", "VISITOR", "ttl"]).expect("both are there");
        assert_eq!(columns.to_string(), "_,segment,visitor,ttl");
        assert_eq!(columns.ignored(), ["city"]);
        assert_eq!((columns.get(2), columns.get(0), columns.get(9)), (Some(Column::Visitor), None, None));
    }

    #[test]
    fn visitor_and_segment_are_required_and_nothing_stands_twice() {
        assert!(matches!(header(&["segment"]), Err(ColumnsError::Header { missing: Column::Visitor, count: 1, .. })));
        assert_eq!(header(&["visitor", "segment", "ttl", "ttl"]), Err(ColumnsError::Twice(Column::Ttl)));
        assert_eq!("visitor,_".parse::<Columns>(), Err(ColumnsError::Option(Column::Segment)));
        assert_eq!("visitor,segment,expire".parse::<Columns>(), Err(ColumnsError::Unknown("expire".into())));
    }

    #[test]
    fn the_option_prints_as_it_is_read() {
        let columns: Columns = "segment, _,visitor,consent".parse().expect("known names");
        assert_eq!(columns.to_string(), "segment,_,visitor,_");
    }
}
