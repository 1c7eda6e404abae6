//! `GET /v1/visitors/{id}/segments` and `POST /v1/visitors/segments`: where does this visitor belong.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use http::HeaderMap;
use hyper::body::Incoming;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::task::yield_now;
use usher_index::{IdError, IdType, VisitorId};

use super::app::App;
use super::body;
use super::limits::{BATCH_SLICE, MAX_BATCH_BYTES, MAX_BATCH_VISITORS};
use super::problem::{Kind, Problem};
use super::query::{Params, bad, decode};
use super::reply::{self, Reply};
use crate::ask::lookup::{Lookup, Only, Room};
use crate::keep::Served;

/// What a lookup takes. The consent strings are part of the contract; no source asks for one yet.
const PARAMETERS: [&str; 6] = ["id_type", "only", "gdpr", "gdpr_consent", "gpp", "gpp_sid"];

/// Bytes set aside for one answer: a profile of a dozen segments fits, a longer one makes the buffer grow.
const ANSWER_BYTES: usize = 512;

const SHAPE: &str = r#"{"visitors": ["an-id", {"id": "another", "id_type": "maid"}]}"#;

thread_local! {
    /// What this thread's lookups work in. An answer that fails leaves a new one behind.
    static ROOM: Cell<Room> = Cell::default();
}

/// Answers for one visitor, in one buffer and without a lock. `headers` are the request's: the answer's stand in their
/// memory.
///
/// # Errors
/// When the id or a parameter cannot be used.
pub fn one(app: &App, headers: HeaderMap, raw_id: &str, query: Option<&str>) -> Result<Reply, Problem> {
    let params = Params::read(query, &PARAMETERS)?;
    let id = match raw_id.contains('%') {
        true => decode(raw_id).map_err(|error| bad_id(&format!("In the path, {error}.")))?,
        false => Cow::Borrowed(raw_id),
    };
    let visitor = VisitorId::new(&id).map_err(|error| bad_id(&sentence(error)))?;
    let only = only(params.get("only"))?;
    let named = params.get("id_type").map(IdType::new).transpose();
    let named = named.map_err(|error| bad(format!("The parameter id_type: {error}.")))?;
    let served = app.live.glance();
    let pid = served.key.pid(named.as_ref().unwrap_or(&app.default_id_type), visitor);
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    let rules = served.rules.load();
    let lookup = Lookup::within(&served.snapshot, &served.names, &served.overlay, ROOM.take());
    let mut lookup = lookup.with_rules(rules.as_deref());
    lookup.answer(pid, app.now(), &only, &mut answer).map_err(|error| failed(&served, &error))?;
    ROOM.set(lookup.into_room());
    let reply = reply::within(headers, reply::JSON, answer);
    Ok(reply::of_generation(reply, served.snapshot.generation()))
}

/// Answers for up to [`MAX_BATCH_VISITORS`] visitors, in the order in which they were asked for.
///
/// # Errors
/// When the body or one of its ids cannot be used; then nobody is answered.
pub async fn batch(app: &App, query: Option<&str>, body: &mut Incoming) -> Result<Reply, Problem> {
    let params = Params::read(query, &PARAMETERS)?;
    let only = only(params.get("only"))?;
    let default = params.get("id_type").map(IdType::new).transpose();
    let default = default.map_err(|error| bad(format!("The parameter id_type: {error}.")))?;
    let default = default.as_ref().unwrap_or(&app.default_id_type);
    let bytes = body::read(body, MAX_BATCH_BYTES, app.limits.body).await?;
    let Batch { visitors } = body::json(&bytes, SHAPE)?;
    if visitors.len() > MAX_BATCH_VISITORS {
        let detail = format!("{} visitors are too many: ask for up to {MAX_BATCH_VISITORS} at once.", visitors.len());
        return Err(Problem::new(Kind::TooManyVisitors, detail));
    }
    let served = app.live.hold();
    let now = app.now();
    let mut pids = Vec::with_capacity(visitors.len());
    for (place, asked) in visitors.iter().enumerate() {
        let refuse = |error| bad_id(&format!("visitors[{place}]: {}", sentence(error)));
        let named = asked.id_type.as_deref().map(IdType::new).transpose().map_err(refuse)?;
        let visitor = VisitorId::new(&asked.id).map_err(refuse)?;
        pids.push(served.key.pid(named.as_ref().unwrap_or(default), visitor));
    }
    let mut answer = Vec::with_capacity(ANSWER_BYTES + visitors.len() * ANSWER_BYTES / 2);
    answer.extend_from_slice(br#"{"results":["#);
    // Asked once and not slice by slice, so that no change comes between two answers.
    let (touched, rules) = (served.overlay.many(&pids), served.rules.load_full());
    for (number, slice) in pids.chunks(BATCH_SLICE).enumerate() {
        if number > 0 {
            yield_now().await;
            answer.push(b',');
        }
        let lookup = Lookup::within(&served.snapshot, &served.names, &served.overlay, ROOM.take());
        let mut lookup = lookup.with_rules(rules.as_deref());
        let touched = touched.get(number * BATCH_SLICE..).unwrap_or_default();
        lookup.answers(slice, touched, now, &only, &mut answer).map_err(|error| failed(&served, &error))?;
        ROOM.set(lookup.into_room());
    }
    answer.extend_from_slice(b"]}");
    Ok(reply::of_generation(reply::json_bytes(answer), served.snapshot.generation()))
}

fn only(value: Option<&str>) -> Result<Only, Problem> {
    match value {
        None => Ok(Only::Everything),
        Some("segments") => Ok(Only::Segments),
        Some("audiences") => Ok(Only::Audiences),
        Some("") => Err(bad("The parameter only: expected segments, audiences or the beginning of a name.".to_owned())),
        Some(prefix) => Ok(Only::Prefix(prefix.to_owned())),
    }
}

fn bad_id(detail: &str) -> Problem {
    Problem::new(Kind::BadId, detail.to_owned())
}

fn sentence(error: IdError) -> String {
    format!("{error}.")
}

fn failed(served: &Served, error: &crate::ask::AskError) -> Problem {
    tracing::error!(generation = served.snapshot.generation(), "a lookup failed: {error}");
    Problem::internal()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    visitors: Vec<Asked<'a>>,
}

/// A visitor as a batch names him or her: by an id alone, or with its type.
struct Asked<'a> {
    id: Cow<'a, str>,
    id_type: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    id_type: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Asked<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AskedVisitor)
    }
}

struct AskedVisitor;

impl<'de> Visitor<'de> for AskedVisitor {
    type Value = Asked<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id, or an object with id and id_type")
    }

    fn visit_borrowed_str<E: Error>(self, id: &'de str) -> Result<Self::Value, E> {
        Ok(Asked { id: Cow::Borrowed(id), id_type: None })
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<Self::Value, E> {
        Ok(Asked { id: Cow::Owned(id.to_owned()), id_type: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let Typed { id, id_type } = Typed::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Asked { id, id_type })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_ids_bare_and_typed() {
        let text = r#"{"visitors":["a","\u0062",{"id":"c","id_type":"maid"},{"id":"d"}]}"#;
        let batch: Batch<'_> = body::json(text.as_bytes(), SHAPE).unwrap();
        let pairs: Vec<_> = batch.visitors.iter().map(|asked| (&*asked.id, asked.id_type.as_deref())).collect();
        assert_eq!(pairs, [("a", None), ("b", None), ("c", Some("maid")), ("d", None)]);
        for text in [r#"{"visitors":[1]}"#, r#"{"visitors":[{"id_type":"maid"}]}"#, r#"{"visitors":[],"x":1}"#, "[]"] {
            assert!(body::json::<Batch<'_>>(text.as_bytes(), SHAPE).is_err(), "{text}");
        }
    }

    #[test]
    fn only_names_a_part_or_a_prefix() {
        assert!(matches!(only(None), Ok(Only::Everything)));
        assert!(matches!(only(Some("audiences")), Ok(Only::Audiences)));
        assert!(matches!(only(Some("interest.")), Ok(Only::Prefix(prefix)) if prefix == "interest."));
        assert!(only(Some("")).is_err());
    }
}
