//! The function `probe`.

use std::path::PathBuf;

use libctr::RuntimeOptions;
use pyo3::prelude::{PyResult, Python, pyfunction};

use crate::error::raised;

/// What containers can do here, as the probe's document in JSON.
#[pyfunction]
#[pyo3(signature = (*, run=None, data=None))]
pub(crate) fn probe(
    py: Python<'_>,
    run: Option<PathBuf>,
    data: Option<PathBuf>,
) -> PyResult<String> {
    let options = RuntimeOptions { run, data, ..RuntimeOptions::default() };
    let probe = py.detach(|| libctr::probe(&options)).map_err(|error| raised(py, &error))?;
    serde_json::to_string(&probe)
        .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))
}
