//! An overlay, and whether it does what containers need of it: changed files
//! are copied up, removed ones stay away, and a directory that hides what is
//! below it does (Documentation/filesystems/overlayfs.rst). A kernel may take
//! a mount and show opaque directories wrongly.

use core::ffi::CStr;

use super::{Tried, Verdict, data, mounts, refused};
use crate::fault::Call;
use crate::monitor::remove;
use crate::plan::Plan;
use crate::sys::{self, Errno, Fd};
use crate::userns;

/// [`Verdict::Wrong`]: a change reached the lower layer, or none the upper.
const NOT_COPIED: u32 = 1;
/// A removed file is still there, or gone from its layer.
const NOT_REMOVED: u32 = 2;
/// A directory shows what it hides.
const NOT_OPAQUE: u32 = 3;

pub(super) fn in_memory(plan: Plan<'static>) -> Tried {
    mounts::on_stage(plan)?;
    check(userns::is_wanted(plan))
}

pub(super) fn in_memory_of_users(plan: Plan<'static>) -> Tried {
    mounts::on_stage(plan)?;
    check(true)
}

pub(super) fn on_data(plan: Plan<'static>) -> Tried {
    mounts::private(plan)?;
    let place = data(plan)?;
    sys::chdir(place).map_err(refused(Call::Chdir))?;
    let tried = check(userns::is_wanted(plan));
    // From here, where the files have owners that the host cannot be.
    let _ = sys::detach(c"all");
    let _ = sys::chdir(c"/");
    let _ = remove::tree(place);
    tried
}

/// Two lower layers, `high` above `low`.
fn layers(users: bool) -> Result<(), Verdict> {
    for name in [c"low", c"low/hidden", c"low/made", c"high", c"high/hidden", c"up", c"work", c"all"]
    {
        sys::mkdir(Fd::CWD, name, 0o755).map_err(refused(Call::Mkdir))?;
    }
    for name in [c"low/changed", c"low/removed", c"low/hidden/file", c"low/made/file"] {
        let flags = sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL;
        let file = sys::open(Fd::CWD, name, flags, 0o644).map_err(refused(Call::Open))?;
        sys::write_all(file.borrow(), b"a").map_err(refused(Call::Write))?;
    }
    let opaque = if users { c"user.overlay.opaque" } else { c"trusted.overlay.opaque" };
    let hidden = sys::open(Fd::CWD, c"high/hidden", sys::O_RDONLY | sys::O_DIRECTORY, 0)
        .map_err(refused(Call::Open))?;
    sys::fsetxattr(hidden.borrow(), opaque, b"y").map_err(refused(Call::Setxattr))
}

/// In the working directory, which is empty.
fn check(users: bool) -> Tried {
    layers(users)?;
    let options = match users {
        true => c"lowerdir=high:low,upperdir=up,workdir=work,userxattr",
        false => c"lowerdir=high:low,upperdir=up,workdir=work",
    };
    sys::mount(c"overlay", c"all", c"overlay", 0, options).map_err(refused(Call::Mount))?;
    copies_up()?;
    sys::unlink(Fd::CWD, c"all/removed").map_err(refused(Call::Unlink))?;
    if exists(c"all/removed")? || !exists(c"low/removed")? {
        return Err(Verdict::Wrong(NOT_REMOVED));
    }
    sys::unlink(Fd::CWD, c"all/made/file").map_err(refused(Call::Unlink))?;
    sys::rmdir(Fd::CWD, c"all/made").map_err(refused(Call::Unlink))?;
    sys::mkdir(Fd::CWD, c"all/made", 0o755).map_err(refused(Call::Mkdir))?;
    if exists(c"all/made/file")? || exists(c"all/hidden/file")? {
        return Err(Verdict::Wrong(NOT_OPAQUE));
    }
    Ok(0)
}

fn copies_up() -> Result<(), Verdict> {
    let file =
        sys::open(Fd::CWD, c"all/changed", sys::O_WRONLY, 0).map_err(refused(Call::Open))?;
    sys::write_all(file.borrow(), b"b").map_err(refused(Call::Write))?;
    drop(file);
    let first = |path: &CStr| {
        let file = sys::open(Fd::CWD, path, sys::O_RDONLY, 0).map_err(refused(Call::Open))?;
        let mut byte = [0_u8; 1];
        sys::read(file.borrow(), &mut byte).map_err(refused(Call::Read))?;
        Ok(byte)
    };
    match (first(c"all/changed")?, first(c"low/changed")?, exists(c"up/changed")?) {
        ([b'b'], [b'a'], true) => Ok(()),
        _ => Err(Verdict::Wrong(NOT_COPIED)),
    }
}

fn exists(path: &CStr) -> Result<bool, Verdict> {
    match sys::open(Fd::CWD, path, sys::O_PATH, 0) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(refused(Call::Open)(errno)),
    }
}
