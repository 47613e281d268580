//! One unit of work end to end: a shard in, a part of `cells/` and one of gene sums out.

use std::collections::{BTreeMap, HashSet};

use parquet::file::statistics::Statistics;

use crate::caught::caught;
use crate::cells::{Bin, Checker, Row, RowDefect};
use crate::columns::CellColumns;
use crate::error::{Code, Defect, Failure, Result};
use crate::footer::{Footer, Layout, LocalFile, MOA, Store, find_layout, read_footer};
use crate::genes::GeneMoments;
use crate::hybrid::Piece;
use crate::limits::Limits;
use crate::moments::{judge, summarize};
use crate::pages::{ColumnPages, RowShape};
use crate::partials::gene_table;
use crate::table::{PartFacts, Table, write_part};
use crate::texts::{Category, TextPages};
use crate::vocabulary::{Joins, Vocabulary};

/// Category of a row of a column that is not there.
const ABSENT: u32 = u32::MAX;
/// Rows taken at once.
const BATCH_ROWS: usize = 1_024;
/// Entries after which a batch is full.
const BATCH_ENTRIES: usize = 1 << 19;

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
    /// Wanted values of sample, drug, cell line and plate; none for all.
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

/// Names of the key filters, in the order of [`ScanRequest::wanted`].
pub const KEYS: [&str; 4] = ["sample", "drug", "cell_line", "plate"];

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
    /// Runs of `sample`: value, first row, rows.
    pub sample_runs: Vec<(String, u64, u64)>,
    /// The part of `cells/`.
    pub cells: Option<PartFacts>,
    /// The gene sums.
    pub genes: Option<PartFacts>,
}

/// Scans one shard.
///
/// # Errors
/// `Failure::Shard` where the shard is at fault, `Failure::Output` where a part cannot be written.
pub fn scan_cells(request: &ScanRequest<'_>) -> std::result::Result<Receipt, Failure> {
    let store = LocalFile::open(request.path)?;
    let Tables { mut receipt, cells, genes } = compute(request, &store)?;
    receipt.cells = Some(write_part(request.part, &cells)?);
    if let (Some(genes), Some(path)) = (genes, request.genes_part) {
        receipt.genes = Some(write_part(path, &genes)?);
    }
    Ok(receipt)
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
        let layout = find_layout(footer.meta.file_metadata().schema_descr())?;
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
            scan.row_group(store, &footer, &layout, index, (first, rows), &mut batch).map_err(|mut defect| {
                // Rows are counted inside the row group until here.
                defect.row = defect.row.map(|row| row.saturating_add(first));
                defect.in_row_group(index)
            })?;
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
        let (from, to) = self.request.rows;
        let asked = first.saturating_add(rows).min(to).saturating_sub(first.max(from));
        if asked == 0 {
            self.receipt.groups_skipped = self.receipt.groups_skipped.saturating_add(u64::from(rows > 0));
            return Ok(());
        }
        self.receipt.rows_in = self.receipt.rows_in.saturating_add(asked);
        if let Some(key) = self.excluded(footer, layout, index) {
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
        self.nulls = group.texts.iter().flatten().fold(self.nulls, |sum, t| sum.saturating_add(t.nulls)).saturating_add(group.ids.nulls);
        Ok(())
    }

    /// The filter by which statistics exclude a row group. They may skip, never answer.
    fn excluded(&self, footer: &Footer, layout: &Layout, index: usize) -> Option<&'static str> {
        let [_, sample, _, _, plate] = &layout.texts;
        let [samples, _, _, plates] = &self.request.wanted;
        let group = footer.meta.row_groups().get(index)?;
        [(plate, plates, KEYS[3]), (sample, samples, KEYS[0])].into_iter().find_map(|(leaf, wanted, key)| {
            let wanted = wanted.as_ref()?;
            let range: &Statistics = group.columns().get(leaf.index)?.statistics()?;
            let (low, high) = (range.min_bytes_opt()?, range.max_bytes_opt()?);
            let usable = !range.is_min_max_deprecated() && range.null_count_opt() == Some(0);
            let inside = |name: &String| low <= name.as_bytes() && name.as_bytes() <= high;
            (usable && !wanted.iter().any(inside)).then_some(key)
        })
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
            texts: [Some(text(sample)?), Some(text(drug)?), Some(text(line)?), Some(text(plate)?), layout.moa.map(text).transpose()?],
        };
        let bytes = group.genes.iter().chain([&group.expressions]).map(ColumnPages::bytes);
        let bytes: u64 = bytes.chain(group.texts.iter().flatten().chain([&group.ids]).map(TextPages::bytes)).sum();
        self.receipt.bytes_read = self.receipt.bytes_read.saturating_add(bytes);
        Ok(group)
    }

    /// Takes up to `want` rows of a row group; gives how many.
    fn batch(&mut self, group: &mut Group, first: u64, done: u64, want: usize, batch: &mut Batch) -> Result<usize> {
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
            return Err(Defect::new(Code::Decode, "a list column has fewer rows than its row group").at_row(done));
        }
        for ((pages, category), out) in group.texts.iter_mut().zip(&mut self.categories).zip(&mut batch.categories) {
            match pages {
                Some(pages) => pages.categories(rows, category, out)?,
                None => {
                    out.clear();
                    out.resize(rows, ABSENT);
                }
            }
        }
        self.choose(first.saturating_add(done), rows, batch);
        if batch.keep.contains(&true) {
            self.rows(group, first, done, batch)?;
        } else {
            let sum = |shapes: &[RowShape]| shapes.iter().fold(0_usize, |sum, s| sum.saturating_add(s.values as usize));
            group.expressions.skip(sum(&batch.shapes))?;
            if let Some(genes) = &mut group.genes {
                genes.skip(sum(&batch.gene_shapes))?;
            }
        }
        for (category, codes) in self.categories.iter_mut().zip(&batch.categories) {
            category.kept.extend(codes.iter().zip(&batch.keep).filter(|(_, keep)| **keep).map(|(code, _)| *code));
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
            if self.last_sample == Some(*sample) && let Some((_, _, n)) = self.runs.last_mut() {
                *n = n.saturating_add(1);
            } else {
                self.runs.push((*sample, row, 1));
                self.last_sample = Some(*sample);
            }
            let mut reason = None;
            for ((category, code), key) in self.categories.iter_mut().zip([sample, drug, line, plate]).zip(KEYS) {
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

    /// Reads, checks and computes the kept rows of a batch; rows that fail are unmarked.
    fn rows(&mut self, group: &mut Group, first: u64, done: u64, batch: &mut Batch) -> Result<()> {
        let by_runs = group.genes.is_none() && !group.expressions.is_interning() && group.expressions.dictionary().len() <= 4_096;
        let total = |shapes: &[RowShape]| shapes.iter().fold(0_usize, |sum, s| sum.saturating_add(s.values as usize));
        batch.codes.clear();
        batch.genes.clear();
        if let Some(genes) = &mut group.genes {
            genes.codes(total(&batch.gene_shapes), &mut batch.genes)?;
            self.checker.learn_tokens(genes.dictionary().numbers(), self.request.vocabulary);
            self.checker.to_dense(&mut batch.genes);
        }
        if !by_runs {
            group.expressions.codes(total(&batch.shapes), &mut batch.codes)?;
        }
        self.checker.learn_values(group.expressions.dictionary().numbers());
        let mut spectrum: Vec<Bin> = Vec::new();
        let (mut gene_at, mut value_at) = (0_usize, 0_usize);
        for at in 0..batch.keep.len() {
            let shape = batch.shapes.get(at).copied().ok_or_else(lost)?;
            let gene_shape = batch.gene_shapes.get(at).copied().unwrap_or(shape);
            let values = shape.values as usize;
            let codes = batch.codes.get(value_at..value_at.saturating_add(values)).unwrap_or_default();
            let genes = batch.genes.get(gene_at..gene_at.saturating_add(gene_shape.values as usize)).unwrap_or_default();
            value_at = value_at.saturating_add(values);
            gene_at = gene_at.saturating_add(genes.len());
            let value_end = value_at;
            let Some(keep) = batch.keep.get_mut(at) else { break };
            if !*keep {
                if by_runs {
                    group.expressions.skip(values)?;
                }
                continue;
            }
            let mut first_code = codes.first().copied();
            if by_runs {
                first_code = histogram_runs(&mut group.expressions, values, &mut self.checker)?;
            }
            let checked = match shape_defect(gene_shape, shape) {
                Some(defect) => {
                    if by_runs {
                        // The row was counted already: empty the histogram.
                        let _ = self.checker.check_values(first_code, shape.values, &mut spectrum);
                    }
                    Err(defect)
                }
                None if group.genes.is_some() => self.checker.check_row(genes, codes, self.request.vocabulary, &mut spectrum),
                None => {
                    if !by_runs {
                        self.checker.histogram().add(Piece::Each(codes));
                    }
                    self.checker.check_values(first_code, shape.values, &mut spectrum)
                }
            };
            let row = done.saturating_add(at as u64);
            match checked {
                Ok(checked) => {
                    let total = Self::keep(
                        self.request,
                        &mut self.receipt,
                        &mut self.columns,
                        &self.checker,
                        &checked,
                        first.saturating_add(row),
                    );
                    *keep = total.is_some();
                    if let (Some(total), Some(moments)) = (total, &mut self.genes) {
                        // The entries end where the row does; the marker before them is left out.
                        let start = value_end.saturating_sub(checked.codes.len());
                        let distinct = self.checker.counts().len();
                        moments.stage(&checked, total, start, distinct);
                        if moments.staged() >= GeneMoments::room(distinct) {
                            moments.add_staged(&batch.genes, &batch.codes);
                        }
                    }
                }
                Err((code, _)) if self.request.reject_rows => {
                    add(&mut self.receipt.rejected, code, 1);
                    *keep = false;
                }
                Err((code, reason)) => return Err(Defect::new(code, reason).at_row(row)),
            }
        }
        if let Some(moments) = &mut self.genes {
            moments.add_staged(&batch.genes, &batch.codes);
        }
        Ok(())
    }

    /// Adds a checked row to the table of cells unless it has too few genes; gives its total.
    fn keep(
        request: &ScanRequest<'_>,
        receipt: &mut Receipt,
        columns: &mut CellColumns,
        checker: &Checker,
        row: &Row<'_>,
        index: u64,
    ) -> Option<u64> {
        if row.entries.saturating_sub(row.oddities.zeros) < request.min_genes {
            add(&mut receipt.filtered, "min_genes", 1);
            return None;
        }
        let odd = row.oddities;
        for (code, there) in [
            (Code::NoSentinel, odd.no_marker),
            (Code::EmptyCell, odd.empty),
            (Code::ZeroValue, odd.zeros > 0),
            (Code::CountPrecision, odd.rounded > 0),
        ] {
            if there {
                add(&mut receipt.warnings, code, 1);
            }
        }
        let summary = summarize(row);
        let total = summary.total_counts;
        let quality =
            (request.stats != Stats::Summary).then(|| judge(row, total, checker.counts(), request.vocabulary));
        columns.push(index, &summary, quality.as_ref());
        receipt.kept = receipt.kept.saturating_add(1);
        Some(total)
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

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, n: u64) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(n);
}

fn lost() -> Defect {
    Defect::new(Code::Decode, "a batch lost a row")
}
