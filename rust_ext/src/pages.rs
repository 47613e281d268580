//! Column chunks → row lengths and dictionary codes, page by page.
//!
//! Values are never decoded one by one where the page is dictionary-encoded: the indices are the
//! codes. Pages of any other encoding are decoded by the `parquet` crate and their values interned,
//! so that everything above sees codes and one small dictionary. A page may end inside a row.

mod values;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::chunk::{Chunk, fetch_chunk};
use crate::dictionary::{Dictionary, decode_dictionary};
use crate::error::{Code, Defect, Result};
use crate::footer::Footer;
use crate::hybrid::Hybrid;
use crate::layout::Leaf;
use crate::levels::{Levels, OpenRow, RowShape, count_level, front_bytes, prefixed};
use crate::limits::Limits;
use crate::plain::PlainValues;
use crate::store::Store;

/// The values of one data page.
enum Values {
    /// Dictionary indices.
    Indices(Hybrid),
    /// Anything else, decoded on demand.
    Plain(PlainValues),
}

/// A data page whose values are not used up.
struct OpenPage {
    values: Values,
    /// Values that belong to rows already measured.
    ready: usize,
}

/// One column of one row group, read forward once.
pub struct ColumnPages {
    reader: SerializedPageReader<Chunk>,
    leaf: Leaf,
    limits: Limits,
    dictionary: Dictionary,
    pages: VecDeque<OpenPage>,
    levels: Option<Levels>,
    row: Option<OpenRow>,
    rows: u64,
    /// Rows of the row group that no page of a flat column has claimed yet.
    unclaimed: u64,
    bytes: u64,
    scratch: Vec<u32>,
}

impl ColumnPages {
    /// Fetches the chunk, checks its page headers, and stands before its first row.
    ///
    /// # Errors
    /// `E_FOOTER` where the chunk cannot lie where the footer says, `E_IO`, `E_DECODE`, `E_LIMIT_MEMORY`.
    pub fn open(
        store: &dyn Store,
        footer: &Footer,
        group: usize,
        leaf: Leaf,
        limits: &Limits,
    ) -> Result<Self> {
        let chunk = fetch_chunk(store, footer, group, leaf.index, limits)?;
        let length = chunk.bytes.len() as u64;
        let misplaced = || Defect::new(Code::Footer, "a row group that cannot be");
        let row_group = footer.meta.row_groups().get(group).ok_or_else(misplaced)?;
        let meta = row_group.columns().get(leaf.index).ok_or_else(misplaced)?;
        let rows = usize::try_from(row_group.num_rows()).map_err(|_| misplaced())?;
        // The reader takes its range from the chunk's own metadata, which was checked above.
        let reader = SerializedPageReader::new(Arc::new(chunk), meta, rows, None)?;
        Ok(Self {
            reader,
            leaf,
            limits: *limits,
            dictionary: Dictionary::new(leaf.physical),
            pages: VecDeque::new(),
            levels: None,
            row: None,
            rows: 0,
            unclaimed: rows as u64,
            bytes: length,
            scratch: Vec::new(),
        })
    }

    /// Bytes fetched.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The distinct values seen so far; codes point into it.
    #[must_use]
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// Whether values come from pages without dictionary indices, so that codes appear as they are read.
    #[must_use]
    pub fn is_interning(&self) -> bool {
        self.dictionary.is_interning()
    }

    /// Measures up to `want` further rows, stopping early once `budget` values are passed.
    ///
    /// # Errors
    /// `E_DECODE`, `E_LIMIT_LIST_LEN` with the row inside this row group.
    pub fn measure(&mut self, want: usize, budget: usize, out: &mut Vec<RowShape>) -> Result<()> {
        let (mut done, mut total) = (0_usize, 0_u64);
        while done < want && total <= budget as u64 {
            // A page may hold no level at all.
            if self.levels.as_ref().is_none_or(|l| l.left == 0) {
                if self.next_page()? {
                    continue;
                }
                if let Some(row) = self.row.take() {
                    out.push(self.shape(row));
                }
                return Ok(());
            }
            let Some(levels) = self.levels.as_mut() else {
                break;
            };
            let (rep, rep_run) = levels.rep.peek()?;
            if rep == 0
                && let Some(row) = self.row.take()
            {
                total = total.saturating_add(row.values);
                let shape = self.shape(row);
                out.push(shape);
                done = done.saturating_add(1);
                continue;
            }
            let (def, def_run) = levels.def.peek()?;
            let run = if rep == 0 { 1 } else { rep_run.min(def_run).min(levels.left) };
            if def > self.leaf.max_def || rep > 1 {
                return Err(Defect::new(Code::Decode, "a level beyond the schema").at_row(self.rows));
            }
            levels.rep.advance(run);
            levels.def.advance(run);
            levels.left = levels.left.saturating_sub(run);
            if rep == 0 {
                self.row = Some(OpenRow::default());
            }
            let Some(row) = self.row.as_mut() else {
                return Err(Defect::new(Code::Decode, "a column chunk begins inside a row"));
            };
            if def == self.leaf.max_def {
                row.values = row.values.saturating_add(run as u64);
                if let Some(page) = self.pages.back_mut() {
                    page.ready = page.ready.saturating_add(run);
                }
            } else if def >= self.leaf.entry_def {
                row.nulls = row.nulls.saturating_add(run as u64);
            } else if def.saturating_add(1) < self.leaf.entry_def {
                row.null_list = true;
            }
            if row.values.saturating_add(row.nulls) > self.limits.list_length {
                return Err(Defect::new(
                    Code::LimitListLength,
                    format!("a cell of more than {} entries", self.limits.list_length),
                )
                .at_row(self.rows));
            }
        }
        Ok(())
    }

    fn shape(&mut self, row: OpenRow) -> RowShape {
        self.rows = self.rows.saturating_add(1);
        // Both are bounded by the list limit.
        RowShape {
            values: u32::try_from(row.values).unwrap_or(u32::MAX),
            nulls: u32::try_from(row.nulls).unwrap_or(u32::MAX),
            null_list: row.null_list,
        }
    }

    /// Opens the next data page; false at the end of the chunk.
    fn next_page(&mut self) -> Result<bool> {
        while let Some(page) = self.reader.get_next_page()? {
            match page {
                Page::DictionaryPage { buf, num_values, encoding, .. } => {
                    if !self.dictionary.is_empty() || !self.pages.is_empty() {
                        return Err(Defect::new(Code::Decode, "a second dictionary page"));
                    }
                    if !matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY) {
                        return Err(Defect::new(Code::Decode, format!("a dictionary page in {encoding}")));
                    }
                    decode_dictionary(&buf, num_values, &mut self.dictionary, &self.limits)?;
                }
                Page::DataPage {
                    buf, num_values, encoding, def_level_encoding, rep_level_encoding, ..
                } => {
                    let levels = [
                        (self.leaf.in_list, rep_level_encoding),
                        (self.leaf.max_def > 0, def_level_encoding),
                    ];
                    if levels.iter().any(|(there, encoding)| *there && *encoding != Encoding::RLE) {
                        return Err(Defect::new(
                            Code::Decode,
                            "levels in the deprecated BIT_PACKED encoding",
                        ));
                    }
                    let mut rest = buf;
                    let rep = if self.leaf.in_list { prefixed(&mut rest, 1)? } else { Hybrid::constant(0) };
                    let def = self.definition(|width| prefixed(&mut rest, width))?;
                    self.push(rep, def, rest, num_values, encoding)?;
                    return Ok(true);
                }
                Page::DataPageV2 {
                    buf,
                    num_values,
                    encoding,
                    def_levels_byte_len,
                    rep_levels_byte_len,
                    ..
                } => {
                    let mut rest = buf;
                    let rep_bytes = front_bytes(&mut rest, rep_levels_byte_len)?;
                    let def_bytes = front_bytes(&mut rest, def_levels_byte_len)?;
                    let rep =
                        if self.leaf.in_list { Hybrid::new(rep_bytes, 1)? } else { Hybrid::constant(0) };
                    let def = self.definition(|width| Hybrid::new(def_bytes, width))?;
                    self.push(rep, def, rest, num_values, encoding)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn definition(&self, read: impl FnOnce(u8) -> Result<Hybrid>) -> Result<Hybrid> {
        match self.leaf.max_def {
            0 => Ok(Hybrid::constant(0)),
            1 => read(1),
            _ => read(2),
        }
    }

    fn push(
        &mut self,
        rep: Hybrid,
        def: Hybrid,
        mut rest: Bytes,
        num_values: u32,
        encoding: Encoding,
    ) -> Result<()> {
        let left = num_values as usize;
        if !self.leaf.in_list {
            let more = || Defect::new(Code::Decode, "a column has more values than its row group has rows");
            self.unclaimed = self.unclaimed.checked_sub(u64::from(num_values)).ok_or_else(more)?;
        }
        let values = if matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY) {
            let width = if rest.is_empty() { 0 } else { rest.get_u8() };
            Values::Indices(Hybrid::new(rest, width)?)
        } else {
            let present = count_level(def.clone(), self.leaf.max_def, left)?;
            self.dictionary.start_interning();
            Values::Plain(PlainValues::new(self.leaf.physical, encoding, rest, present)?)
        };
        if self.pages.front().is_some_and(|page| page.ready == 0) {
            self.pages.pop_front();
        }
        self.pages.push_back(OpenPage { values, ready: 0 });
        self.levels = Some(Levels { rep, def, left });
        Ok(())
    }
}
