//! One row of exact sums a gene.
//!
//! An entry adds eight whole numbers, one cache line, to its gene: how often, how many molecules,
//! and the fixed-point CP10k and log1p(CP10k) with their squares. What is added depends on the
//! cell and the count only, so it is worked out once for each bin of the cell's spectrum.
//!
//! The lines of all genes are 4 MB, more than a core's cache, and a cell touches a thousand of them:
//! adding cell after cell waits for memory (6.4 ns an entry). So a few hundred cells are staged and
//! added block of genes by block of genes, each block staying in the cache (2 ns an entry).

use crate::cells::Row;
use crate::moments::{CP_SCALE, LOG_SCALE, cp10k, quantize};
use crate::sums::GeneSums;

/// Squares are summed as a low part of so many bits and a high part.
const SPLIT: u32 = 49;
/// Rows after which the 64-bit sums are carried over: q < 2⁵⁰, so 2¹⁴ of them stay below 2⁶⁴; a batch may come on top.
const CARRY_AFTER: u32 = (1 << 14) - 1_024;

/// Genes of a block: 256 kB of lines.
const BLOCK: usize = 4_096;
/// Lines of terms that are staged at most: 8 MB, of which a cell touches a few dozen lines.
const TERMS: usize = 1 << 17;

/// n, counts, Σq, Σq² low, Σq² high of CP10k, then the last three of log1p(CP10k).
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line([u64; 8]);

/// A staged cell: what is left of its entries, and where its terms stand.
struct Staged {
    next: usize,
    end: usize,
    terms: usize,
}

/// Accumulates the genes of one unit of work.
pub struct GeneMoments {
    lines: Vec<Line>,
    sums: Vec<GeneSums>,
    /// What an entry adds, by staged cell and value code.
    terms: Vec<Line>,
    staged: Vec<Staged>,
    codes: usize,
    rows: u32,
}

impl GeneMoments {
    /// For a vocabulary of `genes` genes.
    #[must_use]
    pub fn new(genes: usize) -> Self {
        Self {
            lines: vec![Line::default(); genes],
            sums: vec![GeneSums::default(); genes],
            terms: Vec::new(),
            staged: Vec::new(),
            codes: 0,
            rows: 0,
        }
    }

    /// How many cells can be staged at once where there are `codes` value codes.
    #[must_use]
    pub fn room(codes: usize) -> usize {
        TERMS.checked_div(codes).unwrap_or(TERMS).clamp(8, 1_024)
    }

    /// Stages a row whose total is known and whose first entry is `start` of its batch; `codes` is the
    /// number of value codes.
    pub fn stage(&mut self, row: &Row<'_>, total: u64, start: usize, codes: usize) {
        if self.staged.is_empty() {
            self.codes = codes;
        }
        let first = self.staged.len().saturating_mul(self.codes);
        let end = first.saturating_add(self.codes);
        if self.terms.len() < end {
            self.terms.resize(end, Line::default());
        }
        if let Some(terms) = self.terms.get_mut(first..end) {
            for bin in row.spectrum {
                if let Some(line) = terms.get_mut(bin.code as usize) {
                    *line = contribution(bin.value, total);
                }
            }
        }
        self.staged.push(Staged { next: start, end: start.saturating_add(row.genes.len()), terms: first });
        self.rows = self.rows.wrapping_add(1);
    }

    /// Number of staged cells.
    #[must_use]
    pub fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Adds the staged cells, whose entries stand in `genes` and `codes`.
    pub fn add_staged(&mut self, genes: &[u32], codes: &[u32]) {
        let mut start = 0_u32;
        for block in self.lines.chunks_mut(BLOCK) {
            for cell in &mut self.staged {
                let (Some(genes), Some(codes), Some(terms)) = (
                    genes.get(cell.next..cell.end),
                    codes.get(cell.next..cell.end),
                    self.terms.get(cell.terms..cell.terms.saturating_add(self.codes)),
                ) else {
                    continue;
                };
                cell.next = cell.next.wrapping_add(add_entries(block, start, terms, genes, codes));
            }
            start = start.wrapping_add(u32::try_from(block.len()).unwrap_or(u32::MAX));
        }
        // What is left belongs to cells whose genes do not ascend.
        for cell in self.staged.drain(..) {
            let terms = self.terms.get(cell.terms..cell.terms.saturating_add(self.codes)).unwrap_or_default();
            let entries = genes.get(cell.next..cell.end).unwrap_or_default().iter();
            for (gene, code) in entries.zip(codes.get(cell.next..cell.end).unwrap_or_default()) {
                if let (Some(line), Some(term)) =
                    (self.lines.get_mut(*gene as usize), terms.get(*code as usize))
                {
                    add_line(line, term);
                }
            }
        }
        if self.rows >= CARRY_AFTER {
            self.carry();
        }
    }

    fn carry(&mut self) {
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

    /// The sums, by dense gene index.
    #[must_use]
    pub fn finish(mut self) -> Vec<GeneSums> {
        self.carry();
        self.sums
    }
}

/// A square as its low [`SPLIT`] bits and what is above them.
fn split(q: u64) -> (u64, u64) {
    let wide = u128::from(q).wrapping_mul(u128::from(q));
    let low = u64::try_from(wide & ((1 << SPLIT) - 1)).unwrap_or_default();
    (low, u64::try_from(wide >> SPLIT).unwrap_or(u64::MAX))
}

/// Sums of the two parts of squares, joined.
fn join(low: u64, high: u64) -> u128 {
    u128::from(low).wrapping_add(u128::from(high) << SPLIT)
}

/// What one entry of `value` molecules in a cell of `total` adds to its gene.
fn contribution(value: u32, total: u64) -> Line {
    if value == 0 {
        return Line::default();
    }
    let scaled = cp10k(value, total);
    let (cp, log) = (quantize(scaled, CP_SCALE), quantize(libm::log1p(scaled), LOG_SCALE));
    let ((cp_low, cp_high), (log_low, log_high)) = (split(cp), split(log));
    Line([1, u64::from(value), cp, cp_low, cp_high, log, log_low, log_high])
}

/// Whole numbers, so vector width and order do not change a bit.
#[inline]
fn add_line(line: &mut Line, term: &Line) {
    for (sum, term) in line.0.iter_mut().zip(term.0) {
        *sum = sum.wrapping_add(term);
    }
}

/// Adds the first entries of a cell, those of one block of genes; gives how many.
#[inline]
fn add_entries(block: &mut [Line], start: u32, terms: &[Line], genes: &[u32], codes: &[u32]) -> usize {
    let mut done = 0_usize;
    for (gene, code) in genes.iter().zip(codes) {
        // A gene before the block wraps around and is beyond it too.
        let (Some(line), Some(term)) =
            (block.get_mut(gene.wrapping_sub(start) as usize), terms.get(*code as usize))
        else {
            break;
        };
        add_line(line, term);
        done = done.wrapping_add(1);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Oddities;
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
        let (genes, codes) = ([0, 1, 1], [0, 1, 0]);
        moments.stage(&row(&genes[..2], &codes[..2], &one), 4, 0, 2);
        moments.stage(&row(&genes[2..], &codes[2..], &[Bin { value: 2, times: 1, code: 0 }]), 2, 2, 2);
        moments.add_staged(&genes, &codes);
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
            moments.stage(&row(&[0], &[0], &[Bin { value: 7, times: 1, code: 0 }]), 7, 0, 1);
            moments.add_staged(&[0], &[0]);
        }
        let sums = moments.finish();
        let q = u128::from(quantize(TARGET_ALL, CP_SCALE));
        assert_eq!(sums[0].cp, u128::from(n) * q);
        assert_eq!(sums[0].cp_squares, u128::from(n) * q * q);
        assert_eq!(mean_and_variance(sums[0].cp, sums[0].cp_squares, n, CP_SCALE), (10_000.0, 0.0));
    }

    #[test]
    fn genes_in_any_order_and_of_every_block_are_added() {
        let last = u32::try_from(BLOCK * 3).unwrap();
        let genes = [last, 5, 4_096, 0];
        let mut moments = GeneMoments::new(BLOCK * 3 + 1);
        moments.stage(&row(&genes, &[0; 4], &[Bin { value: 1, times: 4, code: 0 }]), 4, 0, 1);
        moments.add_staged(&genes, &[0; 4]);
        let sums = moments.finish();
        let seen: Vec<usize> = (0..sums.len()).filter(|g| sums[*g].n_cells == 1).collect();
        assert_eq!(seen, [0, 5, 4_096, BLOCK * 3]);
        assert_eq!(sums.iter().map(|s| s.total_counts).sum::<u64>(), 4);
    }

    const TARGET_ALL: f64 = 10_000.0;
}
