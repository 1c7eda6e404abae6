//! `usher-bench rules N`: which of many audiences a visitor is in, beside a-tree.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use a_tree::{ATree, AttributeDefinition};
use anyhow::{Context as _, Result, anyhow, ensure};
use usher_engine::ask::expr::Expr;
use usher_engine::ask::moment::Moment;
use usher_engine::ask::rules::{Matched, Matcher, Numbers, Rule};
use usher_index::{Lookups, Pid, Snapshot, Time};

use crate::lookup::{Index, Place, Spread, met, now};
use crate::machine;
use crate::rng::Rng;
use crate::workload::{FIRST_SEGMENT, SEED, Workload};

/// Audiences, a row of the table each: the most first, whose memory is then not that of others that were freed.
const AUDIENCES: [usize; 3] = [50_000, 10_000, 1_000];
/// The popularity ranks of their segments.
const RANKS: std::ops::Range<usize> = 100..9_000;
/// Visitors that are asked for.
const ASKED: usize = 2_000;
/// Of them, those that the peer is asked for: it takes a thousand times as long.
const ASKED_OF_PEER: usize = 20;
/// Rounds of ours.
const ROUNDS: usize = 9;
/// Audiences that are put one by one, for the time of a change.
const CHANGES: usize = 1_000;
/// Microseconds a visitor with the most audiences.
const GOAL: f64 = 20.0;

/// `(a or b) and c and not d`.
struct Audience([u16; 4]);

impl Audience {
    fn expression(&self) -> Expr {
        let [a, b, c, d] = self.0.map(|segment| Expr::Segment(segment.to_string()));
        Expr::And(vec![Expr::Or(vec![a, b]), c, Expr::Not(Box::new(d))])
    }

    fn for_peer(&self) -> String {
        let [a, b, c, d] = self.0;
        format!("segments one of [{a}, {b}] and segments one of [{c}] and segments none of [{d}]")
    }
}

/// Who is asked for: the shard, and the ranks there.
type Asked = (usize, Vec<u32>);

/// Prints microseconds a visitor and bytes an audience, ours beside a-tree's.
///
/// # Errors
/// When the index cannot be built, or the two disagree.
pub fn run(visitors: u64, place: &Place, out: &mut dyn Write) -> Result<()> {
    let index = place.index(visitors, out)?;
    if !place.is_made() {
        // A process that has not built an index has no freed memory, which would hide what audiences take.
        let arguments = ["rules", &visitors.to_string(), "--index"].map(str::to_owned);
        let status = Command::new(std::env::current_exe()?).args(arguments).arg(&index.path).status()?;
        ensure!(status.success(), "the measurement failed");
        return Ok(());
    }
    let snapshot = index.open()?;
    let at = Moment::new(snapshot.tick(), Time::from_unix(now()).context("before 2106")?);
    let asked = asked(&index, &snapshot, at)?;
    let ranked: Vec<u16> = Workload::new(SEED).ranked()[RANKS].to_vec();
    let (busy, mut rows) = (machine::Busy::now(), String::new());
    for count in AUDIENCES {
        let mut rng = Rng::new(SEED);
        let audiences: Vec<Audience> =
            (0..count).map(|_| Audience([0; 4].map(|_: u16| ranked[rng.index(ranked.len())]))).collect();
        let ours = ours(&snapshot, &audiences, &asked, at);
        let peer = peer(&snapshot, &audiences, &asked, &ours.found)?;
        let goal = if count == AUDIENCES[0] { met(ours.micros.median <= GOAL) } else { "" };
        let Spread { median, min, max } = ours.micros;
        let bytes = |bytes: u64| if count == AUDIENCES[0] { bytes.to_string() } else { String::new() };
        writeln!(
            rows,
            "| {count} | {median:.2} ({min:.2}-{max:.2}) | {:.0} | {:.0}x | {goal} | {:.1} | {} | {} | {:.0} |",
            peer.micros,
            peer.micros / median,
            ours.matches,
            bytes(ours.bytes),
            bytes(peer.bytes),
            ours.change
        )?;
    }
    writeln!(out, "\n{}\n", machine::line(&busy))?;
    writeln!(
        out,
        "| audiences `(a or b) and c and not d`, ranks {} to {} | us a visitor, median (min-max) | a-tree 0.6; us | ratio | <= {GOAL} us | matches, mean | bytes an audience | a-tree's | us to put one more |",
        RANKS.start + 1,
        RANKS.end
    )?;
    writeln!(out, "|---:|---:|---:|---:|---|---:|---:|---:|---:|")?;
    out.write_all(rows.as_bytes())?;
    Ok(())
}

/// Some visitors of the workload.
fn asked(index: &Index, snapshot: &Snapshot, at: Moment) -> Result<Vec<Asked>> {
    let (mut workload, mut lookups) = (Workload::new(SEED), Lookups::default());
    let mut asked = Vec::new();
    while asked.len() < ASKED {
        let pid: Pid = index.pid(&workload.visitor().id)?;
        let ranks = lookups.one(snapshot, pid, at.tick())?;
        asked.push((snapshot.shard_number(pid), ranks.to_vec()));
    }
    Ok(asked)
}

struct Ours {
    micros: Spread,
    matches: f64,
    bytes: u64,
    change: f64,
    found: Vec<BTreeSet<usize>>,
    /// Kept, so that the peer is not built in its memory.
    _matcher: Matcher,
}

fn ours(snapshot: &Snapshot, audiences: &[Audience], asked: &[Asked], at: Moment) -> Ours {
    let rule = |(number, audience): (usize, &Audience)| Rule {
        name: number.to_string().into(),
        expression: Arc::new(audience.expression()),
    };
    let rules: Vec<Rule> = audiences.iter().enumerate().map(rule).collect();
    let before = machine::memory();
    let mut matcher = Matcher::new(Arc::new(Numbers::default()), snapshot, rules);
    let bytes = machine::memory().saturating_sub(before) / audiences.len() as u64;
    let mut room = Matched::default();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for (shard, ranks) in asked {
            matcher.of_ranks(*shard, ranks, at, |_| {}, &mut room);
            black_box(matcher.found(&room).count());
        }
        times.push(start.elapsed().as_secs_f64() * 1e6 / asked.len() as f64);
    }
    let found = asked.iter().map(|(shard, ranks)| {
        matcher.of_ranks(*shard, ranks, at, |_| {}, &mut room);
        matcher.found(&room).filter_map(|name| name.parse().ok()).collect()
    });
    let found: Vec<BTreeSet<usize>> = found.collect();
    let matches = found.iter().map(BTreeSet::len).sum::<usize>() as f64 / asked.len() as f64;
    let start = Instant::now();
    for (number, audience) in audiences.iter().enumerate().take(CHANGES) {
        matcher = matcher.with(snapshot, vec![rule((number, audience))], &[]);
    }
    let change = start.elapsed().as_secs_f64() * 1e6 / audiences.len().min(CHANGES) as f64;
    Ours { micros: Spread::of(times), matches, bytes, change, found, _matcher: matcher }
}

struct Peer {
    micros: f64,
    bytes: u64,
}

fn peer(snapshot: &Snapshot, audiences: &[Audience], asked: &[Asked], expected: &[BTreeSet<usize>]) -> Result<Peer> {
    let before = machine::memory();
    let mut tree = ATree::new(&[AttributeDefinition::integer_list("segments")]).map_err(|error| anyhow!("{error}"))?;
    for (number, audience) in audiences.iter().enumerate() {
        tree.insert(&number, &audience.for_peer()).map_err(|error| anyhow!("{error}"))?;
    }
    let bytes = machine::memory().saturating_sub(before) / audiences.len() as u64;
    let mut micros = 0.0;
    for ((shard, ranks), expected) in asked.iter().zip(expected).take(ASKED_OF_PEER) {
        let names = snapshot.shards()[*shard].names();
        let segments: Vec<i64> = ranks.iter().filter_map(|&rank| names[rank as usize].parse().ok()).collect();
        debug_assert!(segments.iter().all(|segment| *segment >= i64::from(FIRST_SEGMENT)));
        let start = Instant::now();
        let mut event = tree.make_event();
        event.with_integer_list("segments", &segments).map_err(|error| anyhow!("{error}"))?;
        let event = event.build().map_err(|error| anyhow!("{error}"))?;
        let report = tree.search(&event).map_err(|error| anyhow!("{error}"))?;
        micros += start.elapsed().as_secs_f64() * 1e6;
        let found: BTreeSet<usize> = report.matches().iter().map(|&&number| number).collect();
        // Nobody without a live membership is in an audience of ours.
        ensure!(ranks.is_empty() || found == *expected, "a-tree found {found:?}, we {expected:?}");
    }
    Ok(Peer { micros: micros / ASKED_OF_PEER as f64, bytes })
}
