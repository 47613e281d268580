//! One row of exact sums a gene.
//!
//! An entry adds eight whole numbers, one cache line, to its gene: how often, how many molecules,
//! and the fixed-point CP10k and log1p(CP10k) with their squares. What is added depends on the
//! cell and the count only, so it is worked out once for each bin of the cell's spectrum.

use crate::cells::Row;
use crate::moments::Scaled;
use crate::sums::GeneSums;
use crate::wide::add_entries_wide;

/// Squares are summed as a low part of so many bits and a high part.
const SPLIT: u32 = 49;
/// Rows after which the 64-bit sums are carried over: q < 2⁵⁰, so 2¹⁴ of them stay below 2⁶⁴.
pub(crate) const CARRY_AFTER: u32 = 1 << 14;

/// n, counts, Σq, Σq² low, Σq² high of CP10k, then the last three of log1p(CP10k).
#[derive(Clone, Copy, Default)]
// A cache line exactly: unaligned, every entry touches two.
#[repr(align(64))]
pub(crate) struct Line(pub(crate) [u64; 8]);

/// Accumulates the genes of one unit of work.
pub struct GeneMoments {
    genes: usize,
    /// Nine megabytes for the vocabulary of Tahoe, so both wait for a first cell.
    lines: Vec<Line>,
    sums: Vec<GeneSums>,
    /// What an entry of the current cell adds, by value code.
    terms: Vec<Line>,
    rows: u32,
}

impl GeneMoments {
    /// For a vocabulary of `genes` genes.
    #[must_use]
    pub fn new(genes: usize) -> Self {
        Self { genes, lines: Vec::new(), sums: Vec::new(), terms: Vec::new(), rows: 0 }
    }

    /// Adds a row; `scaled` are the bins of its spectrum, `codes` is the number of value codes.
    pub fn add(&mut self, row: &Row<'_>, scaled: &[Scaled], codes: usize) {
        self.lines.resize(self.genes, Line::default());
        if self.terms.len() < codes {
            self.terms.resize(codes, Line::default());
        }
        for (bin, scaled) in row.spectrum.iter().zip(scaled) {
            if let Some(line) = self.terms.get_mut(bin.code as usize) {
                *line = contribution(bin.value, *scaled);
            }
        }
        add_entries_wide(&mut self.lines, &self.terms, row.genes, row.codes);
        self.rows = self.rows.wrapping_add(1);
        if self.rows >= CARRY_AFTER {
            self.carry();
        }
    }

    fn carry(&mut self) {
        self.sums.resize(self.lines.len(), GeneSums::default());
        for (sum, line) in self.sums.iter_mut().zip(&mut self.lines) {
            if line.0.first() != Some(&0) {
                let [n, counts, cp, cp_low, cp_high, log, log_low, log_high] = line.0;
                sum.merge(&GeneSums {
                    n_cells: n,
                    total_counts: counts,
                    cp: u128::from(cp),
                    cp_squares: join(cp_low, cp_high),
                    log: u128::from(log),
                    log_squares: join(log_low, log_high),
                });
                *line = Line::default();
            }
        }
        self.rows = 0;
    }

    /// The sums, by dense gene index; none where no cell was added.
    #[must_use]
    pub fn finish(mut self) -> Vec<GeneSums> {
        self.carry();
        self.sums
    }
}

/// A square as its low [`SPLIT`] bits and what is above them.
pub(crate) fn split(q: u64) -> (u64, u64) {
    let wide = u128::from(q).wrapping_mul(u128::from(q));
    let low = u64::try_from(wide & ((1 << SPLIT) - 1)).unwrap_or_default();
    (low, u64::try_from(wide >> SPLIT).unwrap_or(u64::MAX))
}

/// Sums of the two parts of squares, joined.
pub(crate) fn join(low: u64, high: u64) -> u128 {
    u128::from(low).wrapping_add(u128::from(high) << SPLIT)
}

/// What one entry of `value` molecules adds to its gene.
fn contribution(value: u32, Scaled { cp, log, .. }: Scaled) -> Line {
    if value == 0 {
        return Line::default();
    }
    let ((cp_low, cp_high), (log_low, log_high)) = (split(cp), split(log));
    Line([1, u64::from(value), cp, cp_low, cp_high, log, log_low, log_high])
}

/// The loop over entries. Whole numbers, so vector width and order do not change a bit.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled twice, see `wide`: the copies must be whole")]
pub(crate) fn add_entries(lines: &mut [Line], terms: &[Line], genes: &[u32], codes: &[u32]) {
    for (gene, code) in genes.iter().zip(codes) {
        if let (Some(line), Some(term)) = (lines.get_mut(*gene as usize), terms.get(*code as usize)) {
            for (sum, term) in line.0.iter_mut().zip(term.0) {
                *sum = sum.wrapping_add(term);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Oddities;
    use crate::moments::{CP_SCALE, quantize, scale};
    use crate::spectrum::Bin;
    use crate::sums::mean_and_variance;

    fn row<'a>(genes: &'a [u32], codes: &'a [u32], spectrum: &'a [Bin]) -> Row<'a> {
        Row {
            genes,
            codes,
            ascending: true,
            spectrum,
            entries: u32::try_from(genes.len()).unwrap(),
            oddities: Oddities::default(),
        }
    }

    #[test]
    fn two_cells_counted_by_hand() {
        // Gene 0: 1 of 4 molecules, then absent; gene 1: 3 of 4, then 2 of 2.
        let mut moments = GeneMoments::new(3);
        let one = [Bin { value: 1, times: 1, code: 0 }, Bin { value: 3, times: 1, code: 1 }];
        let mut scaled = Vec::new();
        scale(&one, 4, &mut scaled);
        moments.add(&row(&[0, 1], &[0, 1], &one), &scaled, 2);
        let two = [Bin { value: 2, times: 1, code: 0 }];
        scale(&two, 2, &mut scaled);
        moments.add(&row(&[1], &[0], &two), &scaled, 2);
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
        let seven = [Bin { value: 7, times: 1, code: 0 }];
        let mut scaled = Vec::new();
        scale(&seven, 7, &mut scaled);
        for _ in 0..n {
            moments.add(&row(&[0], &[0], &seven), &scaled, 1);
        }
        let sums = moments.finish();
        let q = u128::from(quantize(TARGET_ALL, CP_SCALE));
        assert_eq!(sums[0].cp, u128::from(n) * q);
        assert_eq!(sums[0].cp_squares, u128::from(n) * q * q);
        assert_eq!(mean_and_variance(sums[0].cp, sums[0].cp_squares, n, CP_SCALE), (10_000.0, 0.0));
    }

    const TARGET_ALL: f64 = 10_000.0;
}
