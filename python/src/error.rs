//! Errors of the library as exceptions. Which class an error becomes is a
//! table in `libctr._errors`; this is the only way there.

use libctr::Error;
use pyo3::prelude::{PyAnyMethods, PyErr, PyResult, Python};

/// The exception for an error.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    match make(py, error) {
        Ok(exception) | Err(exception) => exception,
    }
}

fn make(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let make = py.import("libctr._errors")?.getattr("of_native")?;
    let (kind, stage) = (error.kind().as_str(), error.stage().as_str());
    let arguments = (error.to_string(), kind, stage, error.errno(), error.hint());
    Ok(PyErr::from_value(make.call1(arguments)?))
}
