//! `ctr_process_t`: another program in a container that runs.
//!
//! # Safety
//! A process is a `Box` that belongs to the caller until `ctr_process_free`.
//! The library's own type does its locking, so that all threads may use one
//! handle at a time. It does not need the container's handle any more.

use std::ffi::{CString, c_char, c_int};
use std::os::fd::IntoRawFd;

use libctr::spec::ExecSpec;
use libctr::{ErrorKind, Stage};

use crate::container::{Container, known, milliseconds};
use crate::descriptor::{
    CTR_SECCOMP_LISTENER, CTR_STDERR, CTR_STDIN, CTR_STDOUT, CTR_TERMINAL, absent, always_readable,
    duplicate,
};
use crate::error::{CTR_E_NOT_FOUND, CTR_E_NOT_RUNNING, CTR_OK, CTR_PENDING, Error};
use crate::exit::Exit;
use crate::input::{self, Out, SizedOut};
use crate::options::RunOptions;
use crate::owner::Owner;
use crate::panic::{call, quiet};

/// A program that was executed in a container that ran. All threads may use
/// it at the same time.
#[derive(Debug)]
pub struct Process {
    inner: libctr::Exec,
    id: CString,
    owner: Owner,
}

impl Process {
    fn into_raw(inner: libctr::Exec) -> *mut Process {
        let id = CString::new(inner.id()).unwrap_or_default();
        Box::into_raw(Box::new(Process { inner, id, owner: Owner::this_process() }))
    }

    /// # Safety
    /// `pointer` is NULL or a process of this library.
    unsafe fn read<'a>(pointer: *const Process) -> Result<&'a libctr::Exec, Error> {
        // SAFETY: the caller's promise.
        let process = unsafe { input::handle(pointer, "p") }?;
        process.owner.check()?;
        Ok(&process.inner)
    }
}

/// Executes another program in a container that runs; returns as soon as it
/// was executed.
///
/// `proc` is an ExecSpec document of `len` bytes, JSON in UTF-8, for example
/// `{"args": ["id"], "user": "nobody"}`; it needs no NUL. What it leaves out is
/// as for the container's own program. `opts` may be NULL; `CTR_STDIO_LOG` is
/// the container's alone. Everything is copied before the call returns.
///
/// The program ends when its container ends, and when this process ends unless
/// the document says `"detach": true`. `*out` is the caller's; free it with
/// `ctr_process_free`, which never ends the program.
///
/// Errors: as `ctr_run`; `CTR_E_NOT_RUNNING`, and `CTR_E_BUSY` if the container
/// is paused.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_exec(
    c: *mut Container,
    proc: *const c_char,
    len: usize,
    opts: *const RunOptions,
    out: *mut *mut Process,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        // SAFETY: the header's contract.
        let json = unsafe { input::document(proc, len, "proc") }?;
        let mut spec = ExecSpec::from_json(json)?;
        // SAFETY: the header's contract.
        let mut options = unsafe { RunOptions::read(opts, &mut spec) }?;
        let exec = container.exec(&spec, options.as_options()).map_err(|error| {
            match (error.kind(), error.stage()) {
                (ErrorKind::NotFound, Stage::State) => Error::of_running(error),
                _ => error.into(),
            }
        })?;
        out.set(Process::into_raw(exec));
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// Opens a program of a container by its id, in any process: one that runs, or
/// a detached one that has ended.
///
/// `*out` is the caller's; free it with `ctr_process_free`. Errors:
/// `CTR_E_NOT_FOUND`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_process_open(
    c: *mut Container,
    id: *const c_char,
    out: *mut *mut Process,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        // SAFETY: the header's contract.
        let id = unsafe { input::string(id) }.ok_or_else(|| input::null("id"))?;
        out.set(Process::into_raw(container.find_exec(&id.to_string_lossy())?));
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// Frees a handle. Never ends the program. NULL is allowed. No other thread may
/// be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_process_free(p: *mut Process) {
    if !p.is_null() {
        // SAFETY: a process of this library, which is freed once.
        let process = unsafe { Box::from_raw(p) };
        quiet((), || drop(process));
    }
}

/// The id: 32 hexadecimal digits.
///
/// Lives as long as the handle. Empty for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_process_id(p: *const Process) -> *const c_char {
    // SAFETY: NULL or a process of this library.
    unsafe { p.as_ref() }.map_or(c"".as_ptr(), |process| process.id.as_ptr())
}

/// Waits until the program has ended, as `ctr_wait` does. Processes that it has
/// left behind go on, unless it was ended. Figures that are only measured for
/// the container as a whole are `CTR_UNKNOWN`. `ex` may be NULL; set `ex->size`
/// before.
///
/// Errors: stage `wait` if waiting itself fails.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_process_wait(
    p: *mut Process,
    timeout_ms: i64,
    ex: *mut Exit,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let process = unsafe { Process::read(p) }?;
        // SAFETY: the header's contract.
        let out = unsafe { SizedOut::new(ex, "ex") }?;
        let timeout = match timeout_ms {
            -1 => None,
            other => Some(milliseconds(other, "timeout_ms")?),
        };
        let Some(exit) = process.wait(timeout)? else { return Ok(CTR_PENDING) };
        out.set(&Exit::from(&exit));
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// Sends a signal to the program. SIGKILL ends it with all that descends from
/// it: its session, and the children of its children. `flags` must be 0.
///
/// Errors: `CTR_E_NOT_RUNNING` if it has ended, `CTR_E_INVALID` for a signal
/// that does not exist.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_process_kill(
    p: *mut Process,
    sig: c_int,
    flags: u32,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let process = unsafe { Process::read(p) }?;
        known(flags, 0)?;
        process.kill(sig).map_err(Error::of_running)?;
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// A descriptor for event loops: readable once the program has ended, and from
/// then on. Only poll it.
///
/// `*fd` is the caller's, close-on-exec; close it with `close`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_process_event_fd(
    p: *mut Process,
    fd: *mut c_int,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(fd, "fd") }?;
        // SAFETY: the header's contract.
        let process = unsafe { Process::read(p) }?;
        out.set(match process.event_fd() {
            Some(fd) => duplicate(fd)?,
            None => always_readable()?,
        });
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// The pidfd of the program.
///
/// `*fd` is the caller's, close-on-exec. Errors: `CTR_E_NOT_RUNNING` if it had
/// ended when it was opened.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_process_pidfd(
    p: *mut Process,
    fd: *mut c_int,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(fd, "fd") }?;
        // SAFETY: the header's contract.
        let process = unsafe { Process::read(p) }?;
        let pidfd = process.pidfd().ok_or_else(|| {
            let message = format!("exec {} is not running", process.id());
            absent(message).with_code(CTR_E_NOT_RUNNING)
        })?;
        out.set(duplicate(pidfd)?);
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// Takes the caller's end of a stream that was made for it, as
/// `ctr_container_take_fd` does; each can be taken once.
///
/// `*fd` is the caller's, close-on-exec, blocking. Errors: `CTR_E_NOT_FOUND` if
/// there is no such stream or it was taken.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_process_take_fd(
    p: *mut Process,
    which: c_int,
    fd: *mut c_int,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(fd, "fd") }?;
        // SAFETY: the header's contract.
        let process = unsafe { Process::read(p) }?;
        let taken = match (which, usize::try_from(which)) {
            (CTR_TERMINAL, _) => process.take_terminal(),
            (CTR_SECCOMP_LISTENER, _) => process.take_seccomp_listener(),
            (CTR_STDIN | CTR_STDOUT | CTR_STDERR, Ok(number)) => process.take_stream(number),
            _ => return Err(Error::invalid(format!("which is {which}, expected 0 to 4"))),
        };
        let taken = taken.ok_or_else(|| {
            let message = format!("stream {which} is no pipe of this handle, or was taken");
            absent(message).with_code(CTR_E_NOT_FOUND)
        })?;
        out.set(taken.into_raw_fd());
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}
