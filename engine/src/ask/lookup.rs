//! Where does this visitor belong: from a pseudonym to the JSON of its live segments.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use usher_index::{Entry, Pid, Snapshot, Time};

use super::error::AskError;

/// The segment names of a snapshot as its lookups write them: made once, when the snapshot is opened.
///
/// Memory: each shard's names once, and 12 bytes a name.
pub struct NameTable {
    shards: Vec<ShardNames>,
}

/// One shard's names, by rank and in the order of their UTF-8 bytes. A *place* is a position in that order.
struct ShardNames {
    /// The names as JSON strings with their quotes, one behind the other in the order of places.
    json: String,
    /// Where the name of each place begins in `json`, and its end as one more.
    starts: Vec<u32>,
    /// The place of each rank.
    places: Vec<u32>,
    /// The rank at each place.
    ranks: Vec<u32>,
}

impl NameTable {
    /// Renders and sorts the names of every shard. Time: that of sorting them.
    pub fn new(snapshot: &Snapshot) -> Self {
        NameTable { shards: snapshot.shards().par_iter().map(|shard| ShardNames::new(shard.names())).collect() }
    }
}

impl ShardNames {
    fn new(names: &[Arc<str>]) -> Self {
        let mut ranks: Vec<u32> = (0..names.len() as u32).collect();
        ranks.sort_unstable_by_key(|&rank| &names[rank as usize]);
        let mut places = vec![0; names.len()];
        let (mut json, mut starts) = (String::new(), vec![0]);
        for (place, &rank) in ranks.iter().enumerate() {
            places[rank as usize] = place as u32;
            json.push_str(&serde_json::Value::from(&*names[rank as usize]).to_string());
            starts.push(json.len() as u32);
        }
        ShardNames { json, starts, places, ranks }
    }

    /// The name at a place as JSON; nothing for a place that is none.
    fn json(&self, place: u32) -> &str {
        let at = place as usize;
        let bounds = self.starts.get(at).zip(self.starts.get(at + 1));
        bounds.and_then(|(&start, &end)| self.json.get(start as usize..end as usize)).unwrap_or_default()
    }

    /// The places of the names that begin with `prefix`. Time: two binary searches.
    fn with_prefix(&self, names: &[Arc<str>], prefix: &str) -> Range<u32> {
        let name = |&rank: &u32| names.get(rank as usize).map_or("", |name| &**name);
        let start = self.ranks.partition_point(|rank| name(rank) < prefix);
        let end = self.ranks.partition_point(|rank| name(rank) < prefix || name(rank).starts_with(prefix));
        start as u32..end as u32
    }
}

/// Which part of an answer is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Only {
    /// Segments and audiences.
    #[default]
    Everything,
    /// Segments; no audiences.
    Segments,
    /// Audiences; no segments.
    Audiences,
    /// Segments whose name begins with this text; no audiences.
    Prefix(String),
}

/// Looks visitors up in one snapshot, again and again: what it needs to work in, it keeps.
pub struct Lookup<'s> {
    snapshot: &'s Snapshot,
    names: &'s NameTable,
    profile: Vec<(u32, Entry)>,
    places: Vec<u32>,
}

impl<'s> Lookup<'s> {
    /// A lookup in `snapshot`, of which `names` was made.
    pub fn new(snapshot: &'s Snapshot, names: &'s NameTable) -> Self {
        Lookup { snapshot, names, profile: Vec::new(), places: Vec::new() }
    }

    /// Appends `{"segments":["a","b"],"audiences":[]}` with the names of the segments in which the visitor is live at
    /// `now`, sorted by their UTF-8 bytes; an unknown visitor has none.
    ///
    /// Time: that of reading one profile and sorting its live part. Nothing is allocated after the longest profile.
    ///
    /// # Errors
    /// When the image is damaged; then nothing is appended.
    pub fn answer(&mut self, pid: Pid, now: Time, only: &Only, into: &mut Vec<u8>) -> Result<(), AskError> {
        let found = if *only == Only::Audiences { None } else { self.find(pid, now, only)? };
        into.extend_from_slice(br#"{"segments":["#);
        if let Some(names) = found {
            for (i, &place) in self.places.iter().enumerate() {
                if i > 0 {
                    into.push(b',');
                }
                into.extend_from_slice(names.json(place).as_bytes());
            }
        }
        into.extend_from_slice(br#"],"audiences":[]}"#);
        Ok(())
    }

    /// Leaves the sorted places of the visitor's live segments in `self.places`, and gives the names they are places in.
    fn find(&mut self, pid: Pid, now: Time, only: &Only) -> Result<Option<&'s ShardNames>, AskError> {
        let number = self.snapshot.shard_number(pid);
        let tables = self.snapshot.shards().get(number).zip(self.names.shards.get(number));
        let Some((shard, names)) = tables else { return Ok(None) };
        shard.profile(pid, &mut self.profile)?;
        let now = self.snapshot.tick().floor(now);
        let wanted = match only {
            Only::Prefix(prefix) => names.with_prefix(shard.names(), prefix),
            Only::Everything | Only::Segments | Only::Audiences => 0..names.ranks.len() as u32,
        };
        let live = self.profile.iter().filter(|(_, entry)| entry.live(now));
        let places = live.filter_map(|&(rank, _)| names.places.get(rank as usize).copied());
        self.places.clear();
        self.places.extend(places.filter(|place| wanted.contains(place)));
        self.places.sort_unstable();
        Ok(Some(names))
    }
}

#[cfg(test)]
mod tests {
    use super::{Lookup, NameTable, Only};
    use crate::ask::sample::Sample;

    // The most popular segment is the last by name, so that ranks are no help in sorting.
    const ROWS: [(&str, &str, u32); 10] = [
        ("anna", "interest.theatre", 2),
        ("anna", "interest.ticketing", 1),
        ("anna", "interest", 2),
        ("anna", "geo.paris", 2),
        ("anna", "interest.left", 0),
        ("ben", "geo.paris", 1),
        ("ben", "say \"hi\" \\ <é>\u{2028}", 2),
        ("ben", "Zoo", 2),
        ("cleo", "interest.ticketing", 2),
        ("dan", "interest.ticketing", 2),
    ];

    fn answers(questions: &[(&str, i64, Only)]) -> Vec<String> {
        let sample = Sample::new(ROWS);
        let names = NameTable::new(&sample.snapshot);
        let mut lookup = Lookup::new(&sample.snapshot, &names);
        let answer = |(visitor, hours, only): &(&str, i64, Only)| {
            let mut answer = b">".to_vec();
            lookup.answer(sample.pid(visitor), Sample::at(*hours), only, &mut answer).unwrap();
            String::from_utf8(answer).unwrap()
        };
        questions.iter().map(answer).collect()
    }

    #[test]
    fn names_are_sorted_and_the_dead_are_gone() {
        let all = || Only::Everything;
        let expected = [
            r#">{"segments":["geo.paris","interest","interest.theatre","interest.ticketing"],"audiences":[]}"#,
            r#">{"segments":["geo.paris","interest","interest.theatre"],"audiences":[]}"#,
            r#">{"segments":[],"audiences":[]}"#,
            r#">{"segments":[],"audiences":[]}"#,
        ];
        assert_eq!(
            answers(&[("anna", 0, all()), ("anna", 1, all()), ("anna", 2, all()), ("nobody", 0, all())]),
            expected
        );
    }

    #[test]
    fn odd_names_are_escaped() {
        let answer = answers(&[("ben", 1, Only::Everything)]).remove(0);
        let json: serde_json::Value = serde_json::from_str(&answer[1..]).unwrap();
        assert_eq!(json, serde_json::json!({"segments": ["Zoo", "say \"hi\" \\ <é>\u{2028}"], "audiences": []}));
    }

    #[test]
    fn only_the_wanted_part_is_answered() {
        let prefix = |text: &str| Only::Prefix(text.to_owned());
        for (only, names) in [
            (Only::Segments, r#""geo.paris","interest","interest.theatre","interest.ticketing""#),
            (Only::Audiences, ""),
            (prefix("interest."), r#""interest.theatre","interest.ticketing""#),
            (prefix("interest"), r#""interest","interest.theatre","interest.ticketing""#),
            (prefix("interest.ti"), r#""interest.ticketing""#),
            (prefix("a"), ""),
            (prefix("zz"), ""),
            (prefix(""), r#""geo.paris","interest","interest.theatre","interest.ticketing""#),
        ] {
            let answer = answers(&[("anna", 0, only.clone())]).remove(0);
            assert_eq!(answer, format!(r#">{{"segments":[{names}],"audiences":[]}}"#), "{only:?}");
        }
    }
}
