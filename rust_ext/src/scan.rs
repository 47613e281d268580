//! One unit of work end to end: a shard in, a part of `cells/` and one of gene sums out.

mod rows;

use std::collections::BTreeMap;

use self::rows::values_of;
use crate::caught::caught;
use crate::cells::Checker;
use crate::chunk::check_foreign;
use crate::columns::CellColumns;
use crate::error::{Code, Defect, Failure, Result};
use crate::footer::{Footer, read_footer};
use crate::genes::GeneMoments;
use crate::layout::{Layout, MOA, find_layout};
use crate::levels::RowShape;
use crate::needs::{asked_rows, excluded};
use crate::pages::ColumnPages;
use crate::partials::gene_table;
use crate::request::{KEYS, Receipt, ScanRequest, Stats, Tables};
use crate::store::{LocalFile, Store};
use crate::table::write_part;
use crate::texts::{Category, TextPages};

/// Category of a row of a column that is not there.
const ABSENT: u32 = u32::MAX;
/// Rows taken at once.
const BATCH_ROWS: usize = 512;
/// Entries after which a batch is full.
const BATCH_ENTRIES: usize = 1 << 16;

/// Scans one shard.
///
/// # Errors
/// `Failure::Shard` where the shard is at fault, `Failure::Output` where a part cannot be written.
pub fn scan_cells(request: &ScanRequest<'_>) -> std::result::Result<Receipt, Failure> {
    scan_store(request, &LocalFile::open(request.path)?)
}

/// Scans a shard whose bytes lie in `store`.
///
/// # Errors
/// As [`scan_cells`].
pub fn scan_store(request: &ScanRequest<'_>, store: &dyn Store) -> std::result::Result<Receipt, Failure> {
    let Tables { mut receipt, cells, genes } = compute(request, store)?;
    receipt.cells = Some(write_part(request.part, &cells)?);
    if let (Some(genes), Some(path)) = (genes, request.genes_part) {
        receipt.genes = Some(write_part(path, &genes)?);
    }
    Ok(receipt)
}

/// Scans a shard that lies anywhere, writing nothing.
///
/// # Errors
/// The first defect that condemns the shard.
pub fn compute(request: &ScanRequest<'_>, store: &dyn Store) -> Result<Tables> {
    caught(Code::Decode, || {
        let (scan, receipt) = Scan::run(request, store)?;
        Ok(scan.finish(receipt))
    })
}

struct Scan<'a> {
    request: &'a ScanRequest<'a>,
    receipt: Receipt,
    checker: Checker,
    /// sample, drug, `cell_line_id`, plate, moa-fine.
    categories: [Category; 5],
    columns: CellColumns,
    genes: Option<GeneMoments>,
    last_sample: Option<u32>,
    runs: Vec<(u32, u64, u64)>,
    nulls: u64,
}

/// The columns of one row group.
struct Group {
    genes: Option<ColumnPages>,
    expressions: ColumnPages,
    ids: TextPages,
    /// sample, drug, `cell_line_id`, plate, and moa-fine where it is there.
    texts: [Option<TextPages>; 5],
}

/// Buffers of a batch, used again.
#[derive(Default)]
struct Batch {
    gene_shapes: Vec<RowShape>,
    shapes: Vec<RowShape>,
    genes: Vec<u32>,
    codes: Vec<u32>,
    categories: [Vec<u32>; 5],
    keep: Vec<bool>,
    id_codes: Vec<u32>,
}

impl<'a> Scan<'a> {
    fn run(request: &'a ScanRequest<'a>, store: &dyn Store) -> Result<(Self, Receipt)> {
        let footer = read_footer(store, &request.limits)?;
        if let Some((size, digest)) = request.identity
            && (size != footer.size || digest != footer.digest)
        {
            return Err(Defect::new(Code::InputChanged, "the file is not the one that was planned"));
        }
        let layout = find_layout(footer.meta.file_metadata().schema_descr())
            .or_else(|foreign| check_foreign(store, &footer, &request.limits).and(Err(foreign)))?;
        let [sample, drug, line, plate] = &request.wanted;
        let categories = [
            Category::new(false, sample.clone()),
            Category::new(true, drug.clone()),
            Category::new(false, line.clone()),
            Category::new(false, plate.clone()),
            Category::new(false, None),
        ];
        let mut scan = Self {
            request,
            receipt: Receipt {
                bytes_read: footer.size.saturating_sub(footer.start),
                extra_columns: layout.extra.clone(),
                absent_columns: if layout.moa.is_none() { vec![MOA] } else { vec![] },
                ..Receipt::default()
            },
            checker: Checker::default(),
            categories,
            columns: CellColumns::new(request.stats),
            genes: (request.stats == Stats::All).then(|| GeneMoments::new(request.vocabulary.len())),
            last_sample: None,
            runs: vec![],
            nulls: 0,
        };
        let mut first = 0_u64;
        let mut batch = Batch::default();
        for (index, group) in footer.meta.row_groups().iter().enumerate() {
            let rows = group.num_rows().cast_unsigned();
            scan.row_group(store, &footer, &layout, index, (first, rows), &mut batch).map_err(
                |mut defect| {
                    // Rows are counted inside the row group until here.
                    defect.row = defect.row.map(|row| row.saturating_add(first));
                    defect.in_row_group(index)
                },
            )?;
            first = first.saturating_add(rows);
        }
        let receipt = std::mem::take(&mut scan.receipt);
        Ok((scan, receipt))
    }

    fn row_group(
        &mut self,
        store: &dyn Store,
        footer: &Footer,
        layout: &Layout,
        index: usize,
        (first, rows): (u64, u64),
        batch: &mut Batch,
    ) -> Result<()> {
        let asked = asked_rows(self.request, first, rows);
        if asked == 0 {
            self.receipt.groups_skipped = self.receipt.groups_skipped.saturating_add(u64::from(rows > 0));
            return Ok(());
        }
        self.receipt.rows_in = self.receipt.rows_in.saturating_add(asked);
        if let Some(key) = excluded(self.request, footer, layout, index) {
            self.receipt.groups_skipped = self.receipt.groups_skipped.saturating_add(1);
            add(&mut self.receipt.filtered, key, asked);
            return Ok(());
        }
        self.receipt.groups_read = self.receipt.groups_read.saturating_add(1);
        let mut group = self.open(store, footer, layout, index)?;
        self.checker.forget();
        let mut done = 0_u64;
        while done < rows {
            let want = usize::try_from(rows.saturating_sub(done)).unwrap_or(usize::MAX).min(BATCH_ROWS);
            let taken = self.batch(&mut group, first, done, want, batch)?;
            done = done.saturating_add(taken as u64);
        }
        for column in group.genes.iter_mut().chain([&mut group.expressions]) {
            batch.shapes.clear();
            column.measure(1, 0, &mut batch.shapes)?;
            if !batch.shapes.is_empty() {
                return Err(Defect::new(Code::Decode, "a column has more rows than its row group"));
            }
        }
        self.nulls = group
            .texts
            .iter()
            .flatten()
            .fold(self.nulls, |sum, t| sum.saturating_add(t.nulls))
            .saturating_add(group.ids.nulls);
        Ok(())
    }

    fn open(&mut self, store: &dyn Store, footer: &Footer, layout: &Layout, index: usize) -> Result<Group> {
        let limits = &self.request.limits;
        let text = |leaf| TextPages::open(store, footer, index, leaf, limits);
        let numbers = |leaf| ColumnPages::open(store, footer, index, leaf, limits);
        let [id, sample, drug, line, plate] = layout.texts;
        let group = Group {
            genes: if self.request.stats == Stats::Summary { None } else { Some(numbers(layout.genes)?) },
            expressions: numbers(layout.expressions)?,
            ids: text(id)?,
            texts: [
                Some(text(sample)?),
                Some(text(drug)?),
                Some(text(line)?),
                Some(text(plate)?),
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
    fn batch(
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
        for ((pages, category), out) in
            group.texts.iter_mut().zip(&mut self.categories).zip(&mut batch.categories)
        {
            if let Some(pages) = pages {
                pages.categories(rows, category, out)?;
            } else {
                out.clear();
                out.resize(rows, ABSENT);
            }
        }
        self.choose(first.saturating_add(done), rows, batch);
        if batch.keep.contains(&true) {
            self.rows(group, first, done, batch)?;
        } else {
            group.expressions.skip(values_of(&batch.shapes))?;
            if let Some(genes) = &mut group.genes {
                genes.skip(values_of(&batch.gene_shapes))?;
            }
        }
        for (category, codes) in self.categories.iter_mut().zip(&batch.categories) {
            category
                .kept
                .extend(codes.iter().zip(&batch.keep).filter(|(_, keep)| **keep).map(|(code, _)| *code));
        }
        let (bytes, ends) = self.columns.ids();
        group.ids.texts(&batch.keep, &mut batch.id_codes, bytes, ends)?;
        Ok(rows)
    }

    /// Marks the rows that the range and the keys keep, and records the runs of `sample`.
    fn choose(&mut self, first: u64, rows: usize, batch: &mut Batch) {
        let (from, to) = self.request.rows;
        batch.keep.clear();
        let [samples, drugs, lines, plates, _] = &batch.categories;
        let keys = samples.iter().zip(drugs).zip(lines).zip(plates);
        for (row, (((sample, drug), line), plate)) in (first..).zip(keys).take(rows) {
            if row < from || row >= to {
                batch.keep.push(false);
                continue;
            }
            if self.last_sample == Some(*sample)
                && let Some((_, _, n)) = self.runs.last_mut()
            {
                *n = n.saturating_add(1);
            } else {
                self.runs.push((*sample, row, 1));
                self.last_sample = Some(*sample);
            }
            let mut reason = None;
            for ((category, code), key) in
                self.categories.iter_mut().zip([sample, drug, line, plate]).zip(KEYS)
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

    fn finish(self, mut receipt: Receipt) -> Tables {
        let request = self.request;
        let duplicates = self.columns.duplicate_ids();
        if duplicates > 0 {
            add(&mut receipt.warnings, Code::DuplicateCell, duplicates);
        }
        if self.nulls > 0 {
            add(&mut receipt.warnings, Code::NullText, self.nulls);
        }
        let [sample, drug, line, plate, moa] = self.categories;
        for (key, category) in KEYS.into_iter().zip([&sample, &drug, &line, &plate]) {
            receipt.wanted_rows.extend(category.wanted_rows().map(|rows| (key, rows)));
        }
        let name = |code: u32| sample.names.get(code as usize).cloned().unwrap_or_default();
        receipt.sample_runs = self.runs.iter().map(|(code, first, n)| (name(*code), *first, *n)).collect();
        let cells = self.columns.into_table(request.shard, [sample, drug, line, plate, moa], request.joins);
        let genes = self.genes.map(|genes| gene_table(&genes.finish(), request.vocabulary));
        Tables { receipt, cells, genes }
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, n: u64) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(n);
}
