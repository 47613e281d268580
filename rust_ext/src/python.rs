//! The border to Python: convert, release the GIL, map errors, stop panics. Here and in the files
//! below, and nowhere else, pyo3 is imported.

mod groups;
mod shards;
mod synth;

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::caught::caught;
use crate::error::{Code, Defect, Failure};
use crate::limits::Limits;
use crate::request::KEYS;
use crate::vocabulary::{Joins, Vocabulary};

/// Raises `tahoe_engine.errors.ShardError`.
fn shard_error(py: Python<'_>, shard: &str, defect: &Defect) -> PyErr {
    let raise = || -> PyResult<PyErr> {
        let class = py.import("tahoe_engine.errors")?.getattr("ShardError")?;
        let fields = (shard, defect.row_group, defect.row, defect.code.as_str(), defect.reason.as_str());
        Ok(PyErr::from_value(class.call1(fields)?))
    };
    raise().unwrap_or_else(|error| error)
}

/// Runs `work` without the GIL. A panic becomes an ordinary error: pyo3's own is no `Exception`, and a
/// Dask task that raises it never returns.
fn guarded<T: Send>(
    py: Python<'_>,
    shard: &str,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> PyResult<T> {
    match py.detach(|| caught(Code::Decode, work)) {
        Ok(value) => Ok(value),
        Err(Failure::Shard(defect)) => Err(shard_error(py, shard, &defect)),
        Err(Failure::Output(error, path)) => {
            let text = error.to_string();
            Err(match error.raw_os_error() {
                Some(number) => PyOSError::new_err((number, text, path)),
                None => PyOSError::new_err(format!("{path}: {text}")),
            })
        }
    }
}

fn limits_of(limits: HashMap<String, u64>) -> PyResult<Limits> {
    let mut all = Limits::default();
    for (name, value) in limits {
        if !all.set(&name, value) {
            return Err(PyValueError::new_err(format!("no limit named {name:?}")));
        }
    }
    Ok(all)
}

/// The genes of a data set.
#[pyclass(name = "Vocabulary", frozen, module = "tahoe_engine._rust")]
struct PyVocabulary(Arc<Vocabulary>);

#[pymethods]
impl PyVocabulary {
    #[new]
    fn new(tokens: Vec<i64>, mitochondrial: Vec<bool>) -> PyResult<Self> {
        let made = Vocabulary::new(tokens, mitochondrial).map_err(|d| PyValueError::new_err(d.reason))?;
        Ok(Self(Arc::new(made)))
    }

    #[getter]
    fn n_genes(&self) -> usize {
        self.0.len()
    }
}

/// Names of cell lines and doses of wells.
#[pyclass(name = "Joins", frozen, module = "tahoe_engine._rust")]
struct PyJoins(Arc<Joins>);

#[pymethods]
impl PyJoins {
    #[new]
    fn new(cell_names: HashMap<String, String>, doses_um: HashMap<String, f64>) -> Self {
        Self(Arc::new(Joins { cell_names, doses_um }))
    }
}

/// Changes whenever a number could.
#[pyfunction]
fn core_version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), "+cells1")
}

/// Tells builds of different sources apart, also where no number changed.
#[pyfunction]
fn core_sources() -> &'static str {
    env!("TAHOE_CORE_SOURCES")
}

/// The compiled core of tahoe-engine.
#[pymodule]
fn _rust(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyVocabulary>()?;
    module.add_class::<PyJoins>()?;
    module.add_function(wrap_pyfunction!(shards::py_probe_shard, module)?)?;
    module.add_function(wrap_pyfunction!(shards::py_scan_cells, module)?)?;
    module.add_function(wrap_pyfunction!(shards::py_needed_ranges, module)?)?;
    module.add_function(wrap_pyfunction!(shards::py_merge_genes, module)?)?;
    module.add_function(wrap_pyfunction!(shards::py_digest_table, module)?)?;
    module.add_class::<groups::PyGroupSums>()?;
    module.add_function(wrap_pyfunction!(groups::py_read_counts, module)?)?;
    module.add_function(wrap_pyfunction!(groups::groups_version, module)?)?;
    module.add_function(wrap_pyfunction!(core_version, module)?)?;
    module.add_function(wrap_pyfunction!(core_sources, module)?)?;
    module.add_class::<synth::SynthModel>()?;
    module.add_function(wrap_pyfunction!(synth::synth_cells, module)?)?;
    module.add_function(wrap_pyfunction!(synth::synth_summaries, module)?)?;
    let defaults = PyDict::new(module.py());
    for (name, value) in Limits::default().entries() {
        defaults.set_item(name, value)?;
    }
    module.add("DEFAULT_LIMITS", defaults)?;
    module.add("FILTER_KEYS", KEYS.to_vec())?;
    Ok(())
}
