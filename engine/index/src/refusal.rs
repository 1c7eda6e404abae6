//! Why a row was refused: one code each, the same in reports, quarantine and HTTP answers.

use serde::{Deserialize, Serialize};

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// The reason for which a row was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Refusal { $($(#[$doc])* $name,)* }

        impl Refusal {
            /// Every reason.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name,)*];

            /// The stable code, in snake case.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Refusal::$name => $code,)* }
            }
        }
    };
}

refusals! {
    /// No source of the charter owns a prefix of the segment's name.
    UnknownSourcePrefix = "unknown_source_prefix",
    /// The segment belongs to another source.
    NotOwner = "not_owner",
    /// The charter forbids the segment.
    Forbidden = "forbidden",
    /// The source may not deliver ids of this type.
    IdTypeNotAllowed = "id_type_not_allowed",
    /// The life that the source may give had passed before the row came.
    Expired = "expired",
    /// Observed more than five minutes from now.
    FutureObserved = "future_observed",
    /// A field, or the whole row, is longer than its bound.
    TooLong = "too_long",
    /// A required field is empty.
    Missing = "missing",
    /// Not UTF-8.
    BadUtf8 = "bad_utf8",
    /// Neither RFC 3339 nor Unix seconds.
    BadTime = "bad_time",
    /// Not a life such as `30d`.
    BadTtl = "bad_ttl",
    /// Neither `add` nor `remove`.
    BadAction = "bad_action",
    /// Not the name of a segment: it holds a control character.
    BadSegment = "bad_segment",
    /// The visitor opted out.
    OptedOut = "opted_out",
    /// What was observed until then was erased at the visitor's wish.
    Erased = "erased",
    /// Not an id type.
    BadIdType = "bad_id_type",
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_what_serde_writes() {
        for refusal in Refusal::ALL {
            let written = serde_json::to_string(refusal).expect("a unit variant");
            assert_eq!(written, format!("\"{}\"", refusal.code()));
        }
    }
}
