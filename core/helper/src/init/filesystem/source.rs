//! What is mounted: made from paths of the host, attached nowhere yet.
//!
//! Runs in pid 1, or, where pid 1 has other ids than the host's root, in the
//! builder (`builder.rs`), which shows everything with the ids of the
//! container's user namespace: nothing is given another owner on disk.

use core::ffi::CStr;

use super::{failed, overlay};
use crate::fault::{Call, Fault, Step};
use crate::plan::{Body, Kind, Record, option};
use crate::sys::{self, BorrowedFd, Errno, Fd};

/// Records that only prepare: the stage, and directories of upper layers.
pub(crate) fn prepare(record: Record<'_>) -> Result<(), Fault> {
    let Record { index, kind, mut body } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    match kind {
        Kind::Stage => {
            let path = body.string().ok_or(broken)?;
            let data = body.string().ok_or(broken)?;
            sys::mount(c"tmpfs", path, c"tmpfs", 0, data).map_err(failed(Call::Mount, index))
        }
        Kind::UpperDir => overlay::upper_directory(record),
        _ => Ok(()),
    }
}

/// The mount of a record, if it is one that has a source; `users` is the user
/// namespace with whose ids it is shown.
pub(crate) fn mount(record: Record<'_>, users: Option<BorrowedFd>) -> Result<Option<Fd>, Fault> {
    match record.kind {
        Kind::RootOverlay => overlay::root(record, users).map(Some),
        Kind::RootBind => root(record).map(Some),
        Kind::Overlay => overlay::view(record, users).map(Some),
        Kind::Bind => bind(record, users).map(Some),
        _ => Ok(None),
    }
}

/// Where the mount of a root goes until it becomes `/`: onto itself, or onto
/// the directory made for it.
pub(super) fn root_target<'p>(kind: Kind, mut body: Body<'p>) -> Option<&'p CStr> {
    if kind == Kind::RootOverlay {
        body.u32()?;
    }
    body.string()
}

/// A directory as the root.
fn root(record: Record<'_>) -> Result<Fd, Fault> {
    let Record { index, mut body, .. } = record;
    let source = body.string().ok_or(Fault::broken_plan(Step::Filesystem, index))?;
    let tree = sys::open_tree(Fd::CWD, source, true).map_err(failed(Call::OpenTree, index))?;
    // Device nodes in it cannot be opened.
    sys::mount_setattr(tree.borrow(), sys::MOUNT_ATTR_NODEV)
        .map_err(failed(Call::MountSetattr, index))?;
    // What else the host's mount forbids its own users says nothing about a
    // root: an overlay would not take it over either. In a user namespace
    // nobody may lift it.
    let host = sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NOEXEC;
    match sys::mount_clear(tree.borrow(), host) {
        Ok(()) | Err(Errno::EPERM) => Ok(tree),
        Err(errno) => Err(failed(Call::MountSetattr, index)(errno)),
    }
}

fn bind(record: Record<'_>, users: Option<BorrowedFd>) -> Result<Fd, Fault> {
    let Record { index, mut body, .. } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    let flags = body.u32().ok_or(broken)?;
    let source = body.string().ok_or(broken)?;
    let recursive = flags & option::RECURSIVE != 0;
    let tree = sys::open_tree(Fd::CWD, source, recursive).map_err(failed(Call::OpenTree, index))?;
    if let Some(users) = users {
        match sys::mount_idmap(tree.borrow(), users) {
            // A file system that cannot: its owners are then nobody's.
            Ok(()) | Err(Errno::EINVAL | Errno::EPERM | Errno::ENOSYS) => {}
            Err(errno) => return Err(failed(Call::MountSetattr, index)(errno)),
        }
    }
    let bits = [(option::READ_ONLY, sys::MOUNT_ATTR_RDONLY), (option::NODEV, sys::MOUNT_ATTR_NODEV)];
    let set = bits.iter().filter(|(bit, _)| flags & bit != 0).fold(0, |set, (_, attribute)| set | attribute);
    if set != 0 {
        sys::mount_setattr(tree.borrow(), set).map_err(failed(Call::MountSetattr, index))?;
    }
    Ok(tree)
}
