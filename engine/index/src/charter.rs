//! The house's data charter: which sources there are, what each may bring, for how long and on what ground.

use serde::{Deserialize, Serialize};

use crate::error::CharterError;
use crate::id::IdType;
use crate::time::{Span, TickLength};

mod lookalike;

pub use lookalike::LookalikeRules;

/// The fewest ticks that a source's life lasts; less would be lost to rounding.
pub const MIN_TTL_TICKS: u32 = 2;
/// The largest charter, in bytes.
pub const MAX_CHARTER_BYTES: usize = 1 << 20;
const DEFAULT_SIZE_FLOOR: u64 = 100;
const DEVELOPMENT_DAYS: u32 = 120;

/// What a segment says about people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// What they look at.
    Behavioural,
    /// What they buy.
    Transactional,
    /// Who they are.
    Sociodemographic,
    /// How they take part.
    Engagement,
}

/// The legal ground on which a source delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegalBasis {
    /// The visitor agreed.
    Consent,
    /// A weighed interest of the house.
    LegitimateInterest,
    /// A contract with the visitor.
    Contract,
}

/// The house that keeps the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct House {
    /// Its name.
    pub name: String,
    /// Whom to ask about data: an address.
    pub steward: String,
    /// Sizes below this number of visitors are never shown.
    #[serde(default = "default_size_floor")]
    pub size_floor: u64,
    /// The index's time grain, read when the index is created.
    #[serde(default)]
    pub tick: TickLength,
}

fn default_size_floor() -> u64 {
    DEFAULT_SIZE_FLOOR
}

/// What is never admitted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forbidden {
    /// Prefixes of segment names.
    #[serde(default)]
    pub prefixes: Vec<String>,
}

/// A data provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name, as `--source` gives it.
    pub name: String,
    /// What its segments say.
    pub class: Class,
    /// The segment names that it owns; `""` owns all that nobody else does.
    pub prefixes: Vec<String>,
    /// The types of id that it may deliver.
    #[serde(default = "cookies")]
    pub id_types: Vec<IdType>,
    /// The life of its memberships; a row may only shorten it.
    pub ttl: Span,
    /// The bytes of a membership are gone within a day after it was observed plus this.
    pub max_retention: Span,
    /// On what ground it delivers.
    pub legal_basis: LegalBasis,
    /// What a row and a lookup must carry. Cannot be honoured yet, so a charter that has it is refused.
    #[serde(default, skip_serializing)]
    consent: Option<toml::Spanned<toml::Value>>,
}

fn cookies() -> Vec<IdType> {
    vec![IdType::default()]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    house: House,
    lookalike: Option<toml::Spanned<LookalikeRules>>,
    #[serde(default)]
    forbidden: Forbidden,
    #[serde(rename = "source")]
    sources: Vec<toml::Spanned<Source>>,
}

/// A charter in force.
#[derive(Debug, Clone, Serialize)]
pub struct Charter {
    house: House,
    lookalike: LookalikeRules,
    forbidden: Forbidden,
    sources: Vec<Source>,
    development: bool,
    #[serde(skip)]
    text: String,
}

impl Charter {
    /// Reads a charter in TOML.
    ///
    /// # Errors
    /// With line and column, when the text is not a charter or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, CharterError> {
        if text.len() > MAX_CHARTER_BYTES {
            return Err(CharterError::at(
                text,
                0,
                &format!("a charter has at most {MAX_CHARTER_BYTES} bytes, this one has {}", text.len()),
            ));
        }
        let file: File = toml::from_str(text)
            .map_err(|e| CharterError::at(text, e.span().map_or(0, |span| span.start), e.message()))?;
        check(text, &file)?;
        Ok(Self {
            house: file.house,
            lookalike: file.lookalike.map(toml::Spanned::into_inner).unwrap_or_default(),
            forbidden: file.forbidden,
            sources: file.sources.into_iter().map(toml::Spanned::into_inner).collect(),
            development: false,
            text: text.to_owned(),
        })
    }

    /// The permissive charter of an index that has none: any source, any segment (of the first source that brings it),
    /// any id type, a life of 120 days.
    #[must_use]
    pub fn development() -> Self {
        let house = House {
            name: "development".into(),
            steward: "none".into(),
            size_floor: DEFAULT_SIZE_FLOOR,
            tick: TickLength::default(),
        };
        let (lookalike, forbidden) = Default::default();
        Self { house, lookalike, forbidden, sources: Vec::new(), development: true, text: String::new() }
    }

    /// The house.
    #[must_use]
    pub fn house(&self) -> &House {
        &self.house
    }

    /// Bounds of lookalike audiences.
    #[must_use]
    pub fn lookalike(&self) -> &LookalikeRules {
        &self.lookalike
    }

    /// The sources, in the order of the file.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The source of this name. Under the development charter there is one for every name.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<Source> {
        if self.development {
            Some(development_source(name))
        } else {
            self.sources.iter().find(|s| s.name == name).cloned()
        }
    }

    /// The longest life that a source gives; none when there is no source.
    #[must_use]
    pub fn longest_ttl(&self) -> Option<Span> {
        let development = self.development.then(|| development_source("").ttl);
        self.sources.iter().map(|source| source.ttl).chain(development).max()
    }

    /// The source that owns the segment: the one with the longest prefix of its name. None under the development
    /// charter, where the index knows who brought it first.
    #[must_use]
    pub fn owner_of(&self, segment: &str) -> Option<&Source> {
        let longest =
            |source: &Source| source.prefixes.iter().filter(|p| segment.starts_with(p.as_str())).map(String::len).max();
        let owned = self.sources.iter().filter_map(|source| longest(source).map(|length| (length, source)));
        owned.max_by_key(|(length, _)| *length).map(|(_, source)| source)
    }

    /// Whether the charter forbids the segment.
    #[must_use]
    pub fn is_forbidden(&self, segment: &str) -> bool {
        self.forbidden.prefixes.iter().any(|prefix| segment.starts_with(prefix.as_str()))
    }

    /// Whether this is the permissive charter of an index that has none.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.development
    }

    /// The text it was read from; `None` for the development charter.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        (!self.development).then_some(self.text.as_str())
    }

    /// The digest that names its file; `None` for the development charter.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        self.text().map(|text| crate::checksum::digest(text.as_bytes()))
    }

    /// Refuses a source whose life is shorter than two ticks of the index.
    ///
    /// # Errors
    /// Naming the source.
    pub fn check_tick(&self, tick: TickLength) -> Result<(), CharterError> {
        let least = Span::from_secs(MIN_TTL_TICKS * tick.secs());
        let short = self.sources.iter().find(|source| source.ttl < least);
        short.map_or(Ok(()), |source| {
            let at = self.text.find(&source.name).unwrap_or(0);
            Err(CharterError::at(&self.text, at, &short_ttl(source, least)))
        })
    }
}

fn short_ttl(source: &Source, least: Span) -> String {
    format!("source `{}` has ttl {}; expected at least two ticks of the index, {least}", source.name, source.ttl)
}

fn development_source(name: &str) -> Source {
    let life = Span::from_days(DEVELOPMENT_DAYS);
    Source {
        name: name.into(),
        class: Class::Behavioural,
        prefixes: vec![String::new()],
        id_types: Vec::new(),
        ttl: life,
        max_retention: life,
        legal_basis: LegalBasis::Consent,
        consent: None,
    }
}

impl CharterError {
    pub(crate) fn at(text: &str, offset: usize, message: &str) -> Self {
        let before = text.get(..offset).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Self { line, column, message: message.trim_end().replace('\n', "; ") }
    }
}

fn check(text: &str, file: &File) -> Result<(), CharterError> {
    let least = Span::from_secs(MIN_TTL_TICKS * file.house.tick.secs());
    file.lookalike.iter().try_for_each(|rules| lookalike::check(text, rules, least))?;
    let mut seen_prefixes = std::collections::HashMap::new();
    let mut seen_names = std::collections::HashSet::new();
    for spanned in &file.sources {
        let source = spanned.get_ref();
        let wrong = |message: String| Err(CharterError::at(text, spanned.span().start, &message));
        let name = &source.name;
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return wrong(format!("the source's name {name:?} is not 1 to 64 letters, digits, `_`, `-` or `.`"));
        }
        if !seen_names.insert(name) {
            return wrong(format!("source `{name}` is named twice; give each source one [[source]] table"));
        }
        if let Some(consent) = &source.consent {
            let message = format!(
                "source `{name}` asks for consent, which this version cannot read from a row yet; expected no `consent` clause"
            );
            return Err(CharterError::at(text, consent.span().start, &message));
        }
        if source.prefixes.is_empty() || source.id_types.is_empty() {
            return wrong(format!("source `{name}` has empty `prefixes` or `id_types`; expected at least one of each"));
        }
        if source.ttl < least {
            return wrong(short_ttl(source, least));
        }
        if source.max_retention < source.ttl {
            return wrong(format!(
                "source `{name}` has max_retention {}; expected at least its ttl, {}",
                source.max_retention, source.ttl
            ));
        }
        for prefix in &source.prefixes {
            if let Some(other) = seen_prefixes.insert(prefix, name) {
                return wrong(format!(
                    "prefix {prefix:?} belongs to `{other}` and to `{name}`; a segment has exactly one source"
                ));
            }
        }
    }
    if file.sources.is_empty() {
        return Err(CharterError::at(text, 0, "there is no source; expected at least one [[source]] table"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUSE: &str = "[house]\nname = \"Parc\"\nsteward = \"dpo@parc.example\"\n";

    fn source(name: &str, prefix: &str) -> String {
        format!(
            "[[source]]\nname = \"{name}\"\nclass = \"behavioural\"\nprefixes = [\"{prefix}\"]\nttl = \"30d\"\nmax_retention = \"90d\"\nlegal_basis = \"consent\"\n"
        )
    }

    #[test]
    fn the_longest_prefix_owns() {
        let text = format!(
            "{HOUSE}{}{}[forbidden]\nprefixes = [\"health.\"]\n",
            source("all", ""),
            source("mag", "interest.")
        );
        let charter = Charter::parse(&text).expect("a charter");
        let owner = |name| charter.owner_of(name).map(|source| source.name.as_str());
        assert_eq!((owner("interest.opera"), owner("crm.x")), (Some("mag"), Some("all")));
        assert!(charter.is_forbidden("health.flu") && !charter.is_forbidden("interest.opera"));
        assert_eq!((charter.house().size_floor, charter.house().tick.secs()), (100, 3600));
    }

    #[test]
    fn errors_say_where_and_what() {
        let table = [
            (format!("{HOUSE}[[source]]\nname = 5\n"), 5, "string"),
            (format!("{HOUSE}{}{}", source("a", "x."), source("a", "y.")), 11, "named twice"),
            (format!("{HOUSE}{}{}", source("a", "x."), source("b", "x.")), 11, "exactly one source"),
            (format!("{HOUSE}{}", source("a", "x.").replace("30d", "1h")), 4, "two ticks"),
            (format!("{HOUSE}{}", source("a", "x.").replace("90d", "10d")), 4, "at least its ttl"),
            (format!("{HOUSE}{}consent = {{ purposes = [1], vendor = 2 }}\n", source("a", "x.")), 11, "consent"),
            (format!("{HOUSE}tick = \"5s\"\n{}", source("a", "x.")), 4, "one minute to one day"),
            (format!("{HOUSE}colour = 1\n{}", source("a", "x.")), 4, "unknown field"),
        ];
        for (text, line, part) in table {
            let error = Charter::parse(&text).expect_err("a wrong charter");
            assert!(error.line == line && error.message.contains(part), "expected line {line}, {part}; found {error}");
        }
    }
}
