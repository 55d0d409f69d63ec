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

pub mod ability;
pub mod fault;
pub mod message;
mod numbered;
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
program! { builder init job join monitor probe sys userns }

#[cfg(test)]
mod tests {
    use super::IMAGE;

    fn u16_at(at: usize) -> usize {
        usize::from(u16::from_le_bytes([IMAGE[at], IMAGE[at + 1]]))
    }

    fn u32_at(at: usize) -> u32 {
        u32::from_le_bytes([IMAGE[at], IMAGE[at + 1], IMAGE[at + 2], IMAGE[at + 3]])
    }

    /// The proof of the link: nothing is left to be resolved at run time. (An
    /// undefined symbol, the one behind a panic included, fails the build.)
    #[test]
    fn program_is_small_static_and_needs_no_loader() {
        const PT_DYNAMIC: u32 = 2;
        const PT_INTERP: u32 = 3;
        assert_eq!(&IMAGE[..5], b"\x7fELF\x02");
        let kind = u16_at(16);
        assert_eq!(kind, 2, "ET_EXEC");
        let (offset, size, count) = (u32_at(32), u16_at(54), u16_at(56));
        let offset = usize::try_from(offset).expect("an offset");
        let kinds: std::vec::Vec<u32> = (0..count).map(|i| u32_at(offset + i * size)).collect();
        assert!(!kinds.is_empty());
        assert!(!kinds.contains(&PT_DYNAMIC) && !kinds.contains(&PT_INTERP), "{kinds:?}");
        assert!(IMAGE.len() <= 256 * 1024, "{} bytes", IMAGE.len());
    }
}
