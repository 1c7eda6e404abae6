//! `forget`: a visitor's wish, at the console.

use clap::Args;
use serde::Serialize;
use usher_index::{AuditEntry, Change, Commit, IdType, Snapshot, Span, Time, VisitorId};

use super::own::{settle, take_or_make};
use super::{CommandError, Common, OK, Streams, print_json, warn_if_older};
use crate::clock::Clock;
use crate::time;

/// How soon the bytes of an erasure must be gone.
const DEADLINE: Span = Span::from_days(1);
/// Random bytes of a receipt.
const RECEIPT_BYTES: usize = 16;

/// The options of `forget`.
#[derive(Args)]
pub(super) struct ForgetArgs {
    #[command(flatten)]
    common: Common,
    /// Whom to forget.
    #[arg(long, value_name = "ID")]
    visitor: String,
    /// The type of that id.
    #[arg(long, env = "USHER_ID_TYPE", value_name = "TYPE", default_value_t, value_parser = IdType::new)]
    id_type: IdType,
    /// Keeps the visitor out from now on, too, whatever may come.
    #[arg(long)]
    opt_out: bool,
}

/// What was acknowledged: it survives a power cut.
#[derive(Serialize)]
struct Forgotten {
    /// For whoever asked: the audit knows it by this.
    receipt: String,
    opted_out: bool,
    sequence: u64,
    /// Until then a build removes the bytes.
    deadline: String,
}

pub(super) fn run(args: &ForgetArgs, streams: &mut Streams<'_>) -> Result<u8, CommandError> {
    args.common.newest_generation()?;
    let visitor = VisitorId::new(&args.visitor)?;
    let key = args.common.need_key()?;
    let pid = key.pid(&args.id_type, visitor);
    let now = Clock::new(args.common.now).now();
    let route = "DELETE /v1/visitors/{id}, and PUT /v1/visitors/{id}/opt-out to keep the visitor out";
    let state = take_or_make(&args.common.data, &key, "forget", route)?;
    let snapshot = Snapshot::open(&args.common.data, Some(key))?;
    warn_if_older(streams, &snapshot)?;
    let receipt = receipt()?;
    let mut changes = vec![Change::Erase { pid, at: snapshot.tick().floor(now) }];
    let mut audit = vec![entry("erase", now, &receipt)];
    if args.opt_out {
        changes.push(Change::OptOut { pid });
        audit.push(entry("opt_out", now, &receipt));
    }
    let sequence = state.commit(&Commit { changes: &changes, audit: &audit, ..Commit::default() })?;
    // What an interrupted build left to be done costs nothing when there is nothing.
    settle(&state, &args.common.data)?;
    let deadline = time::format(now.plus(DEADLINE));
    let forgotten = Forgotten { receipt, opted_out: args.opt_out, sequence, deadline };
    if !args.common.json {
        writeln!(streams.out, "{}", to_text(&forgotten))?;
    }
    print_json(streams, &forgotten)?;
    Ok(OK)
}

fn entry(what: &str, at: Time, receipt: &str) -> AuditEntry {
    let (what, detail) = (what.to_owned(), "at the console".to_owned());
    AuditEntry { at, what, detail, receipt: Some(receipt.to_owned()) }
}

/// A random number that says nothing about anybody.
fn receipt() -> Result<String, CommandError> {
    let mut bytes = [0; RECEIPT_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| CommandError::Random(error.to_string()))?;
    Ok(usher_index::checksum::hex(&bytes))
}

fn to_text(forgotten: &Forgotten) -> String {
    let Forgotten { receipt, opted_out, deadline, .. } = forgotten;
    let out = if *opted_out { ", and the visitor is kept out from now on" } else { "" };
    format!(
        "receipt {receipt}: nothing observed until now counts any more{out}; `usher-loader build`, or an engine that serves, removes the bytes: run one before {deadline}"
    )
}
