//! The rows of a batch: measured, checked, computed.

use super::batch::{Batch, Group};
use super::{Scan, add};
use crate::cells::{Checker, Row};
use crate::error::{Code, Defect, Result};
use crate::hybrid::Piece;
use crate::lists::{read_taken, shape_defect};
use crate::moments::{judge, scale, summarize};
use crate::pages::ColumnPages;
use crate::request::Stats;
use crate::spectrum::Bin;

/// Beyond so many distinct values a histogram is emptied along the row instead of along its codes.
const FEW: usize = 4_096;

impl Scan<'_> {
    /// Reads, checks and computes the kept rows of a batch; rows that fail are unmarked.
    ///
    /// `first` is the first row of the row group, `done` the rows of it that went before.
    pub(super) fn rows(&mut self, group: &mut Group, first: u64, done: u64, batch: &mut Batch) -> Result<()> {
        // Where only values are read and all are indices, runs of equal ones are counted as runs.
        let by_runs = group.genes.is_none()
            && !group.expressions.is_interning()
            && group.expressions.dictionary().len() <= FEW;
        let lists = batch.shapes.iter().enumerate().map(|(at, shape)| {
            let genes = batch.gene_shapes.get(at).unwrap_or(shape);
            shape_defect(*genes, *shape).is_none()
        });
        batch.takes.clear();
        batch.takes.extend(batch.keep.iter().zip(lists).map(|(keep, fit)| *keep && fit));
        batch.codes.clear();
        batch.genes.clear();
        if let Some(genes) = &mut group.genes {
            read_taken(genes, &batch.gene_shapes, &batch.takes, &mut batch.genes)?;
            self.checker.learn_tokens(genes.dictionary().numbers(), self.request.vocabulary);
            self.checker.to_dense(&mut batch.genes);
        }
        if !by_runs {
            read_taken(&mut group.expressions, &batch.shapes, &batch.takes, &mut batch.codes)?;
        }
        self.checker.learn_values(group.expressions.dictionary().numbers());
        let mut spectrum: Vec<Bin> = Vec::new();
        // Where tokens were read too, the taken lists of a row are equally long.
        let mut start = 0_usize;
        let mut keep = std::mem::take(&mut batch.keep);
        for (at, (keep, shape)) in keep.iter_mut().zip(&batch.shapes).enumerate() {
            let values = shape.values as usize;
            let taken = batch.takes.get(at).copied().unwrap_or(false);
            if !taken && by_runs {
                group.expressions.skip(values)?;
            }
            if !*keep {
                continue;
            }
            let checked = if taken && by_runs {
                let first = histogram_runs(&mut group.expressions, values, &mut self.checker)?;
                self.checker.check_values(first, None, shape.values, &mut spectrum)
            } else if taken {
                let end = start.saturating_add(values);
                let codes = batch.codes.get(start..end).unwrap_or_default();
                let genes = batch.genes.get(start..end).unwrap_or_default();
                start = end;
                if group.genes.is_some() {
                    self.checker.check_row(genes, codes, self.request.vocabulary, &mut spectrum)
                } else {
                    self.checker.histogram().add(Piece::Each(codes));
                    self.checker.check_values(
                        codes.first().copied(),
                        Some(codes),
                        shape.values,
                        &mut spectrum,
                    )
                }
            } else {
                let genes = batch.gene_shapes.get(at).unwrap_or(shape);
                Err(shape_defect(*genes, *shape).unwrap_or((Code::Decode, "a row was lost".to_owned())))
            };
            let row = done.saturating_add(at as u64);
            match checked {
                Ok(checked) => {
                    *keep = self.keep(first.saturating_add(row), &checked);
                }
                // A row that does not decode is no defect of the row: the bytes are damaged.
                Err((code, _)) if self.request.reject_rows && code != Code::Decode => {
                    add(&mut self.receipt.rejected, code, 1);
                    *keep = false;
                }
                Err((code, reason)) => return Err(Defect::new(code, reason).at_row(row)),
            }
        }
        batch.keep = keep;
        Ok(())
    }

    /// Adds a checked row to the tables unless it has too few genes.
    fn keep(&mut self, index: u64, row: &Row<'_>) -> bool {
        let odd = row.oddities;
        if row.entries.saturating_sub(odd.zeros) < self.request.min_genes {
            add(&mut self.receipt.filtered, "min_genes", 1);
            return false;
        }
        for (code, there) in [
            (Code::NoSentinel, odd.no_marker),
            (Code::EmptyCell, odd.empty),
            (Code::ZeroValue, odd.zeros > 0),
            (Code::CountPrecision, odd.rounded > 0),
        ] {
            if there {
                add(&mut self.receipt.warnings, code, 1);
            }
        }
        let summary = summarize(row);
        let total = summary.total_counts;
        let counts = self.checker.counts();
        let quality = (self.request.stats != Stats::Summary).then(|| {
            scale(row.spectrum, total, &mut self.scaled);
            judge(row, total, &self.scaled, counts, self.request.vocabulary)
        });
        self.columns.push(index, &summary, quality.as_ref());
        if let Some(moments) = &mut self.genes {
            moments.add(row, &self.scaled, counts.len());
        }
        self.receipt.kept = self.receipt.kept.saturating_add(1);
        true
    }
}

/// Fills the histogram with the next row, runs as runs; gives its first code.
fn histogram_runs(pages: &mut ColumnPages, values: usize, checker: &mut Checker) -> Result<Option<u32>> {
    let mut first = None;
    let histogram = checker.histogram();
    pages.visit(values, |piece| {
        first = first.or(match piece {
            Piece::Same(code, _) => Some(code),
            Piece::Each(codes) => codes.first().copied(),
        });
        histogram.add(piece);
    })?;
    Ok(first)
}
