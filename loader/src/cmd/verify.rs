//! `verify`: is everything as it was written?

use std::time::Instant;

use bytesize::ByteSize;
use serde::Serialize;
use usher_index::Snapshot;
use usher_index::files::Folder;

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
    seconds: f64,
}

pub(super) fn run(args: &Common, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
    // The newest generation itself: opening in the ordinary way would fall back from a damaged one in silence.
    let generation = args.newest_generation()?;
    let key = args.find_key()?;
    let (key_checked, started) = (key.is_some(), Instant::now());
    let snapshot = Snapshot::open_generation(&Folder::open(&args.data)?, generation, key)?;
    let mut images = Vec::new();
    snapshot.verify(|image| {
        let (bytes, header) = (image.len(), image.header());
        let (visitors, memberships) = (header.geometry.visitors, header.memberships);
        images.push(Checked { file: image.file().to_owned(), bytes, visitors, memberships });
    })?;
    let feeds = snapshot.manifest().map_or(0, |manifest| manifest.ledger.len());
    let seconds = started.elapsed().as_secs_f64();
    let verified = Verified { ok: true, generation, images, feeds, key_checked, seconds };
    if !args.json {
        write!(streams.out, "{}", to_text(&verified))?;
    }
    print_json(streams, &verified)?;
    Ok(OK)
}

fn to_text(verified: &Verified) -> String {
    let mut text = String::new();
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
