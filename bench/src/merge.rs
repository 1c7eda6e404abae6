//! The merge of a tenth of the visitors' memberships, sent again with later ends, into an index of the workload.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use usher_index::{FeedKey, IdType, Key, LedgerLine, NoProgress, Row, Time, VisitorId, Writer};

use crate::load::SOURCE;
use crate::workload::{BASE_TIME, SEED, Workload};

/// One visitor in so many is sent again.
const SHARE: u64 = 10;
/// So many merges, each of other visitors.
const ROUNDS: u64 = 3;
const DAY: i64 = 86_400;

/// Merges several times into the index, which holds the first `visitors` of the workload, and answers the image rows a
/// second: the median, the least and the most. Taking the rows is not counted.
///
/// # Errors
/// When the index cannot be built.
pub fn run(visitors: u64, index: &Path, key: &Key) -> Result<String> {
    let mut speeds = (1..=ROUNDS).map(|round| merge(visitors, round, index, key)).collect::<Result<Vec<f64>>>()?;
    speeds.sort_by(f64::total_cmp);
    let at = |place: usize| speeds.get(place).copied().unwrap_or_default() / 1e6;
    Ok(format!("{:.1} ({:.1}-{:.1})", at(speeds.len() / 2), at(0), at(speeds.len() - 1)))
}

fn merge(visitors: u64, round: u64, index: &Path, key: &Key) -> Result<f64> {
    let day = |day: u64| Time::from_unix(BASE_TIME as i64 + day as i64 * DAY).context("a time within range");
    let now = day(round)?;
    let writer = Writer::open(index, key.clone())?;
    let (mut admission, mut batch) = (writer.admission(SOURCE, IdType::default(), None, now)?, writer.batch(SOURCE));
    let mut workload = Workload::new(SEED);
    for number in 0..visitors {
        let visitor = workload.visitor();
        if number % SHARE != round {
            continue;
        }
        let id = String::from_utf8_lossy(&visitor.id);
        for (segment, life) in visitor.memberships {
            let name = segment.to_string();
            let row = Row {
                visitor: VisitorId::new(&id)?,
                segment: name.as_str().into(),
                id_type: None,
                observed: None,
                ttl: None,
                expires: Some(day(round + u64::from(*life))?),
                remove: false,
            };
            let admitted = admission.admit(&row).map_err(|refusal| anyhow!("a row is refused: {refusal:?}"))?;
            batch.push(admitted.membership);
        }
    }
    batch.finish(admission.into_segments());
    let feed = FeedKey { source: SOURCE.into(), digest: round.to_string(), options: String::new() };
    let line = LedgerLine { key: feed, received: now, report: serde_json::Value::Null, outcome: None };
    let started = Instant::now();
    let published = writer.load(vec![(batch, line)], now, &NoProgress)?;
    Ok(published.memberships as f64 / started.elapsed().as_secs_f64())
}
