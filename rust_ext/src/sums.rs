//! Exact sums of one gene, and the mean and variance that follow from them.

/// Exact sums of one gene.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GeneSums {
    /// Cells with the gene.
    pub n_cells: u64,
    /// Molecules.
    pub total_counts: u64,
    /// Σ CP10k in fixed point.
    pub cp: u128,
    /// Σ squared CP10k in squared fixed point.
    pub cp_squares: u128,
    /// Σ log1p(CP10k) in fixed point.
    pub log: u128,
    /// Σ squared log1p(CP10k) in squared fixed point.
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
}

/// Mean and variance (ddof 1) over `n` cells of a fixed-point quantity, zeros counted.
///
/// With Σq = n·m + r in whole numbers, (Σq)²/n = n·m² + 2·m·r + r²/n, so that the difference to Σq²
/// is taken exactly.
#[must_use]
pub fn mean_and_variance(sum: u128, squares: u128, n: u64, scale: f64) -> (f64, f64) {
    let count = u128::from(n.max(1));
    let (m, r) = (sum / count, sum % count);
    let exact = squares
        .wrapping_sub(count.wrapping_mul(m).wrapping_mul(m))
        .wrapping_sub(m.wrapping_mul(r).wrapping_mul(2));
    let rest = r as f64 * r as f64 / n as f64;
    let mean = sum as f64 / scale / n as f64;
    let variance =
        if n > 1 { (exact as f64 - rest).max(0.0) / scale / scale / (n as f64 - 1.0) } else { f64::NAN };
    (if n == 0 { f64::NAN } else { mean }, variance)
}
