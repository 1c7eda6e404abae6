//! The indexes of `usher-bench size`: made once, kept where the caller says.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use usher_index::{Key, Snapshot};

use crate::rng::Rng;
use crate::workload::{BASE_TIME, SEED, Workload};
use crate::{feed_file, load, victim};

/// Hours in the longest life.
const MAX_HOURS: u32 = 90 * 24;

/// The workload with ends at whole days, in the compact policy.
///
/// # Errors
/// When the folder cannot be written, or the loader fails.
pub fn daily(visitors: u64, dir: &Path, out: &mut dyn Write) -> Result<Snapshot> {
    made(&dir.join("index"), |index| {
        feed_file::write(visitors, dir, false, out)?;
        let feed = dir.join("feed.tsv");
        load::load(&feed, index)?;
        Ok(fs::remove_file(feed)?)
    })
}

/// The same index in the fast policy.
///
/// # Errors
/// As [`daily`], which comes first.
pub fn fast(dir: &Path) -> Result<Snapshot> {
    made(&dir.join("fast"), |fast| {
        let index = dir.join("index");
        fs::create_dir_all(fast)?;
        for file in fs::read_dir(&index)? {
            let file = file?;
            fs::copy(file.path(), fast.join(file.file_name()))?;
        }
        fs::copy(index.with_extension("key"), fast.with_extension("key"))?;
        let now = BASE_TIME.to_string();
        victim::load(&["build", "--data", victim::text(fast)?, "--policy", "fast", "--now", &now])
    })
}

/// The same visitors, whose memberships end at any hour of ninety days.
///
/// # Errors
/// When the folder cannot be written, or the loader fails.
pub fn hourly(visitors: u64, dir: &Path) -> Result<Snapshot> {
    made(&dir.join("hour"), |index| {
        let path = dir.join("hour.tsv");
        let mut feed = BufWriter::new(File::create(&path)?);
        let (mut workload, mut dice) = (Workload::new(SEED), Rng::new(SEED));
        for _ in 0..visitors {
            let visitor = workload.visitor();
            let id = std::str::from_utf8(&visitor.id)?;
            for (segment, _) in visitor.memberships {
                let expiry = BASE_TIME + 3_600 * u64::from(1 + dice.below(MAX_HOURS));
                writeln!(feed, "{id}\t{segment}\t{expiry}")?;
            }
        }
        feed.flush()?;
        load::load(&path, index)?;
        Ok(fs::remove_file(path)?)
    })
}

/// Opens the index; makes it before when it is not there.
fn made(index: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<Snapshot> {
    if Snapshot::newest_generation(index)? == 0 {
        make(index)?;
    }
    let key = Key::from_hex(&fs::read_to_string(index.with_extension("key"))?)?;
    Ok(Snapshot::open(index, Some(key))?)
}
