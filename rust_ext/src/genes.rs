//! One row of exact sums a gene.
//!
//! An entry adds eight whole numbers, one cache line, to its gene: how often, how many molecules,
//! and the fixed-point CP10k and log1p(CP10k) with their squares. What is added depends on the
//! cell and the count only, so it is worked out once for each bin of the cell's spectrum.

use crate::cells::Row;
use crate::moments::{CP_SCALE, LOG_SCALE, cp10k, quantize};

/// Squares are summed as a low part of so many bits and a high part.
const SPLIT: u32 = 49;
/// Rows after which the 64-bit sums are carried over: q < 2⁵⁰, so 2¹⁴ of them stay below 2⁶⁴.
const CARRY_AFTER: u32 = 1 << 14;

/// n, counts, Σq, Σq² low, Σq² high of CP10k, then the last three of log1p(CP10k).
type Line = [u64; 8];

/// Exact sums of one gene.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GeneSums {
    /// Cells with the gene.
    pub n_cells: u64,
    /// Molecules.
    pub total_counts: u64,
    /// Σ CP10k in fixed point.
    pub cp: u128,
    /// Σ CP10k² in squared fixed point.
    pub cp_squares: u128,
    /// Σ log1p(CP10k) in fixed point.
    pub log: u128,
    /// Σ log1p(CP10k)² in squared fixed point.
    pub log_squares: u128,
}

impl GeneSums {
    /// Adds other cells; associative and commutative.
    pub fn merge(&mut self, other: &Self) {
        self.n_cells = self.n_cells.wrapping_add(other.n_cells);
        self.total_counts = self.total_counts.wrapping_add(other.total_counts);
        self.cp = self.cp.wrapping_add(other.cp);
        self.cp_squares = self.cp_squares.wrapping_add(other.cp_squares);
        self.log = self.log.wrapping_add(other.log);
        self.log_squares = self.log_squares.wrapping_add(other.log_squares);
    }

    fn carry(&mut self, line: &mut Line) {
        let [n, counts, cp, cp_low, cp_high, log, log_low, log_high] = *line;
        let wide = |low: u64, high: u64| u128::from(low).wrapping_add(u128::from(high) << SPLIT);
        self.merge(&Self {
            n_cells: n,
            total_counts: counts,
            cp: u128::from(cp),
            cp_squares: wide(cp_low, cp_high),
            log: u128::from(log),
            log_squares: wide(log_low, log_high),
        });
        *line = [0; 8];
    }
}

/// Mean and variance (ddof 1) over `n` cells of a fixed-point quantity, zeros counted.
///
/// With Σq = n·m + r in whole numbers, (Σq)²/n = n·m² + 2·m·r + r²/n, so that the difference to Σq²
/// is taken exactly.
#[must_use]
pub fn mean_and_variance(sum: u128, squares: u128, n: u64, scale: f64) -> (f64, f64) {
    let count = u128::from(n.max(1));
    let (m, r) = (sum / count, sum % count);
    let exact = squares.wrapping_sub(count.wrapping_mul(m).wrapping_mul(m)).wrapping_sub(m.wrapping_mul(r).wrapping_mul(2));
    let rest = r as f64 * r as f64 / n as f64;
    let mean = sum as f64 / scale / n as f64;
    let variance = if n > 1 { (exact as f64 - rest).max(0.0) / scale / scale / (n as f64 - 1.0) } else { f64::NAN };
    (if n == 0 { f64::NAN } else { mean }, variance)
}

/// Accumulates the genes of one unit of work.
pub struct GeneMoments {
    lines: Vec<Line>,
    sums: Vec<GeneSums>,
    table: Vec<Line>,
    rows: u32,
}

impl GeneMoments {
    /// For a vocabulary of `genes` genes.
    #[must_use]
    pub fn new(genes: usize) -> Self {
        Self { lines: vec![[0; 8]; genes], sums: vec![GeneSums::default(); genes], table: Vec::new(), rows: 0 }
    }

    /// Adds a row whose total is known; `codes` is the number of value codes.
    pub fn add(&mut self, row: &Row<'_>, total: u64, codes: usize) {
        if self.table.len() < codes {
            self.table.resize(codes, [0; 8]);
        }
        for bin in row.spectrum {
            if let Some(line) = self.table.get_mut(bin.code as usize) {
                *line = contribution(bin.value, total);
            }
        }
        add_entries(&mut self.lines, &self.table, row.genes, row.codes);
        self.rows = self.rows.wrapping_add(1);
        if self.rows >= CARRY_AFTER {
            self.carry();
        }
    }

    fn carry(&mut self) {
        for (sum, line) in self.sums.iter_mut().zip(&mut self.lines) {
            if line.first() != Some(&0) {
                sum.carry(line);
            }
        }
        self.rows = 0;
    }

    /// The sums, by dense gene index.
    #[must_use]
    pub fn finish(mut self) -> Vec<GeneSums> {
        self.carry();
        self.sums
    }
}

/// What one entry of `value` molecules in a cell of `total` adds to its gene.
fn contribution(value: u32, total: u64) -> Line {
    if value == 0 {
        return [0; 8];
    }
    let scaled = cp10k(value, total);
    let (cp, log) = (quantize(scaled, CP_SCALE), quantize(libm::log1p(scaled), LOG_SCALE));
    let square = |q: u64| {
        let wide = u128::from(q).wrapping_mul(u128::from(q));
        let low = u64::try_from(wide & ((1 << SPLIT) - 1)).unwrap_or_default();
        (low, u64::try_from(wide >> SPLIT).unwrap_or(u64::MAX))
    };
    let ((cp_low, cp_high), (log_low, log_high)) = (square(cp), square(log));
    [1, u64::from(value), cp, cp_low, cp_high, log, log_low, log_high]
}

/// The loop over entries. Whole numbers, so vector width and order do not change a bit.
#[inline]
fn add_entries(lines: &mut [Line], table: &[Line], genes: &[u32], codes: &[u32]) {
    for (gene, code) in genes.iter().zip(codes) {
        if let (Some(line), Some(terms)) = (lines.get_mut(*gene as usize), table.get(*code as usize)) {
            for (sum, term) in line.iter_mut().zip(terms) {
                *sum = sum.wrapping_add(*term);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::{Bin, Oddities};

    fn row<'a>(genes: &'a [u32], codes: &'a [u32], spectrum: &'a [Bin]) -> Row<'a> {
        Row { genes, codes, ascending: true, spectrum, entries: genes.len() as u32, oddities: Oddities::default() }
    }

    #[test]
    fn two_cells_counted_by_hand() {
        // Gene 0: 1 of 4 molecules, then absent; gene 1: 3 of 4, then 2 of 2.
        let mut moments = GeneMoments::new(3);
        let one = [Bin { value: 1, times: 1, code: 0 }, Bin { value: 3, times: 1, code: 1 }];
        moments.add(&row(&[0, 1], &[0, 1], &one), 4, 2);
        moments.add(&row(&[1], &[0], &[Bin { value: 2, times: 1, code: 0 }]), 2, 2);
        let sums = moments.finish();
        assert_eq!((sums[0].n_cells, sums[0].total_counts), (1, 1));
        assert_eq!((sums[1].n_cells, sums[1].total_counts), (2, 5));
        assert_eq!(sums[2], GeneSums::default());
        let (mean, variance) = mean_and_variance(sums[1].cp, sums[1].cp_squares, 2, CP_SCALE);
        assert_eq!((mean, variance), (8_750.0, 3_125_000.0));
        let (mean, variance) = mean_and_variance(sums[0].cp, sums[0].cp_squares, 2, CP_SCALE);
        assert_eq!((mean, variance), (1_250.0, 3_125_000.0));
    }

    #[test]
    fn carrying_over_changes_nothing() {
        // Cells of a single gene have the largest CP10k there is.
        let mut moments = GeneMoments::new(1);
        let n = u64::from(CARRY_AFTER) * 2 + 5;
        for _ in 0..n {
            moments.add(&row(&[0], &[0], &[Bin { value: 7, times: 1, code: 0 }]), 7, 1);
        }
        let sums = moments.finish();
        let q = u128::from(quantize(TARGET_ALL, CP_SCALE));
        assert_eq!(sums[0].cp, u128::from(n) * q);
        assert_eq!(sums[0].cp_squares, u128::from(n) * q * q);
        assert_eq!(mean_and_variance(sums[0].cp, sums[0].cp_squares, n, CP_SCALE), (10_000.0, 0.0));
    }

    const TARGET_ALL: f64 = 10_000.0;
}
