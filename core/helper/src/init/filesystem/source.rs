//! What is mounted: made from paths of the host, attached nowhere yet.
//!
//! Runs in pid 1, or, where pid 1 has other ids than the host's root, in the
//! builder (`builder.rs`), which shows everything with the ids of the
//! container's user namespace: nothing is given another owner on disk.

use core::ffi::CStr;

use super::tree::{Stage, Tree};
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
pub(crate) fn mount<'p>(
    record: Record<'_>,
    users: Option<BorrowedFd>,
    stage: Stage<'p>,
) -> Result<Option<Tree<'p>>, Fault> {
    match record.kind {
        Kind::RootOverlay => overlay::root(record, users, stage).map(Some),
        Kind::RootBind => root(record, stage).map(Some),
        Kind::Overlay => overlay::view(record, users, stage).map(Some),
        Kind::Bind => bind(record, users, stage).map(Some),
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
fn root<'p>(record: Record<'_>, stage: Stage<'p>) -> Result<Tree<'p>, Fault> {
    let Record { index, mut body, .. } = record;
    let source = body.string().ok_or(Fault::broken_plan(Step::Filesystem, index))?;
    let mut tree = Tree::open(stage, index, Fd::CWD, source, true)?;
    // Device nodes in it cannot be opened.
    tree.set(sys::MS_NODEV)?;
    // What else the host's mount forbids its own users says nothing about a
    // root: an overlay would not take it over either. In a user namespace
    // nobody may lift it.
    match tree.clear(sys::MS_NOSUID | sys::MS_NOEXEC) {
        Err(fault) if Errno(fault.errno) != Errno::EPERM => Err(fault),
        _ => Ok(tree),
    }
}

fn bind<'p>(
    record: Record<'_>,
    users: Option<BorrowedFd>,
    stage: Stage<'p>,
) -> Result<Tree<'p>, Fault> {
    let Record { index, mut body, .. } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    let flags = body.u32().ok_or(broken)?;
    let source = body.string().ok_or(broken)?;
    let recursive = flags & option::RECURSIVE != 0;
    let mut tree = Tree::open(stage, index, Fd::CWD, source, recursive)?;
    if let Some(users) = users {
        match sys::mount_idmap(tree.borrow(), users) {
            // A file system that cannot: its owners are then nobody's.
            Ok(()) | Err(Errno::EINVAL | Errno::EPERM | Errno::ENOSYS) => {}
            Err(errno) => return Err(failed(Call::MountSetattr, index)(errno)),
        }
    }
    let set = attributes(flags);
    if set != 0 {
        tree.set(set)?;
    }
    Ok(tree)
}

/// The `MS_…` flags of a bind's or an overlay's options. Attributes of a mount
/// have the same numbers (mount_setattr(2)).
pub(super) fn attributes(options: u32) -> u64 {
    let bits = [
        (option::READ_ONLY, sys::MS_RDONLY),
        (option::NODEV, sys::MS_NODEV),
        (option::NOSUID, sys::MS_NOSUID),
        (option::NOEXEC, sys::MS_NOEXEC),
    ];
    bits.iter().filter(|(bit, _)| options & bit != 0).fold(0, |set, (_, flag)| set | flag)
}
