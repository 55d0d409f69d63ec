//! Removes what was made for the container: its state directory, its upper
//! layer, its name.
//!
//! A tree may be as deep and as wide as its program liked: the walk keeps one
//! descriptor and one buffer, whatever the depth. No process of the container
//! is left, so nothing moves while it goes down and up again.

use core::ffi::CStr;

use crate::fault::{Call, Fault, Step};
use crate::init::at;
use crate::plan::{Kind, Plan, when};
use crate::sys::{self, Errno, Fd};
use crate::userns;

/// Removes the plan's paths; after a failed start also those that a started
/// container would have kept.
pub(crate) fn all(plan: Plan<'static>, occasion: u32) {
    for mut body in plan.of(Kind::Remove) {
        let (Some(when), Some(path)) = (body.u32(), body.string()) else { continue };
        if when == when::ALWAYS || when == occasion {
            // Once more after an error. What stays even then is found at the
            // next opening by the container's own directory, the last of all.
            if tree(path).is_err() && tree(path).is_err() && inside(plan, path).is_err() {
                return;
            }
        }
    }
}

/// As the user namespace's root, whose files those of the container's other
/// users are too.
fn inside(plan: Plan<'static>, path: &CStr) -> Result<(), Fault> {
    userns::inside(plan, || tree(path).map_err(at(Step::Filesystem, Call::Unlink, Fault::NO_RECORD)))
}

pub(crate) fn tree(path: &CStr) -> sys::Result<()> {
    match sys::unlink(Fd::CWD, path) {
        Err(Errno::EISDIR) => directory(path),
        other => other,
    }
}

/// Removes a directory with all that is in it. In the cgroup file system only
/// directories can be removed, and a group takes its files with it; there this
/// removes a group with the groups that its processes have made in it.
pub(super) fn directory(path: &CStr) -> sys::Result<()> {
    let flags = sys::O_RDONLY | sys::O_DIRECTORY | sys::O_NOFOLLOW;
    let mut dir = sys::open(Fd::CWD, path, flags, 0)?;
    let mut depth = 0_usize;
    // Whoever goes up again has removed something, or would come back for ever
    // to what cannot be removed: an immutable file, a group in use.
    let mut progress = false;
    loop {
        match empty(&dir, &mut progress)? {
            Some(child) => {
                dir = child;
                depth = depth.saturating_add(1);
            }
            None if depth == 0 => return sys::rmdir(Fd::CWD, path),
            None if !core::mem::take(&mut progress) => return Err(Errno::EBUSY),
            None => {
                dir = sys::open(dir.borrow(), c"..", flags, 0)?;
                depth = depth.saturating_sub(1);
            }
        }
    }
}

/// Removes what can be removed from a directory at once. Returns a
/// subdirectory that is not empty, or `None` once nothing is left.
fn empty(dir: &Fd, progress: &mut bool) -> sys::Result<Option<Fd>> {
    let mut buffer = [0_u8; 4096];
    loop {
        let length = sys::getdents(dir.borrow(), &mut buffer)?;
        if length == 0 {
            return Ok(None);
        }
        let mut found = Ok(None);
        sys::entries(buffer.get(..length).unwrap_or(&[]), |name| {
            if name != c"." && name != c".." && matches!(found, Ok(None)) {
                found = remove(dir, name, progress);
            }
        });
        if let Some(child) = found? {
            return Ok(Some(child));
        }
    }
}

/// Removes one entry, or opens the directory that it is if that is not empty.
fn remove(dir: &Fd, name: &CStr, progress: &mut bool) -> sys::Result<Option<Fd>> {
    match sys::unlink(dir.borrow(), name) {
        Err(Errno::EISDIR) => {}
        Ok(()) => {
            *progress = true;
            return Ok(None);
        }
        // A file of a group.
        Err(Errno::EPERM) => return Ok(None),
        Err(errno) => return Err(errno),
    }
    match sys::rmdir(dir.borrow(), name) {
        Ok(()) => {
            *progress = true;
            Ok(None)
        }
        Err(_) => {
            let flags = sys::O_RDONLY | sys::O_DIRECTORY | sys::O_NOFOLLOW;
            sys::open(dir.borrow(), name, flags, 0).map(Some)
        }
    }
}
