//! `ctr_buf_t`: a document that the library returns.
//!
//! # Safety
//! The bytes are a `CString` that belongs to the caller until
//! `ctr_buf_free`. Its length is found again by its NUL, so a caller who
//! changes `len` does no harm.

use std::ffi::{CString, c_char};

use crate::error::{CTR_E_INTERNAL, Error};
use crate::panic::quiet;

/// A document that the library returned. Free it with `ctr_buf_free`, never
/// with `free`.
#[repr(C)]
#[derive(Debug)]
pub struct Buffer {
    /// The text, UTF-8, followed by a NUL.
    pub data: *mut c_char,
    /// Bytes without the NUL.
    pub len: usize,
}

impl Buffer {
    pub(crate) fn json(value: &impl serde::Serialize) -> Result<Buffer, Error> {
        let json = serde_json::to_string(value)
            .map_err(|error| Error::internal(CTR_E_INTERNAL, &format!("to JSON: {error}")))?;
        let len = json.len();
        // JSON writes a NUL as \u0000.
        let text = CString::new(json)
            .map_err(|error| Error::internal(CTR_E_INTERNAL, &format!("to JSON: {error}")))?;
        Ok(Buffer { data: text.into_raw(), len })
    }
}

/// Frees what a document holds and empties it: freeing it again does nothing.
/// NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_buf_free(b: *mut Buffer) {
    // SAFETY: NULL or a document of the caller.
    let Some(buffer) = (unsafe { b.as_mut() }) else { return };
    let data = std::mem::replace(&mut buffer.data, std::ptr::null_mut());
    buffer.len = 0;
    if !data.is_null() {
        // SAFETY: made by `into_raw` above, and freed once.
        let text = unsafe { CString::from_raw(data) };
        quiet((), || drop(text));
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffer, ctr_buf_free};
    use std::ffi::CStr;

    #[test]
    fn a_document_ends_in_nul_and_is_freed_once() {
        let mut buffer = Buffer::json(&"a\0b").expect("JSON");
        // SAFETY: a document of ours.
        let text = unsafe { CStr::from_ptr(buffer.data) };
        assert_eq!((text.to_bytes(), buffer.len), (br#""a\u0000b""#.as_slice(), 10));
        buffer.len = 3;
        // SAFETY: as before.
        unsafe { ctr_buf_free(&raw mut buffer) };
        assert!(buffer.data.is_null());
        // SAFETY: it is empty now.
        unsafe { ctr_buf_free(&raw mut buffer) };
        // SAFETY: NULL is allowed.
        unsafe { ctr_buf_free(std::ptr::null_mut()) };
    }
}
