//! The class `Runtime`.
//!
//! Documents come in as JSON, the exit record goes out as JSON: the package
//! has one meaning of both with C and the command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libctr::spec::RunSpec;
use libctr::{Output, RunOptions, RuntimeOptions, Stdio};
use pyo3::prelude::{Bound, PyErr, PyResult, Python, pyclass, pymethods};
use pyo3::types::{PyBytes, PyTuple};

use crate::error::raised;

/// A state directory and a data directory.
#[pyclass(frozen, module = "libctr")]
#[derive(Debug)]
pub(crate) struct Runtime {
    inner: libctr::Runtime,
    owner: u32,
}

/// Standard output, standard error, bytes lost of each, exit record in JSON.
type Ended<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, u64, u64, String);

/// Keyword arguments of the class, for pickle.
type Arguments<'py> = (Bound<'py, PyTuple>, BTreeMap<&'static str, PathBuf>);

#[pymethods]
impl Runtime {
    #[new]
    #[pyo3(signature = (*, run=None, data=None))]
    fn new(py: Python<'_>, run: Option<PathBuf>, data: Option<PathBuf>) -> PyResult<Runtime> {
        let options = RuntimeOptions { run, data, ..RuntimeOptions::default() };
        let inner =
            py.detach(|| libctr::Runtime::open(&options)).map_err(|error| raised(py, &error))?;
        Ok(Runtime { inner, owner: std::process::id() })
    }

    /// Directory of the containers' state.
    #[getter]
    fn run_directory(&self) -> &Path {
        self.inner.run_directory()
    }

    /// Directory of images and upper layers.
    #[getter]
    fn data_directory(&self) -> &Path {
        self.inner.data()
    }

    /// Runs a document to its end. With `signals` the interpreter's signal
    /// handlers run meanwhile; an exception of theirs, such as
    /// KeyboardInterrupt, ends the container and is raised.
    #[pyo3(signature = (spec, *, input, capture, signals))]
    fn run_to_end<'py>(
        &self,
        py: Python<'py>,
        spec: &[u8],
        input: Option<&[u8]>,
        capture: bool,
        signals: bool,
    ) -> PyResult<Ended<'py>> {
        let mut interrupted: Option<PyErr> = None;
        let mut stop = || match Python::attach(|py| py.check_signals()) {
            Ok(()) => false,
            Err(exception) => {
                interrupted = Some(exception);
                true
            }
        };
        let ended = py.detach(|| {
            let spec = RunSpec::from_json(spec)?;
            let stream = || if capture { Stdio::Pipe } else { Stdio::Inherit };
            let options = RunOptions {
                stdin: if input.is_some() { Stdio::Pipe } else { Stdio::Null },
                stdout: stream(),
                stderr: stream(),
                ..RunOptions::default()
            };
            let container = self.here()?.run(&spec, options)?;
            let input = input.unwrap_or_default();
            match signals {
                true => container.output_until(input, &spec.limits, &mut stop),
                false => container.output(input, &spec.limits),
            }
        });
        if let Some(exception) = interrupted {
            return Err(exception);
        }
        let Output { stdout, stderr, stdout_lost, stderr_lost, exit, .. } =
            ended.map_err(|error| raised(py, &error))?;
        let exit = serde_json::to_string(&exit)
            .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
        Ok((PyBytes::new(py, &stdout), PyBytes::new(py, &stderr), stdout_lost, stderr_lost, exit))
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> Arguments<'py> {
        let (run, data) = (self.inner.run_directory(), self.inner.data());
        (PyTuple::empty(py), BTreeMap::from([("run", run.into()), ("data", data.into())]))
    }

    fn __repr__(&self) -> String {
        format!("Runtime(run={:?}, data={:?})", self.inner.run_directory(), self.inner.data())
    }
}

impl Runtime {
    /// This runtime, or in a forked process another one of the same
    /// directories: what the first holds belongs to its own process.
    fn here(&self) -> libctr::Result<libctr::Runtime> {
        if self.owner == std::process::id() {
            return Ok(self.inner.clone());
        }
        libctr::Runtime::open(&RuntimeOptions {
            run: Some(self.inner.run_directory().into()),
            data: Some(self.inner.data().into()),
            ..RuntimeOptions::default()
        })
    }
}
