//! The columns of `cells/` as they grow, row by row.

use std::collections::HashSet;

use crate::moments::{Quality, Summary};
use crate::request::Stats;
use crate::table::{Column, Table};
use crate::texts::Category;
use crate::vocabulary::Joins;

/// Everything a kept row adds, one vector a column.
pub struct CellColumns {
    quality: bool,
    row: Vec<i64>,
    id_bytes: Vec<u8>,
    id_ends: Vec<usize>,
    summaries: Vec<Summary>,
    qualities: Vec<Quality>,
}

impl CellColumns {
    /// Empty columns.
    #[must_use]
    pub fn new(stats: Stats) -> Self {
        Self {
            quality: stats != Stats::Summary,
            row: vec![],
            id_bytes: vec![],
            id_ends: vec![],
            summaries: vec![],
            qualities: vec![],
        }
    }

    /// Adds the statistics of a row; its texts follow with the rest of the batch.
    pub fn push(&mut self, row: u64, summary: &Summary, quality: Option<&Quality>) {
        self.row.push(row.cast_signed());
        self.summaries.push(*summary);
        self.qualities.extend(quality);
    }

    /// Where cell ids are appended.
    pub fn ids(&mut self) -> (&mut Vec<u8>, &mut Vec<usize>) {
        (&mut self.id_bytes, &mut self.id_ends)
    }

    /// Rows whose cell id an earlier row has.
    #[must_use]
    pub fn duplicate_ids(&self) -> u64 {
        let mut seen = HashSet::with_capacity(self.id_ends.len());
        let (mut start, mut twice) = (0, 0_u64);
        for end in &self.id_ends {
            if !seen.insert(self.id_bytes.get(start..*end)) {
                twice = twice.saturating_add(1);
            }
            start = *end;
        }
        twice
    }

    /// The finished table, columns in the order that users read.
    #[must_use]
    pub fn into_table(self, shard: &str, categories: [Category; 5], joins: &Joins) -> Table {
        let rows = self.row.len();
        let [plate, sample, drug, line, moa] = categories;
        let doses: Vec<Option<f64>> =
            sample.names.iter().map(|name| joins.doses_um.get(name).copied()).collect();
        let dose = sample.kept.iter().map(|code| doses.get(*code as usize).copied().flatten()).collect();
        let names = line.names.iter().map(|id| joins.cell_names.get(id).cloned()).collect();
        let cell_name = Column::Label(line.kept.clone(), names);
        let summary = |f: fn(&Summary) -> Option<f64>| Column::F64(self.summaries.iter().map(f).collect());
        let quality = |f: fn(&Quality) -> Option<f64>| Column::F64(self.qualities.iter().map(f).collect());
        let category = |c: Category| Column::Category(c.kept, c.names);
        let total = Column::U64(self.summaries.iter().map(|s| s.total_counts).collect());
        let mut table: Table = vec![
            ("shard", Column::Category(vec![0; rows], vec![shard.to_owned()])),
            ("row", Column::I64(self.row)),
            ("BARCODE_SUB_LIB_ID", Column::Text(self.id_bytes, self.id_ends)),
            ("sample", category(sample)),
            ("drug", category(drug)),
            ("dose_um", Column::F64(dose)),
            ("cell_line_id", category(line)),
            ("cell_name", cell_name),
            ("plate", category(plate)),
            ("moa-fine", Column::Label(moa.kept, moa.names.into_iter().map(Some).collect())),
        ];
        if self.quality {
            table.push((
                "n_genes_by_counts",
                Column::U32(self.qualities.iter().map(|q| q.n_genes_by_counts).collect()),
            ));
            table.push(("total_counts", total));
            table.push(("log1p_total_counts", quality(|q| Some(q.log1p_total_counts))));
            table.push((
                "total_counts_mt",
                Column::U64(self.qualities.iter().map(|q| q.total_counts_mt).collect()),
            ));
            table.push(("pct_counts_mt", quality(|q| q.pct_counts_mt)));
            table.push(("pct_counts_in_top_50_genes", quality(|q| q.pct_counts_in_top_50_genes)));
        } else {
            table.push(("total_counts", total));
        }
        table.push(("expr_len", Column::U32(self.summaries.iter().map(|s| s.expr_len).collect())));
        table.push(("expr_mean", summary(|s| s.expr_mean)));
        table.push(("expr_std", summary(|s| s.expr_std)));
        table.push(("expr_skew", summary(|s| s.expr_skew)));
        table.push(("expr_max", summary(|s| s.expr_max)));
        if self.quality {
            table.push(("mean_log1p_cp10k", quality(|q| Some(q.mean_log1p_cp10k))));
        }
        table
    }
}
