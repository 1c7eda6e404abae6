//! Which segments may speak about a visitor: all but the excluded, the forbidden, and the lookalike audiences themselves.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use usher_index::segments::LOOKALIKE_PREFIX;
use usher_index::{Charter, Overlay, Snapshot, Tick};

/// The number of a segment that is no feature.
pub const HIDDEN: u32 = u32::MAX;

/// Segments that are to be no features: one by name, or all that begin with `prefix.` (written `prefix.*`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exclusion {
    /// The segment of this name.
    Segment(String),
    /// Every segment whose name begins so.
    Prefix(String),
}

impl Exclusion {
    fn covers(&self, name: &str) -> bool {
        match self {
            Exclusion::Segment(excluded) => excluded == name,
            Exclusion::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

impl FromStr for Exclusion {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let prefix = text.strip_suffix('*').filter(|prefix| prefix.ends_with('.'));
        Ok(prefix.map_or_else(|| Exclusion::Segment(text.to_owned()), |prefix| Exclusion::Prefix(prefix.to_owned())))
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exclusion::Segment(name) => f.write_str(name),
            Exclusion::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// The features, numbered in the order of the UTF-8 bytes of their names, over all shards and the changes.
#[derive(Debug)]
pub struct Features {
    names: Vec<Arc<str>>,
    /// Exclusions that name no segment.
    unknown: Vec<Exclusion>,
    hidden: Vec<Arc<str>>,
}

impl Features {
    /// The features of a snapshot and its overlay, under the snapshot's charter.
    pub fn new(snapshot: &Snapshot, overlay: &Overlay, tick: Tick, exclude: &[Exclusion]) -> Self {
        let mut known: BTreeSet<Arc<str>> = BTreeSet::new();
        if !overlay.is_empty() {
            known.extend(overlay.at(tick).segments().map(|segment| Arc::clone(&segment.name)));
        }
        known.extend(snapshot.segments().iter().map(|segment| Arc::clone(&segment.name)));
        let unknown = exclude.iter().filter(|exclusion| !known.iter().any(|name| exclusion.covers(name)));
        let unknown = unknown.cloned().collect();
        let is_feature = |name: &Arc<str>| is_feature(name, snapshot.charter(), exclude);
        let (names, hidden) = known.into_iter().partition(is_feature);
        Self { names, unknown, hidden }
    }

    /// The names, by number.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The number of the segment, [`HIDDEN`] when it is no feature.
    pub fn number(&self, name: &str) -> u32 {
        self.names.binary_search_by(|known| (**known).cmp(name)).map_or(HIDDEN, |place| place as u32)
    }

    /// The exclusions that no segment answers to.
    pub fn unknown(&self) -> &[Exclusion] {
        &self.unknown
    }

    /// The segments that are no features, by name.
    pub fn hidden(&self) -> &[Arc<str>] {
        &self.hidden
    }
}

fn is_feature(name: &str, charter: &Charter, exclude: &[Exclusion]) -> bool {
    !name.starts_with(LOOKALIKE_PREFIX)
        && !charter.is_forbidden(name)
        && !exclude.iter().any(|exclusion| exclusion.covers(name))
}

#[cfg(test)]
mod tests {
    use usher_index::{Charter, Overlay};

    use super::{Exclusion, Features, HIDDEN};
    use crate::ask::sample::Sample;

    #[test]
    fn the_hidden_have_no_number() {
        let names = ["crm.spectator", "crm", "health.flu", "interest.opera", "lookalikes"];
        let mut sample = Sample::new(names.map(|name| ("v", name, 9)));
        let charter = "[house]\nname = \"n\"\nsteward = \"s\"\n[forbidden]\nprefixes = [\"health.\"]\n[[source]]\nname = \"a\"\nclass = \"behavioural\"\nprefixes = [\"\"]\nttl = \"30d\"\nmax_retention = \"30d\"\nlegal_basis = \"consent\"\n";
        sample.snapshot.set_charter(Charter::parse(charter).unwrap());
        let exclude: Vec<Exclusion> = ["crm.*", "nobody", "no.*"].iter().map(|text| text.parse().unwrap()).collect();
        let tick = sample.snapshot.tick().floor(Sample::at(0));
        let features = Features::new(&sample.snapshot, &Overlay::default(), tick, &exclude);
        let kept: Vec<&str> = features.names().iter().map(|name| &**name).collect();
        assert_eq!(kept, ["crm", "interest.opera", "lookalikes"]);
        assert_eq!((features.number("interest.opera"), features.number("crm.spectator")), (1, HIDDEN));
        let unknown: Vec<String> = features.unknown().iter().map(ToString::to_string).collect();
        assert_eq!(unknown, ["nobody", "no.*"]);
        assert_eq!(features.hidden().len(), 2);
        assert!(!super::is_feature("lookalike.autumn.1", sample.snapshot.charter(), &[]));
    }
}
