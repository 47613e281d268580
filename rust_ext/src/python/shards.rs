//! Shards for Python: probed, scanned, and their gene sums merged.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use super::groups::rows_of;
use super::{PyJoins, PyVocabulary, guarded, limits_of};
use crate::chosen::chosen_ranges;
use crate::digest::digest_table;
use crate::error::{Code, Defect};
use crate::needs::needed_ranges;
use crate::partials::{add_part, gene_statistics};
use crate::probe::{ShardFacts, probe_shard, ranges};
use crate::request::{Receipt, ScanRequest, Stats};
use crate::scan::{scan_cells, scan_store};
use crate::store::{LocalFile, Pieces};
use crate::sums::GeneSums;
use crate::table::{Column, PartFacts};
use crate::vocabulary::{Joins, Vocabulary};

/// What was fetched of a file that lies elsewhere; the bytes stay Python's and are not copied.
pub(super) fn pieces_of(size: Option<u64>, pieces: Option<Vec<(u64, PyBackedBytes)>>) -> Option<Pieces> {
    let pieces = pieces?.into_iter().map(|(offset, bytes)| (offset, Bytes::from_owner(bytes))).collect();
    Some(Pieces::new(size?, pieces))
}

pub(super) fn part_dict<'py>(py: Python<'py>, facts: &PartFacts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("rows", facts.rows)?;
    dict.set_item("size", facts.size)?;
    dict.set_item("sha256", &facts.sha256)?;
    dict.set_item("digest", &facts.digest)?;
    Ok(dict)
}

fn facts_dict<'py>(py: Python<'py>, facts: &ShardFacts) -> PyResult<Bound<'py, PyDict>> {
    let meta = facts.footer.meta.file_metadata();
    let dict = PyDict::new(py);
    dict.set_item("size", facts.footer.size)?;
    dict.set_item("footer_digest", &facts.footer.digest)?;
    dict.set_item("n_rows", meta.num_rows())?;
    let rows: Vec<i64> = facts
        .footer
        .meta
        .row_groups()
        .iter()
        .map(parquet::file::metadata::RowGroupMetaData::num_rows)
        .collect();
    dict.set_item("row_groups", rows)?;
    dict.set_item("created_by", meta.created_by())?;
    let keys = meta.key_value_metadata();
    dict.set_item("huggingface", keys.is_some_and(|keys| keys.iter().any(|k| k.key == "huggingface")))?;
    let mut columns = Vec::new();
    for column in &facts.columns {
        let item = PyDict::new(py);
        item.set_item("name", &column.name)?;
        item.set_item("type", &column.kind)?;
        item.set_item("codecs", column.codecs.iter().collect::<Vec<_>>())?;
        item.set_item("encodings", column.encodings.iter().collect::<Vec<_>>())?;
        item.set_item("compressed_bytes", column.compressed)?;
        item.set_item("uncompressed_bytes", column.uncompressed)?;
        item.set_item("n_values", column.values)?;
        columns.push(item);
    }
    dict.set_item("columns", columns)?;
    dict.set_item("extra_columns", &facts.layout.extra)?;
    let range = PyDict::new(py);
    range.set_item("plate", ranges(facts, "plate"))?;
    range.set_item("sample", ranges(facts, "sample"))?;
    dict.set_item("ranges", range)?;
    let values = PyDict::new(py);
    for (name, distinct) in &facts.values {
        values.set_item(name, distinct.iter().collect::<Vec<_>>())?;
    }
    dict.set_item("values", values)?;
    Ok(dict)
}

fn receipt_dict<'py>(py: Python<'py>, receipt: &Receipt) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let coded = |counts: &std::collections::BTreeMap<Code, u64>| -> Vec<(&'static str, u64)> {
        counts.iter().map(|(code, n)| (code.as_str(), *n)).collect()
    };
    dict.set_item("rows_in", receipt.rows_in)?;
    dict.set_item("kept", receipt.kept)?;
    dict.set_item("filtered", receipt.filtered.clone())?;
    dict.set_item("rejected", coded(&receipt.rejected).into_iter().collect::<HashMap<_, _>>())?;
    dict.set_item("warnings", coded(&receipt.warnings).into_iter().collect::<HashMap<_, _>>())?;
    dict.set_item("bytes_read", receipt.bytes_read)?;
    dict.set_item("row_groups_read", receipt.groups_read)?;
    dict.set_item("row_groups_skipped", receipt.groups_skipped)?;
    dict.set_item("extra_columns", &receipt.extra_columns)?;
    dict.set_item("absent_columns", receipt.absent_columns.clone())?;
    let wanted = PyDict::new(py);
    for (key, rows) in &receipt.wanted_rows {
        wanted.set_item(format!("{key}s"), rows.iter().cloned().collect::<HashMap<_, _>>())?;
    }
    dict.set_item("wanted_rows", wanted)?;
    dict.set_item("sample_runs", receipt.sample_runs.clone())?;
    dict.set_item("cell_lines", receipt.cell_lines.iter().cloned().collect::<HashMap<_, _>>())?;
    let lines = receipt.sample_lines.iter().cloned().collect::<HashMap<_, _>>();
    dict.set_item("sample_lines", lines)?;
    dict.set_item("cells", receipt.cells.as_ref().map(|facts| part_dict(py, facts)).transpose()?)?;
    dict.set_item("genes", receipt.genes.as_ref().map(|facts| part_dict(py, facts)).transpose()?)?;
    Ok(dict)
}

#[pyfunction]
#[pyo3(name = "probe_shard", signature = (path, shard, limits, values=false, size=None, pieces=None))]
pub(super) fn py_probe_shard<'py>(
    py: Python<'py>,
    path: &str,
    shard: &str,
    limits: HashMap<String, u64>,
    values: bool,
    size: Option<u64>,
    pieces: Option<Vec<(u64, PyBackedBytes)>>,
) -> PyResult<Bound<'py, PyDict>> {
    let limits = limits_of(limits)?;
    let pieces = pieces_of(size, pieces);
    let facts = guarded(py, shard, || match &pieces {
        Some(store) => Ok(probe_shard(store, &limits, values)?),
        None => Ok(probe_shard(&LocalFile::open(path)?, &limits, values)?),
    })?;
    facts_dict(py, &facts)
}

fn stats_of(stats: &str) -> PyResult<Stats> {
    match stats {
        "summary" => Ok(Stats::Summary),
        "qc" => Ok(Stats::Qc),
        "all" => Ok(Stats::All),
        other => Err(PyValueError::new_err(format!("stats must be summary, qc or all, not {other:?}"))),
    }
}

#[pyfunction]
#[pyo3(name = "needed_ranges", signature = (shard, *, stats, size, pieces, plates=None, samples=None, first_row=0,
    last_row=None, limits=None, rows=None))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of the Python function")]
pub(super) fn py_needed_ranges(
    py: Python<'_>,
    shard: &str,
    stats: &str,
    size: u64,
    pieces: Vec<(u64, PyBackedBytes)>,
    plates: Option<HashSet<String>>,
    samples: Option<HashSet<String>>,
    first_row: u64,
    last_row: Option<u64>,
    limits: Option<HashMap<String, u64>>,
    rows: Option<&[u8]>,
) -> PyResult<Vec<(u64, u64)>> {
    let limits = limits_of(limits.unwrap_or_default())?;
    let pieces = pieces.into_iter().map(|(offset, bytes)| (offset, Bytes::from_owner(bytes))).collect();
    let store = Pieces::new(size, pieces);
    match (stats, rows) {
        ("counts", Some(rows)) => {
            let rows = rows_of(rows)?;
            return guarded(py, shard, || Ok(chosen_ranges(&rows, &limits, &store)?));
        }
        ("counts", None) | (_, Some(_)) => {
            return Err(PyValueError::new_err("rows belong to stats=\"counts\" and to no other"));
        }
        _ => {}
    }
    let request = ScanRequest {
        path: "",
        shard,
        part: "",
        genes_part: None,
        stats: stats_of(stats)?,
        identity: None,
        vocabulary: &Vocabulary::default(),
        joins: &Joins::default(),
        wanted: [plates, samples, None, None],
        rows: (first_row, last_row.unwrap_or(u64::MAX)),
        min_genes: 0,
        reject_rows: false,
        limits,
    };
    guarded(py, shard, || Ok(needed_ranges(&request, &store)?))
}

#[pyfunction]
#[pyo3(name = "scan_cells", signature = (path, part, *, shard, stats, vocabulary, joins, size, footer_digest, genes_part=None,
    cell_lines=None, drugs=None, plates=None, samples=None, first_row=0, last_row=None, min_genes=0,
    bad_rows="quarantine", limits=None, pieces=None))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of the Python function")]
pub(super) fn py_scan_cells<'py>(
    py: Python<'py>,
    path: &str,
    part: &str,
    shard: &str,
    stats: &str,
    vocabulary: &PyVocabulary,
    joins: &PyJoins,
    size: u64,
    footer_digest: &str,
    genes_part: Option<&str>,
    cell_lines: Option<HashSet<String>>,
    drugs: Option<HashSet<String>>,
    plates: Option<HashSet<String>>,
    samples: Option<HashSet<String>>,
    first_row: u64,
    last_row: Option<u64>,
    min_genes: u32,
    bad_rows: &str,
    limits: Option<HashMap<String, u64>>,
    pieces: Option<Vec<(u64, PyBackedBytes)>>,
) -> PyResult<Bound<'py, PyDict>> {
    let stats = stats_of(stats)?;
    let reject_rows = match bad_rows {
        "quarantine" => false,
        "reject" => true,
        other => {
            return Err(PyValueError::new_err(format!(
                "bad_rows must be quarantine or reject, not {other:?}"
            )));
        }
    };
    if (stats == Stats::All) != genes_part.is_some() {
        return Err(PyValueError::new_err("genes_part belongs to stats=\"all\" and to no other"));
    }
    let request = ScanRequest {
        path,
        shard,
        part,
        genes_part,
        stats,
        identity: Some((size, footer_digest)),
        vocabulary: &vocabulary.0,
        joins: &joins.0,
        wanted: [plates, samples, drugs, cell_lines],
        rows: (first_row, last_row.unwrap_or(u64::MAX)),
        min_genes,
        reject_rows,
        limits: limits_of(limits.unwrap_or_default())?,
    };
    let pieces = pieces_of(Some(size), pieces);
    let receipt = guarded(py, shard, || match &pieces {
        Some(store) => scan_store(&request, store),
        None => scan_cells(&request),
    })?;
    receipt_dict(py, &receipt)
}

#[pyfunction]
#[pyo3(name = "merge_genes")]
#[expect(clippy::needless_pass_by_value, reason = "converted by pyo3 into an owned list")]
pub(super) fn py_merge_genes<'py>(
    py: Python<'py>,
    parts: Vec<(String, String)>,
    vocabulary: &PyVocabulary,
    n_cells: u64,
) -> PyResult<Bound<'py, PyDict>> {
    let vocabulary = &vocabulary.0;
    let table = guarded(py, "genes", || {
        let mut sums = vec![GeneSums::default(); vocabulary.len()];
        for (part, sha256) in &parts {
            add_part(part, sha256, vocabulary, &mut sums)
                .map_err(|d| Defect { reason: format!("{part}: {}", d.reason), ..d })?;
        }
        Ok(gene_statistics(&sums, n_cells))
    })?;
    let dict = PyDict::new(py);
    for (name, column) in &table {
        let bytes: Vec<u8> = match column {
            Column::U64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Column::F64(values) => values.iter().flat_map(|v| v.unwrap_or(f64::NAN).to_le_bytes()).collect(),
            _ => return Err(PyRuntimeError::new_err("a gene column of another type")),
        };
        dict.set_item(name, PyBytes::new(py, &bytes))?;
    }
    Ok(dict)
}

#[pyfunction]
#[pyo3(name = "digest_table")]
pub(super) fn py_digest_table<'py>(py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyDict>> {
    let (rows, digest) = guarded(py, path, || Ok(digest_table(path)?))?;
    let dict = PyDict::new(py);
    dict.set_item("rows", rows)?;
    dict.set_item("digest", digest)?;
    Ok(dict)
}
