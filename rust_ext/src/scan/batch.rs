//! Some rows of a row group at a time: read, and chosen by their keys.

use super::{Scan, add};
use crate::error::{Code, Defect, Result};
use crate::footer::Footer;
use crate::layout::Layout;
use crate::levels::RowShape;
use crate::lists::values_of;
use crate::pages::ColumnPages;
use crate::request::{KEYS, MOST_RUNS, Stats};
use crate::store::Store;
use crate::texts::{ABSENT, TextPages};

/// Entries after which a batch is full.
const BATCH_ENTRIES: usize = 1 << 16;

/// The columns of one row group.
pub(super) struct Group {
    pub(super) genes: Option<ColumnPages>,
    pub(super) expressions: ColumnPages,
    pub(super) ids: TextPages,
    /// plate, sample, drug, `cell_line_id`, and moa-fine where it is there.
    pub(super) texts: [Option<TextPages>; 5],
}

/// Buffers of a batch, used again.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) gene_shapes: Vec<RowShape>,
    pub(super) shapes: Vec<RowShape>,
    pub(super) genes: Vec<u32>,
    pub(super) codes: Vec<u32>,
    pub(super) categories: [Vec<u32>; 5],
    pub(super) keep: Vec<bool>,
    /// Kept rows whose lists can be read.
    pub(super) takes: Vec<bool>,
    pub(super) id_codes: Vec<u32>,
}

impl Scan<'_> {
    /// Opens the columns of a row group.
    pub(super) fn open(
        &mut self,
        store: &dyn Store,
        footer: &Footer,
        layout: &Layout,
        index: usize,
    ) -> Result<Group> {
        let limits = &self.request.limits;
        let text = |leaf| TextPages::open(store, footer, index, leaf, limits);
        let numbers = |leaf| ColumnPages::open(store, footer, index, leaf, limits);
        let [id, sample, drug, line, plate] = layout.texts;
        let group = Group {
            genes: if self.request.stats == Stats::Summary { None } else { Some(numbers(layout.genes)?) },
            expressions: numbers(layout.expressions)?,
            ids: text(id)?,
            texts: [
                Some(text(plate)?),
                Some(text(sample)?),
                Some(text(drug)?),
                Some(text(line)?),
                layout.moa.map(text).transpose()?,
            ],
        };
        let bytes = group.genes.iter().chain([&group.expressions]).map(ColumnPages::bytes);
        let bytes: u64 =
            bytes.chain(group.texts.iter().flatten().chain([&group.ids]).map(TextPages::bytes)).sum();
        self.receipt.bytes_read = self.receipt.bytes_read.saturating_add(bytes);
        Ok(group)
    }

    /// Takes up to `want` rows of a row group; gives how many.
    pub(super) fn batch(
        &mut self,
        group: &mut Group,
        first: u64,
        done: u64,
        want: usize,
        batch: &mut Batch,
    ) -> Result<usize> {
        batch.shapes.clear();
        batch.gene_shapes.clear();
        let rows = if let Some(genes) = &mut group.genes {
            genes.measure(want, BATCH_ENTRIES, &mut batch.gene_shapes)?;
            group.expressions.measure(batch.gene_shapes.len(), usize::MAX, &mut batch.shapes)?;
            batch.gene_shapes.len()
        } else {
            group.expressions.measure(want, BATCH_ENTRIES, &mut batch.shapes)?;
            batch.shapes.len()
        };
        if rows == 0 || batch.shapes.len() != rows {
            return Err(
                Defect::new(Code::Decode, "a list column has fewer rows than its row group").at_row(done)
            );
        }
        // What is wrong with the text of a row that nobody asked for is no defect of those that were.
        let start = first.saturating_add(done);
        let (from, to) = self.request.rows;
        let within = |row: u64| usize::try_from(row.saturating_sub(start)).map_or(rows, |row| row.min(rows));
        let inside = within(from)..within(to);
        for ((pages, category), out) in
            group.texts.iter_mut().zip(&mut self.categories).zip(&mut batch.categories)
        {
            if let Some(pages) = pages {
                pages.categories(rows, &inside, category, out)?;
            } else {
                out.clear();
                out.resize(rows, ABSENT);
            }
        }
        self.choose(start, rows, batch);
        if batch.keep.contains(&true) {
            self.rows(group, first, done, batch)?;
        } else {
            group.expressions.skip(values_of(&batch.shapes))?;
            if let Some(genes) = &mut group.genes {
                genes.skip(values_of(&batch.gene_shapes))?;
            }
        }
        self.record_runs(start, batch);
        for (category, codes) in self.categories.iter_mut().zip(&batch.categories) {
            category
                .kept
                .extend(codes.iter().zip(&batch.keep).filter(|(_, keep)| **keep).map(|(code, _)| *code));
        }
        let (bytes, ends) = self.columns.ids();
        group.ids.texts(&batch.keep, &mut batch.id_codes, bytes, ends)?;
        for pages in group.texts.iter().flatten().chain([&group.ids]) {
            self.nulls = self.nulls.saturating_add(pages.nulls(&batch.keep));
        }
        Ok(rows)
    }

    /// Marks the rows that the range and the keys keep.
    fn choose(&mut self, first: u64, rows: usize, batch: &mut Batch) {
        let (from, to) = self.request.rows;
        batch.keep.clear();
        let [plates, samples, drugs, lines, _] = &batch.categories;
        let keys = plates.iter().zip(samples).zip(drugs).zip(lines);
        for (row, (((plate, sample), drug), line)) in (first..).zip(keys).take(rows) {
            if row < from || row >= to {
                batch.keep.push(false);
                continue;
            }
            let mut reason = None;
            for ((category, code), key) in
                self.categories.iter_mut().zip([plate, sample, drug, line]).zip(KEYS)
            {
                if !category.count(*code) {
                    reason = reason.or(Some(key));
                }
            }
            if let Some(key) = reason {
                add(&mut self.receipt.filtered, key, 1);
            }
            batch.keep.push(reason.is_none());
        }
    }

    /// Records the runs of `sample` (and its plate) among the kept rows.
    fn record_runs(&mut self, first: u64, batch: &Batch) {
        let [plates, samples, ..] = &batch.categories;
        let wells = plates.iter().zip(samples).map(|(plate, sample)| (*plate, *sample));
        for ((row, well), _) in (first..).zip(wells).zip(&batch.keep).filter(|(_, keep)| **keep) {
            let (end, known) = (row.saturating_add(1), self.runs.len());
            match self.runs.last_mut() {
                Some((last, _, last_end, kept)) if *last == well => {
                    (*last_end, *kept) = (end, kept.saturating_add(1));
                }
                _ if known > MOST_RUNS => return,
                _ => self.runs.push((well, row, end, 1)),
            }
        }
    }
}
