//! The first Rust function of the program, and the memory functions that
//! compiled code may call and that nothing else would provide.

use core::ffi::{CStr, c_char};

/// Called by the first instructions with the address of the argument vector.
///
/// # Safety
/// `stack` is the stack as the kernel left it: the count, then the arguments.
pub(super) unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the first word is the count of arguments.
    let count = unsafe { stack.read() };
    // SAFETY: the words after it are the arguments, then a null.
    let first = unsafe { stack.add(2).cast::<*const c_char>().read() };
    let argument = if count < 2 || first.is_null() {
        None
    } else {
        // SAFETY: an argument is a string that ends in NUL and lives as long
        // as the process.
        Some(unsafe { CStr::from_ptr(first) })
    };
    crate::begin(argument)
}

#[cfg(target_arch = "x86_64")]
mod memory {
    use core::arch::asm;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
        // SAFETY: the caller's contract is memcpy's; the direction flag is clear (psABI).
        unsafe {
            asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _,
                options(nostack, preserves_flags));
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
        if to.addr().wrapping_sub(from.addr()) >= n {
            // SAFETY: a copy that runs upwards never overtakes itself here.
            return unsafe { memcpy(to, from, n) };
        }
        // SAFETY: as memcpy, from the last byte down; the flag is put back.
        unsafe {
            asm!("std", "rep movsb", "cld", inout("rcx") n => _,
                inout("rdi") to.wrapping_add(n).wrapping_sub(1) => _,
                inout("rsi") from.wrapping_add(n).wrapping_sub(1) => _, options(nostack));
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
        // SAFETY: the caller's contract is memset's.
        unsafe {
            asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("eax") byte,
                options(nostack, preserves_flags));
        }
        to
    }
}

#[cfg(target_arch = "aarch64")]
mod memory {
    use core::ptr::{read_volatile, write_volatile};

    // Volatile, so that the loops are not turned into calls of themselves.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
        for i in 0..n {
            // SAFETY: the caller's contract is memcpy's.
            let byte = unsafe { read_volatile(from.wrapping_add(i)) };
            // SAFETY: the same.
            unsafe { write_volatile(to.wrapping_add(i), byte) };
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
        if to.addr().wrapping_sub(from.addr()) >= n {
            // SAFETY: a copy that runs upwards never overtakes itself here.
            return unsafe { memcpy(to, from, n) };
        }
        for i in (0..n).rev() {
            // SAFETY: the caller's contract is memmove's.
            let byte = unsafe { read_volatile(from.wrapping_add(i)) };
            // SAFETY: the same.
            unsafe { write_volatile(to.wrapping_add(i), byte) };
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
        for i in 0..n {
            let [byte, ..] = byte.to_le_bytes();
            // SAFETY: the caller's contract is memset's.
            unsafe { write_volatile(to.wrapping_add(i), byte) };
        }
        to
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: the caller's contract is memcmp's.
        let x = unsafe { core::ptr::read_volatile(a.wrapping_add(i)) };
        // SAFETY: the same.
        let y = unsafe { core::ptr::read_volatile(b.wrapping_add(i)) };
        if x != y {
            return i32::from(x).wrapping_sub(i32::from(y));
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's contract is memcmp's.
    unsafe { memcmp(a, b, n) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const u8) -> usize {
    let mut length = 0_usize;
    // SAFETY: the caller's contract is strlen's.
    while unsafe { core::ptr::read_volatile(string.wrapping_add(length)) } != 0 {
        length = length.wrapping_add(1);
    }
    length
}
