//! The names of segments as lookups write them, and which of them are wanted.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use usher_index::segments::LOOKALIKE_PREFIX;
use usher_index::{Pid, Snapshot};

/// The segment names of a snapshot as its lookups write them: made once, when the snapshot is opened.
///
/// Memory: each shard's names once, and 13 bytes a name.
pub struct NameTable {
    shards: Vec<ShardNames>,
}

/// Bytes that a short name is copied with at once: a copy of fixed length needs no call and no loop.
pub(super) const CHUNK: usize = 32;

/// One shard's names, by rank and in the order of their UTF-8 bytes. A *place* is a position in that order.
struct ShardNames {
    /// The names as JSON strings with their quotes and a comma, one behind the other in the order of places; then
    /// [`CHUNK`] bytes that are no name.
    json: Vec<u8>,
    /// Where the name of each place begins in `json`, and its end as one more.
    starts: Vec<u32>,
    /// The place of each rank.
    places: Vec<u32>,
    /// The rank at each place.
    ranks: Vec<u32>,
    /// The places of the segments that hold lookalike audiences: those are shown as audiences.
    hidden: Range<u32>,
}

impl NameTable {
    /// Renders and sorts the names of every shard. Time: that of sorting them.
    pub fn new(snapshot: &Snapshot) -> Self {
        NameTable { shards: snapshot.shards().par_iter().map(|shard| ShardNames::new(shard.names())).collect() }
    }

    /// Appends the segments of a visitor with these ranks, a comma between two; `places` is memory to work in.
    pub(super) fn write(
        &self,
        snapshot: &Snapshot,
        pid: Pid,
        ranks: &[u32],
        only: &Only,
        places: &mut Vec<u32>,
        into: &mut Vec<u8>,
    ) {
        let number = snapshot.shard_number(pid);
        let Some((shard, names)) = snapshot.shards().get(number).zip(self.shards.get(number)) else { return };
        places.clear();
        places.extend(ranks.iter().filter_map(|&rank| names.places.get(rank as usize)));
        match only {
            Only::Audiences => places.clear(),
            Only::Prefix(prefix) => {
                let wanted = names.with_prefix(shard.names(), prefix);
                places.retain(|place| wanted.contains(place));
            }
            Only::Everything | Only::Segments => {}
        }
        if !names.hidden.is_empty() {
            places.retain(|place| !names.hidden.contains(place));
        }
        places.sort_unstable();
        places.iter().for_each(|place| names.write(*place, into));
        if !places.is_empty() {
            into.pop();
        }
    }
}

impl ShardNames {
    fn new(names: &[Arc<str>]) -> Self {
        let mut ranks: Vec<u32> = (0..names.len() as u32).collect();
        ranks.sort_unstable_by_key(|&rank| &names[rank as usize]);
        let mut places = vec![0; names.len()];
        let (mut json, mut starts) = (Vec::new(), vec![0]);
        for (place, &rank) in ranks.iter().enumerate() {
            places[rank as usize] = place as u32;
            json.extend_from_slice(serde_json::Value::from(&*names[rank as usize]).to_string().as_bytes());
            json.push(b',');
            starts.push(json.len() as u32);
        }
        json.resize(json.len() + CHUNK, 0);
        let mut shard = ShardNames { json, starts, places, ranks, hidden: 0..0 };
        shard.hidden = shard.with_prefix(names, LOOKALIKE_PREFIX);
        shard
    }

    /// Appends the name at a place, and a comma; nothing for a place that is none.
    #[inline]
    fn write(&self, place: u32, into: &mut Vec<u8>) {
        let Some(&[start, end]) = self.starts.get(place as usize..).and_then(|starts| starts.first_chunk()) else {
            return;
        };
        let (tail, length) = (self.json.get(start as usize..).unwrap_or_default(), (end - start) as usize);
        match tail.first_chunk::<CHUNK>() {
            Some(chunk) if length <= CHUNK => {
                let after = into.len() + length;
                into.extend_from_slice(chunk);
                into.truncate(after);
            }
            _ => into.extend_from_slice(&tail[..length.min(tail.len())]),
        }
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

impl Only {
    /// Whether audiences are asked for.
    #[must_use]
    pub fn wants_audiences(&self) -> bool {
        matches!(self, Only::Everything | Only::Audiences)
    }
}
