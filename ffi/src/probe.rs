//! `ctr_probe_json`: what containers of this caller can do here.
//!
//! # Safety
//! The pointers follow the contract of the header; no handle is involved.

use std::ffi::c_int;

use crate::buffer::Buffer;
use crate::error::{CTR_OK, Error};
use crate::input::Out;
use crate::options::RuntimeOptions;
use crate::panic::call;

/// Tries what containers need here: namespaces, mounts, control groups,
/// filters. Takes at most ten seconds, usually one; nothing of the machine
/// changes and nothing is left.
///
/// `*out` is one JSON object: `level` (`full`, `without_limits`,
/// `degraded_only` or `nothing`), `features` (keys of a RunSpec, each with
/// `works` and what it `needs`), `findings` (each with `ability`, `state` (`ok`,
/// `degraded`, `missing`), `detail`, and where it is not `ok` the `consequence`
/// and the command that would be the `fix`), `kernel` and `uid`.
///
/// `opts` may be NULL: the default directories. No runtime has to be open, so
/// that this works where none can be. `*out` is the caller's; free it with
/// `ctr_buf_free`. What is missing is no error.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_probe_json(
    opts: *const RuntimeOptions,
    out: *mut Buffer,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the header's contract.
        let options = unsafe { RuntimeOptions::read(opts) }?;
        out.set(Buffer::json(&libctr::probe(&options)?)?);
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}
