//! `filesystem`: the container's root is put together from the plan's records
//! and becomes `/`.
//!
//! Everything happens in this process' own mount namespace: the host's mount
//! table never sees it, and all of it is gone with the last process of the
//! container. Sources are the host's paths (the caller chose them). Targets
//! lie in a root that may be hostile and are only ever reached through
//! [`root::Root`].

mod enter;
mod layers;
mod mounts;
mod overlay;
mod root;
mod terminal;
mod tree;

use core::ffi::CStr;

use super::at;
use crate::fault::{Call, Fault, Step};
use crate::plan::{Kind, Plan, Record, flag, option, strict};
use crate::sys::{self, BorrowedFd, Errno, Fd};
use root::Root;
use tree::{Stage, Tree};

/// The fault of `call` for one record.
fn failed(call: Call, index: u16) -> impl FnOnce(Errno) -> Fault {
    at(Step::Filesystem, call, index)
}

/// Builds the root and enters it. Returns the program's side of the terminal.
pub(super) fn set_up(plan: Plan<'_>, monitor: BorrowedFd) -> Result<Option<Fd>, Fault> {
    let none = Fault::NO_RECORD;
    // Nothing that is mounted or unmounted here reaches the host, nor the
    // other way round.
    sys::mount(c"", c"/", c"", sys::MS_REC | sys::MS_PRIVATE, c"").map_err(failed(Call::Mount, none))?;

    let mut root = None;
    let stage = Stage::of(plan);
    for record in plan.records() {
        step(record, stage, &mut root)?;
    }
    let mut root = root.ok_or(Fault::broken_plan(Step::Filesystem, none))?;
    let terminal = match plan.has(flag::TERMINAL) {
        true => Some(terminal::open(plan, &mut root, monitor)?),
        false => None,
    };

    enter::enter(root.borrow())?;
    if plan.has(flag::READ_ONLY) {
        let flags = sys::MS_REMOUNT | sys::MS_BIND | sys::MS_RDONLY;
        sys::mount(c"", c"/", c"", flags, c"").map_err(failed(Call::Mount, none))?;
    }
    Ok(terminal)
}

/// One record: either it helps to make the root, or it reaches into it.
fn step(record: Record<'_>, stage: Stage<'_>, place: &mut Option<Root>) -> Result<(), Fault> {
    let Record { index, kind, mut body } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    match kind {
        Kind::Stage => {
            let path = body.string().ok_or(broken)?;
            let data = body.string().ok_or(broken)?;
            sys::mount(c"tmpfs", path, c"tmpfs", 0, data).map_err(failed(Call::Mount, index))?;
        }
        Kind::UpperDir => overlay::upper_directory(record)?,
        Kind::RootOverlay => *place = Some(overlay::root(record, stage)?),
        Kind::RootBind => *place = Some(bound_root(record, stage)?),
        Kind::Filesystem
        | Kind::Directory
        | Kind::Node
        | Kind::Symlink
        | Kind::File
        | Kind::Bind
        | Kind::Overlay
        | Kind::Mask
        | Kind::ReadOnly => {
            let root = place.as_mut().ok_or(broken)?;
            if !makes_only(kind) {
                root.mounted();
            }
            inside(record, stage, root)?;
        }
        // Other steps' records.
        _ => {}
    }
    Ok(())
}

/// A record that makes or mounts something in the root.
fn inside(record: Record<'_>, stage: Stage<'_>, root: &mut Root) -> Result<(), Fault> {
    let Record { index, kind, mut body } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    match kind {
        Kind::Filesystem => file_system(record, root),
        Kind::Directory => {
            let mode = body.u32().ok_or(broken)?;
            let path = body.string().ok_or(broken)?;
            root.directory(path, mode).map(drop).map_err(failed(Call::Mkdir, index))
        }
        Kind::Node => {
            let mut number = || body.u32().ok_or(broken);
            let (mode, major, minor) = (number()?, number()?, number()?);
            let path = body.string().ok_or(broken)?;
            root.node(path, mode, major, minor).map_err(failed(Call::Mknod, index))
        }
        Kind::Symlink => {
            let contents = body.string().ok_or(broken)?;
            let path = body.string().ok_or(broken)?;
            root.symlink(contents, path).map_err(failed(Call::Symlink, index))
        }
        Kind::File => {
            let mode = body.u32().ok_or(broken)?;
            let path = body.string().ok_or(broken)?;
            let length = usize::try_from(body.u32().ok_or(broken)?).map_err(|_| broken)?;
            let contents = body.bytes(length).ok_or(broken)?;
            root.file(path, mode, contents).map_err(failed(Call::Write, index))
        }
        Kind::Bind => bind(record, stage, root),
        Kind::Overlay => overlay::view(record, stage, root),
        Kind::Mask => mask(root, stage, body.string().ok_or(broken)?, index),
        Kind::ReadOnly => read_only(root, stage, body.string().ok_or(broken)?, index),
        _ => Ok(()),
    }
}

/// A directory as the root, mounted on itself: a root has to be a mount.
fn bound_root(record: Record<'_>, stage: Stage<'_>) -> Result<Root, Fault> {
    let Record { index, mut body, .. } = record;
    let source = body.string().ok_or(Fault::broken_plan(Step::Filesystem, index))?;
    let mut tree = Tree::open(stage, index, Fd::CWD, source, true)?;
    // What the host's mount forbids its own users says nothing about a root:
    // an overlay would not take it over either.
    tree.clear(sys::MS_NOSUID | sys::MS_NODEV | sys::MS_NOEXEC)?;
    let onto = sys::open(Fd::CWD, source, sys::O_PATH | sys::O_DIRECTORY, 0)
        .map_err(failed(Call::Open, index))?;
    tree.attach(onto.borrow())?;
    Ok(Root::adopt(tree.into_fd()))
}

fn bind(record: Record<'_>, stage: Stage<'_>, root: &mut Root) -> Result<(), Fault> {
    let Record { index, mut body, .. } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    let flags = body.u32().ok_or(broken)?;
    let source = body.string().ok_or(broken)?;
    let target = body.string().ok_or(broken)?;
    let recursive = flags & option::RECURSIVE != 0;
    let mut tree = Tree::open(stage, index, Fd::CWD, source, recursive)?;
    if flags & option::READ_ONLY != 0 {
        tree.read_only()?;
    }
    let onto = match flags & option::FILE {
        0 => root.directory(target, 0o755).map_err(failed(Call::Mkdir, index))?,
        _ => root.file_target(target).map_err(failed(Call::Open, index))?,
    };
    tree.attach(onto.borrow())
}

/// Whether a record makes a file or directory and mounts nothing.
const fn makes_only(kind: Kind) -> bool {
    matches!(kind, Kind::Directory | Kind::Node | Kind::Symlink | Kind::File)
}

/// mount(2) on the current directory: the target was opened inside the root,
/// and no path of it is walked a second time.
fn file_system(record: Record<'_>, root: &mut Root) -> Result<(), Fault> {
    let Record { index, mut body, .. } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    let flags = body.u64().ok_or(broken)?;
    let kind = body.string().ok_or(broken)?;
    let target = body.string().ok_or(broken)?;
    let data = body.string().ok_or(broken)?;
    let target = match flags & strict::NO_SYMLINKS {
        0 => root.directory(target, 0o755),
        _ => root.plain_directory(target, 0o755),
    };
    let target = target.map_err(failed(Call::Mkdir, index))?;
    sys::fchdir(target.borrow()).map_err(failed(Call::Chdir, index))?;
    sys::mount(kind, c".", kind, flags & !strict::NO_SYMLINKS, data)
        .map_err(failed(Call::Mount, index))
}

/// Hides a path: a directory under an empty read-only tmpfs, a file under the
/// container's own null device.
fn mask(root: &mut Root, stage: Stage<'_>, path: &CStr, index: u16) -> Result<(), Fault> {
    let Some(target) = root.existing(path).map_err(failed(Call::Openat2, index))? else {
        return Ok(());
    };
    let mode = sys::stat(target.borrow()).map_err(failed(Call::Fstat, index))?.mode;
    if mode & sys::S_IFMT == sys::S_IFDIR {
        sys::fchdir(target.borrow()).map_err(failed(Call::Chdir, index))?;
        return sys::mount(c"tmpfs", c".", c"tmpfs", sys::MS_RDONLY, c"nr_blocks=1,nr_inodes=1")
            .map_err(failed(Call::Mount, index));
    }
    let null = root.null().map_err(failed(Call::Openat2, index))?;
    Tree::open(stage, index, null, c"", false)?.attach(target.borrow())
}

fn read_only(root: &Root, stage: Stage<'_>, path: &CStr, index: u16) -> Result<(), Fault> {
    let Some(target) = root.existing(path).map_err(failed(Call::Openat2, index))? else {
        return Ok(());
    };
    let mut tree = Tree::open(stage, index, target.borrow(), c"", true)?;
    tree.read_only()?;
    tree.attach(target.borrow())
}
