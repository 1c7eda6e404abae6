//! `export`: who is in a segment, as pseudonyms, and until when.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use usher_index::image::ProfileCursor;
use usher_index::{Bars, Change, Entry, Pid, Segment, Snapshot, State};

use super::own::Own;
use super::{CommandError, Common, OK, Streams, print_json, say, warn_if_older};
use crate::clock::Clock;
use crate::time;

/// The options of `export`.
#[derive(Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    common: Common,
    /// A segment such as `interest.theatre`, or all whose names begin alike, such as `interest.*`.
    #[arg(value_name = "SEGMENT")]
    segment: Wanted,
}

/// Which segments.
#[derive(Clone)]
enum Wanted {
    One(String),
    Prefix(String),
}

impl std::str::FromStr for Wanted {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix('*') {
            _ if text.is_empty() => Err("name a segment, or a prefix with `*` behind it"),
            Some(prefix) => Ok(Self::Prefix(prefix.to_owned())),
            None => Ok(Self::One(text.to_owned())),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Wanted {
    fn holds(&self, name: &str) -> bool {
        match self {
            Self::One(wanted) => name == wanted,
            Self::Prefix(prefix) => name.starts_with(prefix),
        }
    }
}

/// A membership that is live.
#[derive(Serialize)]
struct Exported<'a> {
    pid: Pid,
    segment: &'a str,
    expires: String,
}

/// What the images lack of the segments that are wanted.
#[derive(Default)]
struct Unfolded {
    rows: BTreeMap<Pid, Vec<(Arc<str>, Entry)>>,
    bars: Bars,
}

pub(super) fn run(args: &ExportArgs, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
    args.common.newest_generation()?;
    let key = args.common.need_key()?;
    let own = Own::take(&args.common.data, &key, "export")?;
    let state = own.need("no route: stop it for the time of the export")?;
    let snapshot = Snapshot::open(&args.common.data, Some(key))?;
    warn_if_older(streams, &snapshot)?;
    let now = snapshot.tick().floor(Clock::new(args.common.now).now());
    let unfolded = state.map_or(Ok(Unfolded::default()), |state| unfolded(&state, &snapshot, &args.segment))?;
    if !args.common.json {
        writeln!(streams.out, "pid\tsegment\texpires")?;
    }
    let mut count = 0u64;
    each_visitor(&snapshot, &args.segment, unfolded, |pid, entries| {
        for (name, entry) in entries.iter().filter(|(_, entry)| entry.live(now)) {
            count += 1;
            write(streams, args.common.json, pid, name, snapshot.tick().start(entry.expiry))?;
        }
        Ok(())
    })?;
    let known = snapshot.segments().iter().any(|segment| args.segment.holds(&segment.name));
    if count == 0 && !known {
        say(streams, &format!("no segment is called {}", args.segment))?;
    }
    Ok(OK)
}

fn write(
    streams: &mut Streams<'_>,
    json: bool,
    pid: Pid,
    segment: &str,
    expiry: usher_index::Time,
) -> Result<(), CommandError> {
    let expires = time::format(expiry);
    if json {
        return print_json(streams, &Exported { pid, segment, expires });
    }
    // A segment's name holds no tab: control characters are refused.
    Ok(writeln!(streams.out, "{pid}\t{segment}\t{expires}")?)
}

fn unfolded(state: &State, snapshot: &Snapshot, wanted: &Wanted) -> Result<Unfolded, CommandError> {
    let after = snapshot.manifest().map_or(0, |manifest| manifest.folded);
    let table = state.segments();
    let mut rows: BTreeMap<Pid, Vec<(Arc<str>, Entry)>> = BTreeMap::new();
    let unfolded = state.unfolded(after, Arc::clone(snapshot.veils()), |_, change| {
        if let Change::Row { pid, segment, entry } = change {
            // The state is this process's alone: no name came since.
            let Segment { name, .. } = &table[segment as usize];
            if wanted.holds(name) {
                rows.entry(pid).or_default().push((Arc::clone(name), entry));
            }
        }
    })?;
    Ok(Unfolded { rows, bars: unfolded.bars })
}

/// Calls `each` with every visitor who has entries in the segments, in the order of pseudonyms; entries by name.
fn each_visitor(
    snapshot: &Snapshot,
    wanted: &Wanted,
    unfolded: Unfolded,
    mut each: impl FnMut(Pid, &[(Arc<str>, Entry)]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let Unfolded { rows, bars } = unfolded;
    let mut rows = rows.into_iter().peekable();
    let mut tell = |pid: Pid, mut entries: Vec<(Arc<str>, Entry)>| {
        merge(&mut entries);
        bars.retain(pid, &mut entries);
        if entries.is_empty() { Ok(()) } else { each(pid, &entries) }
    };
    for shard in snapshot.shards() {
        let names: HashMap<u32, Arc<str>> = (0u32..)
            .zip(shard.names())
            .filter(|(_, name)| wanted.holds(name))
            .map(|(rank, name)| (rank, Arc::clone(name)))
            .collect();
        let mut cursor = ProfileCursor::new(shard.image(), 0..usize::MAX);
        loop {
            cursor.advance()?;
            let Some(pid) = cursor.pid() else { break };
            while let Some((earlier, own)) = rows.next_if(|(earlier, _)| *earlier < pid) {
                tell(earlier, own)?;
            }
            let mut entries = rows.next_if(|(same, _)| *same == pid).map_or(Vec::new(), |(_, own)| own);
            let built = cursor.entries.iter();
            entries.extend(built.filter_map(|(rank, entry)| names.get(rank).map(|name| (Arc::clone(name), *entry))));
            tell(pid, entries)?;
        }
    }
    rows.try_for_each(|(pid, own)| tell(pid, own))
}

/// Of several entries of one segment the winner stays.
fn merge(entries: &mut Vec<(Arc<str>, Entry)>) {
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.merge(next.1);
        }
        same
    });
}
