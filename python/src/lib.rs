//! `libctr._libctr`: the native part of the Python package.
//!
//! Runs in the interpreter's process. It runs documents and collects what
//! they print; arguments, results and exceptions are made in Python
//! (`python/libctr`). No call holds the interpreter while it waits.

mod error;
mod probe;
mod runtime;

use pyo3::prelude::{Bound, PyModule, PyModuleMethods, PyResult, pymodule};
use pyo3::wrap_pyfunction;

/// The native part of libctr.
// With gil_used the free-threaded interpreter takes its lock back; it cannot
// load this stable-ABI build in the first place.
#[pymodule(gil_used = true)]
fn _libctr(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(probe::probe, module)?)?;
    module.add_class::<runtime::Runtime>()
}
