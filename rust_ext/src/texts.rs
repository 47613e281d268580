//! The text columns of a row group: categories as codes, cell ids as bytes.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::error::{Code, Defect, Result};
use crate::footer::Footer;
use crate::layout::Leaf;
use crate::levels::RowShape;
use crate::limits::Limits;
use crate::pages::ColumnPages;
use crate::store::Store;

/// What a category takes beside its text.
const CATEGORY_BYTES: usize = 128;
/// Global category of a local code that no row had yet.
const UNSEEN: u32 = u32::MAX;
/// Category of a row of a column that is not there, and of a row that nobody asked for.
pub const ABSENT: u32 = u32::MAX;
/// The category of a null text, before it is read as ''.
const NULL: u32 = u32::MAX;

/// A text column of few distinct values over a whole shard.
pub struct Category {
    /// The distinct texts in order of their first row.
    pub names: Vec<String>,
    /// Category of each kept row.
    pub kept: Vec<u32>,
    /// Rows read of each category.
    pub rows: Vec<u64>,
    strip: bool,
    index: HashMap<String, u32>,
    bytes: usize,
    wanted: Option<HashSet<String>>,
    passes: Vec<bool>,
}

impl Category {
    /// `strip` takes blanks off both ends; `wanted` are the values to keep, none for all.
    #[must_use]
    pub fn new(strip: bool, wanted: Option<HashSet<String>>) -> Self {
        Self {
            names: vec![],
            kept: vec![],
            rows: vec![],
            strip,
            index: HashMap::new(),
            bytes: 0,
            wanted,
            passes: vec![],
        }
    }

    fn of(&mut self, text: &[u8], limits: &Limits) -> Result<u32> {
        let text = std::str::from_utf8(text).map_err(|_| not_utf8(text))?;
        let text = if self.strip { text.trim() } else { text };
        if let Some(code) = self.index.get(text) {
            return Ok(*code);
        }
        // Names are kept twice, and for the whole shard.
        self.bytes = self.bytes.saturating_add(text.len()).saturating_add(CATEGORY_BYTES);
        if self.bytes as u64 > limits.batch_bytes / 4 {
            return Err(Defect::new(
                Code::LimitMemory,
                "the categories of one column are too many or too long",
            ));
        }
        let code = u32::try_from(self.names.len())
            .map_err(|_| Defect::new(Code::LimitMemory, "too many categories"))?;
        self.passes.push(self.wanted.as_ref().is_none_or(|wanted| wanted.contains(text)));
        self.names.push(text.to_owned());
        self.rows.push(0);
        self.index.insert(text.to_owned(), code);
        Ok(code)
    }

    /// Counts a row that was read, and tells whether its value is wanted.
    pub fn count(&mut self, code: u32) -> bool {
        if let Some(rows) = self.rows.get_mut(code as usize) {
            *rows = rows.saturating_add(1);
        }
        self.passes.get(code as usize).copied().unwrap_or(false)
    }

    /// Values of kept rows with how many have them, ascending.
    #[must_use]
    pub fn kept_rows(&self) -> Vec<(String, u64)> {
        let mut rows: Vec<_> = self.names.iter().map(|name| (name.clone(), 0_u64)).collect();
        for code in &self.kept {
            if let Some((_, n)) = rows.get_mut(*code as usize) {
                *n = n.saturating_add(1);
            }
        }
        rows.retain(|(_, n)| *n > 0);
        rows.sort_unstable();
        rows
    }

    /// Wanted values with the rows that have them.
    #[must_use]
    pub fn wanted_rows(&self) -> Option<Vec<(String, u64)>> {
        let wanted = self.wanted.as_ref()?;
        let rows_of = |name: &String| {
            self.index.get(name).and_then(|c| self.rows.get(*c as usize)).copied().unwrap_or(0)
        };
        let mut rows: Vec<_> = wanted.iter().map(|name| (name.clone(), rows_of(name))).collect();
        rows.sort_unstable();
        Some(rows)
    }
}

/// Which values of `other` the kept rows of each value of `one` have: hexadecimal, a bit a value, the last bit the first
/// of [`Category::kept_rows`]. Nothing where there are more than `most`.
#[must_use]
pub fn pair_values(one: &Category, other: &Category, most: usize) -> Vec<(String, String)> {
    let order = other.kept_rows();
    if order.len() > most {
        return vec![];
    }
    let places: Vec<usize> = other
        .names
        .iter()
        .map(|name| order.binary_search_by(|(known, _)| known.cmp(name)).unwrap_or(usize::MAX))
        .collect();
    let mut masks = vec![Vec::new(); one.names.len()];
    for (row, code) in one.kept.iter().zip(&other.kept) {
        let place = places.get(*code as usize).copied().unwrap_or(usize::MAX);
        if let Some(mask) = masks.get_mut(*row as usize)
            && place < order.len()
        {
            if mask.is_empty() {
                mask.resize(order.len().div_ceil(4), 0_u8);
            }
            if let Some(digit) = mask.get_mut(place / 4) {
                *digit |= 1 << (place % 4);
            }
        }
    }
    let spell = |mask: &Vec<u8>| {
        mask.iter().rev().filter_map(|digit| char::from_digit(u32::from(*digit), 16)).collect::<String>()
    };
    let there = one.names.iter().zip(&masks).filter(|(_, mask)| !mask.is_empty());
    there.map(|(name, mask)| (name.clone(), spell(mask))).collect()
}

fn not_utf8(text: &[u8]) -> Defect {
    let shown = text.get(..32).unwrap_or(text).escape_ascii();
    Defect::new(Code::Utf8, format!("a text that is not UTF-8: \"{shown}\""))
}

/// One text column of one row group.
pub struct TextPages {
    pages: ColumnPages,
    shapes: Vec<RowShape>,
    codes: Vec<u32>,
    /// Category of a local code, for columns that are categories.
    global: Vec<u32>,
    limits: Limits,
}

impl TextPages {
    /// Opens the column.
    ///
    /// # Errors
    /// As [`ColumnPages::open`].
    pub fn open(
        store: &dyn Store,
        footer: &Footer,
        group: usize,
        leaf: Leaf,
        limits: &Limits,
    ) -> Result<Self> {
        let pages = ColumnPages::open(store, footer, group, leaf, limits)?;
        Ok(Self { pages, shapes: vec![], codes: vec![], global: vec![], limits: *limits })
    }

    /// Bytes fetched.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pages.bytes()
    }

    /// The local codes of the next `n` rows, `NULL` for a null.
    fn read(&mut self, n: usize, out: &mut Vec<u32>) -> Result<()> {
        self.shapes.clear();
        self.codes.clear();
        out.clear();
        self.pages.measure(n, usize::MAX, &mut self.shapes)?;
        if self.shapes.len() != n {
            return Err(Defect::new(Code::Decode, "a text column has fewer rows than its row group"));
        }
        let there = self.shapes.iter().filter(|shape| shape.values > 0).count();
        self.pages.codes(there, &mut self.codes)?;
        let mut codes = self.codes.iter();
        for shape in &self.shapes {
            let code = if shape.values > 0 { codes.next().copied().unwrap_or(NULL) } else { NULL };
            out.push(code);
        }
        Ok(())
    }

    /// The categories of the next `n` rows, of which only those `inside` are looked at; the others get none.
    ///
    /// # Errors
    /// `E_UTF8`, `E_DECODE`, `E_LIMIT_STRING`.
    pub fn categories(
        &mut self,
        n: usize,
        inside: &Range<usize>,
        category: &mut Category,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        self.read(n, out)?;
        let texts = self.pages.dictionary().texts();
        self.global.resize(texts.len(), UNSEEN);
        for (row, code) in out.iter_mut().enumerate() {
            if !inside.contains(&row) {
                *code = ABSENT;
                continue;
            }
            if *code == NULL {
                *code = category.of(b"", &self.limits)?;
                continue;
            }
            // A dictionary may hold texts that no row has: they are no categories.
            let global = self.global.get_mut(*code as usize).ok_or_else(beyond)?;
            if *global == UNSEEN {
                *global = category.of(texts.get(*code as usize).ok_or_else(beyond)?, &self.limits)?;
            }
            *code = *global;
        }
        Ok(())
    }

    /// Null texts among those of the rows read last for which `keep` is true.
    #[must_use]
    pub fn nulls(&self, keep: &[bool]) -> u64 {
        self.shapes.iter().zip(keep).fold(0, |sum, (shape, keep)| sum + u64::from(*keep && shape.values == 0))
    }

    /// Appends the texts of those of the next rows for which `keep` is true.
    ///
    /// # Errors
    /// As [`Self::categories`].
    pub fn texts(
        &mut self,
        keep: &[bool],
        codes: &mut Vec<u32>,
        bytes: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<()> {
        self.read(keep.len(), codes)?;
        for (code, _) in codes.iter().zip(keep).filter(|(_, keep)| **keep) {
            if *code != NULL {
                let text = self.pages.dictionary().texts().get(*code as usize).ok_or_else(beyond)?;
                if std::str::from_utf8(text).is_err() {
                    return Err(not_utf8(text));
                }
                bytes.extend_from_slice(text);
            }
            ends.push(bytes.len());
            if bytes.len() as u64 > self.limits.batch_bytes / 4 {
                return Err(Defect::new(
                    Code::LimitMemory,
                    "the cell ids of the shard are too long together",
                ));
            }
        }
        Ok(())
    }
}

fn beyond() -> Defect {
    Defect::new(Code::Decode, "a text index beyond its dictionary")
}
