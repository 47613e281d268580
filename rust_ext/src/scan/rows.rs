//! The rows of a batch: measured, checked, computed.

use super::batch::{Batch, Group};
use super::{Scan, add};
use crate::cells::{Checker, Row, RowDefect};
use crate::error::{Code, Defect, Result};
use crate::hybrid::Piece;
use crate::levels::RowShape;
use crate::moments::{judge, summarize};
use crate::pages::ColumnPages;
use crate::request::Stats;
use crate::spectrum::Bin;

/// Beyond so many distinct values a histogram is emptied along the row instead of along its codes.
const FEW: usize = 4_096;

/// Values of rows of these shapes.
pub(super) fn values_of(shapes: &[RowShape]) -> usize {
    shapes.iter().fold(0, |sum, shape| sum.saturating_add(shape.values as usize))
}

impl Scan<'_> {
    /// Reads, checks and computes the kept rows of a batch; rows that fail are unmarked.
    ///
    /// `first` is the first row of the row group, `done` the rows of it that went before.
    pub(super) fn rows(&mut self, group: &mut Group, first: u64, done: u64, batch: &mut Batch) -> Result<()> {
        // Where only values are read and all are indices, runs of equal ones are counted as runs.
        let by_runs = group.genes.is_none()
            && !group.expressions.is_interning()
            && group.expressions.dictionary().len() <= FEW;
        batch.codes.clear();
        batch.genes.clear();
        if let Some(genes) = &mut group.genes {
            genes.codes(values_of(&batch.gene_shapes), &mut batch.genes)?;
            self.checker.learn_tokens(genes.dictionary().numbers(), self.request.vocabulary);
            self.checker.to_dense(&mut batch.genes);
        }
        if !by_runs {
            group.expressions.codes(values_of(&batch.shapes), &mut batch.codes)?;
        }
        self.checker.learn_values(group.expressions.dictionary().numbers());
        let mut spectrum: Vec<Bin> = Vec::new();
        let (mut gene_at, mut value_at) = (0_usize, 0_usize);
        let mut keep = std::mem::take(&mut batch.keep);
        for (at, (keep, shape)) in keep.iter_mut().zip(&batch.shapes).enumerate() {
            let gene_shape = batch.gene_shapes.get(at).unwrap_or(shape);
            let values = shape.values as usize;
            let value_end = value_at.saturating_add(values);
            let gene_end = gene_at.saturating_add(gene_shape.values as usize);
            let codes = batch.codes.get(value_at..value_end).unwrap_or_default();
            let genes = batch.genes.get(gene_at..gene_end).unwrap_or_default();
            (value_at, gene_at) = (value_end, gene_end);
            if !*keep {
                if by_runs {
                    group.expressions.skip(values)?;
                }
                continue;
            }
            let first_code = if by_runs {
                histogram_runs(&mut group.expressions, values, &mut self.checker)?
            } else {
                if group.genes.is_none() {
                    self.checker.histogram().add(Piece::Each(codes));
                }
                codes.first().copied()
            };
            let checked = if let Some(defect) = shape_defect(*gene_shape, *shape) {
                if group.genes.is_none() {
                    // The row was counted already: empty the histogram.
                    let _ = self.checker.check_values(first_code, shape.values, &mut spectrum);
                }
                Err(defect)
            } else if group.genes.is_some() {
                self.checker.check_row(genes, codes, self.request.vocabulary, &mut spectrum)
            } else {
                self.checker.check_values(first_code, shape.values, &mut spectrum)
            };
            let row = done.saturating_add(at as u64);
            match checked {
                Ok(checked) => {
                    *keep = self.keep(first.saturating_add(row), &checked);
                }
                Err((code, _)) if self.request.reject_rows => {
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
        let quality = (self.request.stats != Stats::Summary)
            .then(|| judge(row, total, counts, self.request.vocabulary));
        self.columns.push(index, &summary, quality.as_ref());
        if let Some(moments) = &mut self.genes {
            moments.add(row, total, counts.len());
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

/// What the shapes of the two lists of a row tell.
fn shape_defect(genes: RowShape, values: RowShape) -> Option<RowDefect> {
    if genes.null_list || values.null_list {
        Some((Code::NullList, "a null in place of a list".to_owned()))
    } else if genes.nulls > 0 || values.nulls > 0 {
        Some((Code::NullElement, "a null inside a list".to_owned()))
    } else if genes.values != values.values {
        Some((Code::LengthMismatch, format!("{} genes but {} expressions", genes.values, values.values)))
    } else {
        None
    }
}
