//! The columns of a part of the moments of groups.

use std::ops::Range;

use super::lines::GroupGene;
use crate::error::{Code, Defect, Result};
use crate::moments::{CP_SCALE, LOG_SCALE};
use crate::sums::mean_and_variance;
use crate::table::{Column, Table};

/// The columns as they grow.
#[derive(Default)]
pub(super) struct GroupTable {
    group: Vec<i32>,
    gene: Vec<i32>,
    n_cells: Vec<u32>,
    counts: Vec<u64>,
    squares: Vec<u64>,
    mean_cp: Vec<f64>,
    var_cp: Vec<f64>,
    mean_log: Vec<f64>,
    var_log: Vec<f64>,
    /// Rows of groups of one cell.
    single: Vec<Range<usize>>,
}

impl GroupTable {
    /// Makes room for so many rows: a column that doubles would be held twice.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.group.reserve_exact(rows);
        self.gene.reserve_exact(rows);
        self.n_cells.reserve_exact(rows);
        self.counts.reserve_exact(rows);
        self.squares.reserve_exact(rows);
        for reals in [&mut self.mean_cp, &mut self.var_cp, &mut self.mean_log, &mut self.var_log] {
            reals.reserve_exact(rows);
        }
    }

    /// Adds a gene of a group of `cells` cells.
    pub(super) fn push(&mut self, group: i32, token: i64, cells: u64, gene: &GroupGene) -> Result<()> {
        let too_large = |what: &str| {
            Defect::new(
                Code::ValueRange,
                format!("{what} of gene {token} in group {group} are too many for their column"),
            )
        };
        self.gene.push(i32::try_from(token).map_err(|_| too_large("the digits"))?);
        self.n_cells.push(u32::try_from(gene.sums.n_cells).map_err(|_| too_large("the cells"))?);
        // Less than 2^32 cells of less than 2^32 molecules each.
        self.counts.push(gene.sums.total_counts);
        self.squares.push(u64::try_from(gene.squares).map_err(|_| too_large("the squared counts"))?);
        if cells <= 1 {
            let row = self.group.len();
            match self.single.last_mut().filter(|run| run.end == row) {
                Some(run) => run.end = row.saturating_add(1),
                None => self.single.push(row..row.saturating_add(1)),
            }
        }
        self.group.push(group);
        let (mean, variance) = mean_and_variance(gene.sums.cp, gene.sums.cp_squares, cells, CP_SCALE);
        self.mean_cp.push(mean);
        self.var_cp.push(variance);
        let (mean, variance) = mean_and_variance(gene.sums.log, gene.sums.log_squares, cells, LOG_SCALE);
        self.mean_log.push(mean);
        self.var_log.push(variance);
        Ok(())
    }

    /// The columns; [`Self::recycle`] takes them back.
    pub(super) fn into_table(self) -> Table {
        vec![
            ("group_id", Column::I32(self.group)),
            ("gene", Column::I32(self.gene)),
            ("n_cells_by_counts", Column::U32(self.n_cells)),
            ("sum_counts", Column::U64(self.counts)),
            ("sum_sq_counts", Column::U64(self.squares)),
            ("mean_cp10k", Column::Reals(self.mean_cp, Vec::new())),
            ("var_cp10k", Column::Reals(self.var_cp, self.single.clone())),
            ("mean_log1p_cp10k", Column::Reals(self.mean_log, Vec::new())),
            ("var_log1p_cp10k", Column::Reals(self.var_log, self.single)),
        ]
    }

    /// An empty table in the memory of one that was written: the pages of new memory cost a tenth of writing.
    pub(super) fn recycle(table: Table) -> Self {
        let mut empty = Self::default();
        for (name, column) in table {
            match column {
                Column::I32(values) if name == "group_id" => empty.group = cleared(values),
                Column::I32(values) => empty.gene = cleared(values),
                Column::U32(values) => empty.n_cells = cleared(values),
                Column::U64(values) if name == "sum_counts" => empty.counts = cleared(values),
                Column::U64(values) => empty.squares = cleared(values),
                Column::Reals(values, _) if name == "mean_cp10k" => empty.mean_cp = cleared(values),
                Column::Reals(values, _) if name == "var_cp10k" => empty.var_cp = cleared(values),
                Column::Reals(values, _) if name == "mean_log1p_cp10k" => empty.mean_log = cleared(values),
                Column::Reals(values, _) => empty.var_log = cleared(values),
                _ => {}
            }
        }
        empty
    }
}

fn cleared<T>(mut values: Vec<T>) -> Vec<T> {
    values.clear();
    values
}
