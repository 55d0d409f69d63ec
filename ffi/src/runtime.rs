//! `ctr_runtime_t`: a state directory and a data directory, and the calls
//! that begin there.
//!
//! # Safety
//! A runtime is a `Box` that belongs to the caller until
//! `ctr_runtime_close`. Containers do not need it any more.

use std::ffi::{c_char, c_int};

use libctr::spec::RunSpec;

use crate::buffer::Buffer;
use crate::container::Container;
use crate::error::{CTR_OK, Error};
use crate::input::{self, Out};
use crate::options::{RunOptions, RuntimeOptions};
use crate::owner::Owner;
use crate::panic::{call, quiet};

/// A state directory and a data directory. Any number may be open, also of
/// the same directories; all threads may use one at the same time.
#[derive(Debug)]
pub struct Runtime {
    inner: libctr::Runtime,
    owner: Owner,
}

impl Runtime {
    /// # Safety
    /// `pointer` is NULL or a runtime of this library.
    unsafe fn read<'a>(pointer: *const Runtime) -> Result<&'a libctr::Runtime, Error> {
        // SAFETY: the caller's promise.
        let runtime = unsafe { input::handle(pointer, "rt") }?;
        runtime.owner.check()?;
        Ok(&runtime.inner)
    }
}

/// Opens the state directory: makes it where it is missing and removes what
/// hosts that were killed have left there.
///
/// `opts` may be NULL: the default directories. `*out` is the caller's; close
/// it with `ctr_runtime_close`. Errors: stage `state`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_runtime_open(
    opts: *const RuntimeOptions,
    out: *mut *mut Runtime,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the header's contract.
        let options = unsafe { RuntimeOptions::read(opts) }?;
        let inner = libctr::Runtime::open(&options)?;
        out.set(Box::into_raw(Box::new(Runtime { inner, owner: Owner::this_process() })));
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// Frees a runtime. Its containers go on, and their handles stay valid. NULL
/// is allowed. No other thread may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_runtime_close(rt: *mut Runtime) {
    if !rt.is_null() {
        // SAFETY: a runtime of this library, which is freed once.
        let runtime = unsafe { Box::from_raw(rt) };
        quiet((), || drop(runtime));
    }
}

/// Runs a container: returns as soon as its program was executed.
///
/// `spec` is a RunSpec document of `len` bytes, JSON in UTF-8, for example
/// `{"args": ["echo", "hello"], "limits": {"memory": "64M"}}`; it needs no
/// NUL. `opts` may be NULL. Everything is copied before the call returns.
///
/// The container ends when this process ends, unless the document says
/// `"detach": true`. `*out` is the caller's; release it with
/// `ctr_container_unref`, which never ends the container.
///
/// Errors: the stage that failed; nothing is left of the container then. Of
/// interest: `CTR_E_INVALID` (the message begins with the path of the wrong
/// value), `CTR_E_PROGRAM_NOT_FOUND`, `CTR_E_PROGRAM_NOT_EXECUTABLE`,
/// `CTR_E_UNSUPPORTED` (a limit cannot be enforced here), `CTR_E_CANCELLED`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_run(
    rt: *mut Runtime,
    spec: *const c_char,
    len: usize,
    opts: *const RunOptions,
    out: *mut *mut Container,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the header's contract.
        let runtime = unsafe { Runtime::read(rt) }?;
        // SAFETY: the header's contract.
        let json = unsafe { input::document(spec, len, "spec") }?;
        let mut spec = RunSpec::from_json(json)?;
        // SAFETY: the header's contract.
        let mut options = unsafe { RunOptions::read(opts, &mut spec) }?;
        let container = runtime.run(&spec, options.as_options())?;
        out.set(Container::into_raw(container));
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// Opens a container that exists: by name, id, or the beginning of its id.
/// Works in any process, also for one that has ended and is kept.
///
/// `*out` is the caller's; release it with `ctr_container_unref`. Errors:
/// `CTR_E_NOT_FOUND`, or `CTR_E_INVALID` if several ids begin so.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_open(
    rt: *mut Runtime,
    id: *const c_char,
    out: *mut *mut Container,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the header's contract.
        let runtime = unsafe { Runtime::read(rt) }?;
        // SAFETY: the header's contract.
        let id = unsafe { input::string(id) }.ok_or_else(|| input::null("id"))?;
        // Names and ids are ASCII: what is not UTF-8 is not found.
        let container = runtime.container(&id.to_string_lossy())?;
        out.set(Container::into_raw(container));
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// All containers of the state directory, the oldest first: a JSON array of
/// what `ctr_container_state_json` says of each.
///
/// `*out` is the caller's; free it with `ctr_buf_free`. Errors: stage
/// `state`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_list_json(
    rt: *mut Runtime,
    out: *mut Buffer,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the header's contract.
        let runtime = unsafe { Runtime::read(rt) }?;
        out.set(Buffer::json(&runtime.list()?)?);
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}
