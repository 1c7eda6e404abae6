//! Answers: one buffer each, handed to the connection as it is.

use std::cell::RefCell;
use std::io::Cursor;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

/// An answer, complete in memory.
pub type Reply = Response<Full<Cursor<Vec<u8>>>>;

/// The media type of most answers.
pub const JSON: &str = "application/json";

/// The header that names the generation an answer came from.
pub const USHER_GENERATION: HeaderName = HeaderName::from_static("usher-generation");

/// `body` under its media type.
#[must_use]
pub fn of(media_type: &'static str, body: Vec<u8>) -> Reply {
    within(HeaderMap::new(), media_type, body)
}

/// The same in the memory of a request's headers: an answer to it then allocates none for its own.
#[must_use]
pub fn within(mut headers: HeaderMap, media_type: &'static str, body: Vec<u8>) -> Reply {
    headers.clear();
    let mut reply = Response::new(Full::new(Cursor::new(body)));
    *reply.headers_mut() = headers;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

/// JSON that is written already.
#[must_use]
pub fn json_bytes(body: Vec<u8>) -> Reply {
    of(JSON, body)
}

/// `value` as JSON.
#[must_use]
pub fn json<T: Serialize>(value: &T) -> Reply {
    json_bytes(text(value))
}

/// `value` as the text of JSON.
#[must_use]
pub fn text<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("our answers are plain structs with string keys")
}

/// That it is done, and nothing else.
#[must_use]
pub fn empty() -> Reply {
    let mut reply = json_bytes(Vec::new());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply.headers_mut().remove(header::CONTENT_TYPE);
    reply
}

thread_local! {
    /// The generation that this thread named last, as a header: the same for a long time.
    static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static("0"))) };
}

fn generation_value(generation: u64) -> HeaderValue {
    LAST.with_borrow_mut(|(last, value)| {
        if *last != generation {
            (*last, *value) = (generation, HeaderValue::from(generation));
        }
        value.clone()
    })
}

/// Marks `reply` as the answer of one generation: it is named, and no cache keeps what the next one may answer otherwise.
#[must_use]
pub fn of_generation(mut reply: Reply, generation: u64) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(USHER_GENERATION, generation_value(generation));
    reply
}

/// The bytes of an answer.
#[cfg(test)]
pub(crate) fn bytes_of(reply: Reply) -> Vec<u8> {
    use hyper::body::{Body as _, Buf as _};
    let mut body = reply.into_body();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut bytes = Vec::new();
    while let std::task::Poll::Ready(Some(Ok(frame))) = std::pin::Pin::new(&mut body).poll_frame(&mut context) {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(data.chunk());
        }
    }
    bytes
}
