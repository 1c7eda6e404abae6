//! `usher-bench workload N DIR`: writes the synthetic workload as a feed, grouped by visitor or shuffled.
//!
//! Shuffling keeps the memory bounded, whatever N is: rows are thrown at random into piles on disk, each small enough
//! to be shuffled in memory, and the piles are put one after the other. Every order of the rows is as likely as any
//! other. It needs the feed's size once more on disk while it runs.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::rng::Rng;
use crate::workload::{ROW_BYTES, SEED, Workload};

/// How many bytes of rows a pile holds, about: what shuffling takes of the memory.
const PILE_BYTES: u64 = 128 << 20;
/// The most piles, so open files: enough for 500 million rows with [`PILE_BYTES`] each.
const MAX_PILES: u64 = 200;
/// About how many rows a visitor has, to choose the number of piles.
const ROWS_A_VISITOR: u64 = 31;
/// Written at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Visitors between two steps of the progress bar.
const STEP: u64 = 4_096;

/// What was written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Visitors.
    pub visitors: u64,
    /// Rows.
    pub rows: u64,
    /// Segments that occur.
    pub segments: u64,
    /// The most memberships of one visitor.
    pub most: u64,
    /// Memberships of the visitor in the middle.
    pub median: u64,
}

/// Writes `feed.tsv` and `ranks.txt` (the segments, the most popular first) into the folder.
///
/// # Errors
/// When the folder or a file cannot be written.
pub fn write(visitors: u64, dir: &Path, shuffled: bool, out: &mut dyn Write) -> Result<Counts> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    let started = Instant::now();
    let mut workload = Workload::new(SEED);
    let ranks: String = workload.ranked().iter().map(|segment| format!("{segment}\n")).collect();
    create_with(&dir.join("ranks.txt"), ranks.as_bytes())?;
    let path = dir.join("feed.tsv");
    let mut feed = create(&path)?;
    let counts = if shuffled {
        let mut piles = Piles::new(dir, visitors)?;
        let counts = generate(&mut workload, visitors, |rows| piles.throw(rows))?;
        piles.gather(&mut feed)?;
        counts
    } else {
        generate(&mut workload, visitors, |rows| Ok(feed.write_all(rows)?))?
    };
    // Else the system would go on writing it to the disk while what reads it is measured.
    let written = feed.flush().and_then(|()| feed.get_ref().sync_data());
    written.with_context(|| format!("cannot write {}", path.display()))?;
    let seconds = started.elapsed().as_secs_f64();
    report(&counts, &path, shuffled, seconds, out)?;
    Ok(counts)
}

fn report(counts: &Counts, path: &Path, shuffled: bool, seconds: f64, out: &mut dyn Write) -> Result<()> {
    let Counts { visitors, rows, segments, most, median } = counts;
    let mean = *rows as f64 / (*visitors).max(1) as f64;
    let order = if shuffled { "shuffled" } else { "grouped by visitor" };
    writeln!(out, "{}: {rows} rows, {order}, {} bytes", path.display(), rows * ROW_BYTES as u64)?;
    writeln!(
        out,
        "{visitors} visitors, {segments} segments; memberships a visitor: mean {mean:.2}, median {median}, most {most}"
    )?;
    writeln!(out, "{seconds:.1} s, {:.1} million rows a second", *rows as f64 / seconds.max(1e-9) / 1e6)?;
    Ok(())
}

/// Makes the visitors, hands the rows of each to `sink`, and counts.
fn generate(workload: &mut Workload, visitors: u64, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<Counts> {
    let bar = ProgressBar::new(visitors);
    bar.set_style(ProgressStyle::with_template(
        "{percent:>3} % {wide_bar} {human_pos} of {human_len} visitors, {eta} left",
    )?);
    let mut counts = Counts { visitors, ..Counts::default() };
    let (mut lengths, mut seen, mut rows) = (Vec::new(), vec![false; 1 << 16], Vec::new());
    for number in 0..visitors {
        let visitor = workload.visitor();
        rows.clear();
        visitor.write(&mut rows);
        sink(&rows)?;
        let length = visitor.memberships.len();
        lengths.resize(lengths.len().max(length + 1), 0_u64);
        lengths[length] += 1;
        counts.rows += length as u64;
        visitor.memberships.iter().for_each(|(segment, _)| seen[usize::from(*segment)] = true);
        if number % STEP == 0 {
            bar.set_position(number);
        }
    }
    bar.finish_and_clear();
    counts.segments = seen.iter().filter(|seen| **seen).count() as u64;
    counts.most = lengths.len().saturating_sub(1) as u64;
    let mut below = 0;
    let middle = lengths.iter().position(|visitors_so_long| {
        below += visitors_so_long;
        below * 2 >= visitors
    });
    counts.median = middle.unwrap_or(0) as u64;
    Ok(counts)
}

/// The piles of a shuffle; their files are removed when it is dropped.
struct Piles {
    paths: Vec<PathBuf>,
    files: Vec<BufWriter<File>>,
    rng: Rng,
}

impl Piles {
    fn new(dir: &Path, visitors: u64) -> Result<Self> {
        let bytes = visitors * ROWS_A_VISITOR * ROW_BYTES as u64;
        let count = bytes.div_ceil(PILE_BYTES).clamp(1, MAX_PILES);
        let paths: Vec<PathBuf> = (0..count).map(|pile| dir.join(format!(".pile-{pile}.tmp"))).collect();
        let mut piles = Self { paths, files: Vec::new(), rng: Rng::new(SEED ^ 1) };
        for path in &piles.paths {
            piles.files.push(create(path)?);
        }
        Ok(piles)
    }

    fn throw(&mut self, rows: &[u8]) -> Result<()> {
        for row in rows.chunks_exact(ROW_BYTES) {
            let pile = self.rng.index(self.files.len());
            self.files[pile].write_all(row).context("cannot write a pile of the shuffle")?;
        }
        Ok(())
    }

    fn gather(&mut self, feed: &mut impl Write) -> Result<()> {
        for (file, path) in self.files.iter_mut().zip(&self.paths) {
            file.flush().context("cannot write a pile of the shuffle")?;
            let mut bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let (rows, _) = bytes.as_chunks_mut::<ROW_BYTES>();
            self.rng.shuffle(rows);
            feed.write_all(&bytes).context("cannot write the shuffled feed")?;
        }
        Ok(())
    }
}

impl Drop for Piles {
    fn drop(&mut self) {
        for path in &self.paths {
            // What is left behind costs disk, nothing else.
            let _ = fs::remove_file(path);
        }
    }
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
}

fn create_with(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shuffled_feed_holds_the_same_rows_in_another_order() {
        let dir = std::env::temp_dir().join(format!("usher-bench-shuffle-{}", std::process::id()));
        let (grouped, shuffled) = (dir.join("grouped"), dir.join("shuffled"));
        let mut out = Vec::new();
        let counts = write(300, &grouped, false, &mut out).expect("a temporary folder");
        assert_eq!(write(300, &shuffled, true, &mut out).expect("a temporary folder"), counts);
        let read = |dir: &Path| fs::read_to_string(dir.join("feed.tsv")).expect("a feed");
        let (a, b) = (read(&grouped), read(&shuffled));
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_ne!(a, b);
        assert_eq!(sorted(&a), sorted(&b));
        assert_eq!(a.lines().count() as u64, counts.rows);
        assert_eq!(fs::read_dir(&shuffled).expect("a folder").count(), 2, "the piles are gone");
        fs::remove_dir_all(&dir).expect("a temporary folder");
    }
}
