//! Overlays: the container's root, and copy-on-write views of host folders.
//!
//! Made through file descriptors (fsopen(2), fsconfig(2)): each lower layer is
//! an option of its own, so neither their number nor their names meet the one
//! page that mount(2) has for its options. Where that does not work, because
//! the calls (Linux 5.2) or the option (6.7) are missing, [`layers`] takes over.

use core::ffi::CStr;

use super::source::attributes;
use super::tree::{Stage, Tree};
use super::{failed, layers};
use crate::fault::{Call, Fault, Step};
use crate::plan::{Body, Record, option};
use crate::sys::{self, BorrowedFd, Errno, Fd};

/// A directory of an upper layer, made before the overlay is mounted.
pub(super) fn upper_directory(record: Record<'_>) -> Result<(), Fault> {
    let Record { index, mut body, .. } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    let mut number = || body.u32().ok_or(broken);
    let (flags, mode, uid, gid) = (number()?, number()?, number()?, number()?);
    let path = body.string().ok_or(broken)?;
    sys::mkdir(Fd::CWD, path, 0o700).map_err(failed(Call::Mkdir, index))?;
    let made = sys::open(Fd::CWD, path, sys::O_RDONLY | sys::O_DIRECTORY | sys::O_NOFOLLOW, 0)
        .map_err(failed(Call::Open, index))?;
    // The owner first: a change of owner may clear mode bits (chown(2)).
    if uid != 0 || gid != 0 {
        sys::fchown(made.borrow(), uid, gid).map_err(failed(Call::Fchown, index))?;
    }
    sys::fchmod(made.borrow(), mode).map_err(failed(Call::Fchmod, index))?;
    if flags & option::OPAQUE != 0 {
        let name = match flags & option::USERXATTR {
            0 => c"trusted.overlay.opaque",
            _ => c"user.overlay.opaque",
        };
        sys::fsetxattr(made.borrow(), name, b"y").map_err(failed(Call::Setxattr, index))?;
    }
    Ok(())
}

/// The overlay that becomes the container's root.
pub(super) fn root<'p>(
    record: Record<'_>,
    users: Option<BorrowedFd>,
    stage: Stage<'p>,
) -> Result<Tree<'p>, Fault> {
    let Record { index, mut body, .. } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    let flags = body.u32().ok_or(broken)?;
    let target = body.string().ok_or(broken)?;
    let upper = body.string().ok_or(broken)?;
    let work = body.string().ok_or(broken)?;
    let count = body.u32().ok_or(broken)?;
    let lowers = Lowers { count, paths: body, shown: users.map(|users| (users, target)) };
    overlay(stage, index, flags, upper, work, lowers)
}

/// A copy-on-write view of a host directory.
pub(super) fn view<'p>(
    record: Record<'_>,
    users: Option<BorrowedFd>,
    stage: Stage<'p>,
) -> Result<Tree<'p>, Fault> {
    let Record { index, mut body, .. } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    let flags = body.u32().ok_or(broken)?;
    let paths = body;
    let _source = body.string().ok_or(broken)?;
    let _target = body.string().ok_or(broken)?;
    let upper = body.string().ok_or(broken)?;
    let work = body.string().ok_or(broken)?;
    let shown = match users {
        Some(users) => Some((users, body.string().ok_or(broken)?)),
        None => None,
    };
    overlay(stage, index, flags, upper, work, Lowers { count: 1, paths, shown })
}

/// The lower layers of an overlay.
#[derive(Clone, Copy)]
struct Lowers<'a> {
    count: u32,
    /// Begins with their paths, uppermost first.
    paths: Body<'a>,
    /// The user namespace with whose ids they are shown, and a directory that
    /// nothing else is mounted on.
    shown: Option<(BorrowedFd, &'a CStr)>,
}

/// Adds one lower layer. Shown with other ids it is a mount of its own, which
/// has to be attached somewhere: one upon the other on the same directory,
/// whose path means the last of them.
fn add_lower(fs: BorrowedFd, lower: &CStr, lowers: &Lowers<'_>, index: u16) -> Result<(), Fault> {
    let config = || failed(Call::Fsconfig, index);
    let Some((users, place)) = lowers.shown else {
        return directory(fs, c"lowerdir+", lower).map_err(config());
    };
    let tree = sys::open_tree(Fd::CWD, lower, false).map_err(failed(Call::OpenTree, index))?;
    sys::mount_idmap(tree.borrow(), users).map_err(failed(Call::MountSetattr, index))?;
    let onto = sys::open(Fd::CWD, place, sys::O_PATH | sys::O_DIRECTORY, 0)
        .map_err(failed(Call::Open, index))?;
    sys::move_mount(tree.borrow(), onto.borrow()).map_err(failed(Call::MoveMount, index))?;
    directory(fs, c"lowerdir+", place).map_err(config())
}

/// Longest value of an option (fsconfig(2): 256 bytes with its NUL).
const VALUE_MAX: usize = 255;

/// A directory as an option. Where its path is too long, or has a backslash
/// (an escape to overlayfs), this process goes there and names it as `.`.
fn directory(fs: BorrowedFd, key: &CStr, path: &CStr) -> sys::Result<()> {
    if path.count_bytes() <= VALUE_MAX && !path.to_bytes().contains(&b'\\') {
        return sys::fsconfig_string(fs, key, path);
    }
    let dir = sys::open(Fd::CWD, path, sys::O_PATH | sys::O_DIRECTORY, 0)?;
    sys::fchdir(dir.borrow())?;
    sys::fsconfig_string(fs, key, c".")
}

/// An overlay, made in the one way or the other.
fn overlay<'p>(
    stage: Stage<'p>,
    index: u16,
    flags: u32,
    upper: &CStr,
    work: &CStr,
    lowers: Lowers<'_>,
) -> Result<Tree<'p>, Fault> {
    let adopt = |waits| move |fd| Tree::adopt(stage, waits, index, fd);
    match detached(index, flags, upper, work, lowers) {
        // No such call, an option that it does not know, or a kernel that
        // cannot make this overlay: mount(2) will say which.
        Err(first @ Fault { call: Call::Fsopen | Call::Fsconfig | Call::Fsmount, errno, .. })
            if stage.is_there() && (Errno(errno).is_missing() || Errno(errno) == Errno::EINVAL) =>
        {
            let mut strings = lowers.paths;
            let paths = (0..lowers.count).map_while(move |_| strings.string());
            match layers::mount(stage, flags, paths, upper, work) {
                Err(second) if second == Errno(errno) => Err(first),
                fd => fd.map(adopt(true)).map_err(failed(Call::Mount, index)),
            }
        }
        fd => fd.map(adopt(false)),
    }
}

/// An overlay that is attached nowhere.
fn detached(
    index: u16,
    flags: u32,
    upper: &CStr,
    work: &CStr,
    mut lowers: Lowers<'_>,
) -> Result<Fd, Fault> {
    let fs = sys::fsopen(c"overlay").map_err(failed(Call::Fsopen, index))?;
    let fs = fs.borrow();
    let config = || failed(Call::Fsconfig, index);
    for _ in 0..lowers.count {
        let lower = lowers.paths.string().ok_or(Fault::broken_plan(Step::Filesystem, index))?;
        add_lower(fs, lower, &lowers, index)?;
    }
    directory(fs, c"upperdir", upper).map_err(config())?;
    directory(fs, c"workdir", work).map_err(config())?;
    if flags & option::VOLATILE != 0 {
        sys::fsconfig_flag(fs, c"volatile").map_err(config())?;
    }
    if flags & option::USERXATTR != 0 {
        sys::fsconfig_flag(fs, c"userxattr").map_err(config())?;
    }
    sys::fsconfig_create(fs).map_err(config())?;
    // Device nodes in a layer cannot be opened.
    let attributes = attributes(flags | option::NODEV);
    sys::fsmount(fs, attributes).map_err(failed(Call::Fsmount, index))
}
