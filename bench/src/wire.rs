//! One connection that sees what a server does with good and bad bytes; every end is a value, nothing panics.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// The longest answer that is taken in.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const READ_BYTES: usize = 16 << 10;
/// The status of an answer that has no body, and says no length.
const NO_CONTENT: u16 = 204;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A connection.
pub struct Wire {
    socket: TcpStream,
    unread: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; `None` when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

impl Wire {
    /// Connects. No read lasts longer than `patience`.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(address: SocketAddr, patience: Duration) -> Result<Self> {
        let socket = TcpStream::connect_timeout(&address, patience)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))?;
        Ok(Self { socket, unread: Vec::new() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server has closed.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.socket.write_all(bytes)?)
    }

    /// Ends this side; the server's answers still come.
    ///
    /// # Errors
    /// When the server has closed.
    pub fn finish(&self) -> Result<()> {
        Ok(self.socket.shutdown(Shutdown::Write)?)
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// When the server closes instead, says no HTTP, or takes too long.
    pub fn answer(&mut self) -> Result<Answer> {
        let end = loop {
            match self.unread.windows(HEAD_END.len()).position(|window| window == HEAD_END) {
                Some(at) => break at + HEAD_END.len(),
                None => ensure!(self.fill()?, "the server closed instead of answering"),
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect())?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
        let mut answer = Answer { status, head, body: Vec::new() };
        if status == NO_CONTENT {
            return Ok(answer);
        }
        let length: usize = answer.header("content-length").context("no length")?.parse()?;
        ensure!(length <= MAX_ANSWER_BYTES, "an answer of {length} bytes");
        while self.unread.len() < length {
            ensure!(self.fill()?, "the server closed within an answer");
        }
        answer.body = self.unread.drain(..length).collect();
        Ok(answer)
    }

    /// Waits for the server to close, whatever it says before. False: it did not within `patience`.
    #[must_use]
    pub fn closes_within(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if self.socket.set_read_timeout(Some(left)).is_err() {
                return true;
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => break,
            }
        }
        false
    }

    /// Reads what is there; false at the end.
    fn fill(&mut self) -> Result<bool> {
        let mut bytes = [0; READ_BYTES];
        match self.socket.read(&mut bytes) {
            Ok(count) => {
                self.unread.extend_from_slice(&bytes[..count]);
                Ok(count > 0)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error).context("no answer"),
        }
    }
}

/// The bytes of a GET.
#[must_use]
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// The bytes of a request that has no body, with this method.
#[must_use]
pub fn bare(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// The bytes of a POST.
#[must_use]
pub fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}
