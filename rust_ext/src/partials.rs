//! Gene sums on disk, and how parts of them become the table of genes.

use bytes::Bytes;
use parquet::data_type::{DataType, Int32Type, Int64Type};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use sha2::{Digest as _, Sha256};

use crate::error::{Code, Defect, Result};
use crate::footer::hex;
use crate::moments::{CP_SCALE, LOG_SCALE};
use crate::store::unreadable;
use crate::sums::{GeneSums, mean_and_variance};
use crate::table::{Column, Table};
use crate::vocabulary::Vocabulary;

/// The columns of a part: counts, then each 128-bit sum as its low and high 64 bits.
const COLUMNS: [&str; 11] = [
    "gene",
    "n_cells_by_counts",
    "total_counts",
    "cp_low",
    "cp_high",
    "cp_squares_low",
    "cp_squares_high",
    "log_low",
    "log_high",
    "log_squares_low",
    "log_squares_high",
];

#[allow(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low(value: u128) -> u64 {
    value as u64
}

fn high(value: u128) -> u64 {
    low(value >> 64)
}

/// The genes that were seen, as a table.
#[must_use]
pub fn gene_table(sums: &[GeneSums], vocabulary: &Vocabulary) -> Table {
    let seen: Vec<(i32, &GeneSums)> = vocabulary
        .tokens()
        .iter()
        .zip(sums)
        .filter(|(_, sum)| sum.n_cells > 0)
        .map(|(token, sum)| (i32::try_from(*token).unwrap_or(i32::MAX), sum))
        .collect();
    let sums: [fn(&GeneSums) -> u64; 10] = [
        |s| s.n_cells,
        |s| s.total_counts,
        |s| low(s.cp),
        |s| high(s.cp),
        |s| low(s.cp_squares),
        |s| high(s.cp_squares),
        |s| low(s.log),
        |s| high(s.log),
        |s| low(s.log_squares),
        |s| high(s.log_squares),
    ];
    let genes = Column::I32(seen.iter().map(|(token, _)| *token).collect());
    let columns = sums.map(|f| Column::U64(seen.iter().map(|(_, sum)| f(sum)).collect()));
    COLUMNS.into_iter().zip(std::iter::once(genes).chain(columns)).collect()
}

/// Adds one part to the sums of all genes.
///
/// What is hashed is what is added: a bit that flipped since the part was written would be seen by nobody afterwards.
///
/// # Errors
/// `E_CHECKSUM` where the part is not what was written, `E_DECODE` where it is not one of ours, `E_TOKEN_RANGE` where
/// its genes are not the vocabulary's.
pub fn add_part(path: &str, sha256: &str, vocabulary: &Vocabulary, sums: &mut [GeneSums]) -> Result<()> {
    let content = std::fs::read(path).map_err(|e| unreadable(&e))?;
    if hex(&Sha256::digest(&content)) != sha256 {
        return Err(Defect::new(Code::Checksum, "its sha256 is not the one it was written with"));
    }
    let reader = SerializedFileReader::new(Bytes::from(content))?;
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index)?;
        let rows = usize::try_from(group.metadata().num_rows()).map_err(|_| foreign())?;
        let genes: Vec<i32> = numbers::<Int32Type>(group.as_ref(), 0, rows)?;
        let mut columns = Vec::with_capacity(COLUMNS.len());
        for column in 1..COLUMNS.len() {
            columns.push(numbers::<Int64Type>(group.as_ref(), column, rows)?);
        }
        for (row, gene) in genes.iter().enumerate() {
            let at = |column: usize| {
                columns.get(column).and_then(|c| c.get(row)).copied().unwrap_or(0).cast_unsigned()
            };
            let wide =
                |column: usize| u128::from(at(column)) | u128::from(at(column.saturating_add(1))) << 64;
            let part = GeneSums {
                n_cells: at(0),
                total_counts: at(1),
                cp: wide(2),
                cp_squares: wide(4),
                log: wide(6),
                log_squares: wide(8),
            };
            let dense = vocabulary.dense(i64::from(*gene)) as usize;
            sums.get_mut(dense)
                .ok_or_else(|| {
                    Defect::new(Code::TokenRange, format!("gene {gene} is not in the vocabulary"))
                })?
                .merge(&part);
        }
    }
    Ok(())
}

fn numbers<T: DataType>(group: &dyn RowGroupReader, column: usize, rows: usize) -> Result<Vec<T::T>> {
    let reader = group.get_column_reader(column)?;
    if group.metadata().column(column).column_type() != T::get_physical_type() {
        return Err(foreign());
    }
    let mut reader = parquet::column::reader::get_typed_column_reader::<T>(reader);
    let mut values = Vec::new();
    while values.len() < rows {
        let (records, _, _) =
            reader.read_records(rows.saturating_sub(values.len()), None, None, &mut values)?;
        if records == 0 {
            return Err(foreign());
        }
    }
    Ok(values)
}

fn foreign() -> Defect {
    Defect::new(Code::Decode, "not a part of gene sums")
}

/// The columns of `genes/genes.parquet` that are computed, over `n` kept cells.
#[must_use]
pub fn gene_statistics(sums: &[GeneSums], n: u64) -> Table {
    let real = |f: &dyn Fn(&GeneSums) -> f64| Column::F64(sums.iter().map(|s| Some(f(s))).collect());
    let cp = |s: &GeneSums| mean_and_variance(s.cp, s.cp_squares, n, CP_SCALE);
    let log = |s: &GeneSums| mean_and_variance(s.log, s.log_squares, n, LOG_SCALE);
    vec![
        ("n_cells_by_counts", Column::U64(sums.iter().map(|s| s.n_cells).collect())),
        ("total_counts", Column::U64(sums.iter().map(|s| s.total_counts).collect())),
        ("mean_counts", real(&|s| s.total_counts as f64 / n as f64)),
        ("pct_dropout_by_counts", real(&|s| 100.0 * (n.saturating_sub(s.n_cells)) as f64 / n as f64)),
        ("mean_cp10k", real(&|s| cp(s).0)),
        ("var_cp10k", real(&|s| cp(s).1)),
        ("mean_log1p_cp10k", real(&|s| log(s).0)),
        ("var_log1p_cp10k", real(&|s| log(s).1)),
    ]
}
