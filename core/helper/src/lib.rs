//! The program that libctr carries inside itself, and the two wire formats
//! that the library and the program share.
//!
//! The program (`main.rs`, embedded here as [`IMAGE`]) is the monitor of ONE
//! container and, in the new namespaces, that container's init. It executes
//! plans: it parses nothing, resolves no names, allocates nothing and cannot
//! panic (a reachable panic is a link error, see `main.rs`).
//!
//! This library half is what the host side links: [`plan`] describes the
//! bytes that the host writes and the program reads, [`message`] what the
//! program answers, [`fault`] the eight bytes that say which step failed.

#![no_std]
#![warn(missing_docs)]

#[cfg(test)]
extern crate std;

pub mod fault;
pub mod message;
pub mod plan;

/// The helper program: a static executable for this target.
pub const IMAGE: &[u8] = include_bytes!(env!("LIBCTR_HELPER"));

// The program's own modules are no part of this library. Clippy and the unit
// tests see them through these lines, so that lints and tests hold for them.
macro_rules! program {
    ($($name:ident)*) => {$(
        #[cfg(any(clippy, test))]
        #[allow(dead_code, unused_imports, reason = "called from main.rs only")]
        #[allow(unsafe_code, reason = "the program's system calls: sys.rs, nowhere else")]
        mod $name;
    )*};
}
program! { init monitor sys }
