//! What is asked of a scan, and what it answers.

use std::collections::{BTreeMap, HashSet};

use crate::error::Code;
use crate::limits::Limits;
use crate::table::{PartFacts, Table};
use crate::vocabulary::{Joins, Vocabulary};

/// Which statistics are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stats {
    /// From the values alone.
    Summary,
    /// All columns of `cells/`.
    Qc,
    /// And the sums of the genes.
    All,
}

/// What to do with one shard.
pub struct ScanRequest<'a> {
    /// Where the shard lies.
    pub path: &'a str,
    /// The name it goes by in tables.
    pub shard: &'a str,
    /// Where the part of `cells/` is written; must not exist.
    pub part: &'a str,
    /// Where the gene sums are written, for [`Stats::All`].
    pub genes_part: Option<&'a str>,
    /// Which statistics.
    pub stats: Stats,
    /// Size and footer digest that were planned.
    pub identity: Option<(u64, &'a str)>,
    /// Genes.
    pub vocabulary: &'a Vocabulary,
    /// Names and doses.
    pub joins: &'a Joins,
    /// Wanted values of plate, sample, drug and cell line; none for all.
    pub wanted: [Option<HashSet<String>>; 4],
    /// First row and one past the last.
    pub rows: (u64, u64),
    /// Fewest genes of a kept cell.
    pub min_genes: u32,
    /// A defective row is dropped and counted instead of condemning its shard.
    pub reject_rows: bool,
    /// Bounds.
    pub limits: Limits,
}

/// Names of the key filters, in the order of [`ScanRequest::wanted`]: a row is counted under the first
/// that leaves it out. The keys whose statistics may skip row groups come first.
pub const KEYS: [&str; 4] = ["plate", "sample", "drug", "cell_line"];

/// Runs of `sample` beyond which they are not told: a shard whose wells alternate would have one a row.
pub const MOST_RUNS: usize = 4_096;

/// Plate and sample, the first row, one past the last, and the kept rows among them.
pub type SampleRun = (String, String, u64, u64, u64);

/// What came of a shard.
#[derive(Debug, Default)]
pub struct Receipt {
    /// Rows of the asked range.
    pub rows_in: u64,
    /// Rows in the part.
    pub kept: u64,
    /// Rows left out, by filter.
    pub filtered: BTreeMap<&'static str, u64>,
    /// Rows dropped for a defect, by code.
    pub rejected: BTreeMap<Code, u64>,
    /// Kept rows that were odd, by code.
    pub warnings: BTreeMap<Code, u64>,
    /// Bytes of footer and column chunks.
    pub bytes_read: u64,
    /// Row groups read.
    pub groups_read: u64,
    /// Row groups that statistics or the row range excluded.
    pub groups_skipped: u64,
    /// Columns that nobody asked for.
    pub extra_columns: Vec<String>,
    /// Columns that may be absent and are.
    pub absent_columns: Vec<&'static str>,
    /// Rows read that have each wanted value, by key.
    pub wanted_rows: Vec<(&'static str, Vec<(String, u64)>)>,
    /// Runs of kept rows of one well. A run goes on over rows that were left out. None where there are more than
    /// [`MOST_RUNS`].
    pub sample_runs: Option<Vec<SampleRun>>,
    /// Kept rows by `cell_line_id`.
    pub cell_lines: Vec<(String, u64)>,
    /// Which lines the kept rows of each sample have: hexadecimal, a bit a line in the order of [`Self::cell_lines`].
    /// Empty where runs are not told.
    pub sample_lines: Vec<(String, String)>,
    /// The part of `cells/`.
    pub cells: Option<PartFacts>,
    /// The gene sums.
    pub genes: Option<PartFacts>,
}

/// What a scan computes, before anything is written.
pub struct Tables {
    /// The accounting; its parts are still none.
    pub receipt: Receipt,
    /// Rows of `cells/`.
    pub cells: Table,
    /// The gene sums, for [`Stats::All`].
    pub genes: Option<Table>,
}
