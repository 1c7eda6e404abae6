//! The usual request: a lookup by a plain id, with headers that change nothing. It is recognised byte by byte and can
//! mean one thing only, so that [`super::direct`] may answer it by itself; every other one is hyper's.

use super::guard::is_loopback;

const BEFORE_ID: &[u8] = b"GET /v1/visitors/";
const AFTER_ID: &[u8] = b"/segments HTTP/1.1\r\n";
const LINE_END: &[u8] = b"\r\n";

/// Bytes of an id, of which none needs an escape.
const MAX_ID_BYTES: usize = usher_index::id::MAX_VISITOR_ID_BYTES;

/// Headers that change nothing about the answer, beside `Host` and `Connection`.
const IDLE_HEADERS: [&[u8]; 4] = [b"accept", b"accept-encoding", b"accept-language", b"user-agent"];

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'b> {
    /// A lookup of this visitor, and how many bytes it took.
    Lookup(&'b str, usize),
    /// The beginning of one, as far as it has come.
    Part,
    /// Something else.
    Other,
}

/// Reads the request at the beginning of `bytes`. Time: that of one pass over it.
#[must_use]
pub fn read(bytes: &[u8]) -> Asked<'_> {
    let Some(rest) = bytes.strip_prefix(BEFORE_ID) else { return part_if(BEFORE_ID.starts_with(bytes)) };
    let length = rest.iter().take(MAX_ID_BYTES + 1).take_while(|byte| is_plain(**byte)).count();
    let (id, rest) = rest.split_at(length);
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return part_if(id.is_empty() && rest.is_empty());
    }
    let Some(mut rest) = rest.strip_prefix(AFTER_ID) else { return part_if(AFTER_ID.starts_with(rest)) };
    let mut has_host = false;
    loop {
        let line = match line(rest) {
            Ok(line) => line,
            Err(unfinished) => return unfinished,
        };
        rest = &rest[line.len() + LINE_END.len()..];
        if line.is_empty() {
            break;
        }
        let is_host = line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"));
        if !(if is_host { !has_host && is_this_machine(&line[5..]) } else { is_idle(line) }) {
            return Asked::Other;
        }
        has_host |= is_host;
    }
    match std::str::from_utf8(id) {
        Ok(id) if has_host => Asked::Lookup(id, bytes.len() - rest.len()),
        _ => Asked::Other,
    }
}

fn part_if<'b>(fits: bool) -> Asked<'b> {
    if fits { Asked::Part } else { Asked::Other }
}

/// What a path holds without escapes and a query never begins with.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The first line, without its end, of visible text; else what that makes of the request.
fn line(bytes: &[u8]) -> Result<&[u8], Asked<'_>> {
    let length = bytes.iter().take_while(|byte| matches!(byte, b' '..=b'~' | b'\t')).count();
    let (line, rest) = bytes.split_at(length);
    if rest.starts_with(LINE_END) { Ok(line) } else { Err(part_if(LINE_END.starts_with(rest))) }
}

fn is_this_machine(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|value| is_loopback(value.trim_matches([' ', '\t'])))
}

/// Whether a header changes nothing.
fn is_idle(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else { return false };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    IDLE_HEADERS.iter().any(|idle| name.eq_ignore_ascii_case(idle))
        || name.eq_ignore_ascii_case(b"connection") && value.trim_ascii().eq_ignore_ascii_case(b"keep-alive")
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "GET /v1/visitors/a-1_B.~/segments HTTP/1.1\r\nHost: localhost:80\r\nUser-Agent: \
                         x/1 (y)\r\nACCEPT: */*\r\nconnection: Keep-Alive\r\n\r\n";

    #[test]
    fn the_usual_request_is_recognised_when_it_is_whole() {
        let two = format!("{USUAL}{USUAL}");
        assert_eq!(read(two.as_bytes()), Asked::Lookup("a-1_B.~", USUAL.len()));
        for end in 0..USUAL.len() {
            assert_eq!(read(&USUAL.as_bytes()[..end]), Asked::Part, "{end} bytes of it");
        }
        let long =
            format!("GET /v1/visitors/{}/segments HTTP/1.1\r\nHost:127.0.0.1 \r\n\r\n", "x".repeat(MAX_ID_BYTES));
        assert!(matches!(read(long.as_bytes()), Asked::Lookup(_, length) if length == long.len()));
    }

    #[test]
    fn whatever_else_it_may_be_is_not() {
        let head = |line: &str, headers: &str| format!("{line}\r\n{headers}\r\n");
        let usual = "GET /v1/visitors/a/segments HTTP/1.1";
        let host = "Host: localhost\r\n";
        for other in [
            head("GET /v1/visitors//segments HTTP/1.1", host),
            head("GET /v1/visitors/a/segments?only=segments HTTP/1.1", host),
            head("GET /v1/visitors/a%2Fb/segments HTTP/1.1", host),
            head("GET /v1/visitors/a/segments HTTP/1.0", host),
            head("GET /v1/visitors/a/segments  HTTP/1.1", host),
            head("GET /v1/visitors/a HTTP/1.1", host),
            head("GET http://localhost/v1/visitors/a/segments HTTP/1.1", host),
            head("HEAD /v1/visitors/a/segments HTTP/1.1", host),
            head("\r\nGET /v1/visitors/a/segments HTTP/1.1", host),
            head(&format!("GET /v1/visitors/{}/segments HTTP/1.1", "x".repeat(MAX_ID_BYTES + 1)), host),
            head(usual, ""),
            head(usual, "Accept: */*\r\n"),
            head(usual, "Host: usher.example\r\n"),
            head(usual, "Host : localhost\r\n"),
            head(usual, "Host: local\r\n host\r\n"),
            head(usual, "Host: localhost\n"),
            head(usual, "Host: localhost\r\nHost: localhost\r\n"),
            head(usual, "Host: localhost\r\nAccept: \u{e9}\r\n"),
            head(usual, "Host: localhost\r\nAccept: \0\r\n"),
            head(usual, "Host: localhost\r\nAccept\r\n"),
            head(usual, "Host: localhost\r\nOrigin: http://localhost\r\n"),
            head(usual, "Host: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n"),
            head(usual, "Host: localhost\r\nForwarded: for=10.0.0.1\r\n"),
            head(usual, "Host: localhost\r\nConnection: close\r\n"),
            head(usual, "Host: localhost\r\nContent-Length: 4\r\n"),
            head(usual, "Host: localhost\r\nTransfer-Encoding: chunked\r\n"),
            head(usual, "Host: localhost\r\nExpect: 100-continue\r\n"),
            head(usual, "Host: localhost\r\nUpgrade: h2c\r\n"),
            head(usual, "Host: localhost\r\nAuthorization: Bearer x\r\n"),
        ] {
            assert_eq!(read(other.as_bytes()), Asked::Other, "{other:?}");
        }
    }
}
