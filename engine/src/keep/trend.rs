//! A point a day: how large every segment and every audience is, as planners may see it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use usher_index::breath::Stride;
use usher_index::state::{Record, Shelf};
use usher_index::{NoiseKey, State, Time};
use usher_loader::clock::Clock;
use usher_loader::time;

use super::keeper::Keeper;
use super::served::{Live, Served};
use super::sizes::{count_ahead, known};
use super::wish::Wish;
use super::yielding::yielding;
use crate::ask::AskError;
use crate::ask::disclose::Disclosed;
use crate::ask::discreet::discreet;

/// Days that are kept.
pub const MAX_DAYS: usize = 100;
/// Names that are written in one commit, during which lookups may wait.
const NAMES_A_COMMIT: usize = 100;
/// Names whose points are read between two breaths.
const NAMES_A_BREATH: usize = 64;
/// Seconds of a day.
const DAY_SECS: i64 = 86_400;
/// The record that names the last day that was measured.
const LAST: &str = "last";
/// Bytes of a point: the day, and the size.
const POINT_BYTES: usize = 12;
/// A size below the floor.
const BELOW: u64 = u64::MAX;

/// A size at one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// The day, UTC.
    pub day: String,
    /// The size that was told of it.
    pub visitors: Disclosed,
}

/// Measures once a day for as long as it is polled, the first time as soon as it runs; looks every `interval` whether it is
/// another day.
pub async fn trend(live: Arc<Live>, keeper: Arc<Keeper>, clock: Clock, interval: Duration) {
    let threads = match yielding("trend", 1) {
        Ok(threads) => Arc::new(threads),
        Err(error) => return tracing::error!("no thread to measure sizes with: {error}"),
    };
    loop {
        sleep(interval).await;
        let now = clock.now();
        let today = day_of(now);
        if last(keeper.state()) >= Some(today) || live.glance().snapshot.generation() == 0 {
            continue;
        }
        let (measured, state) = ((live.clone(), threads.clone()), keeper.clone());
        let points = spawn_blocking(move || {
            let (live, threads) = measured;
            threads.install(|| records(&live, state.state(), today, now))
        });
        match points.await {
            Ok(Ok(records)) => write(&keeper, records, today).await,
            Ok(Err(error)) => tracing::error!("the sizes of the day could not be counted: {error}"),
            Err(_) => tracing::error!("counting the sizes of the day panicked"),
        }
    }
}

async fn write(keeper: &Keeper, records: Vec<Record>, today: u32) {
    let mark = Record { shelf: Shelf::Trend, key: LAST.to_owned(), value: Some(today.to_le_bytes().to_vec()) };
    let mut left = records.into_iter().chain([mark]).peekable();
    while left.peek().is_some() {
        let some = left.by_ref().take(NAMES_A_COMMIT).collect();
        if let Err(error) = keeper.fulfil(Wish::Trend(some)).await {
            // The day is measured again at the next look.
            return tracing::warn!("the sizes of the day are not written: {error}");
        }
    }
}

/// A record for each segment and audience, with a further point.
fn records(live: &Live, state: &State, today: u32, now: Time) -> Result<Vec<Record>, AskError> {
    let served = live.hold();
    let (key, floor) = (served.key.noise_key(), served.snapshot.charter().house().size_floor);
    count_ahead(&served, now, &key)?;
    let mut sizes: Vec<(String, Disclosed)> = known(&served, "", now, &key)?
        .into_iter()
        .map(|segment| (segment_key(&segment.name), Disclosed::of(segment.set, floor, &key)))
        .collect();
    let audiences: Vec<_> = {
        let audiences = live.catalogue.audiences();
        let expanded = |(name, audience): (&Arc<str>, &Arc<crate::ask::audiences::Audience>)| {
            Some((audience_key(name), audiences.expand(&audience.expression()).ok()?))
        };
        audiences.after("").filter_map(expanded).collect()
    };
    for (name, expression) in audiences {
        sizes.push((name, size(&served, &expression, now, &key, floor)?));
    }
    let mut stride = Stride::new(NAMES_A_BREATH);
    let record = |(name, size): (String, Disclosed)| {
        stride.step();
        let bytes = state.record(Shelf::Trend, &name).ok().flatten().unwrap_or_default();
        Record { shelf: Shelf::Trend, key: name, value: Some(with_point(bytes, today, size)) }
    };
    Ok(sizes.into_iter().map(record).collect())
}

/// Points with a further one. It takes the place of one of the same day: then the last measure was written in part.
fn with_point(mut bytes: Vec<u8>, today: u32, size: Disclosed) -> Vec<u8> {
    if bytes.len() >= POINT_BYTES && bytes[bytes.len() - POINT_BYTES..].starts_with(&today.to_le_bytes()) {
        bytes.truncate(bytes.len() - POINT_BYTES);
    }
    bytes.extend_from_slice(&today.to_le_bytes());
    bytes.extend_from_slice(&size.shown().unwrap_or(BELOW).to_le_bytes());
    bytes.split_off(bytes.len().saturating_sub(MAX_DAYS * POINT_BYTES))
}

fn size(
    served: &Served,
    expression: &crate::ask::expr::Expr,
    now: Time,
    key: &NoiseKey,
    floor: u64,
) -> Result<Disclosed, AskError> {
    let set = discreet(&served.snapshot, &served.overlay, expression, now, key)?;
    Ok(Disclosed::of(set.counted, floor, key))
}

/// The points of a segment, the oldest first; none when the state cannot be read.
pub fn of_segment(state: &State, name: &str, floor: u64) -> Vec<Point> {
    points(state, &segment_key(name), floor)
}

/// The points of an audience, the oldest first; none when the state cannot be read.
pub fn of_audience(state: &State, name: &str, floor: u64) -> Vec<Point> {
    points(state, &audience_key(name), floor)
}

/// Where the points of an audience stand.
pub(super) fn audience_key(name: &str) -> String {
    format!("audience/{name}")
}

fn segment_key(name: &str) -> String {
    format!("segment/{name}")
}

fn points(state: &State, key: &str, floor: u64) -> Vec<Point> {
    points_of(&state.record(Shelf::Trend, key).ok().flatten().unwrap_or_default(), floor)
}

fn points_of(bytes: &[u8], floor: u64) -> Vec<Point> {
    let read = |bytes: &[u8]| {
        let (day, about) = (bytes.first_chunk()?, bytes.last_chunk()?);
        let about = Some(u64::from_le_bytes(*about)).filter(|about| *about != BELOW);
        let start = Time::from_unix(i64::from(u32::from_le_bytes(*day)) * DAY_SECS)?;
        let day = time::format(start).split('T').next()?.to_owned();
        Some(Point { day, visitors: Disclosed::again(about, floor) })
    };
    bytes.chunks_exact(POINT_BYTES).filter_map(read).collect()
}

fn last(state: &State) -> Option<u32> {
    let bytes = state.record(Shelf::Trend, LAST).ok().flatten()?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

fn day_of(now: Time) -> u32 {
    (now.unix() / DAY_SECS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_one_point_and_the_oldest_days_go() {
        let mut bytes = Vec::new();
        for day in 0..MAX_DAYS as u32 + 5 {
            // The first time the commit behind it failed.
            for about in [Some(u64::from(day) + 200), None] {
                bytes = with_point(bytes, 20_000 + day, Disclosed::again(about, 100));
            }
        }
        let points = points_of(&bytes, 100);
        assert_eq!(points.len(), MAX_DAYS);
        assert_eq!((&*points[0].day, points[0].visitors), ("2024-10-09", Disclosed::again(None, 100)));
        assert!(points.windows(2).all(|two| two[0].day < two[1].day));
    }
}
