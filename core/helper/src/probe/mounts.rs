//! Mounts, in a mount namespace that goes with the process.

use super::{Tried, Verdict, alone, data, holder, refused, stage};
use crate::builder;
use crate::fault::Call;
use crate::init::filesystem::root_is_rootfs;
use crate::plan::Plan;
use crate::sys::{self, Errno, Fd};

/// `nosuid`, `nodev`, `noexec`, as a container has the kernel's file systems.
const QUIET: u64 = 2 | 4 | 8;
/// MOUNT_ATTR_RDONLY.
const READ_ONLY: u64 = 1;

pub(super) fn private(_: Plan<'static>) -> Tried {
    let flags = sys::MS_REC | sys::MS_PRIVATE;
    sys::mount(c"", c"/", c"", flags, c"").map(|()| 0).map_err(refused(Call::Mount))
}

/// A tmpfs on the stage, and there.
pub(super) fn on_stage(plan: Plan<'static>) -> Tried {
    private(plan)?;
    let stage = stage(plan)?;
    sys::mount(c"tmpfs", stage, c"tmpfs", 0, c"mode=0700").map_err(refused(Call::Mount))?;
    sys::chdir(stage).map(|()| 0).map_err(refused(Call::Chdir))
}

pub(super) fn by_descriptor(plan: Plan<'static>) -> Tried {
    private(plan)?;
    let fs = sys::fsopen(c"tmpfs").map_err(refused(Call::Fsopen))?;
    sys::fsconfig_create(fs.borrow()).map_err(refused(Call::Fsconfig))?;
    let mount = sys::fsmount(fs.borrow(), 0).map_err(refused(Call::Fsmount))?;
    let flags = sys::O_PATH | sys::O_DIRECTORY;
    let target = sys::open(Fd::CWD, stage(plan)?, flags, 0).map_err(refused(Call::Open))?;
    sys::move_mount(mount.borrow(), target.borrow()).map_err(refused(Call::MoveMount))?;
    let tree = sys::open_tree(Fd::CWD, stage(plan)?, true).map_err(refused(Call::OpenTree))?;
    sys::mount_setattr(tree.borrow(), READ_ONLY)
        .map(|()| 0)
        .map_err(refused(Call::MountSetattr))
}

pub(super) fn proc(plan: Plan<'static>) -> Tried {
    private(plan)?;
    sys::mount(c"proc", stage(plan)?, c"proc", QUIET, c"")
        .map(|()| 0)
        .map_err(refused(Call::Mount))
}

pub(super) fn sysfs(plan: Plan<'static>) -> Tried {
    private(plan)?;
    sys::mount(c"sysfs", stage(plan)?, c"sysfs", QUIET | sys::MS_RDONLY, c"")
        .map(|()| 0)
        .map_err(refused(Call::Mount))
}

pub(super) fn pivot_root(plan: Plan<'static>) -> Tried {
    on_stage(plan)?;
    match sys::pivot_root(c".", c".") {
        // The new root is mounted over it then (`init/filesystem/enter.rs`).
        Err(Errno::EINVAL) if root_is_rootfs() == Ok(true) => Ok(0),
        other => other.map(|()| 0).map_err(alone),
    }
}

pub(super) fn idmap(plan: Plan<'static>) -> Tried {
    private(plan)?;
    let (pid, held) = holder(plan)?;
    let users = builder::user_namespace(pid).map_err(refused(Call::Open))?;
    drop(held);
    let tree = sys::open_tree(Fd::CWD, data(plan)?, false).map_err(refused(Call::OpenTree))?;
    let shown = sys::mount_idmap(tree.borrow(), users.borrow());
    let _ = sys::wait(pid, true);
    shown.map(|()| 0).map_err(|errno| Verdict::Refused { call: Call::MountSetattr, errno: errno.0 })
}
