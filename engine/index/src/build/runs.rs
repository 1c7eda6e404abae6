//! Rows in memory, a *run* at a time: 65,536 rows, apart by the partition of their pseudonyms.
//!
//! Runs lie in slabs that double up to 64 MiB. Blocks of that size an allocator has from the system and gives back to it
//! at once (glibc: those above 32 MiB, its greatest `M_MMAP_THRESHOLD`). Of runs allocated one by one it kept half a
//! gigabyte when the rows were on disk, beside what the images then took.

use super::share::{PARTITIONS, ROW_BYTES};

/// Rows of a run: a megabyte, which a processor's second cache nearly holds.
pub(super) const RUN_ROWS: usize = 1 << 16;
/// Rows of the largest slab: 64 MiB.
const SLAB_ROWS: usize = 1 << 22;

/// Runs one after another in a block of memory, of which the system gives only what is written.
struct Slab {
    rows: Box<[u128]>,
    /// Of each run, where each partition begins, and the end.
    runs: Vec<Box<[u32]>>,
}

/// The runs of one admission.
#[derive(Default)]
pub(super) struct Runs {
    slabs: Vec<Slab>,
    /// Rows in all of them.
    rows: usize,
}

impl Slab {
    fn of(rows: usize) -> Self {
        Self { rows: vec![0u128; rows].into_boxed_slice(), runs: Vec::new() }
    }

    fn used(&self) -> usize {
        self.runs.last().map_or(0, |starts| starts[PARTITIONS] as usize)
    }

    /// A counting sort: rows of a partition stay in their order.
    fn append(&mut self, rows: &[u128], homes: &[u16]) {
        let mut starts = vec![0u32; PARTITIONS + 1].into_boxed_slice();
        homes.iter().for_each(|&home| starts[usize::from(home) + 1] += 1);
        starts[0] = self.used() as u32;
        (1..=PARTITIONS).for_each(|at| starts[at] += starts[at - 1]);
        let mut free = starts.clone();
        for (row, home) in rows.iter().zip(homes) {
            let place = &mut free[usize::from(*home)];
            self.rows[*place as usize] = *row;
            *place += 1;
        }
        self.runs.push(starts);
    }
}

impl Runs {
    /// Appends a run of at most [`RUN_ROWS`] rows, of which the partitions are `homes`.
    pub(super) fn push(&mut self, rows: &[u128], homes: &[u16]) {
        let has_room = |slab: &&mut Slab| slab.rows.len() - slab.used() >= rows.len();
        match self.slabs.last_mut().filter(has_room) {
            Some(slab) => slab.append(rows, homes),
            None => {
                // The last run of all may be short: then no run comes after it.
                let mut slab = Slab::of(self.rows.clamp(rows.len(), SLAB_ROWS));
                slab.append(rows, homes);
                self.slabs.push(slab);
            }
        }
        self.rows += rows.len();
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The bytes of the rows.
    pub(super) fn bytes(&self) -> u64 {
        (self.rows * ROW_BYTES) as u64
    }

    /// The rows of a partition, run by run.
    pub(super) fn partition(&self, number: usize) -> impl Iterator<Item = &[u128]> {
        self.slabs.iter().flat_map(move |Slab { rows, runs }| {
            runs.iter().map(move |starts| &rows[starts[number] as usize..starts[number + 1] as usize])
        })
    }

    /// All rows, run by run; of each run, partition by partition.
    pub(super) fn each_mut(&mut self) -> impl Iterator<Item = (usize, &mut [u128])> {
        self.slabs.iter_mut().flat_map(|Slab { rows, runs }| {
            let pieces = runs.iter().flat_map(|starts| starts.windows(2).enumerate());
            let mut rest = &mut **rows;
            pieces.filter_map(move |(partition, ends)| {
                let own = rest.split_off_mut(..(ends[1] - ends[0]) as usize)?;
                Some((partition, own))
            })
        })
    }
}
