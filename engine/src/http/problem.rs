//! Problem answers: RFC 9457 JSON with a stable `type` and a `detail` that a person can act on.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::limits::{MAX_HEAD_BYTES, RETRY_SPREAD_SECS};
use super::reply::{self, Reply};

const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong; its name is the stable end of the problem's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An id that is not UTF-8 of 1 to 256 bytes.
    BadId,
    /// A query parameter that is unknown, given twice or has a value we cannot read.
    BadParameter,
    /// A body that is not the JSON the route takes.
    BadBody,
    /// An expression that does not parse, or asks too much.
    BadExpression,
    /// More visitors in one request than the route takes.
    TooManyVisitors,
    /// A request that did not come from this machine, at a server without keys.
    NotLocal,
    /// A path nothing answers.
    NotFound,
    /// A method the path does not take.
    MethodNotAllowed,
    /// A head that is no HTTP.
    BadHead,
    /// A head above the bound.
    HeadTooLarge,
    /// A body that did not arrive in time.
    Timeout,
    /// A body above the route's bound.
    TooLarge,
    /// A failure of ours.
    Internal,
    /// More questions than the server takes on at once.
    Busy,
    /// The disk is nearly full.
    NoRoom,
    /// A feed that failed whole.
    FeedFailed,
    /// A name that no audience can have.
    BadName,
    /// A change that does not go together with what is there.
    Conflict,
    /// A size beyond the day's budget.
    Overspent,
    /// A seed, or an audience, of which nothing can be made.
    Unfit,
}

impl Kind {
    /// The stable name at the end of `urn:usher:problem:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::BadId => "bad-id",
            Kind::BadParameter => "bad-parameter",
            Kind::BadBody => "bad-body",
            Kind::BadExpression => "bad-expression",
            Kind::TooManyVisitors => "too-many-visitors",
            Kind::NotLocal => "not-local",
            Kind::NotFound => "not-found",
            Kind::MethodNotAllowed => "method-not-allowed",
            Kind::BadHead => "bad-head",
            Kind::HeadTooLarge => "head-too-large",
            Kind::Timeout => "timeout",
            Kind::TooLarge => "too-large",
            Kind::Internal => "internal",
            Kind::Busy => "busy",
            Kind::NoRoom => "no-room",
            Kind::FeedFailed => "feed-failed",
            Kind::BadName => "bad-name",
            Kind::Conflict => "conflict",
            Kind::Overspent => "budget-spent",
            Kind::Unfit => "unfit",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Kind::BadId => "This is not a visitor id",
            Kind::BadParameter => "A query parameter cannot be used",
            Kind::BadBody => "The body cannot be read",
            Kind::BadExpression => "The expression cannot be read",
            Kind::TooManyVisitors => "Too many visitors in one request",
            Kind::NotLocal => "Only this machine is answered",
            Kind::NotFound => "Nothing is here",
            Kind::MethodNotAllowed => "The path does not take this method",
            Kind::BadHead => "The head of the request cannot be read",
            Kind::HeadTooLarge => "The head of the request is too large",
            Kind::Timeout => "The request took too long",
            Kind::TooLarge => "The request is too large",
            Kind::Internal => "The server failed",
            Kind::Busy => "The server is busy",
            Kind::NoRoom => "The disk is nearly full",
            Kind::FeedFailed => "The feed was not taken",
            Kind::BadName => "The name cannot be used",
            Kind::Conflict => "This does not go together with what is there",
            Kind::Overspent => "The budget of today is spent",
            Kind::Unfit => "Nothing can be made of this",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Kind::BadId
            | Kind::BadParameter
            | Kind::BadBody
            | Kind::BadExpression
            | Kind::BadHead
            | Kind::BadName
            | Kind::TooManyVisitors => StatusCode::BAD_REQUEST,
            Kind::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Kind::NotLocal => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Kind::Timeout => StatusCode::REQUEST_TIMEOUT,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Kind::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
            Kind::FeedFailed | Kind::Unfit => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Overspent => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

/// A problem on its way to the caller.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    line: Option<usize>,
    column: Option<usize>,
    allow: Option<&'static str>,
    retry_after: Option<u32>,
}

impl Problem {
    /// A problem; `detail` says what was expected, what came, and what to do next. It never holds a visitor id.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { kind, detail: detail.into(), line: None, column: None, allow: None, retry_after: None }
    }

    /// Where in a JSON body the problem lies; both count from 1.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Problem {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    /// Where in an expression the problem lies, counted from 1.
    #[must_use]
    pub fn at_column(mut self, column: usize) -> Problem {
        self.column = Some(column);
        self
    }

    /// The methods the path does take.
    #[must_use]
    pub fn allowing(mut self, methods: &'static str) -> Problem {
        self.allow = Some(methods);
        self
    }

    /// When to come back, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.retry_after = Some(seconds);
        self
    }

    /// To come back in a few seconds: not everybody in the same one.
    #[must_use]
    pub fn retry_soon(self) -> Problem {
        self.retry_after(1 + (RandomState::new().hash_one(()) % RETRY_SPREAD_SECS) as u32)
    }

    /// A bug or a broken disk: the cause is in the log, not in the answer.
    pub(crate) fn internal() -> Problem {
        Problem::new(Kind::Internal, "The server could not answer; its log says why. Asking again may help.")
    }

    fn form(&self) -> Form<'_> {
        Form {
            kind: format!("urn:usher:problem:{}", self.kind.name()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            line: self.line,
            column: self.column,
        }
    }

    /// The answer that carries the problem.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let mut reply = reply::json(&self.form());
        *reply.status_mut() = self.kind.status();
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(methods) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self.kind, Kind::TooLarge | Kind::Timeout) {
            // The rest of the body is still on its way: the connection cannot be used again.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}

/// What to send in place of `bare`, if that is hyper's own answer to a head that it cannot read: the same with a problem
/// as its body. An answer of ours always has a body, so it is never taken for one.
pub fn in_place_of(bare: &[u8]) -> Option<Vec<u8>> {
    const NO_BODY: &str = "content-length: 0\r\n";
    let problem = match bare.strip_prefix(b"HTTP/1.")?.get(1..5)? {
        b" 400" => Problem::new(Kind::BadHead, "This is not a request of HTTP/1.1; the connection is closed."),
        b" 431" => Problem::new(
            Kind::HeadTooLarge,
            format!("Path and headers may have {MAX_HEAD_BYTES} bytes together; the connection is closed."),
        ),
        _ => return None,
    };
    let head = std::str::from_utf8(bare).ok()?.strip_suffix("\r\n")?;
    let (before, after) = head.split_once(NO_BODY)?;
    let body = reply::text(&problem.form());
    let head = format!("{before}{after}content-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\n\r\n", body.len());
    Some([head.into_bytes(), body].concat())
}

#[derive(Serialize)]
struct Form<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_carries_its_type_position_and_headers() {
        let reply = Problem::new(Kind::BadBody, "expected a list").at(2, 7).reply();
        assert_eq!(reply.status(), 400);
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
        let text = String::from_utf8(reply::bytes_of(reply)).unwrap();
        assert_eq!(
            text,
            r#"{"type":"urn:usher:problem:bad-body","title":"The body cannot be read","status":400,"detail":"expected a list","line":2,"column":7}"#
        );
        let reply = Problem::new(Kind::MethodNotAllowed, "").allowing("POST").reply();
        assert_eq!((reply.status().as_u16(), &reply.headers()["allow"]), (405, &HeaderValue::from_static("POST")));
        let reply = Problem::new(Kind::Busy, "").retry_after(3).reply();
        assert_eq!((reply.status().as_u16(), &reply.headers()["retry-after"]), (503, &HeaderValue::from_static("3")));
    }

    #[test]
    fn only_a_bare_answer_to_an_unreadable_head_is_replaced() {
        let bare = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        let told = String::from_utf8(in_place_of(bare.as_bytes()).unwrap()).unwrap();
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(body.contains(r#""type":"urn:usher:problem:bad-head""#) && body.contains(r#""status":400"#), "{body}");
        assert!(
            head.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ndate: x\r\ncontent-type: "),
            "{head}"
        );
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        for other in
            [&bare.replace("400", "404"), &bare.replace(": 0", ": 10"), &bare[..bare.len() - 1], "HTTP/1.1", ""]
        {
            assert!(in_place_of(other.as_bytes()).is_none(), "{other}");
        }
    }
}
