//! How many rows have two things at once: every pair of columns counted over sets of rows, a block at a time, without
//! a row ever being written down. A column is a feature, or two that a row must both have.

use rayon::prelude::*;
use usher_index::bits::BLOCK;
use usher_index::containers::Container;
use usher_index::{Bits, Counter, ImageError, Op};

use super::population::Population;
use super::sample::Sample;
use super::seed::{FOLDS, Seed};

/// Classes of rows that a model may weigh differently: what is not of the seed, and each fold's members, those inside
/// the sample and those outside.
pub const CLASSES: usize = 1 + 2 * FOLDS;
/// Fewer members are a list.
const LIST_BELOW: u32 = 1_024;
/// Columns that a thread counts at a time.
const COLUMNS_A_TASK: usize = 8;

/// A set of rows of one piece.
#[derive(Clone, Default)]
enum Column {
    #[default]
    Empty,
    List(Vec<u8>),
    Bitmap(Vec<u8>),
}

impl Column {
    fn set(&self) -> Container<'_> {
        match self {
            Column::Empty => Container::Empty,
            Column::List(bytes) => Container::Array(bytes),
            Column::Bitmap(bytes) => Container::Bitmap(bytes),
        }
    }

    fn of_bits(bits: &Bits) -> Self {
        match bits.count() {
            0 => Column::Empty,
            few if few < LIST_BELOW => Column::List(bits.iter().flat_map(u16::to_le_bytes).collect()),
            _ => Column::Bitmap(bits.words().iter().flat_map(|word| word.to_le_bytes()).collect()),
        }
    }

    /// Who is in both.
    fn both(&self, other: &Self) -> Self {
        let mut bits = Bits::empty();
        self.set().fold_into(&mut bits, Op::Or);
        other.set().fold_into(&mut bits, Op::And);
        Self::of_bits(&bits)
    }
}

/// Up to 65,536 rows of one class.
struct Piece {
    class: usize,
    columns: Vec<Column>,
}

/// The columns, and the counts of every two of them in every class.
pub struct Columns {
    features: Vec<u32>,
    pairs: Vec<(u32, u32)>,
    pieces: Vec<Piece>,
    /// By class; the lower half of the matrix, row by row.
    counts: Vec<Vec<u32>>,
}

impl Columns {
    /// Counts these features (ascending) over the rows of the sample and of the seed.
    ///
    /// # Errors
    /// When an image is damaged.
    pub fn new(
        population: &Population<'_>,
        seed: &Seed,
        sample: &Sample,
        features: Vec<u32>,
    ) -> Result<Self, ImageError> {
        let blocks = sample.blocks.par_iter().map(|block| {
            let part = &population.shards[block.shard];
            let mut bits = Bits::empty();
            let mut columns = vec![Column::Empty; features.len()];
            for (rank, &number) in (0..).zip(&part.numbers) {
                let Ok(at) = features.binary_search(&number) else { continue };
                bits.clear();
                part.shard.image().container(block.block, rank)?.fold_into(&mut bits, Op::Or);
                part.sweep.bury(rank, block.block, &mut bits);
                bits.fold(&block.ranked, Op::And);
                columns[at] = Column::of_bits(&bits);
            }
            Ok(Piece { class: 0, columns })
        });
        let mut pieces = blocks.collect::<Result<Vec<_>, ImageError>>()?;
        let touched = sample.touched.iter().map(|&place| population.rows.get(place as usize));
        pieces.extend(listed(0, touched, &features));
        for class in 1..CLASSES {
            let (fold, inside) = ((class - 1) % FOLDS, class <= FOLDS);
            let members = (0..seed.members.len()).filter(|&member| Seed::fold(member) == fold);
            let members = members.filter(|&member| sample.seed_inside[member] == inside);
            pieces.extend(listed(class, members.map(|member| seed.rows.get(member)), &features));
        }
        let mut columns = Self { features, pairs: Vec::new(), pieces, counts: vec![Vec::new(); CLASSES] };
        columns.count(0);
        Ok(columns)
    }

    /// Adds columns of pairs of features, which must be among the columns.
    pub fn add_pairs(&mut self, pairs: Vec<(u32, u32)>) {
        let before = self.features.len();
        let features = &self.features;
        let places: Vec<_> = pairs
            .iter()
            .filter_map(|(a, b)| features.binary_search(a).ok().zip(features.binary_search(b).ok()))
            .collect();
        debug_assert!(self.pairs.is_empty() && places.len() == pairs.len() && pairs.is_sorted());
        self.pieces.par_iter_mut().for_each(|piece| {
            let both = places.iter().map(|&(a, b)| piece.columns[a].both(&piece.columns[b]));
            let both: Vec<Column> = both.collect();
            piece.columns.extend(both);
        });
        self.pairs = pairs;
        self.count(before);
    }

    /// Counts every column from the `first` on with those up to it.
    fn count(&mut self, first: usize) {
        let columns: Vec<usize> = (first..self.features.len() + self.pairs.len()).collect();
        let pieces = &self.pieces;
        // Backwards: the last columns have the most to do.
        let tasks = columns.par_chunks(COLUMNS_A_TASK).rev().map_init(Counter::default, |counter, columns| {
            let mut counts = vec![Vec::new(); CLASSES];
            for &row in columns {
                let start: Vec<usize> = counts.iter().map(Vec::len).collect();
                counts.iter_mut().for_each(|of: &mut Vec<u32>| of.resize(of.len() + row + 1, 0));
                for piece in pieces {
                    let of = &mut counts[piece.class][start[piece.class]..];
                    let own = piece.columns[row].set();
                    if matches!(own, Container::Empty) {
                        continue;
                    }
                    for (count, other) in of.iter_mut().zip(&piece.columns) {
                        *count += counter.and(&mut [own, other.set()]);
                    }
                }
            }
            counts
        });
        let tasks: Vec<Vec<Vec<u32>>> = tasks.collect();
        for task in tasks.into_iter().rev() {
            self.counts.iter_mut().zip(task).for_each(|(all, task)| all.extend(task));
        }
    }

    /// How many rows of a class have both columns.
    pub fn both(&self, class: usize, one: usize, other: usize) -> u32 {
        let (row, column) = (one.max(other), one.min(other));
        self.counts[class][row * (row + 1) / 2 + column]
    }

    /// The column of a feature.
    pub fn of_feature(&self, number: u32) -> Option<usize> {
        self.features.binary_search(&number).ok()
    }

    /// The column of a pair.
    pub fn of_pair(&self, pair: (u32, u32)) -> Option<usize> {
        self.pairs.binary_search(&pair).ok().map(|place| self.features.len() + place)
    }
}

/// Rows in pieces.
fn listed<'r>(class: usize, rows: impl Iterator<Item = &'r [u32]>, features: &[u32]) -> Vec<Piece> {
    let rows: Vec<&[u32]> = rows.collect();
    let piece = |rows: &[&[u32]]| {
        let mut members: Vec<Vec<u16>> = vec![Vec::new(); features.len()];
        for (row, numbers) in (0..=u16::MAX).zip(rows) {
            for number in *numbers {
                if let Ok(at) = features.binary_search(number) {
                    members[at].push(row);
                }
            }
        }
        let column = |members: Vec<u16>| {
            let mut bits = Bits::empty();
            members.into_iter().for_each(|row| bits.insert(row));
            Column::of_bits(&bits)
        };
        Piece { class, columns: members.into_iter().map(column).collect() }
    };
    rows.chunks(BLOCK as usize).map(piece).collect()
}
