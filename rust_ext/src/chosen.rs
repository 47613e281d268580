//! Chosen rows of a shard, from its two list columns alone: for kernels that know from the table of cells
//! which rows they want.

use std::ops::Range;

use crate::cells::{Checker, Row};
use crate::chunk::locate_chunk;
use crate::error::{Code, Defect, Failure, Result};
use crate::footer::{Footer, read_footer};
use crate::layout::{Layout, find_layout};
use crate::levels::RowShape;
use crate::limits::Limits;
use crate::lists::{read_taken, shape_defect, values_of};
use crate::pages::ColumnPages;
use crate::spectrum::Bin;
use crate::store::Store;
use crate::vocabulary::Vocabulary;

/// Rows taken at once.
const BATCH_ROWS: usize = 512;
/// Entries after which a batch is full.
const BATCH_ENTRIES: usize = 1 << 16;

/// Which rows of which file.
pub struct Choice<'a> {
    /// Size and footer digest that were planned.
    pub identity: (u64, &'a str),
    /// Rows of the shard, ascending.
    pub rows: &'a [u64],
    /// Genes.
    pub vocabulary: &'a Vocabulary,
    /// Bounds.
    pub limits: Limits,
}

/// What reading them took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Rows that were handed on.
    pub rows: u64,
    /// Bytes of footer and column chunks.
    pub bytes_read: u64,
    /// Row groups that were opened.
    pub row_groups: u64,
}

/// A chosen row.
#[derive(Clone, Copy)]
pub struct ChosenRow<'a> {
    /// Its place among the chosen.
    pub at: usize,
    /// What is in it.
    pub row: Row<'a>,
    /// The count of each value code of its row group.
    pub counts: &'a [u32],
}

/// Hands each chosen row to `visit`, in order.
///
/// # Errors
/// `E_INPUT_CHANGED` where the file is not the one that was planned or has not these rows; any defect of a
/// chosen row, with its place; what `visit` says.
pub fn read_chosen(
    choice: &Choice<'_>,
    store: &dyn Store,
    mut visit: impl FnMut(ChosenRow<'_>) -> std::result::Result<(), Failure>,
) -> std::result::Result<Taken, Failure> {
    let footer = read_footer(store, &choice.limits)?;
    let (size, digest) = choice.identity;
    if size != footer.size || digest != footer.digest {
        return Err(Defect::new(Code::InputChanged, "the file is not the one that was planned").into());
    }
    let layout = find_layout(footer.meta.file_metadata().schema_descr())?;
    let mut taken = Taken { bytes_read: footer.size.saturating_sub(footer.start), ..Taken::default() };
    let mut reader = Reader::default();
    for span in spans(&footer, choice.rows)? {
        taken.row_groups = taken.row_groups.saturating_add(1);
        let bytes =
            reader.row_group(choice, store, &footer, &layout, &span, &mut visit).map_err(|failure| {
                match failure {
                    Failure::Shard(mut defect) => {
                        // Rows are counted inside the row group until here.
                        defect.row = defect.row.map(|row| row.saturating_add(span.first));
                        Failure::Shard(defect.in_row_group(span.group))
                    }
                    output @ Failure::Output(..) => output,
                }
            })?;
        taken.bytes_read = taken.bytes_read.saturating_add(bytes);
        taken.rows = taken.rows.saturating_add(span.chosen.len() as u64);
    }
    Ok(taken)
}

/// Offset and length of every column chunk that [`read_chosen`] reads, ascending.
///
/// # Errors
/// The defects of ends, footer and schema, and of the choice.
pub fn chosen_ranges(rows: &[u64], limits: &Limits, store: &dyn Store) -> Result<Vec<(u64, u64)>> {
    let footer = read_footer(store, limits)?;
    let layout = find_layout(footer.meta.file_metadata().schema_descr())?;
    let mut ranges = Vec::new();
    for span in spans(&footer, rows)? {
        for leaf in [layout.genes, layout.expressions] {
            let (_, start, length) = locate_chunk(&footer, span.group, leaf.index, limits)?;
            ranges.push((start, length as u64));
        }
    }
    ranges.sort_unstable();
    Ok(ranges)
}

/// A row group that has chosen rows.
struct Span {
    group: usize,
    /// Its first row in the shard.
    first: u64,
    /// Which of the chosen rows are its own.
    chosen: Range<usize>,
}

fn spans(footer: &Footer, rows: &[u64]) -> Result<Vec<Span>> {
    if !rows.is_sorted_by(|a, b| a < b) {
        return Err(Defect::new(Code::InputChanged, "the rows that are asked for do not ascend"));
    }
    let (mut spans, mut first, mut from) = (Vec::new(), 0_u64, 0_usize);
    for (group, meta) in footer.meta.row_groups().iter().enumerate() {
        let end = first.saturating_add(meta.num_rows().cast_unsigned());
        let to = rows.partition_point(|row| *row < end);
        if to > from {
            spans.push(Span { group, first, chosen: from..to });
        }
        (first, from) = (end, to);
    }
    match rows.get(from) {
        Some(row) => {
            let reason = format!("row {row} is asked for, and the shard has {first}");
            Err(Defect::new(Code::InputChanged, reason))
        }
        None => Ok(spans),
    }
}

/// Buffers, used again.
#[derive(Default)]
struct Reader {
    checker: Checker,
    gene_shapes: Vec<RowShape>,
    shapes: Vec<RowShape>,
    takes: Vec<bool>,
    genes: Vec<u32>,
    codes: Vec<u32>,
    spectrum: Vec<Bin>,
}

impl Reader {
    /// Reads the chosen rows of one row group; gives the bytes that were fetched.
    fn row_group(
        &mut self,
        choice: &Choice<'_>,
        store: &dyn Store,
        footer: &Footer,
        layout: &Layout,
        span: &Span,
        visit: &mut impl FnMut(ChosenRow<'_>) -> std::result::Result<(), Failure>,
    ) -> std::result::Result<u64, Failure> {
        let open = |leaf| ColumnPages::open(store, footer, span.group, leaf, &choice.limits);
        let (mut genes, mut expressions) = (open(layout.genes)?, open(layout.expressions)?);
        self.checker.forget();
        let chosen = choice.rows.get(span.chosen.clone()).unwrap_or_default();
        // Nothing is read behind the last chosen row.
        let end = chosen.last().map_or(0, |last| last.saturating_sub(span.first).saturating_add(1));
        let (mut done, mut at) = (0_u64, 0_usize);
        while done < end {
            let want = usize::try_from(end.saturating_sub(done)).unwrap_or(usize::MAX).min(BATCH_ROWS);
            self.gene_shapes.clear();
            self.shapes.clear();
            genes.measure(want, BATCH_ENTRIES, &mut self.gene_shapes)?;
            let rows = self.gene_shapes.len();
            expressions.measure(rows, usize::MAX, &mut self.shapes)?;
            if rows == 0 || self.shapes.len() != rows {
                let reason = "a list column has fewer rows than its row group";
                return Err(Defect::new(Code::Decode, reason).at_row(done).into());
            }
            let start = span.first.saturating_add(done);
            let rest = chosen.get(at..).unwrap_or_default();
            let mine = rest.partition_point(|row| *row < start.saturating_add(rows as u64));
            let here = rest.get(..mine).unwrap_or_default();
            self.mark(here, start, done)?;
            self.genes.clear();
            self.codes.clear();
            if here.is_empty() {
                genes.skip(values_of(&self.gene_shapes))?;
                expressions.skip(values_of(&self.shapes))?;
            } else {
                read_taken(&mut genes, &self.gene_shapes, &self.takes, &mut self.genes)?;
                read_taken(&mut expressions, &self.shapes, &self.takes, &mut self.codes)?;
                self.checker.learn_tokens(genes.dictionary().numbers(), choice.vocabulary);
                self.checker.learn_values(expressions.dictionary().numbers());
                self.checker.to_dense(&mut self.genes);
            }
            self.visit(choice, span.chosen.start.saturating_add(at), done, visit)?;
            at = at.saturating_add(mine);
            done = done.saturating_add(rows as u64);
        }
        Ok(genes.bytes().saturating_add(expressions.bytes()))
    }

    /// Marks the rows `here` of a batch that begins with row `start` of the shard, `done` of the row group.
    fn mark(&mut self, here: &[u64], start: u64, done: u64) -> Result<()> {
        self.takes.clear();
        self.takes.resize(self.shapes.len(), false);
        for row in here {
            let place = usize::try_from(row.saturating_sub(start)).unwrap_or(usize::MAX);
            let shapes = self.gene_shapes.get(place).zip(self.shapes.get(place));
            if let Some((code, reason)) = shapes.and_then(|(genes, values)| shape_defect(*genes, *values)) {
                return Err(Defect::new(code, reason).at_row(done.saturating_add(place as u64)));
            }
            if let Some(take) = self.takes.get_mut(place) {
                *take = true;
            }
        }
        Ok(())
    }

    fn visit(
        &mut self,
        choice: &Choice<'_>,
        mut at: usize,
        done: u64,
        visit: &mut impl FnMut(ChosenRow<'_>) -> std::result::Result<(), Failure>,
    ) -> std::result::Result<(), Failure> {
        let mut start = 0_usize;
        for (row, (take, shape)) in (done..).zip(self.takes.iter().zip(&self.shapes)) {
            if !*take {
                continue;
            }
            let end = start.saturating_add(shape.values as usize);
            let genes = self.genes.get(start..end).unwrap_or_default();
            let codes = self.codes.get(start..end).unwrap_or_default();
            start = end;
            let checked = self
                .checker
                .check_row(genes, codes, choice.vocabulary, &mut self.spectrum)
                .map_err(|(code, reason)| Defect::new(code, reason).at_row(row))?;
            visit(ChosenRow { at, row: checked, counts: self.checker.counts() }).map_err(|failure| {
                match failure {
                    Failure::Shard(defect) => Failure::Shard(defect.at_row(row)),
                    output @ Failure::Output(..) => output,
                }
            })?;
            at = at.saturating_add(1);
        }
        Ok(())
    }
}
