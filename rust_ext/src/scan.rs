//! One unit of work end to end: a shard in, a part of `cells/` and one of gene sums out.

mod batch;
mod rows;

use std::collections::BTreeMap;

use self::batch::Batch;
use crate::caught::caught;
use crate::cells::Checker;
use crate::chunk::check_foreign;
use crate::columns::CellColumns;
use crate::error::{Code, Defect, Failure, Result};
use crate::footer::{Footer, read_footer};
use crate::genes::GeneMoments;
use crate::layout::{Layout, MOA, find_layout};
use crate::moments::Scaled;
use crate::needs::{asked_rows, excluded};
use crate::partials::gene_table;
use crate::request::{KEYS, MOST_RUNS, Receipt, ScanRequest, Stats, Tables};
use crate::store::{LocalFile, Store};
use crate::table::write_part;
use crate::texts::{Category, pair_values};

/// Rows taken at once.
const BATCH_ROWS: usize = 512;

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
    /// plate, sample, drug, `cell_line_id`, moa-fine.
    categories: [Category; 5],
    columns: CellColumns,
    genes: Option<GeneMoments>,
    scaled: Vec<Scaled>,
    /// Runs of kept rows of one sample, one more than are told.
    runs: Vec<((u32, u32), u64, u64, u64)>,
    nulls: u64,
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
        let [plate, sample, drug, line] = &request.wanted;
        let categories = [
            Category::new(false, plate.clone()),
            Category::new(false, sample.clone()),
            Category::new(true, drug.clone()),
            Category::new(false, line.clone()),
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
            scaled: vec![],
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
        Ok(())
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
        let [plate, sample, drug, line, moa] = self.categories;
        for (key, category) in KEYS.into_iter().zip([&plate, &sample, &drug, &line]) {
            receipt.wanted_rows.extend(category.wanted_rows().map(|rows| (key, rows)));
        }
        let name = |of: &Category, code: u32| of.names.get(code as usize).cloned().unwrap_or_default();
        let told = |((on, of), first, end, n): &((u32, u32), u64, u64, u64)| {
            (name(&plate, *on), name(&sample, *of), *first, *end, *n)
        };
        receipt.sample_runs = (self.runs.len() <= MOST_RUNS).then(|| self.runs.iter().map(told).collect());
        receipt.cell_lines = line.kept_rows();
        if receipt.sample_runs.is_some() {
            receipt.sample_lines = pair_values(&sample, &line, MOST_RUNS);
        }
        let cells = self.columns.into_table(request.shard, [plate, sample, drug, line, moa], request.joins);
        let genes = self.genes.map(|genes| gene_table(&genes.finish(), request.vocabulary));
        Tables { receipt, cells, genes }
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, n: u64) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(n);
}
