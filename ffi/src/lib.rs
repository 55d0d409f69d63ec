//! The C interface: `include/ctr.h`, `libctr.so.0`, `libctr.a`.
//!
//! Runs in the host. Each function checks its arguments, calls the function
//! of crate `libctr` that has the same name, and turns the answer into the
//! three kinds of return value that the header describes. Nothing is decided
//! here: [`error`] maps kinds to codes, [`exit`] outcomes to numbers.
//!
//! The header is generated from these files (`ffi/cbindgen.toml`), which is
//! why functions are written out and never made by macros, and why their
//! comments speak to readers of C.
//!
//! # Safety
//! All functions have the contract that the header's first comment states:
//! a pointer is NULL or points to what its type says, lives through the call,
//! and a handle is one that this library returned and that was not freed.
//! NULL is always checked. No panic leaves: see [`panic`].

#![allow(unsafe_code, reason = "pointers of C callers")]
#![warn(missing_docs)]
#![allow(clippy::missing_safety_doc, reason = "one contract for all functions, stated above")]

mod input;
mod owner;
mod panic;

// The order of the header.
pub mod error;

pub mod buffer;

pub mod spec;

pub mod options;

pub mod runtime;

pub mod probe;

pub mod exit;

pub mod container;

pub mod descriptor;

pub mod process;

/// Major version of this header.
pub const CTR_VERSION_MAJOR: u32 = 0;
/// Minor version of this header.
pub const CTR_VERSION_MINOR: u32 = 1;
/// Patch version of this header.
pub const CTR_VERSION_PATCH: u32 = 0;
/// Version of this header as one number, as `ctr_version` packs it.
pub const CTR_VERSION: u32 =
    (CTR_VERSION_MAJOR << 16) | (CTR_VERSION_MINOR << 8) | CTR_VERSION_PATCH;

/// Version of the library that was loaded: major << 16 | minor << 8 | patch.
///
/// Compare it with `CTR_VERSION`, the version that the program was compiled
/// with. Cannot fail.
#[unsafe(no_mangle)]
pub extern "C" fn ctr_version() -> u32 {
    CTR_VERSION
}

#[cfg(test)]
mod tests {
    use super::{CTR_VERSION_MAJOR, CTR_VERSION_MINOR, CTR_VERSION_PATCH, ctr_version};

    #[test]
    fn version_is_that_of_the_crate() {
        let text = format!("{CTR_VERSION_MAJOR}.{CTR_VERSION_MINOR}.{CTR_VERSION_PATCH}");
        assert_eq!(text, env!("CARGO_PKG_VERSION"));
        assert_eq!(ctr_version(), 0x00_01_00);
    }
}
