//! `verify`: is everything as it was written?

use std::time::Instant;

use bytesize::ByteSize;
use serde::Serialize;
use usher_index::files::Folder;
use usher_index::state::STATE_FILE;
use usher_index::{Key, Snapshot};

use super::own::Own;
use super::{CommandError, Common, OK, Streams, print_json};
use crate::report::grouped;

/// An image that passed.
#[derive(Serialize)]
struct Checked {
    file: String,
    bytes: u64,
    visitors: u32,
    memberships: u64,
}

/// What was checked.
#[derive(Serialize)]
struct Verified {
    ok: bool,
    generation: u64,
    images: Vec<Checked>,
    feeds: usize,
    key_checked: bool,
    /// None: there is none, or it could not be looked at.
    state: Option<usher_index::state::Verified>,
    /// Why the live state was not checked, if so.
    state_unchecked: Option<String>,
    seconds: f64,
}

pub(super) fn run(args: &Common, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
    // The newest generation itself: opening in the ordinary way would fall back from a damaged one in silence.
    let generation = args.newest_generation()?;
    let key = args.find_key()?;
    let (key_checked, started) = (key.is_some(), Instant::now());
    let snapshot = Snapshot::open_generation(&Folder::open(&args.data)?, generation, key.clone())?;
    let mut images = Vec::new();
    snapshot.verify(|image| {
        let (bytes, header) = (image.len(), image.header());
        let (visitors, memberships) = (header.geometry.visitors, header.memberships);
        images.push(Checked { file: image.file().to_owned(), bytes, visitors, memberships });
    })?;
    let feeds = snapshot.manifest().map_or(0, |manifest| manifest.ledger.len());
    let (state, state_unchecked) = check_state(args, key.as_ref())?;
    let seconds = started.elapsed().as_secs_f64();
    let verified = Verified { ok: true, generation, images, feeds, key_checked, state, state_unchecked, seconds };
    if !args.json {
        write!(streams.out, "{}", to_text(&verified))?;
    }
    print_json(streams, &verified)?;
    Ok(OK)
}

/// The live state and its audit, or why they were not checked.
type StateCheck = (Option<usher_index::state::Verified>, Option<String>);

fn check_state(args: &Common, key: Option<&Key>) -> Result<StateCheck, CommandError> {
    let Some(key) = key else {
        let present = args.data.join(STATE_FILE).exists();
        return Ok((None, present.then(|| "it cannot be read without the key".to_owned())));
    };
    match Own::take(&args.data, key, "verify")? {
        Own::Ours(state) => Ok((Some(state.verify()?), None)),
        Own::Absent => Ok((None, None)),
        Own::Held(holder) => Ok((None, Some(format!("it belongs to {holder}")))),
    }
}

fn state_text(verified: &Verified) -> String {
    match (&verified.state, &verified.state_unchecked) {
        (Some(state), _) => format!(
            "live state: sound; {} changes in {} batches, {} opt-outs and erasures, {} lines of audit in one chain\n",
            grouped(state.changes),
            grouped(state.batches),
            grouped(state.tombstones),
            grouped(state.audit_lines)
        ),
        (None, Some(why)) => format!("live state: not checked, {why}\n"),
        (None, None) => String::new(),
    }
}

fn to_text(verified: &Verified) -> String {
    let mut text = state_text(verified);
    for Checked { file, bytes, visitors, memberships } in &verified.images {
        let (bytes, visitors, memberships) = (ByteSize(*bytes), grouped(u64::from(*visitors)), grouped(*memberships));
        text += &format!(
            "{file}: checksums and invariants hold; {bytes}, {visitors} visitors, {memberships} memberships\n"
        );
    }
    let key = if verified.key_checked { "the key is its key" } else { "no key was there to be checked" };
    let Verified { generation, feeds, seconds, .. } = verified;
    text + &format!("generation {generation}: sound; {feeds} feeds in the ledger; {key}; {seconds:.2} s\n")
}
