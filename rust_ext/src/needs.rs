//! Which bytes of a shard a scan will read: to fetch those and no others.

use std::collections::HashSet;

use parquet::file::statistics::Statistics;

use crate::chunk::locate_chunk;
use crate::error::Result;
use crate::footer::{Footer, read_footer};
use crate::layout::{Layout, Leaf, find_layout};
use crate::request::{KEYS, ScanRequest, Stats};
use crate::store::Store;

/// Offset and length of every column chunk that a scan of this request reads, ascending.
///
/// `store` needs to hold the first and the last bytes of the file only.
///
/// # Errors
/// The defects of ends, footer and schema.
pub fn needed_ranges(request: &ScanRequest<'_>, store: &dyn Store) -> Result<Vec<(u64, u64)>> {
    let footer = read_footer(store, &request.limits)?;
    let layout = find_layout(footer.meta.file_metadata().schema_descr())?;
    let mut ranges = Vec::new();
    let mut first = 0_u64;
    for (index, group) in footer.meta.row_groups().iter().enumerate() {
        let rows = group.num_rows().cast_unsigned();
        let asked = asked_rows(request, first, rows);
        first = first.saturating_add(rows);
        if asked == 0 || excluded(request, &footer, &layout, index).is_some() {
            continue;
        }
        let genes = (request.stats != Stats::Summary).then_some(layout.genes);
        let leaves = genes.iter().chain([&layout.expressions]).chain(&layout.texts).chain(&layout.moa);
        for leaf in leaves {
            let (_, start, length) = locate_chunk(&footer, index, leaf.index, &request.limits)?;
            ranges.push((start, length as u64));
        }
    }
    ranges.sort_unstable();
    Ok(ranges)
}

/// Rows of a row group that the request asks for.
#[must_use]
pub fn asked_rows(request: &ScanRequest<'_>, first: u64, rows: u64) -> u64 {
    let (from, to) = request.rows;
    first.saturating_add(rows).min(to).saturating_sub(first.max(from))
}

/// The filter by which statistics exclude a row group. They may skip, never answer.
#[must_use]
pub fn excluded(
    request: &ScanRequest<'_>,
    footer: &Footer,
    layout: &Layout,
    index: usize,
) -> Option<&'static str> {
    let [_, sample, _, _, plate] = &layout.texts;
    let [plates, samples, _, _] = &request.wanted;
    let [plate_key, sample_key, _, _] = KEYS;
    let group = footer.meta.row_groups().get(index)?;
    let range = |leaf: &Leaf| -> Option<(&[u8], &[u8])> {
        let range: &Statistics = group.columns().get(leaf.index)?.statistics()?;
        let usable = !range.is_min_max_deprecated() && range.null_count_opt() == Some(0);
        usable.then_some((range.min_bytes_opt()?, range.max_bytes_opt()?))
    };
    let reaches = |wanted: &HashSet<String>, (low, high): (&[u8], &[u8])| {
        wanted.iter().any(|name| low <= name.as_bytes() && name.as_bytes() <= high)
    };
    if let (Some(wanted), Some(range)) = (plates, range(plate))
        && !reaches(wanted, range)
    {
        return Some(plate_key);
    }
    // A row counts under its plate before its sample: only where all rows are of one wanted plate can
    // the sample be what leaves them out.
    let plate_passes = plates.as_ref().is_none_or(|wanted| {
        range(plate)
            .is_some_and(|(low, high)| low == high && wanted.iter().any(|name| name.as_bytes() == low))
    });
    match (samples, range(sample)) {
        (Some(wanted), Some(range)) if plate_passes && !reaches(wanted, range) => Some(sample_key),
        _ => None,
    }
}
