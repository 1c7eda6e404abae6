//! Chooses the moment, notes what is under way, and kills.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use usher_index::Snapshot;

use super::Tally;
use super::drive::Drive;
use super::engine::Engine;
use crate::rng::Rng;

/// The longest that is waited for something to kill in.
const LONGEST_LIFE: Duration = Duration::from_millis(1_500);
/// The time between two looks for it.
const LOOK: Duration = Duration::from_micros(200);
/// How long after going over to a generation a server is thought to settle.
const SETTLING: Duration = Duration::from_millis(15);
/// How long the server may take to notice a generation.
const NOTICING: Duration = Duration::from_millis(600);
/// How long the smallest build takes at least.
const BUILDING: Duration = Duration::from_millis(30);
/// A life without a reason to end lasts this long at most.
const ANY: Duration = Duration::from_millis(300);

/// Who kills one server.
pub struct Killer<'k> {
    /// Its data folder.
    pub data: &'k Path,
    /// Those who send to it.
    pub drive: &'k Drive<'k>,
    /// The server.
    pub engine: &'k mut Engine,
}

impl Killer<'_> {
    /// Waits for a moment and kills the server, and perhaps the loader before or with it.
    ///
    /// # Errors
    /// When the server had ended by itself.
    pub fn kill(self, loader: &mut Option<(u64, Child)>, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
        let (first, adopted) = (Snapshot::newest_generation(self.data)?, self.engine.adopted());
        let newest = || Snapshot::newest_generation(self.data).unwrap_or(first);
        if loader.is_some() && rng.percent(30) {
            std::thread::sleep(BUILDING.mul_f64(4.0 * rng.unit()));
            kill_loader(loader, tally)?;
        }
        let mut settling = None;
        match rng.below(10) {
            0..4 => std::thread::sleep(ANY.mul_f64(rng.unit())),
            4..6 => {
                until(|| building(self.data));
                std::thread::sleep(BUILDING.mul_f64(rng.unit()));
            }
            6..8 => {
                until(|| newest() > first);
                std::thread::sleep(NOTICING.mul_f64(rng.unit()));
            }
            _ => {
                until(|| self.engine.adopted() > adopted);
                settling = Some(Instant::now());
                std::thread::sleep(SETTLING.mul_f64(rng.unit()));
            }
        }
        let mut note = |what, is: bool| *tally.during.entry(what).or_default() += u64::from(is);
        note("commit", self.drive.under_way.load(Ordering::Acquire) > 0);
        note("build", building(self.data));
        note("load", loader.as_mut().is_some_and(|(_, child)| matches!(child.try_wait(), Ok(None))));
        note("adoption", newest() > first && self.engine.adopted() == adopted);
        note("settling", self.engine.adopted() > adopted && settling.is_some_and(|since| since.elapsed() <= SETTLING));
        self.drive.killed.store(true, Ordering::Release);
        self.engine.kill()?;
        tally.servers += 1;
        if loader.is_some() && rng.percent(50) {
            kill_loader(loader, tally)?;
        }
        Ok(())
    }
}

/// Kills the loader. One that was done already is left for whoever asks what became of it.
fn kill_loader(loader: &mut Option<(u64, Child)>, tally: &mut Tally) -> Result<()> {
    if let Some((_, child)) = loader
        && child.try_wait()?.is_none()
    {
        child.kill()?;
        // A signal gives no code; what ended in between gives its own.
        tally.loaders += u64::from(child.wait()?.code().is_none());
    }
    Ok(())
}

/// Whether somebody is building: temporary files are there.
fn building(data: &Path) -> bool {
    let names = fs::read_dir(data).into_iter().flatten().flatten();
    names.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(".tmp-"))
}

/// Waits until something is, [`LONGEST_LIFE`] at most.
fn until(is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() && began.elapsed() < LONGEST_LIFE {
        std::thread::sleep(LOOK);
    }
}
