//! A redis-server of our own, without persistence, on a free port of this machine: started, filled, asked, ended.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::serve::Child;
use crate::workload::{BASE_TIME, Visitor};

/// Bytes of commands sent before their answers are taken in.
const PIPE_BYTES: usize = 256 << 10;
/// How often a starting server is tried, a [`PAUSE`] apart.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);
/// Seconds of a day.
const DAY_SECONDS: u64 = 86_400;

/// A running server.
pub struct Redis {
    /// The process; ended when dropped.
    pub child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Redis {
    /// Starts it under `taskset` on this core, if there is one; `None` when redis-server is not installed.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(core: Option<usize>) -> Result<Option<Self>> {
        if !installed("redis-server") {
            return Ok(None);
        }
        // The port is free now, and nobody on a machine that measures takes it in between.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = crate::serve::on_core(core, "redis-server".as_ref());
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let child = Child::new(command.stdout(Stdio::null()).spawn().context("redis-server does not start")?);
        for _ in 0..ATTEMPTS {
            if TcpStream::connect(address).is_ok() {
                return Ok(Some(Self { child, address }));
            }
            std::thread::sleep(PAUSE);
        }
        bail!("redis-server does not answer at {address}")
    }

    /// Begins to fill it.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn filler(&self) -> Result<Filler> {
        Ok(Filler { socket: TcpStream::connect(self.address)?, commands: String::new(), sent: 0 })
    }
}

/// The command that asks for a hash.
#[must_use]
pub fn hgetall(id: &str) -> Vec<u8> {
    format!("*2\r\n$7\r\nHGETALL\r\n${}\r\n{id}\r\n", id.len()).into_bytes()
}

fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Writes visitors as hashes, segment to expiry.
pub struct Filler {
    socket: TcpStream,
    commands: String,
    sent: usize,
}

impl Filler {
    /// One hash.
    ///
    /// # Errors
    /// When the server takes no more.
    pub fn put(&mut self, id: &str, visitor: &Visitor<'_>) -> Result<()> {
        let fields = visitor.memberships;
        write!(self.commands, "*{}\r\n$4\r\nHSET\r\n${}\r\n{id}\r\n", 2 + 2 * fields.len(), id.len())?;
        for (segment, day) in fields {
            write!(self.commands, "$5\r\n{segment}\r\n$10\r\n{}\r\n", BASE_TIME + u64::from(*day) * DAY_SECONDS)?;
        }
        self.sent += 1;
        if self.commands.len() >= PIPE_BYTES { self.flush() } else { Ok(()) }
    }

    /// Sends what is left, and makes sure that everything was taken.
    ///
    /// # Errors
    /// When something was not.
    pub fn flush(&mut self) -> Result<()> {
        self.socket.write_all(self.commands.as_bytes())?;
        self.commands.clear();
        let (mut lines, mut bytes) = (0, [0; 16 << 10]);
        while lines < self.sent {
            let read = self.socket.read(&mut bytes)?;
            ensure!(read > 0 && !bytes[..read].contains(&b'-'), "redis-server took no hash");
            lines += bytes[..read].iter().filter(|byte| **byte == b'\n').count();
        }
        self.sent = 0;
        Ok(())
    }
}
