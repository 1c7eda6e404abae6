//! `inspect`: what is in the index, by numbers; or what is held on one visitor.

use std::sync::Arc;

use bytesize::ByteSize;
use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use usher_index::{Change, Entry, IdType, Pid, Segment, Snapshot, State, Tick, VisitorId};

use super::own::Own;
use super::{CommandError, Common, OK, Streams, bytes_per_membership, print_json, say, warn_if_older};
use crate::clock::Clock;
use crate::report::grouped;
use crate::time;

/// How many segments are listed unless more are asked for.
const TOP_SEGMENTS: usize = 10;

/// The options of `inspect`.
#[derive(Args)]
pub(super) struct InspectArgs {
    #[command(flatten)]
    common: Common,
    /// Shows what is held on this visitor instead.
    #[arg(long, value_name = "ID")]
    visitor: Option<String>,
    /// The type of that id.
    #[arg(long, env = "USHER_ID_TYPE", value_name = "TYPE", default_value_t, value_parser = IdType::new)]
    id_type: IdType,
    /// How many of the largest segments to list.
    #[arg(long, value_name = "N", default_value_t = TOP_SEGMENTS)]
    segments: usize,
}

/// The index in numbers. Memberships that have expired count until they leave.
#[derive(Serialize)]
struct Summary {
    generation: u64,
    charter: CharterSummary,
    tick: String,
    feeds: usize,
    shards: usize,
    visitors: u64,
    memberships: u64,
    segments: usize,
    bytes: u64,
    bytes_per_membership: Option<f64>,
    sections: Vec<SectionSize>,
    top_segments: Vec<SegmentSize>,
}

#[derive(Serialize)]
struct CharterSummary {
    house: String,
    /// None: the development charter, which no file holds.
    digest: Option<String>,
    development: bool,
}

#[derive(Serialize)]
struct SectionSize {
    name: String,
    bytes: u64,
    bytes_per_membership: Option<f64>,
}

#[derive(Serialize)]
struct SegmentSize {
    segment: String,
    source: String,
    memberships: u64,
}

/// What is held on a visitor.
#[derive(Serialize)]
struct Held {
    pid: Pid,
    /// Said only of those who did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    opted_out: bool,
    memberships: Vec<HeldMembership>,
}

#[derive(Serialize)]
struct HeldMembership {
    segment: String,
    source: String,
    observed: String,
    expires: String,
    live: bool,
}

pub(super) fn run(args: &InspectArgs, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
    let data = &args.common.data;
    if !data.exists() {
        return Err(CommandError::NoIndex(data.clone()));
    }
    match &args.visitor {
        None => {
            let snapshot = Snapshot::open(data, args.common.find_key()?)?;
            warn_if_older(streams, &snapshot)?;
            let summary = summary(&snapshot, args.segments);
            if !args.common.json {
                writeln!(streams.out, "{}", summary_text(&summary))?;
            }
            print_json(streams, &summary)?;
        }
        Some(id) => {
            let key = args.common.need_key()?;
            let pid = key.pid(&args.id_type, VisitorId::new(id)?);
            let own = Own::take(data, &key, "inspect")?;
            let snapshot = Snapshot::open(data, Some(key))?;
            warn_if_older(streams, &snapshot)?;
            let now = snapshot.tick().floor(Clock::new(args.common.now).now());
            let state = match &own {
                Own::Ours(state) => Some(&**state),
                Own::Absent => None,
                Own::Held(holder) => {
                    let route = "GET /v1/visitors/{id} there has what is newer";
                    say(streams, &format!("the images alone are shown: the live state belongs to {holder}; {route}"))?;
                    None
                }
            };
            let held = held(&snapshot, state, pid, now)?;
            if !args.common.json {
                writeln!(streams.out, "{}", held_text(&held))?;
            }
            print_json(streams, &held)?;
        }
    }
    Ok(OK)
}

fn summary(snapshot: &Snapshot, top: usize) -> Summary {
    let (visitors, memberships, segments) = (snapshot.visitors(), snapshot.memberships(), snapshot.segments());
    let mut by_size: Vec<_> = segments.iter().collect();
    by_size.sort_by(|a, b| b.memberships.cmp(&a.memberships).then_with(|| a.name.cmp(&b.name)));
    let segment_size = |segment: &&usher_index::SegmentInfo| SegmentSize {
        segment: segment.name.to_string(),
        source: segment.source.to_string(),
        memberships: segment.memberships,
    };
    let charter = snapshot.charter();
    let bytes = snapshot.shards().iter().map(|shard| shard.image().len()).sum();
    Summary {
        generation: snapshot.generation(),
        charter: CharterSummary {
            house: charter.house().name.clone(),
            digest: charter.digest(),
            development: charter.is_development(),
        },
        tick: usher_index::Span::from(snapshot.tick()).to_string(),
        feeds: snapshot.manifest().map_or(0, |manifest| manifest.ledger.len()),
        shards: snapshot.shards().len(),
        visitors,
        memberships,
        segments: segments.len(),
        bytes,
        bytes_per_membership: bytes_per_membership(bytes, memberships),
        sections: sections(snapshot, bytes, memberships),
        top_segments: by_size.iter().take(top).map(segment_size).collect(),
    }
}

/// The sections of all images, and what is left of the files beside them.
fn sections(snapshot: &Snapshot, bytes: u64, memberships: u64) -> Vec<SectionSize> {
    let mut sizes: Vec<(&'static str, u64)> = Vec::new();
    for section in snapshot.shards().iter().flat_map(|shard| shard.image().sections()) {
        match sizes.iter_mut().find(|(name, _)| *name == section.name) {
            Some((_, sum)) => *sum += section.bytes,
            None => sizes.push((section.name, section.bytes)),
        }
    }
    let named: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
    sizes.push(("header, footer and padding", bytes - named));
    let size = |(name, bytes): (&str, u64)| SectionSize {
        name: name.to_owned(),
        bytes,
        bytes_per_membership: bytes_per_membership(bytes, memberships),
    };
    sizes.into_iter().map(size).collect()
}

/// What images and live state hold; who must stay out has nothing.
fn held(snapshot: &Snapshot, state: Option<&State>, pid: Pid, now: Tick) -> Result<Held, CommandError> {
    let mut entries: Vec<(Segment, Entry)> = Vec::new();
    if let Some(shard) = snapshot.shard_of(pid) {
        let names = shard.image().names();
        // The image checks ranks against its names.
        let segment =
            |rank: usize| Segment { name: names.names()[rank].clone(), source: names.sources()[rank].clone() };
        shard.lookup(pid, |rank, entry| entries.push((segment(rank as usize), entry)))?;
    }
    let mut opted_out = false;
    if let Some(state) = state {
        let after = snapshot.manifest().map_or(0, |manifest| manifest.folded);
        let table = state.segments();
        let unfolded = state.unfolded(after, Arc::clone(snapshot.veils()), |_, change| match change {
            // The state is this process's alone: no name came since.
            Change::Row { pid: whose, segment, entry } if whose == pid => {
                entries.push((table[segment as usize].clone(), entry));
            }
            _ => {}
        })?;
        opted_out = unfolded.bars.opted_out(pid);
        unfolded.bars.retain(pid, &mut entries);
    }
    entries.sort_by(|(a, one), (b, other)| a.name.cmp(&b.name).then_with(|| other.beats(*one).cmp(&one.beats(*other))));
    entries.dedup_by(|(next, _), (kept, _)| next.name == kept.name);
    // A removal is the memory of an absence, not a membership.
    entries.retain(|(_, entry)| !entry.is_removal());
    let at = |tick| time::format(snapshot.tick().start(tick));
    let membership = |(segment, entry): (Segment, Entry)| HeldMembership {
        segment: segment.name.to_string(),
        source: segment.source.to_string(),
        observed: at(entry.observed),
        expires: at(entry.expiry),
        live: entry.live(now),
    };
    Ok(Held { pid, opted_out, memberships: entries.into_iter().map(membership).collect() })
}

fn table(rows: impl IntoIterator<Item = Vec<String>>, right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).add_rows(rows);
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn summary_text(summary: &Summary) -> String {
    let charter = if summary.charter.development { "development charter" } else { &summary.charter.house };
    let each = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{ratio:.3}"));
    let mut text = format!(
        "generation {}, {charter}, tick {}, {} feeds in the ledger\n{} visitors, {} memberships, {} segments, {} shards\n\n",
        summary.generation,
        summary.tick,
        summary.feeds,
        grouped(summary.visitors),
        grouped(summary.memberships),
        grouped(summary.segments as u64),
        summary.shards
    );
    let header = vec!["section".to_owned(), "bytes".to_owned(), "a membership".to_owned()];
    let total = vec!["in all".to_owned(), grouped(summary.bytes), each(summary.bytes_per_membership)];
    let sections =
        summary.sections.iter().map(|s| vec![s.name.clone(), grouped(s.bytes), each(s.bytes_per_membership)]);
    text += &format!(
        "{}\n({})\n",
        table([header].into_iter().chain(sections).chain([total]), &[1, 2]),
        ByteSize(summary.bytes)
    );
    if !summary.top_segments.is_empty() {
        let header = vec!["segment".to_owned(), "source".to_owned(), "memberships".to_owned()];
        let rows =
            summary.top_segments.iter().map(|s| vec![s.segment.clone(), s.source.clone(), grouped(s.memberships)]);
        text += &format!("\n{}\n", table([header].into_iter().chain(rows), &[2]));
    }
    text
}

fn held_text(held: &Held) -> String {
    if held.memberships.is_empty() {
        let out = if held.opted_out { ", and the visitor opted out" } else { "" };
        return format!("pid {}: nothing is held{out}", held.pid);
    }
    let header = ["segment", "source", "observed", "expires", ""].map(str::to_owned).to_vec();
    let rows = held.memberships.iter().map(|m| {
        let state = if m.live { "live" } else { "expired" };
        vec![m.segment.clone(), m.source.clone(), m.observed.clone(), m.expires.clone(), state.to_owned()]
    });
    format!("pid {}\n{}", held.pid, table([header].into_iter().chain(rows), &[]))
}
