//! /proc and /sys of the container: that they are the kernel's own, and that
//! what is hidden in them or made read-only is theirs.
//!
//! A mask that lands elsewhere hides nothing, and a mount of the caller or a
//! link of the image in their place would let it. So both file systems are
//! remembered by their numbers as soon as they are mounted; nothing else may
//! be mounted in them, also not through a link, and every path that is masked
//! must lie there.

use core::ffi::CStr;

use crate::sys::{self, BorrowedFd, Errno, Fd, Result};

/// Types of file systems (linux/magic.h).
const PROC: u64 = 0x9fa0;
const SYSFS: u64 = 0x6265_6572;

/// The two file systems, once they are mounted.
#[derive(Debug)]
pub(super) struct Kernel {
    proc: Option<(u32, u32)>,
    sys: Option<(u32, u32)>,
}

impl Kernel {
    pub(super) const fn new() -> Kernel {
        Kernel { proc: None, sys: None }
    }

    /// Something was mounted at `target`, a path below `root`: remembers it if
    /// it is one of the two.
    pub(super) fn mounted(&mut self, root: BorrowedFd, target: &CStr) -> Result<()> {
        let (place, kind) = match target.to_bytes() {
            b"proc" => (&mut self.proc, PROC),
            b"sys" => (&mut self.sys, SYSFS),
            _ => return Ok(()),
        };
        let flags = sys::O_PATH | sys::O_DIRECTORY | sys::O_NOFOLLOW;
        let top = sys::open(root, target, flags, 0)?;
        if sys::file_system_type(top.borrow())? != kind {
            return Err(Errno::EXDEV);
        }
        *place = Some(sys::stat(top.borrow())?.file_system);
        Ok(())
    }

    /// Refuses to let anything be mounted in one of the two.
    pub(super) fn keep_free(&self, target: Fd) -> Result<Fd> {
        let found = Some(sys::stat(target.borrow())?.file_system);
        match found == self.proc || found == self.sys {
            true => Err(Errno::EXDEV),
            false => Ok(target),
        }
    }

    /// What an open file is, which must be what its path says: a part of one
    /// of the two.
    pub(super) fn own(&self, path: &CStr, target: BorrowedFd) -> Result<sys::Stat> {
        let stat = sys::stat(target)?;
        let place = if path.to_bytes().starts_with(b"proc/") { self.proc } else { self.sys };
        match place == Some(stat.file_system) {
            true => Ok(stat),
            false => Err(Errno::EXDEV),
        }
    }
}
