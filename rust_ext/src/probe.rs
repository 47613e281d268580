//! What a footer tells of a shard, and which values its categories have.

use std::collections::{BTreeMap, BTreeSet};

use crate::caught::caught;
use crate::chunk::check_foreign;
use crate::error::{Code, Defect, Result};
use crate::footer::{Footer, read_footer};
use crate::layout::{Layout, MOA, TEXTS, describe, find_layout};
use crate::limits::Limits;
use crate::store::Store;
use crate::texts::{Category, TextPages};

/// One top-level column.
#[derive(Clone, Debug, Default)]
pub struct ColumnFacts {
    /// Its name.
    pub name: String,
    /// Its type in a few words.
    pub kind: String,
    /// Compression codecs of its chunks.
    pub codecs: BTreeSet<String>,
    /// Encodings of its chunks.
    pub encodings: BTreeSet<String>,
    /// Bytes in the file.
    pub compressed: u64,
    /// Bytes after decompression, as the footer says.
    pub uncompressed: u64,
    /// Values, as the footer says.
    pub values: u64,
}

/// A shard without its data.
pub struct ShardFacts {
    /// Size and digest.
    pub footer: Footer,
    /// Needed columns, and those beyond.
    pub layout: Layout,
    /// All columns, in file order.
    pub columns: Vec<ColumnFacts>,
    /// Distinct values by column name, where they were asked for.
    pub values: BTreeMap<&'static str, BTreeSet<String>>,
}

/// Reads the footer and, with `values`, the distinct values of the category columns.
///
/// # Errors
/// The defects of the file's ends, footer, schema and, with `values`, of its text pages.
pub fn probe_shard(store: &dyn Store, limits: &Limits, values: bool) -> Result<ShardFacts> {
    let footer = read_footer(store, limits)?;
    let schema = footer.meta.file_metadata().schema_descr();
    let layout =
        find_layout(schema).or_else(|foreign| check_foreign(store, &footer, limits).and(Err(foreign)))?;
    let mut columns: Vec<ColumnFacts> = schema
        .root_schema()
        .get_fields()
        .iter()
        .map(|f| ColumnFacts { name: f.name().to_owned(), kind: describe(f), ..ColumnFacts::default() })
        .collect();
    for group in footer.meta.row_groups() {
        for (leaf, chunk) in group.columns().iter().enumerate() {
            let Some(facts) = columns.get_mut(schema.get_column_root_idx(leaf)) else {
                continue;
            };
            facts.codecs.insert(chunk.compression_codec().to_string());
            facts.encodings.extend(chunk.encodings().map(|e| e.to_string()));
            facts.compressed =
                facts.compressed.saturating_add(u64::try_from(chunk.compressed_size()).unwrap_or(0));
            facts.uncompressed =
                facts.uncompressed.saturating_add(u64::try_from(chunk.uncompressed_size()).unwrap_or(0));
            facts.values = facts.values.saturating_add(u64::try_from(chunk.num_values()).unwrap_or(0));
        }
    }
    let values = if values {
        caught(Code::Decode, || distinct(store, &footer, &layout, limits))?
    } else {
        BTreeMap::new()
    };
    Ok(ShardFacts { footer, layout, columns, values })
}

fn distinct(
    store: &dyn Store,
    footer: &Footer,
    layout: &Layout,
    limits: &Limits,
) -> Result<BTreeMap<&'static str, BTreeSet<String>>> {
    let mut found: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    let mut codes = Vec::new();
    // The cell id, the first of the texts, is no category.
    for (name, leaf) in TEXTS.into_iter().zip(layout.texts).skip(1).chain(layout.moa.map(|leaf| (MOA, leaf)))
    {
        let mut category = Category::new(name == "drug", None);
        for (index, group) in footer.meta.row_groups().iter().enumerate() {
            let read = |category: &mut Category, codes: &mut Vec<u32>| -> Result<()> {
                let mut pages = TextPages::open(store, footer, index, leaf, limits)?;
                let rows = usize::try_from(group.num_rows()).unwrap_or(0);
                pages.categories(rows, &(0..rows), category, codes)
            };
            read(&mut category, &mut codes).map_err(|d: Defect| d.in_row_group(index))?;
        }
        found.insert(name, category.names.into_iter().collect());
    }
    Ok(found)
}

/// Smallest and largest value of a text column by row group, where its statistics tell.
#[must_use]
pub fn ranges(facts: &ShardFacts, column: &str) -> Vec<Option<(String, String)>> {
    let leaf = TEXTS.iter().position(|t| *t == column).and_then(|at| facts.layout.texts.get(at));
    let groups = facts.footer.meta.row_groups().iter();
    groups
        .map(|group| {
            let range = group.columns().get(leaf?.index)?.statistics()?;
            let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
            Some((text(range.min_bytes_opt()?)?, text(range.max_bytes_opt()?)?))
        })
        .collect()
}
