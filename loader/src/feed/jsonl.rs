//! JSON lines: one object a line, with the columns' names as keys; other keys are passed over.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::{Column, Item, Malformed, Record};

/// Parses one line and hands what it holds to `use_it`. It is malformed when it is not an object whose known keys hold
/// text or whole numbers.
#[inline]
pub(super) fn with_item<T>(line: &[u8], use_it: impl FnOnce(Item<'_>) -> T) -> T {
    // A list would pass as an object whose keys were left out.
    let is_object = line.trim_ascii_start().first() == Some(&b'{');
    let object = if is_object { serde_json::from_slice::<Object<'_>>(line).ok() } else { None };
    let Some(object) = object else {
        let is_text = std::str::from_utf8(line).is_ok();
        return use_it(if is_text { Item::Malformed(Malformed::BadJson, line) } else { Item::BadUtf8(line) });
    };
    let mut record = Record::EMPTY;
    let fields = [
        (Column::Visitor, &object.visitor),
        (Column::Segment, &object.segment),
        (Column::IdType, &object.id_type),
        (Column::Observed, &object.observed),
        (Column::Ttl, &object.ttl),
        (Column::Expires, &object.expires),
        (Column::Action, &object.action),
    ];
    for (column, value) in fields {
        if let Some(Text(text)) = value {
            record.set(column, text.as_bytes());
        }
    }
    use_it(Item::Record(record, line))
}

/// Its fields bear the names of [`Column::name`]; a test holds them to that.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default)]
    visitor: Option<Text<'a>>,
    #[serde(borrow, default)]
    segment: Option<Text<'a>>,
    #[serde(borrow, default)]
    id_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    observed: Option<Text<'a>>,
    #[serde(borrow, default)]
    ttl: Option<Text<'a>>,
    #[serde(borrow, default)]
    expires: Option<Text<'a>>,
    #[serde(borrow, default)]
    action: Option<Text<'a>>,
}

/// Text, borrowed from the line unless it had escapes, or a whole number as text.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a whole number")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &str) -> Option<[String; 7]> {
        with_item(line.as_bytes(), |item| match item {
            Item::Record(record, _) => Some(Column::ALL.map(|of| String::from_utf8_lossy(record.get(of)).into_owned())),
            _ => None,
        })
    }

    #[test]
    fn every_column_has_its_key() {
        let pairs: Vec<String> =
            Column::ALL.iter().map(|column| format!("\"{0}\":\"of {0}\"", column.name())).collect();
        let expected = Column::ALL.map(|column| format!("of {}", column.name()));
        assert_eq!(values(&format!("{{{}}}", pairs.join(","))), Some(expected));
    }

    #[test]
    fn only_text_and_whole_numbers_are_values() {
        let visitor = |value: &str| values(&format!("{{\"visitor\":{value}}}")).map(|all| all[0].clone());
        assert_eq!(visitor("18446744073709551615").as_deref(), Some("18446744073709551615"));
        assert_eq!(visitor("-1").as_deref(), Some("-1"));
        assert_eq!(visitor("\"\\u00e9\"").as_deref(), Some("é"));
        assert_eq!(visitor("null").as_deref(), Some(""));
        for bad in ["true", "1.5", "[]", "{}", "18446744073709551616", "\"a", "\"\u{1}\""] {
            assert_eq!(visitor(bad), None, "{bad}");
        }
        with_item(b"{\"visitor\":\"\xff\"}", |item| assert!(matches!(item, Item::BadUtf8(_))));
        assert_eq!(values("{\"visitor\":1,\"visitor\":2}"), None, "a key that stands twice");
    }
}
