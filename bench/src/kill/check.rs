//! What a server shows: of each visitor everything, and then whether lookups and sizes say the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use usher_index::Snapshot;

use super::drive::HOUR;
use super::engine::PATIENCE;
use super::expected::{SEGMENTS, Shown, VISITORS};
use crate::rng::Rng;
use crate::wire::{Wire, get, post};

/// Random questions with two segments, a check.
const QUESTIONS: usize = 6;
/// How often it is looked whether the newest generation is served.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until the newest generation in the folder is the one that answers.
///
/// # Errors
/// When it is not within [`PATIENCE`].
pub fn await_newest(address: SocketAddr, data: &Path) -> Result<()> {
    let (mut wire, newest, began) =
        (Wire::open(address, PATIENCE)?, Snapshot::newest_generation(data)?, Instant::now());
    loop {
        wire.send(&get("/v1/charter"))?;
        let answer = wire.answer()?;
        let served: u64 = answer.header("usher-generation").context("no generation")?.parse()?;
        if served >= newest {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "generation {newest} is not served, but {served}");
        std::thread::sleep(LOOK);
    }
}

/// Everything that the server shows of every visitor.
///
/// # Errors
/// When an answer is no answer.
pub fn shown(address: SocketAddr) -> Result<Vec<Shown>> {
    let mut wire = Wire::open(address, PATIENCE)?;
    wire.send(&(0..VISITORS).flat_map(|visitor| get(&format!("/v1/visitors/v{visitor}"))).collect::<Vec<u8>>())?;
    let read = |visitor| {
        let answer = wire.answer()?;
        ensure!(answer.status == 200, "status {} for visitor {visitor}", answer.status);
        let body = serde_json::from_slice(&answer.body)?;
        read(&body).with_context(|| format!("visitor {visitor} has {body}"))
    };
    (0..VISITORS).map(read).collect()
}

fn read(body: &Value) -> Result<Shown> {
    let tick = |value: &Value| {
        let time = usher_loader::time::parse(value.as_str().context("a time")?).map_err(anyhow::Error::msg)?;
        ensure!(time.unix() % HOUR == 0, "no tick begins at {value}");
        Ok((time.unix() / HOUR) as u32)
    };
    let mut shown = Shown { opted_out: body["opted_out"].as_bool().context("a boolean")?, ..Shown::default() };
    if let Some(until) = body.get("erased_until") {
        // The moment at which the erased tick is over.
        shown.erased = Some(tick(until)? - 1);
    }
    for source in body["sources"].as_array().context("a list")? {
        for held in source["memberships"].as_array().context("a list")? {
            let name = held["segment"].as_str().and_then(|name| name.strip_prefix("s."));
            let segment = name.context("a segment that nobody sent")?.parse()?;
            shown.entries.insert(segment, (tick(&held["observed"])?, tick(&held["expires"])?));
        }
    }
    Ok(shown)
}

/// Compares lookups and sizes with what is shown.
///
/// # Errors
/// At the first that says something else.
pub fn agrees(address: SocketAddr, shown: &[Shown], tick: u32, rng: &mut Rng) -> Result<()> {
    let mut wire = Wire::open(address, PATIENCE)?;
    let live: Vec<BTreeSet<u32>> = shown.iter().map(|shown| shown.live(tick)).collect();
    let visitors: Vec<String> = (0..VISITORS).map(|visitor| format!("v{visitor}")).collect();
    let batch = ask(&mut wire, "/v1/visitors/segments", &json!({ "visitors": visitors }))?;
    for (visitor, live) in live.iter().enumerate() {
        let names: BTreeSet<String> = live.iter().map(|segment| format!("s.{segment}")).collect();
        let found = &batch["results"][visitor]["segments"];
        let found = found.as_array().with_context(|| format!("a list, not {batch}"))?;
        let found: BTreeSet<String> = found.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        ensure!(found == names, "visitor {visitor} is looked up with {found:?} and has {names:?}");
    }
    let count = |is: &dyn Fn(&BTreeSet<u32>) -> bool| live.iter().filter(|live| is(live)).count();
    let mut questions = vec![("s.*".to_owned(), count(&|live| !live.is_empty()))];
    questions.extend((0..SEGMENTS).map(|segment| (format!("s.{segment}"), count(&|live| live.contains(&segment)))));
    for _ in 0..QUESTIONS {
        let (one, two) = (rng.below(SEGMENTS), rng.below(SEGMENTS));
        let both = count(&|live| live.contains(&one) && live.contains(&two));
        questions.push((format!("s.{one} and s.{two}"), both));
        let without = count(&|live| live.contains(&one) && !live.contains(&two));
        questions.push((format!("s.{one} and not s.{two}"), without));
    }
    let mut wrong = String::new();
    for (expression, expected) in questions {
        let found = ask(&mut wire, "/v1/size", &json!({ "expression": expression, "exact": true }))?;
        if found["visitors"]["exact"].as_u64() != Some(expected as u64) {
            writeln!(wrong, "{expression} counts {found} and not {expected}")?;
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

fn ask(wire: &mut Wire, path: &str, body: &Value) -> Result<Value> {
    wire.send(&post(path, &body.to_string()))?;
    let answer = wire.answer()?;
    ensure!(answer.status == 200, "status {} for {body}", answer.status);
    Ok(serde_json::from_slice(&answer.body)?)
}
