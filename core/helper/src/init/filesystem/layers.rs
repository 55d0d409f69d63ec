//! An overlay mounted by mount(2), whose options have one page for all names
//! of layers together: each gets a short name, a symbolic link in a directory
//! of the stage from which the mount is made. So 500 layers, which is all that
//! overlayfs takes, need 2 KiB, and no name has a character that means
//! something there (`:`, `,`, `\`).
//!
//! Sources: mount(2), kernel `overlayfs.rst`.

use core::ffi::CStr;

use super::source::attributes;
use super::tree::Stage;
use crate::monitor::number::decimal;
use crate::plan::option;
use crate::sys::{self, Errno, Fd, Result};

/// As much as mount(2) takes, with its NUL.
const PAGE: usize = 4096;

/// The options being written.
struct Options {
    bytes: [u8; PAGE],
    length: usize,
}

impl Options {
    fn push(&mut self, text: &[u8]) -> Result<()> {
        let end = self.length.saturating_add(text.len());
        if end >= PAGE {
            return Err(Errno::ENAMETOOLONG);
        }
        sys::copy(self.bytes.get_mut(self.length..).unwrap_or(&mut []), text);
        self.length = end;
        Ok(())
    }

    fn text(&self) -> Result<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::ENAMETOOLONG)
    }
}

/// A layer under a short name.
fn link(name: &CStr, layer: &CStr) -> Result<()> {
    match sys::unlink(Fd::CWD, name) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    sys::symlink(layer, Fd::CWD, name)
}

/// Mounts an overlay on the stage and opens it. `lowers` come uppermost first.
pub(super) fn mount<'p>(
    stage: Stage<'_>,
    flags: u32,
    lowers: impl Iterator<Item = &'p CStr>,
    upper: &CStr,
    work: &CStr,
) -> Result<Fd> {
    stage.place(true)?;
    match sys::mkdir(Fd::CWD, c"layers", 0o700) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    sys::chdir(c"layers")?;
    let mut options = Options { bytes: [0; PAGE], length: 0 };
    for (number, lower) in lowers.enumerate() {
        let mut digits = [0; 20];
        let number = decimal(u64::try_from(number).unwrap_or(u64::MAX), &mut digits);
        let mut name = [0; 21];
        sys::copy(&mut name, number);
        link(CStr::from_bytes_until_nul(&name).map_err(|_| Errno::EINVAL)?, lower)?;
        options.push(if options.length == 0 { b"lowerdir=" } else { b":" })?;
        options.push(number)?;
    }
    link(c"u", upper)?;
    link(c"w", work)?;
    options.push(b",upperdir=u,workdir=w")?;
    if flags & option::USERXATTR != 0 {
        options.push(b",userxattr")?;
    }
    let plain = options.length;
    if flags & option::VOLATILE != 0 {
        options.push(b",volatile")?;
    }
    let made = |options: &Options| {
        let flags = attributes(flags | option::NODEV);
        sys::mount(c"overlay", c"../tree", c"overlay", flags, options.text()?)
    };
    match made(&options) {
        // Before Linux 5.10 it was not known; it only saves time.
        Err(Errno::EINVAL) if options.length > plain => {
            options.bytes.get_mut(plain..).unwrap_or(&mut []).fill(0);
            made(&options)?;
        }
        other => other?,
    }
    sys::open(Fd::CWD, c"../tree", sys::O_PATH | sys::O_NOFOLLOW, 0)
}
