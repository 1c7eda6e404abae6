//! The server as a process of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::wire::{Wire, get};

/// How long any answer may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of its log that are kept to be shown.
const KEPT_LINES: usize = 40;

/// What the server says on its standard error.
#[derive(Default)]
struct Log {
    lines: Mutex<VecDeque<String>>,
    /// Generations that it went over to.
    adopted: AtomicU64,
}

/// A server, and its log. Killed when dropped.
pub struct Engine {
    child: Child,
    began: Instant,
    log: Arc<Log>,
}

impl Engine {
    /// Starts it; it need not be ready yet.
    pub fn spawn(mut command: Command) -> Result<Engine> {
        // A log without colours is easier to read for a program.
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn()?;
        let (stderr, log) = (child.stderr.take().context("a pipe")?, Arc::new(Log::default()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.contains("serving a new generation") {
                    kept.adopted.fetch_add(1, Ordering::Release);
                }
                let mut lines = kept.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push_back(line);
                if lines.len() > KEPT_LINES {
                    lines.pop_front();
                }
            }
        });
        Ok(Engine { child, began, log })
    }

    /// Waits until it says where it listens and answers that it is ready; gives the address, and how long that took
    /// from the start of the process.
    ///
    /// # Errors
    /// When it ends instead.
    pub fn ready(&mut self) -> Result<(SocketAddr, Duration)> {
        let stdout = self.child.stdout.take().context("a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = loop {
            let Some(line) = lines.next() else { bail!("the server ended before it was ready: {}", self.said()) };
            if let Some((_, address)) = line?.trim().rsplit_once("http://") {
                break address.parse()?;
            }
        };
        let mut wire = Wire::open(address, PATIENCE)?;
        wire.send(&get("/healthz/ready"))?;
        let answer = wire.answer()?;
        ensure!(answer.status == 200, "the server is not ready: {}", answer.status);
        Ok((address, self.began.elapsed()))
    }

    /// How many generations it went over to.
    pub fn adopted(&self) -> u64 {
        self.log.adopted.load(Ordering::Acquire)
    }

    /// The end of its log.
    pub fn said(&self) -> String {
        let lines = self.log.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| format!("\n  {line}")).collect()
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        let status = self.child.wait()?;
        ensure!(status.code().is_none(), "the server ended by itself, with {status}: {}", self.said());
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
