//! `POST /v1/memberships`: rows as JSON lines, admitted by the charter, on disk and in force before the answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hyper::body::Incoming;
use serde::Serialize;
use tokio::task::spawn_blocking;
use usher_index::membership::Circumstances;
use usher_index::{Admission, IdType, Membership, Refusal, Row, Segment, Source, Time};
use usher_loader::feed::{Feed, FeedError, Format, Item, Shape, Space};
use usher_loader::row;
use usher_loader::source::{Bounds, Input};

use super::app::App;
use super::body;
use super::limits::MAX_ROWS_BYTES;
use super::problem::{Kind, Problem};
use super::query::{Params, bad};
use super::reply::{self, Reply};
use crate::keep::{Done, Rows, Served, Wish};

const PARAMETERS: [&str; 2] = ["source", "id_type"];

/// The source of rows that name none, where no charter says better.
const DEFAULT_SOURCE: &str = "default";

#[derive(Serialize)]
struct Taken {
    taken: u64,
    refused: BTreeMap<&'static str, u64>,
}

/// Takes rows.
///
/// # Errors
/// When a parameter or the body cannot be used, or the rows cannot be kept now; then none is.
pub async fn add(app: &Arc<App>, query: Option<&str>, body: &mut Incoming) -> Result<Reply, Problem> {
    let params = Params::read(query, &PARAMETERS)?;
    let id_type = params.get("id_type").map(IdType::new).transpose();
    let id_type = id_type.map_err(|error| bad(format!("The parameter id_type: {error}.")))?;
    let id_type = id_type.unwrap_or_else(|| app.default_id_type.clone());
    let source = params.get("source").map(str::to_owned);
    let bytes = body::read(body, MAX_ROWS_BYTES, app.limits.body).await?;
    let (served, now) = (app.live.hold(), app.now());
    let read = spawn_blocking(move || {
        let mut intake = Intake::new(&served, source.as_deref(), id_type, now)?;
        // Bytes in memory, a line at a time: nothing of it can break off.
        intake.read(&bytes).map_err(|error| Problem::new(Kind::BadBody, format!("{error}.")))?;
        Ok(intake.finish())
    });
    let (rows, mut refused) = read.await.map_err(|_| Problem::internal())??;
    let Done { taken, refused: barred } = match rows.rows.is_empty() {
        true => Done::default(),
        false => app.keeper.fulfil(Wish::Rows(rows)).await.map_err(super::govern::unkept)?,
    };
    barred.into_iter().for_each(|(refusal, rows)| *refused.entry(refusal.code()).or_default() += rows);
    Ok(reply::json(&Taken { taken, refused }))
}

/// Rows on their way through admission, which knows one source at a time.
struct Intake<'s> {
    served: &'s Served,
    /// The source of all rows, if the caller named one.
    source: Option<Source>,
    id_type: IdType,
    now: Time,
    of_sources: HashMap<String, OfSource<'s>>,
    refused: BTreeMap<&'static str, u64>,
}

struct OfSource<'s> {
    admission: Admission<'s>,
    taken: Vec<Membership>,
}

impl<'s> Intake<'s> {
    fn new(served: &'s Served, named: Option<&str>, id_type: IdType, now: Time) -> Result<Self, Problem> {
        let charter = served.snapshot.charter();
        let known = |name: &str| {
            charter.source(name).ok_or_else(|| {
                let names: Vec<&str> = charter.sources().iter().map(|source| &*source.name).collect();
                bad(format!("The parameter source: the charter knows no such source; it knows {}.", names.join(", ")))
            })
        };
        let source = named.map(known).transpose()?;
        Ok(Self { served, source, id_type, now, of_sources: HashMap::new(), refused: BTreeMap::new() })
    }

    /// Reads all lines; each is taken or counted with its reason.
    fn read(&mut self, bytes: &[u8]) -> Result<(), FeedError> {
        let shape = Shape { format: Some(Format::Jsonl), ..Shape::default() };
        let mut feed = Feed::open(Input::stream(bytes, |_| {}, Bounds::default())?, "memberships", &shape)?;
        let mut space = Space::default();
        while let Some(block) = feed.block(space)? {
            feed.parser().clone().each(&block, |_, item| {
                let code = match item {
                    Item::Record(record, _) => match row::read(&record) {
                        Ok(row) => self.admit(&row).err().map(Refusal::code),
                        Err(refused) => Some(refused.refusal.code()),
                    },
                    Item::Malformed(why, _) => Some(why.code()),
                    Item::BadUtf8(_) => Some(Refusal::BadUtf8.code()),
                    Item::TooLong => Some(Refusal::TooLong.code()),
                };
                if let Some(code) = code {
                    *self.refused.entry(code).or_default() += 1;
                }
                Ok(())
            })?;
            space = block.into_space();
        }
        Ok(())
    }

    fn admit(&mut self, row: &Row<'_>) -> Result<(), Refusal> {
        let source = match &self.source {
            Some(source) => source.name.clone(),
            None => self.source_of(row.segment.as_str()).ok_or(Refusal::UnknownSourcePrefix)?,
        };
        let of_source = match self.of_sources.get_mut(&source) {
            Some(of_source) => of_source,
            None => {
                let found = self.served.snapshot.charter().source(&source).ok_or(Refusal::UnknownSourcePrefix)?;
                let admission = self.admission(found);
                self.of_sources.entry(source).or_insert(OfSource { admission, taken: Vec::new() })
            }
        };
        let admitted = of_source.admission.admit(row)?;
        of_source.taken.push(admitted.membership);
        Ok(())
    }

    fn admission(&self, source: Source) -> Admission<'s> {
        let (served, tick) = (self.served, self.served.snapshot.tick());
        let circumstances = Circumstances { id_type: self.id_type.clone(), observed: self.now, now: self.now, tick };
        Admission::new(served.snapshot.charter(), source, &served.key, |name| owner(served, name), circumstances)
    }

    /// The source of a row that names none: whose the segment is, else the only one there is.
    fn source_of(&self, segment: &str) -> Option<String> {
        let charter = self.served.snapshot.charter();
        if charter.is_development() {
            return Some(
                owner(self.served, segment).map_or_else(|| DEFAULT_SOURCE.to_owned(), |owner| owner.to_string()),
            );
        }
        let only = || Some(charter.sources()).filter(|sources| sources.len() == 1).and_then(|sources| sources.first());
        charter.owner_of(segment).or_else(only).map(|source| source.name.clone())
    }

    /// What was taken, under numbers of its own, and how many rows were not.
    fn finish(self) -> (Rows, BTreeMap<&'static str, u64>) {
        let mut rows = Rows::default();
        for (source, OfSource { admission, taken }) in self.of_sources {
            let (first, source) = (rows.segments.len() as u32, Arc::<str>::from(source));
            rows.rows.extend(taken.iter().map(|taken| (taken.pid(), first + taken.segment(), taken.entry())));
            let segments = admission.into_segments();
            let segment = |name: &Arc<str>| Segment { name: Arc::clone(name), source: Arc::clone(&source) };
            rows.segments.extend(segments.names().iter().map(segment));
        }
        (rows, self.refused)
    }
}

/// Which source brought a segment first, as far as is known.
fn owner(served: &Served, segment: &str) -> Option<Arc<str>> {
    let frozen = served.snapshot.segment(segment).map(|segment| Arc::clone(&segment.source));
    frozen.or_else(|| served.overlay.source_of(segment))
}
