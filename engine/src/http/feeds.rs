//! `POST /v1/feeds/{source}`: a whole feed, as `usher-loader load` takes it, becomes part of the next generation.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rayon::ThreadPool;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use usher_index::{IdType, NoProgress, Time, WriteError, Writer};
use usher_loader::feed::{Columns, Format, Shape};
use usher_loader::pipeline::Percent;
use usher_loader::report::Seconds;
use usher_loader::source::{Bounds, Input};
use usher_loader::turn::{self, For};
use usher_loader::{Delivered, Delivery, Report, time};

use super::app::App;
use super::limits::{FEED_FRAMES, FEED_PATIENCE, MAX_FEED_BYTES};
use super::problem::{Kind, Problem};
use super::query::{Params, bad, decode};
use super::reply::{self, Reply};
use crate::keep::{Served, cores, yielding};

const PARAMETERS: [&str; 7] = ["format", "columns", "header", "id_type", "as_of", "max_refused", "again"];

/// How often the new generation is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long the answer waits for the new generation to be served.
const VISIBLE_PATIENCE: Duration = Duration::from_secs(10);

/// How a feed is to be read.
struct Terms {
    source: String,
    shape: Shape,
    id_type: IdType,
    as_of: Option<Time>,
    max_refused: Percent,
    again: bool,
}

impl Terms {
    fn read(app: &App, raw_source: &str, query: Option<&str>) -> Result<Self, Problem> {
        let source = decode(raw_source).map_err(|error| bad(format!("In the path, {error}.")))?.into_owned();
        let params = Params::read(query, &PARAMETERS)?;
        let wrong = |name: &str, error: &dyn std::fmt::Display| bad(format!("The parameter {name}: {error}."));
        let format = params.get("format").map(|text| match text {
            "csv" => Ok(Format::Csv),
            "tsv" => Ok(Format::Tsv),
            "jsonl" => Ok(Format::Jsonl),
            _ => Err(wrong("format", &"expected csv, tsv or jsonl")),
        });
        let columns = params.get("columns").map(str::parse::<Columns>).transpose();
        let flag = |name: &str| match params.get(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(wrong(name, &"expected true or false")),
        };
        let id_type = params.get("id_type").map(IdType::new).transpose().map_err(|error| wrong("id_type", &error))?;
        let max_refused = params.get("max_refused").map(str::parse::<Percent>).transpose();
        Ok(Self {
            source,
            shape: Shape {
                format: format.transpose()?,
                columns: columns.map_err(|error| wrong("columns", &error))?,
                header: flag("header")?,
            },
            id_type: id_type.unwrap_or_else(|| app.default_id_type.clone()),
            as_of: params.get("as_of").map(time::parse).transpose().map_err(|error| wrong("as_of", &error))?,
            max_refused: max_refused.map_err(|error| wrong("max_refused", &error))?.unwrap_or_default(),
            again: flag("again")?,
        })
    }
}

/// Takes a feed in and answers with its report once its rows are served. A feed that fails whole is 422, with the report.
///
/// # Errors
/// When a parameter cannot be used, another feed is being taken in, or the index cannot be written; nothing changes then.
pub async fn load(
    app: &Arc<App>,
    raw_source: &str,
    query: Option<&str>,
    body: &mut Incoming,
) -> Result<Reply, Problem> {
    let terms = Terms::read(app, raw_source, query)?;
    let Ok(_place) = app.feeds.clone().try_acquire_owned() else {
        let detail = "Another feed is being taken in; send this one again when it is done.";
        return Err(Problem::new(Kind::Busy, detail).retry_soon());
    };
    if app.keeper.is_tight() {
        return Err(super::govern::unkept(crate::keep::KeepError::Disk));
    }
    let (frames, waiting) = mpsc::channel(FEED_FRAMES);
    let (served, clock) = (app.live.hold(), app.clock);
    let threads = yielding("feed", cores()).map_err(|error| {
        tracing::error!("no threads to take a feed in with: {error}");
        Problem::internal()
    })?;
    let frame = Frames { waiting, frame: Bytes::new() };
    let taking = spawn_blocking(move || take(&served, &terms, frame, clock.now(), &threads));
    send(body, frames, app.limits.body).await;
    let (report, generation) = taking.await.map_err(|_| Problem::internal())?.map_err(|error| unwritten(&error))?;
    let began = Instant::now();
    while generation.is_some_and(|generation| app.live.glance().snapshot.generation() < generation) {
        if began.elapsed() > VISIBLE_PATIENCE {
            break;
        }
        sleep(LOOK).await;
    }
    let failed = report.failed.is_some();
    let mut reply = reply::json(&report);
    if failed {
        *reply.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(reply)
}

/// Hands the body over frame by frame. What ends it early ends the feed as a file that was cut off.
async fn send(body: &mut Incoming, frames: mpsc::Sender<io::Result<Bytes>>, patience: Duration) {
    let mut sent = 0u64;
    loop {
        let next = match timeout(patience, body.frame()).await {
            Ok(None) => return,
            Ok(Some(Ok(frame))) => Ok(frame.into_data().unwrap_or_default()),
            Ok(Some(Err(_))) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body broke off")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing more came in time")),
        };
        sent += next.as_ref().map_or(0, |data| data.len() as u64);
        let next = if sent > MAX_FEED_BYTES {
            Err(io::Error::other(format!("a feed has at most {MAX_FEED_BYTES} bytes")))
        } else {
            next
        };
        let ended = next.is_err();
        if frames.send(next).await.is_err() || ended {
            return;
        }
    }
}

/// The frames as a stream of bytes, for a thread that may wait.
struct Frames {
    waiting: mpsc::Receiver<io::Result<Bytes>>,
    frame: Bytes,
}

impl Read for Frames {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.frame.has_remaining() {
            match self.waiting.blocking_recv() {
                None => return Ok(0),
                Some(frame) => self.frame = frame?,
            }
        }
        let bytes = into.len().min(self.frame.remaining());
        self.frame.copy_to_slice(&mut into[..bytes]);
        Ok(bytes)
    }
}

/// Waits for its turn, then reads the feed and builds it in on `threads`. Gives the report and, if there is a new
/// generation, its number.
fn take(
    served: &Served,
    terms: &Terms,
    frames: Frames,
    now: Time,
    threads: &ThreadPool,
) -> Result<(Report, Option<u64>), WriteError> {
    let (data, wait) = (served.snapshot.folder().path(), (For::Anybody, FEED_PATIENCE));
    let told = &mut |text: &str| tracing::info!("a feed {text}");
    let mut writer = turn::writer(data, &served.key, "usher-engine serve, which takes a feed in", wait, told)?;
    // Not on a thread that yields: commits wait for who holds the bars.
    writer.bar(served.overlay.bars().clone());
    threads.install(|| build(writer, terms, frames, now))
}

fn build(writer: Writer, terms: &Terms, frames: Frames, now: Time) -> Result<(Report, Option<u64>), WriteError> {
    let delivery = Delivery {
        name: "body",
        source: &terms.source,
        shape: &terms.shape,
        id_type: &terms.id_type,
        as_of: terms.as_of,
        only: None,
        max_refused: terms.max_refused,
        again: terms.again,
    };
    let input = Input::stream(frames, |_| {}, Bounds::default());
    let taken = match delivery.receive(&writer, input, now, None)? {
        Delivered::Before(report) | Delivered::Failed(report) => return Ok((*report, None)),
        Delivered::Taken(taken) => taken,
    };
    let (batch, line, mut report) = taken.into_parts();
    let began = Instant::now();
    let published = writer.load(vec![(batch, line)], now, &NoProgress)?;
    let outcome = published.outcomes.first().copied().unwrap_or_default();
    let seconds = Seconds { build: began.elapsed().as_secs_f64(), ..Seconds::default() };
    report.publish(outcome, published.generation, now, now, seconds);
    Ok((report, Some(published.generation)))
}

fn unwritten(error: &WriteError) -> Problem {
    match error {
        WriteError::UnknownSource { .. } | WriteError::IdType { .. } => bad(format!("{error}.")),
        WriteError::Locked { .. } => {
            let detail = "Another process is building the index; send the feed again when it is done.";
            Problem::new(Kind::Busy, detail).retry_soon()
        }
        WriteError::File(file) if file.source.kind() == io::ErrorKind::StorageFull => {
            super::govern::unkept(crate::keep::KeepError::Disk)
        }
        _ => {
            tracing::error!("a feed could not be built in: {error}");
            Problem::internal()
        }
    }
}
