//! `ctr_container_t`: a container that was started or opened.
//!
//! # Safety
//! A handle is an `Arc` as a raw pointer: `ctr_container_ref` adds a
//! reference, `ctr_container_unref` gives one back. The library's own type
//! does its locking, so that all threads may use one handle at a time.

use std::ffi::{CString, c_char, c_int};
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::Buffer;
use crate::error::{CTR_OK, CTR_PENDING, Error};
use crate::exit::Exit;
use crate::input::{self, Out, SizedOut};
use crate::owner::Owner;
use crate::panic::{call, quiet};

/// `ctr_container_delete`: kill it first if it runs.
pub const CTR_DELETE_FORCE: u32 = 1;

/// A container. Reference-counted; all threads may use it at the same time.
#[derive(Debug)]
pub struct Container {
    inner: libctr::Container,
    id: CString,
    owner: Owner,
}

impl Container {
    pub(crate) fn into_raw(inner: libctr::Container) -> *mut Container {
        let id = CString::new(inner.id()).unwrap_or_default();
        Arc::into_raw(Arc::new(Container { inner, id, owner: Owner::this_process() })).cast_mut()
    }

    /// # Safety
    /// `pointer` is NULL or a container of this library.
    pub(crate) unsafe fn read<'a>(
        pointer: *const Container,
    ) -> Result<&'a libctr::Container, Error> {
        // SAFETY: the caller's promise.
        let container = unsafe { input::handle(pointer, "c") }?;
        container.owner.check()?;
        Ok(&container.inner)
    }
}

/// Adds a reference and returns `c`. NULL stays NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_container_ref(c: *mut Container) -> *mut Container {
    if !c.is_null() {
        // SAFETY: a container of this library, so an `Arc`.
        unsafe { Arc::increment_strong_count(c.cast_const()) };
    }
    c
}

/// Gives a reference back; the last one frees the handle. Never ends the
/// container. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_container_unref(c: *mut Container) {
    if !c.is_null() {
        // SAFETY: a container of this library, and this is one of its
        // references.
        let container = unsafe { Arc::from_raw(c.cast_const()) };
        quiet((), || drop(container));
    }
}

/// The id: 32 hexadecimal digits.
///
/// Lives as long as the handle. Empty for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_container_id(c: *const Container) -> *const c_char {
    // SAFETY: NULL or a container of this library.
    unsafe { c.as_ref() }.map_or(c"".as_ptr(), |container| container.id.as_ptr())
}

/// Waits until the container has ended: until no process of it exists and
/// everything that goes with it is removed.
///
/// `timeout_ms`: milliseconds; -1 waits for ever, 0 only looks. Returns
/// `CTR_PENDING` when the time has passed first. Works any number of times,
/// from several threads at once, before and after the end, also on a handle
/// of `ctr_container_open`. `ex` may be NULL; set `ex->size` before.
///
/// Errors: stage `wait` if waiting itself fails.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_wait(
    c: *mut Container,
    timeout_ms: i64,
    ex: *mut Exit,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        // SAFETY: the header's contract.
        let out = unsafe { SizedOut::new(ex, "ex") }?;
        let timeout = match timeout_ms {
            -1 => None,
            other => Some(milliseconds(other, "timeout_ms")?),
        };
        let Some(exit) = container.wait(timeout)? else { return Ok(CTR_PENDING) };
        out.set(&Exit::from(&exit));
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

pub(crate) fn milliseconds(ms: i64, name: &str) -> Result<Duration, Error> {
    u64::try_from(ms)
        .map(Duration::from_millis)
        .map_err(|_| Error::invalid(format!("{name} is {ms}, expected 0 or more")))
}

/// Sends a signal to the program. SIGKILL ends the whole container. `flags`
/// must be 0.
///
/// Errors: `CTR_E_NOT_RUNNING` if the container has ended, `CTR_E_INVALID`
/// for a signal that does not exist.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_kill(
    c: *mut Container,
    sig: c_int,
    flags: u32,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        known(flags, 0)?;
        container.kill(sig).map_err(Error::of_running)?;
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

pub(crate) fn known(flags: u32, all: u32) -> Result<(), Error> {
    match flags & !all {
        0 => Ok(()),
        unknown => Err(Error::unsupported(format!("flags: {unknown:#x} is unknown"))),
    }
}

/// Asks the program to end with its stop signal, kills everything after
/// `grace_ms` milliseconds (0 or more), and waits for the end. A container
/// that has ended gives its record again. `ex` may be NULL; set `ex->size`
/// before.
///
/// Errors: as `ctr_wait`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_stop(
    c: *mut Container,
    grace_ms: i64,
    ex: *mut Exit,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        // SAFETY: the header's contract.
        let out = unsafe { SizedOut::new(ex, "ex") }?;
        let exit = container.stop(milliseconds(grace_ms, "grace_ms")?)?;
        out.set(&Exit::from(&exit));
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// What is known of the container now, as a JSON object: `id`, `name`,
/// `image`, `command`, `status` (`created`, `running`, `paused`, `exited`),
/// `pid`, `exit`, `created_at_ns`, `labels`, `groups`, `spec`, ...
///
/// `*out` is the caller's; free it with `ctr_buf_free`. Errors: stage `state`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_state_json(
    c: *mut Container,
    out: *mut Buffer,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        out.set(Buffer::json(&container.info()?)?);
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// Removes a container that is kept after its end (`"remove": false`, or
/// `"detach": true`). `flags`: 0, or `CTR_DELETE_FORCE` to kill it first.
///
/// The handle stays valid until `ctr_container_unref`. Errors: `CTR_E_BUSY`
/// if it runs and is not forced.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_delete(
    c: *mut Container,
    flags: u32,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        known(flags, CTR_DELETE_FORCE)?;
        container.remove(flags & CTR_DELETE_FORCE != 0)?;
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}
