//! A load generator: one thread, many connections, each with its requests under way. ([`crate::open`] sends at moments
//! fixed beforehand.)
//!
//! The connections take turns: the thread waits for the answer of the next one and sends that one's next request at
//! once. A server answers in about the order in which it was asked, so the thread hardly ever waits for one connection
//! while others are ready, and it needs two system calls a turn and no selector.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// The longest answer that is taken in.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// How long an answer may take before the server is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How an answer with a body begins.
const OK: &[u8] = b"HTTP/1.1 200";
/// How an answer without one begins.
const EMPTY: &[u8] = b"HTTP/1.1 204";
/// How the answer of a server begins that can take no more.
pub(crate) const BUSY: &[u8] = b"HTTP/1.1 503";

/// How answers are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 with a content length. What is not a success is an error.
    Http,
    /// The same, but the server may say that it is busy (503).
    HttpOrBusy,
    /// Redis, version 2 of its protocol: one array of strings.
    Redis,
}

/// What a server is asked, again and again.
#[derive(Debug)]
pub struct Load<'a> {
    /// The server.
    pub address: SocketAddr,
    /// How it answers.
    pub protocol: Protocol,
    /// The requests, taken in turn.
    pub requests: &'a [Vec<u8>],
    /// Open connections.
    pub connections: usize,
    /// Requests under way in each.
    pub depth: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Answers.
    pub answers: u64,
    /// Bytes of the answers.
    pub bytes: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
}

/// A connection and what has come in by it.
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// Where the bytes lie that were read and not taken.
    unread: Range<usize>,
}

impl Load<'_> {
    /// Asks for as long as `duration`, every connection without a pause.
    ///
    /// # Errors
    /// When a connection breaks, or an answer is not a success.
    pub fn run(&self, duration: Duration) -> Result<Outcome> {
        let mut connections = self.connect()?;
        let mut next = self.requests.iter().cycle();
        let mut batch = Vec::new();
        let mut send = |connection: &mut Connection| -> Result<()> {
            batch.clear();
            next.by_ref().take(self.depth).for_each(|request| batch.extend_from_slice(request));
            Ok(connection.socket.write_all(&batch)?)
        };
        let began = Instant::now();
        connections.iter_mut().try_for_each(&mut send)?;
        let (mut answers, mut bytes) = (0, 0);
        let mut take = |connection: &mut Connection| -> Result<()> {
            for _ in 0..self.depth {
                bytes += connection.answer(self.protocol)?.len() as u64;
                answers += 1;
            }
            Ok(())
        };
        while began.elapsed() < duration {
            for connection in &mut connections {
                take(connection)?;
                send(connection)?;
            }
        }
        connections.iter_mut().try_for_each(&mut take)?;
        Ok(Outcome { answers, bytes, seconds: began.elapsed().as_secs_f64() })
    }

    /// The answer to the first request.
    ///
    /// # Errors
    /// As [`Load::run`].
    pub fn first(&self) -> Result<Vec<u8>> {
        let mut connection = Connection::open(self.address)?;
        let request = self.requests.first().context("nothing to ask")?;
        connection.socket.write_all(request)?;
        Ok(connection.answer(self.protocol)?.to_vec())
    }

    pub(crate) fn connect(&self) -> Result<Vec<Connection>> {
        ensure!(!self.requests.is_empty(), "nothing to ask");
        (0..self.connections).map(|_| Connection::open(self.address)).collect()
    }
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, buffer: Vec::new(), unread: 0..0 })
    }

    /// From now on [`Connection::send`] and [`Connection::answer_now`] wait for nothing.
    pub(crate) fn hurry(&self) -> Result<()> {
        Ok(self.socket.set_nonblocking(true)?)
    }

    /// Sends a request; a system that has no room for it is asked again.
    pub(crate) fn send(&mut self, mut request: &[u8]) -> Result<()> {
        while !request.is_empty() {
            match self.socket.write(request) {
                Ok(sent) => request = &request[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next answer, whole.
    fn answer(&mut self, protocol: Protocol) -> Result<&[u8]> {
        loop {
            if let Some(answer) = self.whole(protocol)? {
                return Ok(&self.buffer[answer]);
            }
            ensure!(self.fill()?, "no answer");
        }
    }

    /// The next answer, if it is there.
    pub(crate) fn answer_now(&mut self, protocol: Protocol) -> Result<Option<&[u8]>> {
        let there = self.fill()?;
        let answer = if there { self.whole(protocol)? } else { None };
        Ok(answer.map(|answer| &self.buffer[answer]))
    }

    /// Where the next answer lies, if it has come whole. It is taken then.
    fn whole(&mut self, protocol: Protocol) -> Result<Option<Range<usize>>> {
        let length = protocol.length(&self.buffer[self.unread.clone()])?;
        Ok(length.map(|length| {
            let start = self.unread.start;
            self.unread.start += length;
            start..start + length
        }))
    }

    /// Reads what is there; false when it is not there yet.
    fn fill(&mut self) -> Result<bool> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        let filled = self.unread.end;
        if self.buffer.len() - filled < READ_BYTES / 2 {
            ensure!(filled < MAX_ANSWER_BYTES, "an answer without end");
            self.buffer.resize(filled + READ_BYTES, 0);
        }
        match self.socket.read(&mut self.buffer[filled..]) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(read) => self.unread.end += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("no answer"),
        }
        Ok(true)
    }
}

impl Protocol {
    /// Bytes of the first answer; `None` while it is not whole.
    fn length(self, bytes: &[u8]) -> Result<Option<usize>> {
        match self {
            Protocol::Http => http_length(bytes, &[OK, EMPTY]),
            Protocol::HttpOrBusy => http_length(bytes, &[OK, EMPTY, BUSY]),
            Protocol::Redis => redis_length(bytes),
        }
    }
}

/// Reads every byte of the head once: the client's time is not to be what is measured.
fn http_length(bytes: &[u8], wanted: &[&[u8]]) -> Result<Option<usize>> {
    const LENGTH: &[u8] = b"content-length: ";
    let (mut at, mut length, mut is_empty) = (0, None, false);
    loop {
        let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = &bytes[at..at + end];
        if at == 0 {
            is_empty = line.starts_with(EMPTY);
            let is_wanted = wanted.iter().any(|status| line.starts_with(status));
            ensure!(is_wanted, "not a success: {}", String::from_utf8_lossy(bytes));
        }
        at += end + 1;
        if line == b"\r" {
            break;
        }
        if line.get(..LENGTH.len()).is_some_and(|name| name.eq_ignore_ascii_case(LENGTH)) {
            length = Some(number(&line[LENGTH.len()..]).0);
        }
    }
    let length = if is_empty { 0 } else { length.context("an answer without a length")? };
    Ok((bytes.len() >= at + length).then_some(at + length))
}

fn redis_length(bytes: &[u8]) -> Result<Option<usize>> {
    const LINE_END: usize = 2;
    let line = |at: usize| {
        let (value, digits) = number(bytes.get(at + 1..)?);
        let next = at + 1 + digits + LINE_END;
        (next <= bytes.len()).then_some((value, next))
    };
    if bytes.first().is_some_and(|byte| *byte != b'*') {
        bail!("not an array: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
    }
    let Some((strings, mut at)) = line(0) else { return Ok(None) };
    for _ in 0..strings {
        let Some((length, next)) = line(at) else { return Ok(None) };
        at = next + length + LINE_END;
    }
    Ok((at <= bytes.len()).then_some(at))
}

/// The decimal number at the beginning, and how many digits it has.
fn number(bytes: &[u8]) -> (usize, usize) {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold((0, 0), |(value, count), digit| (value * 10 + usize::from(digit - b'0'), count + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_they_end_and_not_before() {
        let http = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx: y\r\n\r\nabcHTTP/1.1".as_slice();
        let redis = b"*2\r\n$5\r\n12345\r\n$10\r\n1800000000\r\n*0\r\n".as_slice();
        for (protocol, bytes, length) in
            [(Protocol::Http, http, http.len() - 8), (Protocol::Redis, redis, redis.len() - 4)]
        {
            assert_eq!(protocol.length(bytes).expect("sound"), Some(length));
            for cut in 0..length {
                assert_eq!(protocol.length(&bytes[..cut]).expect("sound so far"), None, "{protocol:?} cut at {cut}");
            }
        }
        assert_eq!(Protocol::Redis.length(b"*0\r\n").expect("sound"), Some(4));
    }

    #[test]
    fn an_answer_without_content_ends_with_its_head() {
        let bytes = b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\nHTTP/1.1";
        assert_eq!(Protocol::Http.length(bytes).expect("sound"), Some(bytes.len() - 8));
    }

    #[test]
    fn what_is_no_success_is_an_error() {
        let busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
        assert!(Protocol::Http.length(busy).is_err());
        assert_eq!(Protocol::HttpOrBusy.length(busy).expect("expected"), Some(busy.len()));
        assert!(Protocol::HttpOrBusy.length(b"HTTP/1.1 500 Fault\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(Protocol::Http.length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Protocol::Redis.length(b"-WRONGTYPE\r\n").is_err());
    }
}
