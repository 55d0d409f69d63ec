//! The door between C and Rust: every entry runs its body in here.
//!
//! A panic is a defect of this library; it must neither unwind into frames of
//! C nor end the host. It becomes `CTR_E_PANIC`. (Where the allocator itself
//! fails Rust ends the process: nothing here can change that.)

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{CTR_E_PANIC, Error};

/// Runs a call that can fail; its error goes to `err`.
///
/// # Safety
/// `err` is NULL or valid for a write.
pub(crate) unsafe fn call(
    err: *mut *mut Error,
    body: impl FnOnce() -> Result<c_int, Error>,
) -> c_int {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => return value,
        Ok(Err(failure)) => failure,
        Err(payload) => panicked(payload),
    };
    // SAFETY: the caller's promise is the same.
    unsafe { failure.give(err) }
}

/// Runs a call that cannot fail; after a panic it answers `otherwise`.
pub(crate) fn quiet<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            std::mem::forget(payload);
            otherwise
        }
    }
}

fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "no message",
    };
    let error = Error::internal(CTR_E_PANIC, &format!("a defect of libctr: panic: {text}"));
    // What was thrown may itself panic when it is dropped.
    std::mem::forget(payload);
    error
}

#[cfg(test)]
mod tests {
    use super::{call, quiet};
    use crate::error::{CTR_E_PANIC, ctr_error_code, ctr_error_free, ctr_error_message};
    use std::ffi::CStr;

    #[test]
    fn a_panic_becomes_an_error() {
        let mut err = std::ptr::null_mut();
        // SAFETY: `err` is a local variable.
        let code = unsafe { call(&raw mut err, || panic!("boom {}", 7)) };
        assert_eq!(code, CTR_E_PANIC);
        // SAFETY: the call has set it.
        assert_eq!(unsafe { ctr_error_code(err) }, CTR_E_PANIC);
        // SAFETY: as before.
        let message = unsafe { ctr_error_message(err) };
        // SAFETY: it lives as long as the error.
        let message = unsafe { CStr::from_ptr(message) };
        assert_eq!(message.to_str(), Ok("launch: a defect of libctr: panic: boom 7"));
        // SAFETY: freed once.
        unsafe { ctr_error_free(err) };
    }

    #[test]
    fn a_panic_without_a_place_for_it_is_a_code() {
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { call(std::ptr::null_mut(), || panic!("boom")) }, CTR_E_PANIC);
        assert_eq!(quiet(5, || panic!("boom")), 5);
        assert_eq!(quiet(5, || 6), 6);
    }
}
