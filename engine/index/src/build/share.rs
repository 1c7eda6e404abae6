//! The rows of one admission, packed, apart by pseudonym, in memory or on disk.
//!
//! Rows arrive in any order and are put in order a [run](super::runs) at a time, apart by the leading bits of their
//! pseudonyms. When memory is full, all runs go to a temporary file, partition by partition, so that reading a
//! partition back takes a few long reads.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::entry::Entry;
use crate::error::FileError;
use crate::files::TEMPORARY;
use crate::id::{PID_BITS, Pid};
use crate::membership::Membership;
use crate::segments::Segments;

use super::codes::EntryCodes;
use super::memory::Memory;
use super::runs::{RUN_ROWS, Runs};

/// Rows are kept apart by so many leading bits of the pseudonym: 30 million rows are some 30,000 in each partition,
/// which fit into a cache.
pub(super) const PARTITION_BITS: u32 = 10;
/// How many partitions there are.
pub(super) const PARTITIONS: usize = 1 << PARTITION_BITS;
/// Bits of a row's code for its times.
pub(super) const CODE_BITS: u32 = 32;
/// Bits of a row's segment.
pub(super) const RANK_BITS: u32 = 26;
/// Bits below the pseudonym.
pub(super) const BELOW_PID: u32 = CODE_BITS + RANK_BITS;
/// Bits of a pseudonym that its partition does not tell.
pub(super) const REST_BITS: u32 = PID_BITS - PARTITION_BITS;
const _: () = assert!(REST_BITS + BELOW_PID == u128::BITS);
/// Bytes of a packed row.
pub(super) const ROW_BYTES: usize = size_of::<u128>();
/// Bytes written at a time.
const WRITE_BYTES: usize = 1 << 20;
/// Rows read back at a time: 64 KiB.
const READ_ROWS: usize = 4 << 10;

/// Rows in the file, apart by partition. In rows from the file's start: where each partition begins, and the end.
struct Spilled(Box<[u64]>);

/// The rows of one admission.
#[derive(Default)]
pub(super) struct Share {
    /// The names behind the numbers of the rows.
    pub(super) segments: Segments,
    /// Why rows could not be kept; then they are not.
    pub(super) failed: Option<FileError>,
    /// Rows pushed.
    pub(super) len: u64,
    codes: EntryCodes,
    open: Vec<u128>,
    /// The partition of each open row.
    homes: Vec<u16>,
    runs: Runs,
    memory: Option<Arc<Memory>>,
    file: Option<File>,
    spilled: Vec<Spilled>,
}

impl Share {
    pub(super) fn new(memory: Option<Arc<Memory>>) -> Self {
        let mut share = Self::default();
        share.memory = memory;
        share
    }

    /// Appends a row.
    #[inline]
    pub(super) fn push(&mut self, membership: Membership) {
        let code = self.codes.code(membership.entry());
        let pid = membership.pid().bits();
        self.homes.push((pid >> REST_BITS) as u16);
        // Shifting out the leading bits is what takes the partition off.
        self.open.push(
            pid << (PARTITION_BITS + u128::BITS - PID_BITS)
                | u128::from(membership.segment()) << CODE_BITS
                | u128::from(code),
        );
        if self.open.len() == RUN_ROWS {
            self.close_run();
        }
    }

    /// Puts what is open in order too; no row comes any more.
    pub(super) fn seal(&mut self) {
        self.close_run();
        (self.open, self.homes) = (Vec::new(), Vec::new());
        self.codes.finish();
        // A build sorts what is on disk as it comes to it: a rest in memory would gain nothing.
        if self.is_on_disk() {
            self.spill_or_fail();
        }
    }

    /// Sends the rows to disk when they leave little room for others.
    pub(super) fn make_room(&mut self) {
        if self.memory.as_ref().is_some_and(|memory| memory.is_tight()) {
            self.spill_or_fail();
        }
    }

    /// The entry behind each code.
    pub(super) fn entries(&self) -> &[Entry] {
        self.codes.entries()
    }

    fn close_run(&mut self) {
        self.len += self.open.len() as u64;
        if !self.open.is_empty() && self.failed.is_none() {
            let before = self.runs.bytes();
            self.runs.push(&self.open, &self.homes);
            let bytes = self.runs.bytes() - before;
            if self.memory.as_ref().is_some_and(|memory| !memory.hold(bytes)) {
                self.spill_or_fail();
            }
        }
        self.open.clear();
        self.homes.clear();
    }

    fn spill_or_fail(&mut self) {
        let spilled = self.spill();
        if let (Err(source), Some(memory)) = (spilled, &self.memory) {
            self.failed = Some(FileError::new("write rows to a temporary file in", memory.folder())(source));
        }
        // The rows are let go before others hear of the room.
        let bytes = std::mem::take(&mut self.runs).bytes();
        if let Some(memory) = &self.memory {
            memory.give_back(bytes);
        }
    }

    /// Writes all runs to the file, partition by partition.
    fn spill(&mut self) -> io::Result<()> {
        let (Some(memory), false) = (&self.memory, self.runs.is_empty()) else { return Ok(()) };
        let file = match self.file.take() {
            Some(file) => file,
            None => nameless(memory)?,
        };
        let mut at = self.spilled.last().map_or(0, |last| last.0[PARTITIONS]);
        let mut starts = Vec::with_capacity(PARTITIONS + 1);
        let mut to = BufWriter::with_capacity(WRITE_BYTES, &file);
        for partition in 0..PARTITIONS {
            starts.push(at);
            for rows in self.runs.partition(partition) {
                rows.iter().try_for_each(|row| to.write_all(&row.to_le_bytes()))?;
                at += rows.len() as u64;
            }
        }
        starts.push(at);
        to.flush()?;
        drop(to);
        self.spilled.push(Spilled(starts.into_boxed_slice()));
        self.file = Some(file);
        Ok(())
    }

    /// Hands out the rows of a partition, in memory and on disk.
    pub(super) fn each(&self, partition: usize, mut each: impl FnMut(u128)) -> io::Result<()> {
        self.runs.partition(partition).flatten().for_each(|row| each(*row));
        let Some(file) = &self.file else { return Ok(()) };
        let mut bytes = vec![0u8; READ_ROWS * ROW_BYTES];
        for Spilled(starts) in &self.spilled {
            let mut at = starts[partition];
            while at < starts[partition + 1] {
                let rows = (starts[partition + 1] - at).min(READ_ROWS as u64);
                let bytes = &mut bytes[..rows as usize * ROW_BYTES];
                file.read_exact_at(bytes, at * ROW_BYTES as u64)?;
                bytes.as_chunks().0.iter().for_each(|row| each(u128::from_le_bytes(*row)));
                at += rows;
            }
        }
        Ok(())
    }

    /// Whether rows were spilled.
    pub(super) fn is_on_disk(&self) -> bool {
        self.file.is_some()
    }

    /// Appends the rows of a partition that are in memory.
    pub(super) fn copy(&self, partition: usize, into: &mut Vec<u128>) {
        self.runs.partition(partition).for_each(|rows| into.extend_from_slice(rows));
    }

    /// The rows in memory, run by run; of each run, partition by partition.
    pub(super) fn each_mut(&mut self) -> impl Iterator<Item = (usize, &mut [u128])> {
        self.runs.each_mut()
    }

    /// How many rows a partition has.
    pub(super) fn rows(&self, partition: usize) -> usize {
        let in_memory: usize = self.runs.partition(partition).map(<[u128]>::len).sum();
        let on_disk: u64 = self.spilled.iter().map(|Spilled(starts)| starts[partition + 1] - starts[partition]).sum();
        in_memory + on_disk as usize
    }

    /// The folder that rows were spilled to, for an error.
    pub(super) fn folder(&self) -> &std::path::Path {
        self.memory.as_ref().map_or(std::path::Path::new(""), |memory| memory.folder())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            memory.give_back(self.runs.bytes());
        }
    }
}

/// A file that has its name for a moment only: whatever ends this process, nothing of it remains. A sweep removes
/// what a crash within the moment leaves.
fn nameless(memory: &Memory) -> io::Result<File> {
    let (file, path) = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(memory.folder())?.into_parts();
    path.close()?;
    Ok(file)
}

/// The pseudonym of a packed row.
#[inline]
pub(super) fn pid_of(partition: usize, row: u128) -> Pid {
    Pid::from_bits((partition as u128) << REST_BITS | row >> BELOW_PID)
}
