//! The columns of a part of the moments of groups.

use super::lines::GroupGene;
use crate::error::{Code, Defect, Result};
use crate::moments::{CP_SCALE, LOG_SCALE};
use crate::sums::mean_and_variance;
use crate::table::{Column, Table};

/// The columns as they grow.
pub(super) struct GroupTable {
    group: Vec<i32>,
    gene: Vec<i32>,
    n_cells: Vec<u32>,
    counts: Vec<u64>,
    squares: Vec<u64>,
    mean_cp: Vec<Option<f64>>,
    var_cp: Vec<Option<f64>>,
    mean_log: Vec<Option<f64>>,
    var_log: Vec<Option<f64>>,
}

impl GroupTable {
    /// With room for so many rows: a column that doubles would be held twice.
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self {
            group: Vec::with_capacity(rows),
            gene: Vec::with_capacity(rows),
            n_cells: Vec::with_capacity(rows),
            counts: Vec::with_capacity(rows),
            squares: Vec::with_capacity(rows),
            mean_cp: Vec::with_capacity(rows),
            var_cp: Vec::with_capacity(rows),
            mean_log: Vec::with_capacity(rows),
            var_log: Vec::with_capacity(rows),
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
        self.group.push(group);
        self.gene.push(i32::try_from(token).map_err(|_| too_large("the digits"))?);
        self.n_cells.push(u32::try_from(gene.sums.n_cells).map_err(|_| too_large("the cells"))?);
        // Less than 2^32 cells of less than 2^32 molecules each.
        self.counts.push(gene.sums.total_counts);
        self.squares.push(u64::try_from(gene.squares).map_err(|_| too_large("the squared counts"))?);
        let there = |variance: f64| (cells > 1).then_some(variance);
        let (mean, variance) = mean_and_variance(gene.sums.cp, gene.sums.cp_squares, cells, CP_SCALE);
        self.mean_cp.push(Some(mean));
        self.var_cp.push(there(variance));
        let (mean, variance) = mean_and_variance(gene.sums.log, gene.sums.log_squares, cells, LOG_SCALE);
        self.mean_log.push(Some(mean));
        self.var_log.push(there(variance));
        Ok(())
    }

    pub(super) fn into_table(self) -> Table {
        vec![
            ("group_id", Column::I32(self.group)),
            ("gene", Column::I32(self.gene)),
            ("n_cells_by_counts", Column::U32(self.n_cells)),
            ("sum_counts", Column::U64(self.counts)),
            ("sum_sq_counts", Column::U64(self.squares)),
            ("mean_cp10k", Column::F64(self.mean_cp)),
            ("var_cp10k", Column::F64(self.var_cp)),
            ("mean_log1p_cp10k", Column::F64(self.mean_log)),
            ("var_log1p_cp10k", Column::F64(self.var_log)),
        ]
    }
}
