//! The counts of chosen rows as a sparse matrix, for those who take them elsewhere.

use crate::chosen::{Choice, ChosenRow, Taken, read_chosen};
use crate::error::Failure;
use crate::store::Store;

/// Rows compressed (CSR), each buffer in little-endian bytes.
#[derive(Default)]
pub struct Counts {
    /// Where each row begins, and the end: i64.
    pub indptr: Vec<u8>,
    /// Dense genes, ascending in a row: i32.
    pub indices: Vec<u8>,
    /// Counts, none of them zero: u32.
    pub data: Vec<u8>,
}

/// Reads the counts of chosen rows.
///
/// # Errors
/// As [`read_chosen`].
pub fn gather_counts(choice: &Choice<'_>, store: &dyn Store) -> Result<(Counts, Taken), Failure> {
    let mut out = Counts::default();
    let (mut end, mut entries) = (0_i64, Vec::new());
    out.indptr.extend_from_slice(&end.to_le_bytes());
    let taken = read_chosen(choice, store, |ChosenRow { row, counts, .. }| {
        entries.clear();
        let value = |code: &u32| counts.get(*code as usize).copied().unwrap_or(0);
        entries.extend(row.genes.iter().copied().zip(row.codes.iter().map(value)).filter(|(_, n)| *n > 0));
        if !row.ascending {
            entries.sort_unstable();
        }
        for (gene, count) in &entries {
            out.indices.extend_from_slice(&gene.to_le_bytes());
            out.data.extend_from_slice(&count.to_le_bytes());
        }
        end = end.saturating_add(i64::try_from(entries.len()).unwrap_or(i64::MAX));
        out.indptr.extend_from_slice(&end.to_le_bytes());
        Ok(())
    })?;
    Ok((out, taken))
}
