//! `ctr_error_t`: why a call failed. The only place that maps errors of the
//! library to the codes of C.
//!
//! # Safety
//! An error is a `Box` that belongs to the caller until `ctr_error_free`;
//! the strings it lends live as long.

use std::ffi::{CString, c_char, c_int};

use libctr::{ErrorKind, Stage};

use crate::panic::quiet;

/// The call has done what it says.
pub const CTR_OK: c_int = 0;
/// Not an error: the time has passed before the event.
pub const CTR_PENDING: c_int = 1;
/// The caller's input is wrong: NULL, a number out of range, an unknown key.
pub const CTR_E_INVALID: c_int = -1;
/// The image, container, user, directory or stream does not exist.
pub const CTR_E_NOT_FOUND: c_int = -2;
/// The name is taken.
pub const CTR_E_EXISTS: c_int = -3;
/// The object is in use, for example a container that still runs.
pub const CTR_E_BUSY: c_int = -4;
/// The kernel or the file system refuses permission.
pub const CTR_E_DENIED: c_int = -5;
/// This kernel, machine or version of the library cannot do it.
pub const CTR_E_UNSUPPORTED: c_int = -6;
/// The program does not exist in the container (shells say 127).
pub const CTR_E_PROGRAM_NOT_FOUND: c_int = -7;
/// The program exists but cannot be executed (shells say 126).
pub const CTR_E_PROGRAM_NOT_EXECUTABLE: c_int = -8;
/// Setting the container up failed for another reason of the system.
pub const CTR_E_SETUP: c_int = -9;
/// The time given for the call ran out.
pub const CTR_E_TIMEOUT: c_int = -10;
/// The caller cancelled the call.
pub const CTR_E_CANCELLED: c_int = -11;
/// A defect of libctr.
pub const CTR_E_INTERNAL: c_int = -12;
/// The container has ended.
pub const CTR_E_NOT_RUNNING: c_int = -13;
/// The handle was made before this process was forked.
pub const CTR_E_FORKED: c_int = -14;
/// A defect of libctr: a panic was caught.
pub const CTR_E_PANIC: c_int = -15;

/// Why a call failed. Free it with `ctr_error_free`.
#[derive(Debug)]
pub struct Error {
    code: c_int,
    errno: c_int,
    stage: CString,
    message: CString,
    hint: Option<CString>,
}

impl Error {
    /// A wrong argument of the call itself.
    pub(crate) fn invalid(message: impl Into<String>) -> Error {
        libctr::Error::invalid(Stage::Spec, message).into()
    }

    /// A structure of a later version that asks for what is not known here.
    pub(crate) fn unsupported(message: impl Into<String>) -> Error {
        libctr::Error::new(Stage::Spec, ErrorKind::Unsupported, message).into()
    }

    /// A handle of the process that forked this one.
    pub(crate) fn forked() -> Error {
        let message = "the handle was made before this process was forked";
        let error = libctr::Error::new(Stage::State, ErrorKind::InvalidInput, message);
        Error::from(error.with_hint("open it again in this process")).with_code(CTR_E_FORKED)
    }

    pub(crate) fn internal(code: c_int, message: &str) -> Error {
        let error = libctr::Error::new(Stage::Launch, ErrorKind::Internal, message);
        Error::from(error).with_code(code)
    }

    pub(crate) fn with_code(self, code: c_int) -> Error {
        Error { code, ..self }
    }

    /// Of a call on a container that exists: what is not found then is a
    /// running process of it.
    pub(crate) fn of_running(error: libctr::Error) -> Error {
        let ended = error.kind() == ErrorKind::NotFound;
        let error = Error::from(error);
        if ended { error.with_code(CTR_E_NOT_RUNNING) } else { error }
    }

    /// Hands the error to the caller, if he wants it; returns its code.
    ///
    /// # Safety
    /// `err` is NULL or valid for a write.
    pub(crate) unsafe fn give(self, err: *mut *mut Error) -> c_int {
        let code = self.code;
        if !err.is_null() {
            // SAFETY: not NULL, so valid for a write.
            unsafe { err.write(Box::into_raw(Box::new(self))) };
        }
        code
    }
}

impl From<libctr::Error> for Error {
    fn from(error: libctr::Error) -> Error {
        Error {
            code: code(error.kind()),
            errno: error.errno().unwrap_or(0),
            stage: text(error.stage().as_str()),
            message: text(&error.to_string()),
            hint: error.hint().map(text),
        }
    }
}

fn code(kind: ErrorKind) -> c_int {
    match kind {
        ErrorKind::InvalidInput => CTR_E_INVALID,
        ErrorKind::NotFound => CTR_E_NOT_FOUND,
        ErrorKind::AlreadyExists => CTR_E_EXISTS,
        ErrorKind::Busy => CTR_E_BUSY,
        ErrorKind::Denied => CTR_E_DENIED,
        ErrorKind::Unsupported => CTR_E_UNSUPPORTED,
        ErrorKind::ProgramNotFound => CTR_E_PROGRAM_NOT_FOUND,
        ErrorKind::ProgramNotExecutable => CTR_E_PROGRAM_NOT_EXECUTABLE,
        ErrorKind::SetupFailed => CTR_E_SETUP,
        ErrorKind::Timeout => CTR_E_TIMEOUT,
        ErrorKind::Cancelled => CTR_E_CANCELLED,
        _ => CTR_E_INTERNAL,
    }
}

/// As a string of C; a NUL inside is shown as `\0`.
fn text(text: &str) -> CString {
    CString::new(text.replace('\0', "\\0")).unwrap_or_default()
}

/// The code of an error: one of `CTR_E_...`, what the failed call returned.
/// 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_error_code(e: *const Error) -> c_int {
    // SAFETY: NULL or an error of this library.
    unsafe { e.as_ref() }.map_or(0, |error| error.code)
}

/// The kernel's error number behind an error, or 0 if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_error_errno(e: *const Error) -> c_int {
    // SAFETY: NULL or an error of this library.
    unsafe { e.as_ref() }.map_or(0, |error| error.errno)
}

/// The step of the pipeline that failed, one of: `spec image rootfs process
/// launch network filesystem user chdir exec cgroup wait state`.
///
/// Lives as long as the error. Empty for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_error_stage(e: *const Error) -> *const c_char {
    // SAFETY: NULL or an error of this library.
    unsafe { e.as_ref() }.map_or(c"".as_ptr(), |error| error.stage.as_ptr())
}

/// The whole text for people: step, call with its arguments, error number,
/// hint. Its wording may change between versions.
///
/// Lives as long as the error. Empty for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_error_message(e: *const Error) -> *const c_char {
    // SAFETY: NULL or an error of this library.
    unsafe { e.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// What would help (a sysctl, a package, an option), or NULL if nothing is
/// known. The message has it too.
///
/// Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_error_hint(e: *const Error) -> *const c_char {
    // SAFETY: NULL or an error of this library.
    let hint = unsafe { e.as_ref() }.and_then(|error| error.hint.as_ref());
    hint.map_or(std::ptr::null(), |hint| hint.as_ptr())
}

/// Frees an error. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_error_free(e: *mut Error) {
    if !e.is_null() {
        // SAFETY: an error of this library, which is freed once.
        let error = unsafe { Box::from_raw(e) };
        quiet((), || drop(error));
    }
}

#[cfg(test)]
mod tests {
    use super::{CTR_E_INTERNAL, CTR_E_NOT_RUNNING, Error, code};
    use libctr::{ErrorKind, Stage};

    #[test]
    fn codes_are_frozen_and_distinct() {
        let kinds = [
            (ErrorKind::InvalidInput, -1),
            (ErrorKind::NotFound, -2),
            (ErrorKind::AlreadyExists, -3),
            (ErrorKind::Busy, -4),
            (ErrorKind::Denied, -5),
            (ErrorKind::Unsupported, -6),
            (ErrorKind::ProgramNotFound, -7),
            (ErrorKind::ProgramNotExecutable, -8),
            (ErrorKind::SetupFailed, -9),
            (ErrorKind::Timeout, -10),
            (ErrorKind::Cancelled, -11),
            (ErrorKind::Internal, CTR_E_INTERNAL),
        ];
        for (kind, number) in kinds {
            assert_eq!(code(kind), number, "{kind:?}");
        }
    }

    #[test]
    fn a_nul_in_a_message_is_shown() {
        let error = Error::invalid("a\0b");
        assert_eq!(error.message.to_str(), Ok("spec: a\\0b"));
        assert_eq!((error.errno, error.hint), (0, None));
    }

    #[test]
    fn not_found_of_a_known_container_is_not_running() {
        let ended = libctr::Error::new(Stage::State, ErrorKind::NotFound, "it has ended");
        assert_eq!(Error::of_running(ended).code, CTR_E_NOT_RUNNING);
        let other = libctr::Error::invalid(Stage::State, "signal 99");
        assert_eq!(Error::of_running(other).code, super::CTR_E_INVALID);
    }
}
