//! A server over a copy of the index, for one measurement.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use usher_engine::http::limits::Limits;
use usher_engine::http::serve::{Config, Server};
use usher_engine::keep::fold::Rules;
use usher_index::{Key, Time};
use usher_loader::clock::Clock;

use super::Plan;
use crate::lookup::Index;
use crate::serve::{Child, listening, on_core, seconds_of};
use crate::victim::text;

/// How the names of images begin.
const FROZEN: &str = "img.";

/// A running server and its folder; both go with it.
pub struct Host {
    /// Where it listens.
    pub address: SocketAddr,
    /// The data folder.
    pub data: PathBuf,
    process: Process,
    _dir: TempDir,
}

enum Process {
    Apart(Child),
    Within(Server),
}

impl Host {
    /// Starts one whose clock begins at `now`, and which folds changes when an opt-out has waited for `fold`.
    ///
    /// # Errors
    /// When the index cannot be copied, or the server does not start.
    pub fn start(index: &Index, plan: &Plan, now: i64, fold: Duration) -> Result<Self> {
        let parent = index.path.parent().context("the folder of the index")?;
        let dir = tempfile::Builder::new().prefix("usher-live-").tempdir_in(parent)?;
        let data = dir.path().join("index");
        copy(&index.path, &data)?;
        if let Some(program) = &plan.server {
            let args = ["live-server", text(&data)?, &now.to_string(), &fold.as_secs().to_string()];
            let (child, address) = listening(on_core(plan.core, program.as_os_str()), &args)?;
            return Ok(Self { address, data, process: Process::Apart(child), _dir: dir });
        }
        let server = serve(&data, now, fold)?;
        Ok(Self { address: server.address(), data, process: Process::Within(server), _dir: dir })
    }

    /// Processor seconds that the server has used; those of this process where it is within.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn seconds(&self) -> Result<f64> {
        match &self.process {
            Process::Apart(child) => child.seconds(),
            Process::Within(_) => seconds_of(std::process::id()),
        }
    }

    /// Ends it.
    pub fn stop(self) {
        if let Process::Within(server) = self.process {
            // Nothing is under way any more; what is not done by then does not matter.
            _ = server.stop(std::future::ready(()));
        }
    }
}

/// Frozen files are linked: writing them anew would keep the disk busy.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        let target = to.join(file.file_name());
        if file.file_name().to_str().is_some_and(|name| name.starts_with(FROZEN)) {
            fs::hard_link(file.path(), target)?;
        } else {
            fs::copy(file.path(), target)?;
        }
    }
    fs::copy(from.with_extension("key"), to.with_extension("key"))?;
    Ok(())
}

fn serve(data: &Path, now: i64, erasure: Duration) -> Result<Server> {
    let fold = Rules { erasure, ..Rules::default() };
    Ok(Server::start(Config {
        key: Key::from_hex(fs::read_to_string(data.with_extension("key"))?.trim())?,
        data: data.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        clock: Clock::new(Time::from_unix(now)),
        limits: Limits { fold, ..Limits::default() },
    })?)
}

/// Serves until it is ended.
///
/// # Errors
/// When the server does not start.
pub fn run(data: &Path, now: i64, fold_seconds: u64, out: &mut dyn Write) -> Result<()> {
    let server = serve(data, now, Duration::from_secs(fold_seconds))?;
    writeln!(out, "listening on http://{}", server.address())?;
    out.flush()?;
    server.runtime().block_on(server.failed());
    anyhow::bail!("the live state can no longer be written")
}
