//! The last step: the new root becomes `/`, and the old one is gone.

use super::failed;
use super::mounts;
use crate::fault::{Call, Fault};
use crate::sys::{self, BorrowedFd, Errno, Fd};

/// Enters the root. The old one ends up mounted on the new one and is taken
/// away from there (pivot_root(2), "pivot_root(".", ".")").
pub(super) fn enter(root: BorrowedFd) -> Result<(), Fault> {
    let none = Fault::NO_RECORD;
    sys::fchdir(root).map_err(failed(Call::Chdir, none))?;
    match sys::pivot_root(c".", c".") {
        Ok(()) => sys::detach(c".").map_err(failed(Call::Umount, none))?,
        Err(Errno::EINVAL) if mounts::root_is_rootfs() == Ok(true) => cover(root)?,
        Err(errno) => return Err(failed(Call::PivotRoot, none)(errno)),
    }
    sys::chdir(c"/").map_err(failed(Call::Chdir, none))
}

/// The file system that the kernel starts with, from which a machine that
/// never leaves its initramfs runs, cannot be given away (pivot_root(2),
/// "Notes"). So the new root is mounted over it, as switch_root(8) does; all
/// else that is mounted on it is taken away, so that only what the initramfs
/// itself holds is left below.
fn cover(root: BorrowedFd) -> Result<(), Fault> {
    let none = Fault::NO_RECORD;
    let old = sys::open(Fd::CWD, c"/", sys::O_PATH | sys::O_DIRECTORY, 0)
        .map_err(failed(Call::Open, none))?;
    sys::mount(c".", c"/", c"", sys::MS_MOVE, c"").map_err(failed(Call::Mount, none))?;
    // `/` still is the old one for this process.
    mounts::detach_all(old.borrow(), root).map_err(failed(Call::Umount, none))?;
    sys::chroot(c".").map_err(failed(Call::Chroot, none))
}
