//! What to say about a code, beyond the code: what was expected, and what to do about it.

/// A sentence for whoever wrote the feed; `None` for codes that say it all.
pub(crate) fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "field_count" => {
            "each row has as many fields as there are columns; --columns takes `_` for a field to leave out"
        }
        "bad_quote" => "a quoted field ends before a comma or a line end, and quotes inside are doubled",
        "bad_json" => "each line is one JSON object, whose known keys hold text or whole numbers",
        "bad_time" => "a time is RFC 3339 with a zone, such as 2026-05-04T20:00:00Z, or Unix seconds",
        "bad_ttl" => "a life is such as 30d, 12h, 90m, or seconds",
        "bad_action" => "an action is `add` or `remove`",
        "bad_utf8" => "the text is not UTF-8; convert it first",
        "bad_segment" => "a segment's name holds no control characters",
        "bad_id_type" => "an id type is 1 to 32 lower-case letters, digits, `_` or `-`",
        "missing" => "every row has a visitor and a segment",
        "too_long" => "ids and names have at most 256 bytes, and a row at most 64 KiB",
        "expired" => "the source's life had passed since the rows were observed",
        "future_observed" => "rows were observed in the future; are the times in UTC?",
        "not_owner" => "the segments belong to another source",
        "unknown_source_prefix" => "no source of the charter owns such segments",
        "forbidden" => "the charter forbids such segments",
        "id_type_not_allowed" => "the charter does not let the source deliver such ids",
        "opted_out" => "the visitors want no part in this; their rows stay out",
        "erased" => "what was observed until then was erased at the visitor's wish; what is observed later is taken",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_advice() {
        for refusal in usher_index::Refusal::ALL {
            assert!(advice(refusal.code()).is_some(), "{refusal}");
        }
    }
}
