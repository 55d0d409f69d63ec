//! A mount that is made, changed, and put in its place: open_tree(2),
//! mount_setattr(2), move_mount(2) of a mount that is attached nowhere yet.
//!
//! Where one of these is missing (they came with Linux 5.2, mount_setattr with
//! 5.12) mount(2) does its part, and the mount waits on the stage, the tmpfs
//! that no container sees. mount(2) takes paths: those of descriptors in
//! /proc, so that here too nothing is resolved twice.

use core::ffi::CStr;

use super::failed;
use super::mounts::{self, Descriptor};
use crate::fault::{Call, Fault};
use crate::plan::{Kind, Plan};
use crate::sys::{self, BorrowedFd, Errno, Fd};

/// Where mounts can wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage<'p>(Option<&'p CStr>);

impl<'p> Stage<'p> {
    /// None: what has to be shown with other ids cannot be made by mount(2),
    /// nor be handed over.
    pub(crate) const NONE: Stage<'static> = Stage(None);

    /// The stage that this process has, if nobody else makes its mounts.
    pub(super) fn of(plan: Plan<'p>, builder: Option<BorrowedFd>) -> Stage<'p> {
        let path = plan.of(Kind::Stage).next().and_then(|mut body| body.string());
        Stage(path.filter(|_| builder.is_none()))
    }

    pub(super) const fn is_there(self) -> bool {
        self.0.is_some()
    }

    /// Goes to the stage, and makes a directory or a file there to mount on.
    pub(super) fn place(self, is_directory: bool) -> sys::Result<&'static CStr> {
        let stage = sys::open(Fd::CWD, self.0.ok_or(Errno::ENOSYS)?, sys::O_PATH | sys::O_DIRECTORY, 0)?;
        sys::fchdir(stage.borrow())?;
        let (name, made) = match is_directory {
            true => (c"tree", sys::mkdir(Fd::CWD, c"tree", 0o700)),
            false => {
                let flags = sys::O_RDONLY | sys::O_CREAT | sys::O_NOFOLLOW;
                (c"file", sys::open(Fd::CWD, c"file", flags, 0o600).map(drop))
            }
        };
        match made {
            Ok(()) | Err(Errno::EEXIST) => Ok(name),
            Err(errno) => Err(errno),
        }
    }
}

/// A mount of one record.
pub(crate) struct Tree<'p> {
    /// Its root; where it is attached nowhere it is gone with this.
    fd: Fd,
    stage: Stage<'p>,
    /// Whether it waits there.
    waits: bool,
    index: u16,
}

impl<'p> Tree<'p> {
    /// A mount that is attached nowhere, or waits on the stage.
    pub(super) const fn adopt(stage: Stage<'p>, waits: bool, index: u16, fd: Fd) -> Tree<'p> {
        Tree { fd, stage, waits, index }
    }

    /// A copy of the mount at `path`, or of an open file if that is empty.
    pub(super) fn open(
        stage: Stage<'p>,
        index: u16,
        from: BorrowedFd,
        path: &CStr,
        recursive: bool,
    ) -> Result<Tree<'p>, Fault> {
        match sys::open_tree(from, path, recursive) {
            Err(errno) if errno.is_missing() && stage.is_there() => {
                let fd = bind(stage, index, from, path, recursive)?;
                Ok(Tree::adopt(stage, true, index, fd))
            }
            fd => fd.map(|fd| Tree::adopt(stage, false, index, fd)).map_err(failed(Call::OpenTree, index)),
        }
    }

    /// Gives `MS_…` flags to it and to all that is mounted below: those whose
    /// numbers the attributes of mount_setattr share, up to `MS_NOEXEC`.
    pub(super) fn set(&mut self, flags: u64) -> Result<(), Fault> {
        match sys::mount_setattr(self.fd.borrow(), flags) {
            Err(errno) if errno.is_missing() && self.stage.is_there() => {
                self.wait_on_stage()?;
                mounts::set(self.fd.borrow(), flags).map_err(failed(Call::Mount, self.index))
            }
            other => other.map_err(failed(Call::MountSetattr, self.index)),
        }
    }

    /// Takes such flags away from it.
    pub(super) fn clear(&mut self, flags: u64) -> Result<(), Fault> {
        match sys::mount_clear(self.fd.borrow(), flags) {
            Err(errno) if errno.is_missing() && self.stage.is_there() => {
                self.wait_on_stage()?;
                mounts::clear(self.fd.borrow(), flags).map_err(failed(Call::Mount, self.index))
            }
            other => other.map_err(failed(Call::MountSetattr, self.index)),
        }
    }

    /// mountinfo shows only what is attached somewhere.
    fn wait_on_stage(&mut self) -> Result<(), Fault> {
        if self.waits {
            return Ok(());
        }
        let kind = sys::stat(self.fd.borrow()).map_err(failed(Call::Fstat, self.index))?.mode & sys::S_IFMT;
        let open = || {
            let place = self.stage.place(kind == sys::S_IFDIR)?;
            sys::open(Fd::CWD, place, sys::O_PATH | sys::O_NOFOLLOW, 0)
        };
        self.attach(open().map_err(failed(Call::Open, self.index))?.borrow())?;
        self.waits = true;
        Ok(())
    }

    /// Puts it onto an open file or directory.
    pub(super) fn attach(&self, onto: BorrowedFd) -> Result<(), Fault> {
        match sys::move_mount(self.fd.borrow(), onto) {
            Err(errno) if errno.is_missing() => {
                let (from, to) = (Descriptor::of(self.fd.borrow()), Descriptor::of(onto));
                sys::mount(from.path(), to.path(), c"", sys::MS_MOVE, c"")
                    .map_err(failed(Call::Mount, self.index))
            }
            other => other.map_err(failed(Call::MoveMount, self.index)),
        }
    }

    pub(crate) const fn borrow(&self) -> BorrowedFd {
        self.fd.borrow()
    }

    pub(super) fn into_fd(self) -> Fd {
        self.fd
    }
}

/// A bind mount on the stage.
fn bind(
    stage: Stage<'_>,
    index: u16,
    from: BorrowedFd,
    path: &CStr,
    recursive: bool,
) -> Result<Fd, Fault> {
    let opened = match path.is_empty() {
        true => None,
        false => Some(sys::open(from, path, sys::O_PATH, 0).map_err(failed(Call::Open, index))?),
    };
    let source = opened.as_ref().map_or(from, Fd::borrow);
    let kind = sys::stat(source).map_err(failed(Call::Fstat, index))?.mode & sys::S_IFMT;
    let place = stage.place(kind == sys::S_IFDIR).map_err(failed(Call::Open, index))?;
    let flags = sys::MS_BIND | if recursive { sys::MS_REC } else { 0 };
    sys::mount(Descriptor::of(source).path(), place, c"", flags, c"").map_err(failed(Call::Mount, index))?;
    sys::open(Fd::CWD, place, sys::O_PATH | sys::O_NOFOLLOW, 0).map_err(failed(Call::Open, index))
}
