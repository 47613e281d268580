//! Made-up atlases for Python.

use std::collections::BTreeMap;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use super::guarded;
use crate::synth::{CellKey, Effects, Model, Spec, Well};

fn f64_bytes(py: Python<'_>, values: impl IntoIterator<Item = f64>) -> Bound<'_, PyBytes> {
    let bytes: Vec<u8> = values.into_iter().flat_map(f64::to_le_bytes).collect();
    PyBytes::new(py, &bytes)
}

fn u32_bytes(py: Python<'_>, values: impl IntoIterator<Item = u32>) -> Bound<'_, PyBytes> {
    let bytes: Vec<u8> = values.into_iter().flat_map(u32::to_le_bytes).collect();
    PyBytes::new(py, &bytes)
}

fn u64_bytes<'py>(py: Python<'py>, values: &[u64]) -> Bound<'py, PyBytes> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    PyBytes::new(py, &bytes)
}

/// A made-up atlas: its planted values, and cells drawn from them.
#[pyclass(frozen, module = "tahoe_engine._rust")]
pub(super) struct SynthModel {
    inner: Model,
}

#[pymethods]
impl SynthModel {
    #[new]
    #[pyo3(signature = (*, seed, tokens, kinds, lines, wells, effects, marker))]
    #[expect(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "keyword arguments, converted by pyo3 into owned values"
    )]
    fn new(
        py: Python<'_>,
        seed: u64,
        tokens: Vec<u32>,
        kinds: Vec<u8>,
        lines: Vec<String>,
        wells: Vec<(String, String, f64)>,
        effects: BTreeMap<String, f64>,
        marker: bool,
    ) -> PyResult<Self> {
        let size =
            |name: &str| effects.get(name).copied().ok_or_else(|| PyKeyError::new_err(name.to_owned()));
        let spec = Spec {
            seed,
            tokens,
            kinds,
            lines,
            wells: wells.into_iter().map(|(sample, drug, dose_um)| Well { sample, drug, dose_um }).collect(),
            effects: Effects {
                line: size("line")?,
                drug: size("drug")?,
                well: size("well")?,
                drug_genes: size("drug_genes")?,
                median_counts: size("median_counts")?,
                counts_spread: size("counts_spread")?,
            },
            marker,
        };
        let inner = guarded(py, "synth", || Ok(Model::new(&spec)))?.map_err(PyValueError::new_err)?;
        Ok(Self { inner })
    }

    /// Per line: depth, mt (log shifts), shares (f64 buffer in vocabulary order).
    fn lines<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for line in self.inner.lines() {
            let row = PyDict::new(py);
            row.set_item("depth", line.depth)?;
            row.set_item("mt", line.mt)?;
            row.set_item("shares", f64_bytes(py, self.inner.shares(line)))?;
            rows.append(row)?;
        }
        Ok(rows)
    }

    /// Per drug, in the order of its first well: `ec50_um`, depth, mt, genes (u32 buffer), lfc (f64 buffer).
    fn drugs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for drug in self.inner.drugs() {
            let moved = self.inner.fold_changes(drug);
            let row = PyDict::new(py);
            row.set_item("ec50_um", drug.ec50_um)?;
            row.set_item("depth", drug.depth)?;
            row.set_item("mt", drug.mt)?;
            row.set_item("genes", u32_bytes(py, moved.iter().map(|gene| gene.0)))?;
            row.set_item("lfc", f64_bytes(py, moved.iter().map(|gene| gene.1)))?;
            rows.append(row)?;
        }
        Ok(rows)
    }

    /// Per well: drug (index), response, depth, mt, blocks (f64 buffer).
    fn wells<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for well in self.inner.wells() {
            let row = PyDict::new(py);
            row.set_item("drug", well.drug)?;
            row.set_item("response", well.response)?;
            row.set_item("depth", well.depth)?;
            row.set_item("mt", well.mt)?;
            row.set_item("blocks", f64_bytes(py, well.blocks.iter().copied()))?;
            rows.append(row)?;
        }
        Ok(rows)
    }

    /// The genes that wells move: token ids and their blocks (two u32 buffers).
    fn blocks<'py>(&self, py: Python<'py>) -> (Bound<'py, PyBytes>, Bound<'py, PyBytes>) {
        let blocks = self.inner.blocks();
        let block = |gene: &(u32, usize)| u32::try_from(gene.1).unwrap_or(u32::MAX);
        (u32_bytes(py, blocks.iter().map(|gene| gene.0)), u32_bytes(py, blocks.iter().map(block)))
    }
}

/// Entries of cells as three little-endian buffers: offsets i32, genes i64, expressions f32.
#[pyfunction]
pub(super) fn synth_cells<'py>(
    py: Python<'py>,
    model: &SynthModel,
    wells: &[u8],
    lines: &[u8],
    keys: &[u8],
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let draw = || Ok(CellKey::read(wells, lines, keys).and_then(|keys| model.inner.cells(&keys)));
    let drawn = guarded(py, "synth", draw)?;
    let drawn = drawn.map_err(PyValueError::new_err)?;
    Ok((
        PyBytes::new(py, &drawn.offsets),
        PyBytes::new(py, &drawn.genes),
        PyBytes::new(py, &drawn.expressions),
    ))
}

/// Columns of a cells table for cells without entries, as little-endian buffers.
#[pyfunction]
pub(super) fn synth_summaries<'py>(
    py: Python<'py>,
    model: &SynthModel,
    wells: &[u8],
    lines: &[u8],
    keys: &[u8],
) -> PyResult<Bound<'py, PyDict>> {
    let draw = || Ok(CellKey::read(wells, lines, keys).and_then(|keys| model.inner.summaries(&keys)));
    let rows = guarded(py, "synth", draw)?;
    let rows = rows.map_err(PyValueError::new_err)?;
    let out = PyDict::new(py);
    out.set_item("n_genes_by_counts", u32_bytes(py, rows.n_genes_by_counts))?;
    out.set_item("total_counts", u64_bytes(py, &rows.total_counts))?;
    out.set_item("total_counts_mt", u64_bytes(py, &rows.total_counts_mt))?;
    for (name, values) in [
        ("log1p_total_counts", rows.log1p_total_counts),
        ("pct_counts_mt", rows.pct_counts_mt),
        ("pct_counts_in_top_50_genes", rows.pct_counts_in_top_50_genes),
        ("expr_mean", rows.expr_mean),
        ("expr_std", rows.expr_std),
        ("expr_skew", rows.expr_skew),
        ("expr_max", rows.expr_max),
        ("mean_log1p_cp10k", rows.mean_log1p_cp10k),
    ] {
        out.set_item(name, f64_bytes(py, values))?;
    }
    Ok(out)
}
