//! What a charter says of lookalike audiences.

use serde::{Deserialize, Serialize};

use crate::error::CharterError;
use crate::time::Span;

/// Bounds of lookalike audiences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LookalikeRules {
    /// The fewest seed visitors.
    pub min_seed: u64,
    /// The fewest visitors of an audience.
    pub min_audience: u64,
    /// The life of a lookalike membership.
    pub ttl: Span,
}

impl Default for LookalikeRules {
    fn default() -> Self {
        Self { min_seed: 100, min_audience: 1_000, ttl: Span::from_days(30) }
    }
}

/// Refuses bounds that bound nothing, and a life that is lost to rounding.
pub(super) fn check(text: &str, spanned: &toml::Spanned<LookalikeRules>, least: Span) -> Result<(), CharterError> {
    let rules = spanned.get_ref();
    let message = if rules.min_seed == 0 || rules.min_audience == 0 {
        "[lookalike] has min_seed or min_audience 0; expected at least 1 of each".to_owned()
    } else if rules.ttl < least {
        format!("[lookalike] has ttl {}; expected at least two ticks of the index, {least}", rules.ttl)
    } else {
        return Ok(());
    };
    Err(CharterError::at(text, spanned.span().start, &message))
}

#[cfg(test)]
mod tests {
    use super::LookalikeRules;
    use crate::charter::Charter;
    use crate::time::Span;

    fn charter(table: &str) -> String {
        format!(
            "[house]\nname = \"Parc\"\nsteward = \"dpo@parc.example\"\n{table}[[source]]\nname = \"a\"\nclass = \"behavioural\"\nprefixes = [\"\"]\nttl = \"30d\"\nmax_retention = \"90d\"\nlegal_basis = \"consent\"\n"
        )
    }

    #[test]
    fn the_rules_are_those_of_the_table() {
        let rules = |table: &str| Charter::parse(&charter(table)).expect("a charter").lookalike().clone();
        let usual = LookalikeRules { min_seed: 100, min_audience: 1_000, ttl: Span::from_days(30) };
        assert_eq!((rules(""), rules("[lookalike]\n")), (usual.clone(), usual));
        let own = LookalikeRules { min_seed: 1, min_audience: 20, ttl: Span::from_days(7) };
        let text = charter("[lookalike]\nmin_seed = 1\nmin_audience = 20\nttl = \"7d\"\n");
        let charter = Charter::parse(&text).expect("a charter");
        assert_eq!(charter.lookalike(), &own);
        let shown = serde_json::to_value(&charter).expect("a charter is shown");
        let read: LookalikeRules = serde_json::from_value(shown["lookalike"].clone()).expect("what was shown");
        assert_eq!(read, own);
    }

    #[test]
    fn rules_that_bound_nothing_are_refused() {
        for (table, line, part) in [
            ("[lookalike]\nmin_seed = 0\n", 4, "min_seed"),
            ("[lookalike]\nmin_audience = 0\n", 4, "min_audience"),
            ("[lookalike]\nttl = \"1h\"\n", 4, "two ticks"),
            ("[lookalike]\nmin_sed = 5\n", 5, "unknown field"),
        ] {
            let error = Charter::parse(&charter(table)).expect_err("a wrong charter");
            assert!(error.line == line && error.message.contains(part), "expected line {line}, {part}; found {error}");
        }
    }
}
