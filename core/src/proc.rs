//! What the kernel says of the calling thread (proc(5)).
//!
//! Host side, of the stage that asks. Read through `/proc/thread-self`:
//! `/proc/self` is the main thread, which may have ended or live in another
//! mount namespace.

pub(crate) mod mountinfo;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use crate::error::{Error, Result, Stage};
use crate::sys;

/// Room for some hundred thousand mounts.
const MOST: u64 = 64 << 20;

/// Reads a file of `/proc/thread-self`.
///
/// # Errors
/// The given stage, with the call that failed.
pub(crate) fn read(name: &str, stage: Stage) -> Result<Vec<u8>> {
    let path = format!("/proc/thread-self/{name}");
    let failed = |error| Error::io(stage, format!("read({path:?})"), error);
    let file = File::open(&path).map_err(failed)?;
    let file = sys::high(OwnedFd::from(file))
        .map_err(|errno| Error::sys(stage, format!("dup of {path:?}"), errno))?;
    let mut text = Vec::new();
    File::from(file).take(MOST).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}
