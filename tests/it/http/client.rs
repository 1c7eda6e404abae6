//! A client that speaks just enough HTTP/1.1 to see what the server does with good and bad bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// No answer of the tests takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Client {
    socket: TcpStream,
    unread: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Reply {
    /// The value of a header; there is at most one.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The head without its date.
    pub fn timeless(&self) -> String {
        self.head.lines().filter(|line| !line.starts_with("date: ")).map(|line| format!("{line}\n")).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("the server listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self { socket, unread: Vec::new() }
    }

    /// The same connection, to send by from elsewhere.
    pub fn other(&self) -> Self {
        Self { socket: self.socket.try_clone().expect("a socket"), unread: Vec::new() }
    }

    /// Ends this side.
    pub fn finish(&self) {
        self.socket.shutdown(Shutdown::Write).expect("the server is there");
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Reads one answer. `bodiless`: it answers a HEAD.
    pub fn receive(&mut self, bodiless: bool) -> Reply {
        let end = loop {
            match self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at,
                None => assert!(self.fill(), "the server closed instead of answering"),
            }
        };
        let head = String::from_utf8(self.unread.drain(..end + 4).collect()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let mut reply = Reply { status, head, body: String::new() };
        let length = reply.header("content-length").and_then(|text| text.parse().ok());
        let length = length.or(matches!(status, 204 | 304).then_some(0)).expect("a length");
        if !bodiless {
            while self.unread.len() < length {
                assert!(self.fill(), "the server closed within an answer");
            }
            reply.body = String::from_utf8(self.unread.drain(..length).collect()).expect("a body is text");
        }
        reply
    }

    /// Waits for the server to close; it has nothing more to say.
    pub fn closed(&mut self) -> bool {
        self.unread.is_empty() && !self.fill()
    }

    /// Reads what is there; false at the end.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(count) => {
                self.unread.extend_from_slice(&bytes[..count]);
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.send(get(path));
        self.receive(false)
    }

    pub fn post(&mut self, path: &str, body: &str) -> Reply {
        self.send(post(path, body));
        self.receive(false)
    }
}

/// The bytes of a GET.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The bytes of a POST.
pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
}
