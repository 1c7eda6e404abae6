//! The theatre's world, made up from a seed: a town of about 5,000 visitors, what they like, and what each provider
//! has seen of it. The providers write the same cookie ids (they have synchronised them), and each knows some of the
//! visitors only. Tastes hang together: who loves the theatre buys tickets, so that lookalikes have something to find.

use std::collections::BTreeSet;

use crate::personas::{DISTRICTS, PERSONAS, Persona};
use crate::rng::Rng;

/// The seed of the committed samples.
pub const SEED: u64 = 1_887;
/// How many people live in the samples.
pub const VISITORS: usize = 5_000;
/// Always there: loves theatre and opera, compares tickets for tonight, and was never in the house.
pub const SHOWN_VISITOR: &str = "7be21c0de5ca1e00";
/// Always there: was in the house, for an opera.
pub const SHOWN_SPECTATOR: &str = "0ddba11000000001";

/// A provider: the same names and prefixes as in the samples' charter.
#[derive(Debug, Clone, Copy)]
pub struct Provider {
    /// The source's name in the charter.
    pub source: &'static str,
    /// The prefixes of the segments that it owns; over all providers the longest one that fits decides.
    pub prefixes: &'static [&'static str],
    /// Of 100 visitors, how many it has ever seen.
    reach: u32,
    /// The lives that it writes.
    lives: &'static [&'static str],
}

/// Every provider of the samples.
pub const PROVIDERS: [Provider; 4] = [
    Provider { source: "citymag", prefixes: &["interest."], reach: 85, lives: &["30d", "21d", "30d", "45d"] },
    Provider {
        source: "seatfinder",
        prefixes: &["interest.ticketing", "intent."],
        reach: 80,
        lives: &["14d", "7d", "72h"],
    },
    Provider { source: "cityguide", prefixes: &["geo.", "city."], reach: 78, lives: &["60d", "30d", "2592000"] },
    Provider { source: "crm", prefixes: &["crm."], reach: 90, lives: &["365d", "180d"] },
];

/// Prefixes that the charter forbids to everybody.
pub const FORBIDDEN: [&str; 2] = ["health.", "religion."];

/// Who owns a segment: the provider with the longest prefix that fits.
#[must_use]
pub fn owner(segment: &str) -> Option<&'static Provider> {
    let longest = |p: &Provider| p.prefixes.iter().filter(|x| segment.starts_with(**x)).map(|x| x.len()).max();
    PROVIDERS.iter().filter(|p| longest(p).is_some()).max_by_key(|p| longest(p))
}

/// A line of a feed, as its provider wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The visitor's cookie id.
    pub visitor: String,
    /// The segment.
    pub segment: String,
    /// The life that the provider asks for; empty when it says none.
    pub ttl: &'static str,
    /// True when the visitor has left the segment.
    pub remove: bool,
}

impl Line {
    fn new(visitor: &str, segment: &str, ttl: &'static str) -> Self {
        Self { visitor: visitor.to_owned(), segment: segment.to_owned(), ttl, remove: false }
    }
}

/// What a provider delivers.
#[derive(Debug, Clone)]
pub struct Feed {
    /// The provider.
    pub provider: &'static Provider,
    /// Its lines, in its order.
    pub lines: Vec<Line>,
}

/// The four feeds of the town, in the order of [`PROVIDERS`].
#[must_use]
pub fn feeds(seed: u64) -> Vec<Feed> {
    let mut rng = Rng::new(seed);
    let mut feeds: Vec<Feed> = PROVIDERS.iter().map(|provider| Feed { provider, lines: Vec::new() }).collect();
    let mut taken = BTreeSet::from([SHOWN_VISITOR.to_owned(), SHOWN_SPECTATOR.to_owned()]);
    shown_visitors(&mut feeds);
    while taken.len() < VISITORS {
        let id = format!("{:016x}", rng.bits());
        if taken.insert(id.clone()) {
            live(&mut rng, &id, &mut feeds);
        }
    }
    spoil(&mut rng, &mut feeds);
    // The magazine and the guide write visitor by visitor; the other two as things happened.
    for feed in &mut feeds {
        if matches!(feed.provider.source, "seatfinder" | "crm") {
            rng.shuffle(&mut feed.lines);
        }
    }
    feeds
}

fn shown_visitors(feeds: &mut [Feed]) {
    let shown = ["interest.theatre", "interest.opera", "interest.ticketing", "intent.ticket.tonight"];
    let known = shown.iter().chain(&["geo.district.old-town", "city.nightlife"]).map(|s| (SHOWN_VISITOR, *s));
    let spectator = ["interest.theatre", "interest.opera", "crm.spectator", "crm.spectator.opera"];
    for (visitor, segment) in known.chain(spectator.map(|s| (SHOWN_SPECTATOR, s))) {
        for feed in feeds.iter_mut().filter(|f| owner(segment).is_some_and(|o| o.source == f.provider.source)) {
            feed.lines.push(Line::new(visitor, segment, feed.provider.lives[0]));
        }
    }
}

/// One visitor's life in town, as far as each provider has seen it.
fn live(rng: &mut Rng, visitor: &str, feeds: &mut [Feed]) {
    let persona = pick(rng);
    let mut segments: Vec<String> = Vec::new();
    for &(segment, percent) in persona.tastes {
        if rng.percent(percent) {
            segments.push(segment.to_owned());
        }
    }
    // The theatre's own list: a visit first, then what it was for and what it led to.
    if rng.percent(persona.spectator) {
        segments.push("crm.spectator".to_owned());
        for (segment, percent) in [("drama", 60), ("opera", 25), ("dance", 20), ("family", 15)] {
            if rng.percent(percent) {
                segments.push(format!("crm.spectator.{segment}"));
            }
        }
        for (segment, percent) in [("crm.newsletter", 40), ("crm.subscriber", 18), ("crm.patron", 5)] {
            if rng.percent(percent) {
                segments.push(segment.to_owned());
            }
        }
    }
    segments.push(format!("geo.district.{}", DISTRICTS[(rng.index(DISTRICTS.len()) + rng.index(3)) % DISTRICTS.len()]));
    for feed in feeds {
        if !rng.percent(feed.provider.reach) {
            continue;
        }
        for segment in segments.iter().filter(|s| owner(s).is_some_and(|o| o.source == feed.provider.source)) {
            let ttl = feed.provider.lives[rng.index(feed.provider.lives.len())];
            feed.lines.push(Line::new(visitor, segment, ttl));
        }
    }
}

fn pick(rng: &mut Rng) -> &'static Persona {
    let mut left = rng.below(PERSONAS.iter().map(|p| p.weight).sum());
    for persona in &PERSONAS {
        if left < persona.weight {
            return persona;
        }
        left -= persona.weight;
    }
    &PERSONAS[0]
}

/// What goes wrong in real feeds, in small numbers: lines sent twice, people who have left a list, segments that
/// nobody may bring or that belong to another provider, and lives that are none.
fn spoil(rng: &mut Rng, feeds: &mut [Feed]) {
    for _ in 0..40 {
        let again = Line { ttl: "7d", ..any(rng, &feeds[1]) };
        feeds[1].lines.push(again);
    }
    for _ in 0..25 {
        let left = Line { ttl: "", remove: true, ..any(rng, &feeds[3]) };
        if left.visitor != SHOWN_SPECTATOR {
            feeds[3].lines.push(left);
        }
    }
    let bad = [
        (0, "health.sleep", "30d"),
        (0, "health.sleep", "21d"),
        (0, "health.diet", "30d"),
        (0, "crm.spectator", "30d"),
        (0, "weather.rain", "30d"),
        (1, "intent.ticket.tonight", "next week"),
        (1, "interest.ticketing", "soon"),
        (1, "intent.ticket.weekend", "1 day"),
        (2, "city.museums", "-30d"),
        (2, "city.parks", "one month"),
    ];
    for (feed, segment, ttl) in bad {
        let lines = &mut feeds[feed].lines;
        let at = rng.index(lines.len());
        let line = Line::new(&lines[at].visitor, segment, ttl);
        lines.insert(at, line);
    }
}

fn any(rng: &mut Rng, feed: &Feed) -> Line {
    feed.lines[rng.index(feed.lines.len())].clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_owns_a_segment() {
        assert_eq!(owner("interest.theatre").map(|p| p.source), Some("citymag"));
        assert_eq!(owner("interest.ticketing").map(|p| p.source), Some("seatfinder"));
        assert!(owner("health.sleep").is_none());
    }

    #[test]
    fn a_seed_makes_one_town() {
        assert_eq!(feeds(7)[1].lines, feeds(7)[1].lines);
        assert_ne!(feeds(7)[1].lines, feeds(8)[1].lines);
    }
}
