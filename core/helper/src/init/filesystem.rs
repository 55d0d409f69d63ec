//! `filesystem`: the container's root is put together from the plan's records
//! and becomes `/`.
//!
//! Everything happens in this process' own mount namespace: the host's mount
//! table never sees it, and all of it is gone with the last process of the
//! container. Sources are the host's paths (the caller chose them). Targets
//! lie in a root that may be hostile and are only ever reached through
//! [`root::Root`].

mod device;
mod enter;
mod kernel;
mod layers;
mod mounts;
mod overlay;
mod root;
pub(crate) mod source;
pub(crate) mod terminal;
mod tree;

use core::ffi::CStr;

use super::{Inherited, at};
use crate::builder;
use crate::fault::{Call, Fault, Step};
use crate::plan::{Body, Kind, Plan, Record, flag, option, strict};
use crate::sys::{self, BorrowedFd, Errno, Fd};
use root::Root;
pub(crate) use mounts::root_is_rootfs;
pub(crate) use tree::Stage;
use tree::Tree;

/// The fault of `call` for one record.
fn failed(call: Call, index: u16) -> impl FnOnce(Errno) -> Fault {
    at(Step::Filesystem, call, index)
}

/// Builds the root and enters it. Returns the program's side of the terminal.
pub(super) fn set_up(plan: Plan<'_>, inherited: &Inherited) -> Result<Option<Fd>, Fault> {
    let none = Fault::NO_RECORD;
    // Nothing that is mounted or unmounted here reaches the host, nor the
    // other way round.
    sys::mount(c"", c"/", c"", sys::MS_REC | sys::MS_PRIVATE, c"").map_err(failed(Call::Mount, none))?;

    let builder = inherited.builder(plan);
    let maker = Maker { builder, stage: Stage::of(plan, builder) };
    let mut root = None;
    let mut terminal = None;
    for record in plan.records() {
        step(record, &mut root, maker)?;
        if let (Kind::Terminal, Some(root)) = (record.kind, &mut root) {
            root.mounted();
            terminal = Some(terminal::open(plan, root, maker.stage, inherited.monitor.borrow())?);
        }
    }
    let root = root.ok_or(Fault::broken_plan(Step::Filesystem, none))?;

    enter::enter(root.borrow())?;
    if plan.has(flag::READ_ONLY) {
        // What is not named is taken away.
        let flags = sys::MS_REMOUNT | sys::MS_BIND | sys::MS_RDONLY | sys::MS_NODEV;
        sys::mount(c"", c"/", c"", flags, c"").map_err(failed(Call::Mount, none))?;
        for record in plan.records().filter(|record| record.kind == Kind::Overlay) {
            if let Some(part) = part(record.body) {
                let failed = failed(Call::Mount, record.index);
                sys::mount(c"", part, c"", flags, c"").map_err(failed)?;
            }
        }
    }
    Ok(terminal)
}

/// Where an overlay is that is a part of the root, seen from the root.
fn part<'p>(mut body: Body<'p>) -> Option<&'p CStr> {
    let flags = body.u32()?;
    let _source = body.string()?;
    body.string().filter(|_| flags & option::PART != 0)
}

/// Who makes the mounts with a source.
#[derive(Clone, Copy)]
struct Maker<'p> {
    /// Another process, from which they come.
    builder: Option<BorrowedFd>,
    /// This one, with a place to let them wait.
    stage: Stage<'p>,
}

/// One record: either it helps to make the root, or it reaches into it.
fn step(record: Record<'_>, place: &mut Option<Root>, maker: Maker<'_>) -> Result<(), Fault> {
    let Record { index, kind, body } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    match kind {
        Kind::Stage | Kind::UpperDir if maker.builder.is_none() => source::prepare(record)?,
        Kind::RootOverlay | Kind::RootBind => {
            let mount = mount(record, maker)?;
            // Whoever cannot reach the places of the host's root has its own.
            let target = match maker.builder {
                None => source::root_target(kind, body).ok_or(broken)?,
                Some(_) => c"/",
            };
            let onto = sys::open(Fd::CWD, target, sys::O_PATH | sys::O_DIRECTORY, 0)
                .map_err(failed(Call::Open, index))?;
            mount.attach(onto.borrow())?;
            *place = Some(Root::adopt(mount.into_fd()));
        }
        Kind::Filesystem
        | Kind::Directory
        | Kind::Device
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
            inside(record, root, maker)?;
        }
        // Other steps' records.
        _ => {}
    }
    Ok(())
}

/// The mount of a record with a source: made here, or by the builder.
fn mount<'p>(record: Record<'_>, maker: Maker<'p>) -> Result<Tree<'p>, Fault> {
    let broken = Fault::broken_plan(Step::Filesystem, record.index);
    match maker.builder {
        Some(builder) => builder::next(builder)
            .map(|fd| Tree::adopt(maker.stage, false, record.index, fd))
            .map_err(failed(Call::Recv, record.index)),
        None => source::mount(record, None, maker.stage)?.ok_or(broken),
    }
}

/// A record that makes or mounts something in the root.
fn inside(record: Record<'_>, root: &mut Root, maker: Maker<'_>) -> Result<(), Fault> {
    let Record { index, kind, mut body } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    match kind {
        Kind::Filesystem => file_system(record, root),
        Kind::Directory => {
            let mode = body.u32().ok_or(broken)?;
            let path = body.string().ok_or(broken)?;
            root.directory(path, mode).map(drop).map_err(failed(Call::Mkdir, index))
        }
        Kind::Device => device::make(record, root, maker.stage),
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
        Kind::Bind | Kind::Overlay => {
            let mount = mount(record, maker)?;
            let flags = body.u32().ok_or(broken)?;
            let _source = body.string().ok_or(broken)?;
            let target = body.string().ok_or(broken)?;
            let in_kernel = flags & option::KERNEL != 0;
            let onto = match kind {
                Kind::Bind if flags & option::FILE != 0 => {
                    root.file_target(target, in_kernel).map_err(failed(Call::Open, index))?
                }
                _ => root.directory_target(target, in_kernel).map_err(failed(Call::Mkdir, index))?,
            };
            mount.attach(onto.borrow())?;
            root.kernel.mounted(root.borrow(), target).map_err(failed(Call::Fstat, index))
        }
        Kind::Mask => mask(root, maker.stage, body.string().ok_or(broken)?, index),
        Kind::ReadOnly => read_only(root, maker.stage, body.string().ok_or(broken)?, index),
        _ => Ok(()),
    }
}

/// Whether a record makes a file or directory and mounts nothing. (A device
/// that is mounted says so itself.)
const fn makes_only(kind: Kind) -> bool {
    matches!(kind, Kind::Directory | Kind::Device | Kind::Symlink | Kind::File)
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
    let onto = match flags & strict::NO_SYMLINKS {
        0 => root.directory_target(target, flags & strict::KERNEL != 0),
        _ => root.plain_directory(target, 0o755),
    };
    let onto = onto.map_err(failed(Call::Mkdir, index))?;
    sys::fchdir(onto.borrow()).map_err(failed(Call::Chdir, index))?;
    let flags = flags & !(strict::NO_SYMLINKS | strict::KERNEL);
    sys::mount(kind, c".", kind, flags, data).map_err(failed(Call::Mount, index))?;
    root.kernel.mounted(root.borrow(), target).map_err(failed(Call::Fstat, index))
}

/// Hides a path: a directory under an empty read-only tmpfs, a file under the
/// container's own null device.
fn mask(root: &mut Root, stage: Stage<'_>, path: &CStr, index: u16) -> Result<(), Fault> {
    let Some(target) = root.existing(path).map_err(failed(Call::Openat2, index))? else {
        return Ok(());
    };
    let stat = root.kernel.own(path, target.borrow()).map_err(failed(Call::Fstat, index))?;
    if stat.mode & sys::S_IFMT == sys::S_IFDIR {
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
    root.kernel.own(path, target.borrow()).map_err(failed(Call::Fstat, index))?;
    let mut tree = Tree::open(stage, index, target.borrow(), c"", true)?;
    tree.set(sys::MS_RDONLY)?;
    tree.attach(target.borrow())
}
