//! The house's audiences: named expressions, and sets that were drawn from a lookalike.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use usher_index::Time;

use super::expand::{ExpandError, expand};
use super::expr::Expr;
use super::parse::parse;

/// Audiences of one house.
pub const MAX_AUDIENCES: usize = 100_000;
/// Bytes of an audience's name.
pub const MAX_NAME_BYTES: usize = 128;

/// Who is in an audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// Whom an expression means.
    Expression(Expr),
    /// The members of a segment that a lookalike was stored as.
    Lookalike {
        /// The segment's name.
        segment: String,
    },
}

/// A named set of visitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Who is in it.
    pub definition: Definition,
    /// When it got its name.
    pub created: Time,
}

impl Audience {
    /// Who is in it, as an expression.
    #[must_use]
    pub fn expression(&self) -> Expr {
        match &self.definition {
            Definition::Expression(expression) => expression.clone(),
            Definition::Lookalike { segment } => Expr::Segment(segment.clone()),
        }
    }
}

/// An audience as the state keeps it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lookalike: Option<String>,
    created: i64,
}

impl Audience {
    /// The bytes that [`Audience::read`] reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (expression, lookalike) = match &self.definition {
            Definition::Expression(expression) => (Some(expression.to_string()), None),
            Definition::Lookalike { segment } => (None, Some(segment.clone())),
        };
        let stored = Stored { expression, lookalike, created: self.created.unix() };
        serde_json::to_vec(&stored).expect("texts and a number are always JSON")
    }

    /// Reads what the state has; `None` for what no audience was written as.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let Stored { expression, lookalike, created } = serde_json::from_slice(bytes).ok()?;
        let definition = match (expression, lookalike) {
            (Some(text), None) => Definition::Expression(parse(&text).ok()?),
            (None, Some(segment)) => Definition::Lookalike { segment },
            _ => return None,
        };
        Some(Self { definition, created: Time::from_unix(created)? })
    }
}

/// All audiences by name.
#[derive(Clone, Debug, Default)]
pub struct Audiences {
    by_name: BTreeMap<Arc<str>, Arc<Audience>>,
    /// Which audiences name this one.
    users: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
}

/// Whether this may be an audience's name: 1 to [`MAX_NAME_BYTES`] letters, digits, `_ . : -`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.chars().all(fits)
}

impl Audiences {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The audience of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Audience>> {
        self.by_name.get(name)
    }

    /// All of them after `after`, by the UTF-8 bytes of their names.
    pub fn after<'a>(&'a self, after: &str) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Audience>)> + Clone {
        use std::ops::Bound::{Excluded, Unbounded};
        self.by_name.range::<str, _>((Excluded(after), Unbounded))
    }

    /// The audiences that name this one.
    pub fn users(&self, name: &str) -> impl Iterator<Item = &str> {
        self.users.get(name).into_iter().flatten().map(|user| &**user)
    }

    /// An expression in which every audience that there is is spelt out; see [`expand`].
    ///
    /// # Errors
    /// When an audience leads back to itself, or too much is in it then.
    pub fn expand(&self, expression: &Expr) -> Result<Expr, ExpandError> {
        expand(expression, &|name| self.get(name).map(|audience| audience.expression()))
    }

    /// The same for what is to be the audience `name`, which must not lead back to it.
    ///
    /// # Errors
    /// As [`Audiences::expand`].
    pub fn expand_as(&self, name: &str, expression: &Expr) -> Result<Expr, ExpandError> {
        let meant = |other: &str| match other == name {
            true => Some(expression.clone()),
            false => self.get(other).map(|audience| audience.expression()),
        };
        expand(&Expr::Audience(name.to_owned()), &meant)
    }

    /// Whether the audience `name` can be put, or with `None` taken away, and every other stays what it is.
    #[must_use]
    pub fn fits(&self, name: &str, audience: Option<&Audience>) -> bool {
        match audience {
            Some(audience) => {
                let room = self.by_name.contains_key(name) || self.len() < MAX_AUDIENCES;
                room && self.expand_as(name, &audience.expression()).is_ok()
            }
            None => self.by_name.contains_key(name) && !self.users.contains_key(name),
        }
    }

    /// Puts an audience in the place of the one of its name.
    pub fn put(&mut self, name: Arc<str>, audience: Arc<Audience>) {
        self.remove(&name);
        for used in named(&audience) {
            self.users.entry(used).or_default().insert(Arc::clone(&name));
        }
        self.by_name.insert(name, audience);
    }

    /// Takes an audience away. Those that name it stay: for them it is nobody from then on.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Audience>> {
        let audience = self.by_name.remove(name)?;
        for used in named(&audience) {
            if let Some(users) = self.users.get_mut(&used) {
                users.remove(name);
                if users.is_empty() {
                    self.users.remove(&used);
                }
            }
        }
        Some(audience)
    }

    /// The audiences whose members change with that of this name: itself, and whoever names it, at any remove.
    #[must_use]
    pub fn affected(&self, name: &str) -> BTreeSet<Arc<str>> {
        let (mut found, mut pending) = (BTreeSet::new(), vec![Arc::<str>::from(name)]);
        while let Some(name) = pending.pop() {
            if let Some(users) = self.users.get(&name) {
                pending.extend(users.iter().filter(|user| !found.contains(*user)).map(Arc::clone));
            }
            found.insert(name);
        }
        found
    }
}

/// The audiences that an audience names.
fn named(audience: &Audience) -> BTreeSet<Arc<str>> {
    let mut found = BTreeSet::new();
    if let Definition::Expression(expression) = &audience.definition {
        expression.for_each_leaf(&mut |leaf| {
            if let Expr::Audience(name) = leaf {
                found.insert(name.as_str().into());
            }
        });
    }
    found
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Definition::Expression(expression) => expression.fmt(f),
            Definition::Lookalike { segment } => super::lex::write_name(f, segment),
        }
    }
}
