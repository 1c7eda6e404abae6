//! Those who send: random changes on several connections until the server is killed, each marked before it leaves and
//! each answer compared with what must be answered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::engine::PATIENCE;
use super::expected::{CONNECTIONS, Journal, Model, Op, Row, SEGMENTS, VISITORS};
use crate::rng::Rng;
use crate::wire::{Answer, Wire, bare, get, post};

/// Seconds of a tick.
pub const HOUR: i64 = 3_600;
/// Rows of a request.
const ROWS: u32 = 20;
/// A row is observed so many ticks ago at most.
const OLDEST: u32 = 6;
/// The longest life of a row, in ticks.
const LONGEST: u32 = 48;

/// What the senders share.
pub struct Drive<'j> {
    /// The server.
    pub address: SocketAddr,
    /// Where marks go.
    pub journal: &'j Journal,
    /// The tick of every change.
    pub tick: u32,
    /// From now on the server may be gone.
    pub killed: AtomicBool,
    /// Requests without an answer.
    pub under_way: AtomicU32,
}

impl Drive<'_> {
    /// Sends changes of the visitors of one connection until the server is killed. `model` is what they had.
    ///
    /// # Errors
    /// When an answer is wrong, or the server goes away before it is killed.
    pub fn send(&self, connection: u32, mut model: Model, mut rng: Rng) -> Result<()> {
        let Err(error) = self.send_on(connection, &mut model, &mut rng) else { return Ok(()) };
        if self.killed.load(Ordering::Acquire) && !error.is::<Wrong>() {
            return Ok(());
        }
        Err(error)
    }

    fn send_on(&self, connection: u32, model: &mut Model, rng: &mut Rng) -> Result<()> {
        let mut wire = Wire::open(self.address, PATIENCE)?;
        while !self.killed.load(Ordering::Acquire) {
            let visitor = rng.below(VISITORS / CONNECTIONS) * CONNECTIONS + connection;
            let op = match rng.below(1_000) {
                0..20 => Op::OptOut(visitor),
                20..60 => Op::Revoke(visitor, self.tick),
                60..70 => Op::Erase(visitor, self.tick),
                _ => {
                    let count = 1 + rng.below(ROWS);
                    let own = |rng: &mut Rng| rng.below(VISITORS / CONNECTIONS) * CONNECTIONS + connection;
                    Op::Rows((0..count).map(|_| row(own(rng), self.tick, rng)).collect())
                }
            };
            let number = self.journal.begin(&op)?;
            self.under_way.fetch_add(1, Ordering::AcqRel);
            let answer = wire.send(&request(&op)).and_then(|()| wire.answer());
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            expect(&op, &answer?, model)?;
            self.journal.mark(number, "acknowledged")?;
            model.apply(&op);
            self.look(&op, &mut wire)?;
        }
        Ok(())
    }

    /// In the very next lookup, whoever opted out or was erased has nothing: nothing is observed after this tick.
    fn look(&self, op: &Op, wire: &mut Wire) -> Result<()> {
        let (visitor, expected) = match op {
            Op::OptOut(visitor) => (visitor, r#"{"segments":[],"audiences":[],"reason":"opted_out"}"#),
            Op::Erase(visitor, _) => (visitor, r#"{"segments":[],"audiences":[]"#),
            _ => return Ok(()),
        };
        wire.send(&get(&format!("/v1/visitors/v{visitor}/segments")))?;
        let answer = wire.answer()?;
        let body = String::from_utf8_lossy(&answer.body);
        wrong_unless(answer.status == 200 && body.starts_with(expected), || format!("after {op:?}: {body}"))
    }
}

/// An answer that must not be; the end of a connection is another matter.
#[derive(Debug)]
struct Wrong(String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

fn wrong_unless(right: bool, what: impl FnOnce() -> String) -> Result<()> {
    if right { Ok(()) } else { Err(Wrong(what()).into()) }
}

/// A random row of a visitor: one in five is a removal.
fn row(visitor: u32, tick: u32, rng: &mut Rng) -> Row {
    let from = tick - rng.below(OLDEST);
    let life = if rng.percent(20) { 0 } else { 1 + rng.below(LONGEST) };
    [visitor, rng.below(SEGMENTS), from, from + life]
}

/// A random feed for a loader: its rows, and its text.
pub fn feed(tick: u32, rng: &mut Rng) -> Result<(Op, String)> {
    let rows: Vec<Row> = (0..50 + rng.below(500)).map(|_| row(rng.below(VISITORS), tick, rng)).collect();
    let mut csv = "visitor,segment,observed,expires,action\n".to_owned();
    for &[visitor, segment, from, until] in &rows {
        let (observed, expires) = (i64::from(from) * HOUR, i64::from(until) * HOUR);
        let action = if from == until { "remove" } else { "add" };
        writeln!(csv, "v{visitor},s.{segment},{observed},{expires},{action}")?;
    }
    Ok((Op::Load(rows), csv))
}

fn request(op: &Op) -> Vec<u8> {
    match op {
        Op::Rows(rows) | Op::Load(rows) => {
            let line = |&[visitor, segment, from, until]: &Row| {
                let (observed, expires) = (i64::from(from) * HOUR, i64::from(until) * HOUR);
                let action = if from == until { "remove" } else { "add" };
                json!({ "visitor": format!("v{visitor}"), "segment": format!("s.{segment}"), "observed": observed,
                        "expires": expires, "action": action })
                .to_string()
                    + "\n"
            };
            post("/v1/memberships", &rows.iter().map(line).collect::<String>())
        }
        Op::OptOut(visitor) => bare("PUT", &format!("/v1/visitors/v{visitor}/opt-out")),
        Op::Revoke(visitor, _) => bare("DELETE", &format!("/v1/visitors/v{visitor}/opt-out")),
        Op::Erase(visitor, _) => bare("DELETE", &format!("/v1/visitors/v{visitor}")),
    }
}

/// Compares an answer with what must be answered while `model` holds.
fn expect(op: &Op, answer: &Answer, model: &Model) -> Result<()> {
    let body = || String::from_utf8_lossy(&answer.body).into_owned();
    let status = match op {
        Op::Rows(_) | Op::Load(_) => 200,
        Op::OptOut(_) | Op::Revoke(..) => 204,
        Op::Erase(..) => 202,
    };
    wrong_unless(answer.status == status, || format!("{op:?} was answered with {}: {}", answer.status, body()))?;
    let Op::Rows(rows) = op else { return Ok(()) };
    let mut refused: BTreeMap<&str, u64> = BTreeMap::new();
    rows.iter().filter_map(|row| model.refusal(row)).for_each(|code| *refused.entry(code).or_default() += 1);
    let taken = rows.len() as u64 - refused.values().sum::<u64>();
    let found: Value = serde_json::from_slice(&answer.body).context("no JSON")?;
    let expected = json!({ "taken": taken, "refused": refused });
    wrong_unless(found == expected, || format!("{op:?} was answered with {found} instead of {expected}"))
}
