//! The names of an expression that nobody knows, each with the known name that was probably meant.

use serde::Serialize;
use usher_index::overlay::View;
use usher_index::{SegmentInfo, Snapshot};

use super::expr::Expr;
use super::nearest::Nearest;

/// For how many unknown names of one expression the nearest known one is looked for: each looks through every name.
pub const MAX_SUGGESTIONS: usize = 8;

/// A name in an expression that no segment or audience has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unknown {
    /// The segment's name, a prefix with its star (`intrest.*`), or an audience's with its sign (`@autum`).
    pub name: String,
    /// The known name, or prefix with its star, that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

/// The names of the expression that no segment has, of the images or of the changes, each with the nearest that one has.
pub fn unknown(snapshot: &Snapshot, view: Option<&View<'_>>, expr: &Expr) -> Vec<Unknown> {
    let segments = snapshot.segments();
    let mut missing = Vec::new();
    expr.for_each_leaf(&mut |leaf| {
        let known = match leaf {
            Expr::Prefix(prefix) => has_prefix(segments, prefix) || view.is_some_and(|view| view.knows_prefix(prefix)),
            Expr::Segment(name) => snapshot.segment(name).is_some() || view.is_some_and(|view| view.knows(name)),
            Expr::Audience(_) => false,
            _ => true,
        };
        if !known {
            missing.push(leaf);
        }
    });
    if missing.is_empty() {
        return Vec::new();
    }
    let mut known: Vec<&str> = segments.iter().map(|segment| &*segment.name).collect();
    if let Some(view) = view {
        known.extend(view.segments().map(|segment| &*segment.name));
        known.sort_unstable();
    }
    missing.sort_unstable_by_key(|leaf| plain_name(leaf));
    missing.dedup();
    let suggest = |(i, leaf): (usize, &Expr)| {
        let nearest = if i < MAX_SUGGESTIONS { nearest(&known, leaf) } else { None };
        Unknown { name: plain_name(leaf), nearest }
    };
    missing.into_iter().enumerate().map(suggest).collect()
}

fn has_prefix(known: &[SegmentInfo], prefix: &str) -> bool {
    let first = known.partition_point(|segment| &*segment.name < prefix);
    known.get(first).is_some_and(|segment| segment.name.starts_with(prefix))
}

/// The name without the quotes it has in an expression.
fn plain_name(leaf: &Expr) -> String {
    match leaf {
        Expr::Segment(name) => name.clone(),
        Expr::Prefix(prefix) => format!("{prefix}*"),
        other => other.to_string(),
    }
}

/// Of a segment or a prefix. The names of audiences are known to those who put them in.
fn nearest(known: &[&str], leaf: &Expr) -> Option<String> {
    let prefix = match leaf {
        Expr::Prefix(prefix) => prefix,
        Expr::Segment(name) => {
            let mut search = Nearest::new(name);
            known.iter().for_each(|name| search.offer(name));
            return search.finish();
        }
        _ => return None,
    };
    let mut search = Nearest::new(prefix);
    let mut last = "";
    for &name in known {
        let prefixes = name.match_indices('.').map(|(dot, _)| &name[..=dot]);
        // Names are sorted: a prefix that the last one shares was offered with it.
        prefixes.filter(|prefix| !last.starts_with(prefix)).for_each(|prefix| search.offer(prefix));
        last = name;
    }
    search.finish().map(|prefix| prefix + "*")
}

#[cfg(test)]
mod tests {
    use usher_index::Overlay;

    use super::Unknown;
    use crate::ask::parse::parse;
    use crate::ask::sample::Sample;
    use crate::ask::size::count;

    #[test]
    fn unknown_names_are_listed_with_the_nearest() {
        let names = ["crm.spectator", "interest.theatre", "interest.ticketing"];
        let sample = Sample::new(names.map(|name| ("v", name, 9)));
        let text = "\"zoo\" or interest.theater and not (intrest.* or interest.* or crm.*) or zoo or crm.spectator";
        let counted = count(&sample.snapshot, &Overlay::default(), &parse(text).unwrap(), Sample::at(0)).unwrap();
        let unknown =
            |name: &str, nearest: Option<&str>| Unknown { name: name.to_owned(), nearest: nearest.map(str::to_owned) };
        let expected = [
            unknown("interest.theater", Some("interest.theatre")),
            unknown("intrest.*", Some("interest.*")),
            unknown("zoo", None),
        ];
        assert_eq!(counted.unknown, expected);
        assert_eq!(counted.visitors, 1);
    }
}
