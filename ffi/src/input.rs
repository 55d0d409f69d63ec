//! What a caller hands in: handles, strings, documents, sized structures, and
//! places for answers. Everything is checked for NULL and copied or borrowed
//! for the length of the call.
//!
//! A sized structure begins with its own size, so that structures can grow:
//! a smaller one than ours has zeros in the fields it lacks; a larger one is
//! accepted if what we do not know is zero.
//!
//! # Safety
//! Each function relies on the contract of the header: a pointer is NULL or
//! valid for the call.

use std::ffi::{CStr, c_char};
use std::mem::{MaybeUninit, size_of};
use std::ptr::NonNull;

use crate::error::Error;

/// No structure of this library will be larger; a size beyond it was never
/// set.
const LARGEST: usize = 4096;

pub(crate) fn null(name: &str) -> Error {
    Error::invalid(format!("{name} is NULL"))
}

/// A handle.
///
/// # Safety
/// `pointer` is NULL or a handle of this library.
pub(crate) unsafe fn handle<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Error> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// Bytes with a length.
///
/// # Safety
/// `data` is NULL or has `len` bytes.
pub(crate) unsafe fn document<'a>(
    data: *const c_char,
    len: usize,
    name: &str,
) -> Result<&'a [u8], Error> {
    if data.is_null() {
        return Err(null(name));
    }
    if isize::try_from(len).is_err() {
        return Err(Error::invalid(format!("{name}: {len} bytes are more than memory has")));
    }
    // SAFETY: not NULL, and `len` bytes are there.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// A string; NULL is `None`.
///
/// # Safety
/// `text` is NULL or ends in NUL.
pub(crate) unsafe fn string<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: not NULL, so a string.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// A list of strings that ends in NULL; NULL itself is `None`.
///
/// # Safety
/// `list` is NULL or such a list.
pub(crate) unsafe fn strings<'a>(list: *const *const c_char) -> Option<Vec<&'a CStr>> {
    if list.is_null() {
        return None;
    }
    let mut strings = Vec::new();
    loop {
        // SAFETY: the list has not ended, so it has this entry.
        let entry = unsafe { list.add(strings.len()) };
        // SAFETY: as before.
        let text = unsafe { entry.read() };
        // SAFETY: an entry is NULL or a string.
        match unsafe { string(text) } {
            Some(text) => strings.push(text),
            None => return Some(strings),
        }
    }
}

/// A structure whose first field is its size in bytes.
///
/// # Safety
/// `repr(C)`, begins with a `usize`, has no padding, and all bytes zero as
/// well as all bytes 0xff are a value of it.
pub(crate) unsafe trait Versioned: Copy {}

/// Reads the size and checks it.
///
/// # Safety
/// `pointer` is a structure of a caller, whatever its version.
unsafe fn size<T: Versioned>(pointer: *const T, name: &str) -> Result<usize, Error> {
    // SAFETY: every version begins with its size.
    let size = unsafe { pointer.cast::<usize>().read() };
    if (size_of::<usize>()..=LARGEST).contains(&size) {
        return Ok(size);
    }
    Err(Error::invalid(format!("{name}->size is {size}, expected sizeof *{name}")))
}

/// Copies a sized structure; NULL is all zeros, which means all defaults.
///
/// # Safety
/// `pointer` is NULL or a structure of a caller, whatever its version.
pub(crate) unsafe fn sized<T: Versioned>(pointer: *const T, name: &str) -> Result<T, Error> {
    let mut ours = MaybeUninit::<T>::zeroed();
    if !pointer.is_null() {
        // SAFETY: not NULL.
        let size = unsafe { size(pointer, name) }?;
        // SAFETY: the structure has `size` bytes.
        let theirs = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), size) };
        let (known, unknown) = theirs.split_at(size.min(size_of::<T>()));
        if unknown.iter().any(|byte| *byte != 0) {
            let message = format!("{name} sets fields that this version of libctr does not have");
            return Err(Error::unsupported(message));
        }
        let place = ours.as_mut_ptr().cast::<u8>();
        // SAFETY: `known` is not longer than our structure.
        unsafe { place.copy_from_nonoverlapping(known.as_ptr(), known.len()) };
    }
    // SAFETY: every byte was set, and the trait says that any are a value.
    Ok(unsafe { ours.assume_init() })
}

/// A place for an answer. It is checked first and written last.
#[derive(Debug)]
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    /// `pointer` is NULL or valid for a write until the call returns.
    pub(crate) unsafe fn new(pointer: *mut T, name: &str) -> Result<Out<T>, Error> {
        NonNull::new(pointer).map(Out).ok_or_else(|| null(name))
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: promised to `new`.
        unsafe { self.0.write(value) };
    }
}

/// A place for a sized structure. NULL: the answer is not wanted.
#[derive(Debug)]
pub(crate) struct SizedOut<T>(Option<(NonNull<T>, usize)>);

impl<T: Versioned> SizedOut<T> {
    /// # Safety
    /// `pointer` is NULL or a structure whose size is set, valid for a write
    /// until the call returns.
    pub(crate) unsafe fn new(pointer: *mut T, name: &str) -> Result<SizedOut<T>, Error> {
        let Some(place) = NonNull::new(pointer) else { return Ok(SizedOut(None)) };
        // SAFETY: not NULL.
        let size = unsafe { size(pointer.cast_const(), name) }?;
        Ok(SizedOut(Some((place, size))))
    }

    /// Writes as much as the caller has room for, except the size; fields
    /// that we do not know become 0xff, the mark of what was not measured.
    pub(crate) fn set(self, value: &T) {
        let Some((place, size)) = self.0 else { return };
        let first = size_of::<usize>();
        let known = size.min(size_of::<T>());
        let (source, place) = (std::ptr::from_ref(value).cast::<u8>(), place.as_ptr().cast::<u8>());
        // SAFETY: both structures have `known` bytes, which are at least `first`.
        let source = unsafe { source.add(first) };
        // SAFETY: as before.
        let target = unsafe { place.add(first) };
        // SAFETY: as before; the caller's structure is not ours.
        unsafe { target.copy_from_nonoverlapping(source, known - first) };
        // SAFETY: the caller's structure has `size` bytes.
        let unknown = unsafe { place.add(known) };
        // SAFETY: as before.
        unsafe { unknown.write_bytes(0xff, size - known) };
    }
}

#[cfg(test)]
mod tests {
    use super::{LARGEST, SizedOut, sized};
    use crate::error::{CTR_E_INVALID, CTR_E_UNSUPPORTED, Error};

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Pair {
        size: usize,
        a: u64,
        b: u64,
    }
    // SAFETY: repr(C), three words.
    unsafe impl super::Versioned for Pair {}

    fn read(words: &[u64]) -> Result<Pair, i32> {
        // SAFETY: the sizes in these tests are those of the slices.
        unsafe { sized(words.as_ptr().cast::<Pair>(), "p") }.map_err(code)
    }

    fn code(error: Error) -> i32 {
        // SAFETY: NULL is allowed.
        unsafe { error.give(std::ptr::null_mut()) }
    }

    #[test]
    fn smaller_has_zeros_and_larger_must_have_them() {
        assert_eq!(read(&[24, 1, 2]), Ok(Pair { size: 24, a: 1, b: 2 }));
        assert_eq!(read(&[16, 1, 2]), Ok(Pair { size: 16, a: 1, b: 0 }));
        assert_eq!(read(&[8]), Ok(Pair { size: 8, a: 0, b: 0 }));
        assert_eq!(read(&[32, 1, 2, 0]), Ok(Pair { size: 32, a: 1, b: 2 }));
        assert_eq!(read(&[32, 1, 2, 3]), Err(CTR_E_UNSUPPORTED));
        assert_eq!(read(&[0]), Err(CTR_E_INVALID));
        assert_eq!(read(&[LARGEST as u64 + 1]), Err(CTR_E_INVALID));
        // SAFETY: NULL is allowed.
        let none = unsafe { sized(std::ptr::null::<Pair>(), "p") }.map_err(code);
        assert_eq!(none, Ok(Pair { size: 0, a: 0, b: 0 }));
    }

    #[test]
    fn an_answer_fits_the_callers_structure() {
        let answer = Pair { size: 24, a: 1, b: 2 };
        for (mut words, want) in [
            ([24, 9, 9, 9, 9], [24, 1, 2, 9, 9]),
            ([16, 9, 9, 9, 9], [16, 1, 9, 9, 9]),
            ([8, 9, 9, 9, 9], [8, 9, 9, 9, 9]),
            ([32, 9, 9, 9, 9], [32, 1, 2, u64::MAX, 9]),
        ] {
            // SAFETY: the structure lies in `words`.
            let out = unsafe { SizedOut::new(words.as_mut_ptr().cast::<Pair>(), "p") };
            out.map_err(code).expect("a size").set(&answer);
            assert_eq!(words, want);
        }
    }
}
