//! Request bodies: bounded in bytes and in time, then JSON with the position of what is wrong.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use serde::Deserialize;
use serde_json::error::Category;
use tokio::time::timeout;

use super::limits::{LINGER_BYTES, LINGER_DEADLINE};
use super::pace::{Pace, Phase};
use super::problem::{Kind, Problem};

/// Reads a body of at most `cap` bytes within `deadline`.
///
/// # Errors
/// [`Kind::TooLarge`], [`Kind::Timeout`], or [`Kind::BadBody`] when the connection broke off.
pub async fn read(body: &mut Incoming, cap: usize, deadline: Duration) -> Result<Vec<u8>, Problem> {
    if body.size_hint().lower() > cap as u64 {
        return Err(too_large(cap));
    }
    timeout(deadline, whole(body, cap)).await.unwrap_or_else(|_| {
        let seconds = deadline.as_secs_f32();
        Err(Problem::new(Kind::Timeout, format!("The body did not arrive whole within {seconds} s.")))
    })
}

async fn whole(body: &mut Incoming, cap: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::with_capacity(body.size_hint().lower() as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Kind::BadBody, "The body broke off before its end."))?;
        let data = frame.into_data().unwrap_or_default();
        if data.len() > cap - bytes.len() {
            return Err(too_large(cap));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn too_large(cap: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("The body may have at most {cap} bytes; send less, in several requests."))
}

/// Takes in what is left of a body that nobody wants, while the answer goes out. A socket that is closed with unread
/// bytes in it is reset, and the answer would be lost on its way.
pub fn linger(body: Incoming, pace: &Arc<Pace>) {
    if body.is_end_stream() {
        return;
    }
    let pace = pace.clone();
    tokio::spawn(async move {
        // In time or not: a body that is left before its end makes hyper close the connection.
        _ = timeout(LINGER_DEADLINE, take_in(body)).await;
        // What came in was no head, if it looked like one: the connection rests now.
        if pace.phase() == Phase::Head {
            pace.enter(Phase::Idle);
        }
    });
}

async fn take_in(mut body: Incoming) {
    let mut left = LINGER_BYTES;
    // With the answer out, hyper keeps the stream open until the next head: a known length tells the end before.
    while !body.is_end_stream() {
        let Some(Ok(frame)) = body.frame().await else { return };
        match left.checked_sub(frame.into_data().map_or(0, |data| data.remaining())) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// Reads `bytes` as JSON of the form `shape`, which the problem repeats.
///
/// # Errors
/// [`Kind::BadBody`] with line and column, both from 1. Values of the body are not repeated: they may be visitor ids.
pub fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8], shape: &str) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line().max(1), error.column().max(1));
        let what = match error.classify() {
            Category::Syntax => "this is not JSON",
            Category::Eof => "the JSON ends too early",
            Category::Data | Category::Io => "this does not fit",
        };
        Problem::new(Kind::BadBody, format!("At line {line}, column {column} {what}; expected {shape}."))
            .at(line, column)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn detail(bytes: &[u8]) -> String {
        let problem = json::<BTreeMap<String, u8>>(bytes, "numbers").unwrap_err();
        String::from_utf8(super::super::reply::bytes_of(problem.reply())).unwrap()
    }

    #[test]
    fn the_place_is_told_and_the_value_is_not() {
        assert!(
            detail(b"{\n \"a\": \"secret\"}").contains("At line 2, column 14 this does not fit; expected numbers.")
        );
        assert!(!detail(b"{\"a\": \"secret\"}").contains("secret"));
        assert!(detail(b"{\"a\" 1}").contains("column 6 this is not JSON"));
        assert!(detail(b"").contains("At line 1, column 1 the JSON ends too early"));
        assert!(detail(b"{\"\xff\":1}").contains("\"line\":1"));
    }
}
