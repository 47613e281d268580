//! Groups of cells for Python: their sums, and the counts of chosen rows.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use super::shards::{part_dict, pieces_of};
use super::{PyVocabulary, guarded, limits_of};
use crate::chosen::{Choice, Taken};
use crate::counts::{Counts, gather_counts};
use crate::error::Failure;
use crate::groups::{BATCH_ENTRIES, GROUPS_VERSION, GroupSums};
use crate::store::{LocalFile, Pieces, Store};

/// Whole numbers of `N` bytes each.
fn words<const N: usize, T>(bytes: &[u8], name: &str, read: fn([u8; N]) -> T) -> PyResult<Vec<T>> {
    match bytes.as_chunks::<N>() {
        (words, []) => Ok(words.iter().map(|word| read(*word)).collect()),
        _ => Err(PyValueError::new_err(format!("{name} must be little-endian numbers of {N} bytes"))),
    }
}

/// Rows of a shard.
pub(super) fn rows_of(bytes: &[u8]) -> PyResult<Vec<u64>> {
    let rows = words(bytes, "rows", i64::from_le_bytes)?;
    let negative = |_| PyValueError::new_err("rows must not be below zero");
    rows.into_iter().map(|row| u64::try_from(row).map_err(negative)).collect()
}

/// Opens the shard, or takes what was fetched of it.
fn with_store<T>(
    path: &str,
    pieces: Option<&Pieces>,
    work: impl FnOnce(&dyn Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match pieces {
        Some(store) => work(store),
        None => work(&LocalFile::open(path)?),
    }
}

fn taken_dict<'py>(py: Python<'py>, taken: &Taken) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("rows", taken.rows)?;
    dict.set_item("bytes_read", taken.bytes_read)?;
    dict.set_item("row_groups_read", taken.row_groups)?;
    Ok(dict)
}

/// Accumulates groups of cells.
#[pyclass(name = "GroupSums", module = "tahoe_engine._rust")]
pub(super) struct PyGroupSums(GroupSums);

#[pymethods]
impl PyGroupSums {
    #[new]
    #[pyo3(signature = (vocabulary, n_groups, *, memory_bytes, spill, batch_entries=BATCH_ENTRIES))]
    fn new(
        vocabulary: &PyVocabulary,
        n_groups: u32,
        memory_bytes: usize,
        spill: String,
        batch_entries: usize,
    ) -> Self {
        let genes = Arc::clone(&vocabulary.0);
        Self(GroupSums::new(genes, n_groups as usize, memory_bytes, batch_entries, spill))
    }

    #[getter]
    fn n_groups(&self) -> usize {
        self.0.n_groups()
    }

    #[getter]
    fn spilled_bytes(&self) -> u64 {
        self.0.spilled_bytes()
    }

    #[pyo3(signature = (path, *, shard, size, footer_digest, rows, groups, totals, limits=None, pieces=None))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of the Python function")]
    fn add_shard<'py>(
        &mut self,
        py: Python<'py>,
        path: &str,
        shard: &str,
        size: u64,
        footer_digest: &str,
        rows: &[u8],
        groups: &[u8],
        totals: &[u8],
        limits: Option<HashMap<String, u64>>,
        pieces: Option<Vec<(u64, PyBackedBytes)>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let rows = rows_of(rows)?;
        let groups = words(groups, "groups", u32::from_le_bytes)?;
        let totals = words(totals, "totals", u64::from_le_bytes)?;
        if groups.len() != rows.len() || totals.len() != rows.len() {
            return Err(PyValueError::new_err("rows, groups and totals must be equally many"));
        }
        if let Some(group) = groups.iter().find(|group| **group as usize >= self.0.n_groups()) {
            let n = self.0.n_groups();
            return Err(PyValueError::new_err(format!("there is no group {group} of {n}")));
        }
        let limits = limits_of(limits.unwrap_or_default())?;
        let pieces = pieces_of(Some(size), pieces);
        let sums = &mut self.0;
        let vocabulary = sums.vocabulary();
        let choice = Choice { identity: (size, footer_digest), rows: &rows, vocabulary: &vocabulary, limits };
        let taken = guarded(py, shard, || {
            with_store(path, pieces.as_ref(), |store| sums.add_shard(&choice, store, &groups, &totals))
        })?;
        taken_dict(py, &taken)
    }

    #[expect(clippy::needless_pass_by_value, reason = "converted by pyo3 into an owned list")]
    fn write_part<'py>(
        &mut self,
        py: Python<'py>,
        part: &str,
        groups: Vec<(u32, i32)>,
    ) -> PyResult<Bound<'py, PyDict>> {
        if !groups.is_sorted_by(|a, b| a.1 < b.1) {
            return Err(PyValueError::new_err("groups must be in ascending order of their ids"));
        }
        if let Some((group, _)) = groups.iter().find(|(group, _)| *group as usize >= self.0.n_groups()) {
            let n = self.0.n_groups();
            return Err(PyValueError::new_err(format!("there is no group {group} of {n}")));
        }
        let sums = &mut self.0;
        let facts = guarded(py, part, || sums.write_part(part, &groups))?;
        part_dict(py, &facts)
    }
}

#[pyfunction]
#[pyo3(name = "read_counts", signature = (path, *, shard, size, footer_digest, rows, vocabulary, limits=None,
    pieces=None))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of the Python function")]
pub(super) fn py_read_counts<'py>(
    py: Python<'py>,
    path: &str,
    shard: &str,
    size: u64,
    footer_digest: &str,
    rows: &[u8],
    vocabulary: &PyVocabulary,
    limits: Option<HashMap<String, u64>>,
    pieces: Option<Vec<(u64, PyBackedBytes)>>,
) -> PyResult<Bound<'py, PyDict>> {
    let rows = rows_of(rows)?;
    let limits = limits_of(limits.unwrap_or_default())?;
    let pieces = pieces_of(Some(size), pieces);
    let choice = Choice { identity: (size, footer_digest), rows: &rows, vocabulary: &vocabulary.0, limits };
    let (counts, taken) =
        guarded(py, shard, || with_store(path, pieces.as_ref(), |store| gather_counts(&choice, store)))?;
    let Counts { indptr, indices, data } = counts;
    let dict = taken_dict(py, &taken)?;
    dict.set_item("indptr", PyBytes::new(py, &indptr))?;
    dict.set_item("indices", PyBytes::new(py, &indices))?;
    dict.set_item("data", PyBytes::new(py, &data))?;
    Ok(dict)
}

#[pyfunction]
pub(super) fn groups_version() -> &'static str {
    GROUPS_VERSION
}
