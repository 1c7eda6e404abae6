//! A scaled ridge: weights that may grow where their scale allows it.

/// A symmetric matrix, its lower half row by row.
#[derive(Clone, Debug)]
pub struct Symmetric {
    size: usize,
    values: Vec<f64>,
}

impl Symmetric {
    /// From a function of row and column, which is asked for columns up to the row.
    pub fn new(size: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let values = (0..size).flat_map(|row| (0..=row).map(move |column| (row, column)));
        Self { size, values: values.map(|(row, column)| value(row, column)).collect() }
    }

    fn row(&self, row: usize) -> &[f64] {
        let start = row * (row + 1) / 2;
        &self.values[start..start + row + 1]
    }
}

/// `w = R u` with `(R G R + lambda I) u = R b`, R the diagonal matrix of `scale`. `None` when the matrix is not positive
/// definite. Time: a third of the cube of the size, in multiplications.
pub fn solve(gram: &Symmetric, b: &[f64], scale: &[f64], lambda: f64) -> Option<Vec<f64>> {
    let scaled = Symmetric::new(gram.size, |row, column| {
        let value = gram.row(row)[column] * scale[row] * scale[column];
        if row == column { value + lambda } else { value }
    });
    let factor = cholesky(scaled)?;
    let right = scale.iter().zip(b).map(|(scale, b)| scale * b).collect();
    let solved = backward(&factor, forward(&factor, right));
    Some(solved.iter().zip(scale).map(|(u, scale)| u * scale).collect())
}

/// The lower triangle L with L L^T = the matrix.
fn cholesky(matrix: Symmetric) -> Option<Symmetric> {
    let Symmetric { size, mut values } = matrix;
    for row in 0..size {
        let start = row * (row + 1) / 2;
        let (above, own) = values.split_at_mut(start);
        for column in 0..row {
            let at = column * (column + 1) / 2;
            let other = &above[at..=at + column];
            own[column] = (own[column] - dot(&own[..column], &other[..column])) / other[column];
        }
        let pivot = own[row] - dot(&own[..row], &own[..row]);
        if pivot.is_nan() || pivot <= 0.0 {
            return None;
        }
        own[row] = pivot.sqrt();
    }
    Some(Symmetric { size, values })
}

/// In a fixed order, on lanes of their own so that the processor takes several at a time.
fn dot(left: &[f64], right: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (lefts, left_rest) = left.as_chunks::<LANES>();
    let (rights, right_rest) = right.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (left, right) in lefts.iter().zip(rights) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f64>() + rest
}

fn forward(factor: &Symmetric, mut b: Vec<f64>) -> Vec<f64> {
    for row in 0..factor.size {
        let of = factor.row(row);
        b[row] = (b[row] - dot(&of[..row], &b[..row])) / of[row];
    }
    b
}

fn backward(factor: &Symmetric, mut b: Vec<f64>) -> Vec<f64> {
    for row in (0..factor.size).rev() {
        let of = factor.row(row);
        b[row] /= of[row];
        let solved = b[row];
        b[..row].iter_mut().zip(of).for_each(|(b, of)| *b -= of * solved);
    }
    b
}

#[cfg(test)]
mod tests {
    use super::{Symmetric, solve};
    use crate::ask::sample::Dice;

    #[test]
    fn the_solution_solves_the_system() {
        let mut dice = Dice(4);
        for size in [0, 1, 2, 7, 40, 131] {
            let x: Vec<Vec<f64>> =
                (0..2 * size).map(|_| (0..size).map(|_| dice.below(2) as f64 - 0.4).collect()).collect();
            let gram = |row: usize, column: usize| x.iter().map(|x| x[row] * x[column]).sum::<f64>();
            let b: Vec<f64> = (0..size).map(|_| dice.below(100) as f64 - 50.0).collect();
            let scale: Vec<f64> = (0..size).map(|_| dice.below(30) as f64 / 10.0).collect();
            let w = solve(&Symmetric::new(size, gram), &b, &scale, 0.7).unwrap();
            for row in (0..size).filter(|&row| scale[row] > 0.0) {
                let mixed: f64 = (0..size).map(|column| gram(row, column) * w[column]).sum();
                let left = scale[row] * mixed + 0.7 * w[row] / scale[row];
                assert!((left - scale[row] * b[row]).abs() < 1e-6, "size {size}, row {row}");
            }
            assert!(w.iter().zip(&scale).all(|(w, scale)| *scale > 0.0 || *w == 0.0));
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_solution() {
        let gram = Symmetric::new(2, |row, column| if row == column { 1.0 } else { 2.0 });
        assert!(solve(&gram, &[1.0, 1.0], &[1.0, 1.0], 0.1).is_none());
        assert!(solve(&gram, &[1.0, 1.0], &[f64::NAN, 1.0], 0.1).is_none());
    }
}
