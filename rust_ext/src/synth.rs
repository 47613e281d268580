//! Made-up cells with a planted and stated truth: the kernel of `tahoe synth`.
//!
//! The law, per cell of line `l` in well `w` (drug `d` at dose `c`) and per gene `g`:
//!
//! ```text
//! count ~ Poisson(library · depth · share[l,g] · 2^(lfc[d,g]·response) · exp(block[w,b(g)]) · programme)
//! library   = max(600, median_counts · exp(counts_spread · z))
//! depth     = exp(depth[l] + depth[d]·response + depth[w])
//! response  = c / (c + EC50[d]),   0 for DMSO_TF
//! programme = exp(mt[l] + mt[d]·response + mt[w] + 0.5·z − 0.125)   for mitochondrial genes
//!           = exp(0.3·z − 0.045)                                    for MALAT1
//!           = 1                                                     for all others
//! ```
//!
//! with fresh standard normal `z` a cell. Mitochondrial genes and MALAT1 take neither `lfc` nor `block`,
//! so their share of the counts stays what it is in the data. Every effect is an option times
//! a normal variate of its own stream, so an option of 0 is no effect, exactly.
//! `planted.rs` draws the planted values that `model.rs` holds, `cells.rs` the entries of cells, `summary.rs` rows of a cells table.

mod cells;
mod model;
mod planted;
mod random;
mod summary;
#[cfg(test)]
mod tests;

pub use cells::Entries;
pub use model::{Drug, Effects, Line, Model, Spec, Well, WellTruth};
pub use summary::Summaries;

/// Genes are dealt into this many blocks; a well shifts each block.
pub const BLOCKS: usize = 64;

/// What one made-up cell is: its well and line (indices into the model's) and its own random key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellKey {
    /// Index of the well.
    pub well: u32,
    /// Index of the cell line.
    pub line: u32,
    /// Key of the cell's random stream.
    pub key: u64,
}

impl CellKey {
    /// Keys from three little-endian columns (u32, u32, u64) of equal length.
    ///
    /// # Errors
    /// When the columns' lengths do not fit together.
    pub fn read(wells: &[u8], lines: &[u8], keys: &[u8]) -> Result<Vec<Self>, &'static str> {
        let (wells, rest_w) = wells.as_chunks::<4>();
        let (lines, rest_l) = lines.as_chunks::<4>();
        let (keys, rest_k) = keys.as_chunks::<8>();
        let whole = rest_w.is_empty() && rest_l.is_empty() && rest_k.is_empty();
        if !whole || wells.len() != lines.len() || wells.len() != keys.len() {
            return Err("the columns of wells, lines and keys must be equally long");
        }
        let rows = wells.iter().zip(lines).zip(keys);
        Ok(rows
            .map(|((well, line), key)| Self {
                well: u32::from_le_bytes(*well),
                line: u32::from_le_bytes(*line),
                key: u64::from_le_bytes(*key),
            })
            .collect())
    }
}

/// The key of cell `index` of sublibrary `sublibrary` of plate `plate`.
#[must_use]
pub fn cell_key(plate: u64, sublibrary: u64, index: u64) -> u64 {
    random::mix(random::mix(plate << 32 | sublibrary) ^ index)
}
