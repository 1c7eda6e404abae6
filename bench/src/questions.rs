//! The questions of the samples and their exact answers, found by a plain model of the town: maps of sets, the
//! admission rules written once more, and no line of the index that the answers will judge.

use std::collections::{BTreeMap, BTreeSet};

use crate::expr::{Expr, not, prefix, segment};
use crate::theatre::{FORBIDDEN, Feed, owner};

/// Lives are written in one of these units; bare digits are seconds.
const UNITS: [char; 5] = ['s', 'm', 'h', 'd', 'w'];

/// The town as the theatre may know it: the visitors of each segment.
#[derive(Debug, Default)]
pub struct Town<'a> {
    segments: BTreeMap<&'a str, BTreeSet<&'a str>>,
    everyone: BTreeSet<&'a str>,
}

impl<'a> Town<'a> {
    /// What is left of the feeds after admission, on the day of the load.
    #[must_use]
    pub fn admit(feeds: &'a [Feed]) -> Self {
        let mut town = Self::default();
        let mut left = BTreeSet::new();
        for (feed, line) in feeds.iter().flat_map(|feed| feed.lines.iter().map(move |line| (feed, line))) {
            let forbidden = FORBIDDEN.iter().any(|prefix| line.segment.starts_with(prefix));
            let owned = owner(&line.segment).is_some_and(|owner| owner.source == feed.provider.source);
            if forbidden || !owned || !is_life(line.ttl) {
                continue;
            }
            town.segments.entry(&line.segment).or_default().insert(&line.visitor);
            if line.remove {
                left.insert((line.segment.as_str(), line.visitor.as_str()));
            }
        }
        // All rows of a feed are observed when it is received, so the shorter life wins, and a removal is the shortest.
        for (segment, visitor) in left {
            if let Some(members) = town.segments.get_mut(segment) {
                members.remove(visitor);
            }
        }
        town.everyone = town.segments.values().flatten().copied().collect();
        town
    }

    /// Who the expression means.
    #[must_use]
    pub fn members(&self, expr: &Expr) -> BTreeSet<&'a str> {
        match expr {
            Expr::Segment(name) => self.segments.get(name.as_str()).cloned().unwrap_or_default(),
            Expr::Prefix(prefix) => {
                let dotted = format!("{prefix}.");
                let under = self.segments.iter().filter(|(name, _)| name.starts_with(&dotted));
                under.flat_map(|(_, members)| members).copied().collect()
            }
            Expr::Not(inner) => self.everyone.difference(&self.members(inner)).copied().collect(),
            Expr::And(left, right) => self.members(left).intersection(&self.members(right)).copied().collect(),
            Expr::Or(left, right) => self.members(left).union(&self.members(right)).copied().collect(),
        }
    }

    /// The segments of a visitor, sorted.
    #[must_use]
    pub fn segments_of(&self, visitor: &str) -> Vec<&'a str> {
        self.segments.iter().filter(|(_, members)| members.contains(visitor)).map(|(name, _)| *name).collect()
    }

    /// Everyone with a membership.
    #[must_use]
    pub fn everyone(&self) -> &BTreeSet<&'a str> {
        &self.everyone
    }
}

fn is_life(text: &str) -> bool {
    let number = text.strip_suffix(UNITS).unwrap_or(text);
    text.is_empty() || (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The questions, each with what it is about; the running example first.
#[must_use]
pub fn questions() -> Vec<(&'static str, Vec<Expr>)> {
    let s = segment;
    let new = || s("interest.theatre").and(s("interest.ticketing")).and(not(s("crm.spectator")));
    let quoted = || s("interest.comedy, stand-up").or(s("interest.\"off\" theatre"));
    vec![
        ("Loves theatre, buys tickets, and has never been here.", vec![new()]),
        ("One segment.", vec![s("interest.theatre"), s("interest.ticketing"), s("crm.spectator"), s("crm.patron")]),
        ("And.", vec![s("interest.opera").and(s("interest.classical-music")).and(s("geo.district.old-town"))]),
        ("Or.", vec![s("interest.opera").or(s("interest.dance")).or(s("interest.theatre"))]),
        ("Not: of everyone with a live membership.", vec![not(s("crm.spectator")), not(not(s("interest.dance")))]),
        (
            "`and` binds tighter than `or`; parentheses say otherwise.",
            vec![
                s("interest.opera").or(s("interest.dance").and(s("intent.ticket.tonight"))),
                s("interest.opera").or(s("interest.dance")).and(s("intent.ticket.tonight")),
            ],
        ),
        (
            "`not` binds tighter than both.",
            vec![
                not(s("crm.newsletter")).and(s("crm.spectator")),
                not(s("crm.newsletter").and(s("crm.spectator"))),
                not(s("interest.theatre").or(s("interest.opera")).or(prefix("crm"))),
            ],
        ),
        (
            "Every segment under a prefix; the segment of the bare name is not under it.",
            vec![prefix("crm.spectator"), prefix("intent.ticket").and(not(s("crm.spectator"))), prefix("geo.district")],
        ),
        ("Everyone.", vec![prefix("interest").or(not(prefix("interest")))]),
        (
            "Names in quotes.",
            vec![quoted(), s("city.Old Town Market").and(not(s("city.visitor"))), quoted().and(prefix("intent"))],
        ),
        (
            "Tonight: people in the districts within a walk, who are about to buy.",
            vec![
                s("geo.district.old-town")
                    .or(s("geo.district.riverside"))
                    .and(s("intent.ticket.tonight").or(s("intent.dinner-and-show")))
                    .and(not(s("crm.subscriber"))),
            ],
        ),
        ("Families who come on a weekend.", vec![s("city.with-children").and(s("intent.ticket.weekend"))]),
        ("Spectators who lapse: no interest seen of late.", vec![s("crm.spectator").and(not(prefix("interest")))]),
        (
            "Nobody: a contradiction, and a name that no segment has.",
            vec![s("interest.theatre").and(not(s("interest.theatre"))), s("interest.puppetry")],
        ),
    ]
}

/// `questions.txt`: an expression, a tab and its answer a line.
#[must_use]
pub fn file(town: &Town<'_>) -> String {
    let mut text = String::from(
        "# Questions to the samples: an expression, a tab, and how many visitors that are exactly, in the first day\n\
         # after the four feeds were loaded. Found by a plain model (usher-bench, src/questions.rs), not by the index.\n",
    );
    for (about, exprs) in questions() {
        text.push_str(&format!("\n# {about}\n"));
        for expr in exprs {
            text.push_str(&format!("{expr}\t{}\n", town.members(&expr).len()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theatre::{SEED, SHOWN_SPECTATOR, SHOWN_VISITOR, feeds};

    #[test]
    fn the_shown_visitors_are_who_they_are() {
        let feeds = feeds(SEED);
        let town = Town::admit(&feeds);
        let (_, first) = &questions()[0];
        let new = town.members(&first[0]);
        assert!(new.contains(SHOWN_VISITOR) && !new.contains(SHOWN_SPECTATOR));
        let spectator = ["crm.spectator", "crm.spectator.opera", "interest.opera", "interest.theatre"];
        assert_eq!(town.segments_of(SHOWN_SPECTATOR), spectator);
    }

    #[test]
    fn admission_drops_what_it_must() {
        let feeds = feeds(SEED);
        let town = Town::admit(&feeds);
        assert!(town.segments.keys().all(|name| owner(name).is_some()));
        assert!(is_life("30d") && is_life("72h") && is_life("2592000") && is_life(""));
        assert!(!is_life("-30d") && !is_life("soon") && !is_life("1 day") && !is_life("d"));
    }
}
