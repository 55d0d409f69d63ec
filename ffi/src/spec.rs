//! Checking a RunSpec document without running it.

use std::ffi::{c_char, c_int};

use libctr::spec::RunSpec;

use crate::buffer::Buffer;
use crate::error::{CTR_OK, Error};
use crate::input::{self, Out};
use crate::panic::call;
use crate::runtime::Runtime;

/// Checks a document and starts nothing.
///
/// `rt` may be NULL; it is there for checks against a machine's images in
/// later versions. `spec` is a document of `len` bytes as in `ctr_run`.
/// `normal` may be NULL; otherwise it receives the document with every key
/// and every default, the caller's, to be freed with `ctr_buf_free`.
///
/// Errors: `CTR_E_INVALID` at stage `spec`; the message begins with the path
/// of the wrong value.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_spec_validate(
    rt: *mut Runtime,
    spec: *const c_char,
    len: usize,
    normal: *mut Buffer,
    err: *mut *mut Error,
) -> c_int {
    let _ = rt;
    let body = || {
        // SAFETY: the header's contract.
        let json = unsafe { input::document(spec, len, "spec") }?;
        let spec = RunSpec::from_json(json)?;
        if !normal.is_null() {
            // SAFETY: the header's contract.
            unsafe { Out::new(normal, "normal") }?.set(Buffer::json(&spec)?);
        }
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}
