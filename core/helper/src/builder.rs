//! The builder: mounts for a container with ids of its own what only the
//! host's root may open, and hands the mounts to pid 1.
//!
//! A child of the monitor with the host's ids and a mount namespace of its
//! own; it lives until everything is handed over. Each mount is shown with
//! the ids of the container's user namespace (mount_setattr(2),
//! `MOUNT_ATTR_IDMAP`), so nothing on disk gets another owner.

use crate::fault::{Call, Fault, Step};
use crate::init::filesystem::{self, Stage};
use crate::init::at;
use crate::plan::Plan;
use crate::sys::{self, BorrowedFd, CLONE_NEWNS, Errno, Fd, Fork};

const NONE: u16 = Fault::NO_RECORD;

/// Starts the builder for `pid`, whose maps are written. Its process id.
pub(crate) fn start(
    plan: Plan<'static>,
    pid: i32,
    init: BorrowedFd,
    monitor: BorrowedFd,
) -> Result<i32, Fault> {
    let users = user_namespace(pid).map_err(at(Step::User, Call::Open, NONE))?;
    match sys::clone(CLONE_NEWNS, None, false).map_err(at(Step::Launch, Call::Fork, NONE))? {
        Fork::Child { .. } => {
            if let Err(fault) = build(plan, users.borrow(), init) {
                let _ = sys::send(monitor, &fault.to_bytes(), [None, None]);
            }
            sys::exit(0)
        }
        Fork::Parent { pid, .. } => Ok(pid),
    }
}

pub(crate) fn user_namespace(pid: i32) -> sys::Result<Fd> {
    let flags = sys::O_PATH | sys::O_DIRECTORY;
    let proc = sys::open(Fd::CWD, c"/proc", flags, 0)?;
    let mut digits = [0; 21];
    let process = sys::open(proc.borrow(), crate::userns::pid_text(pid, &mut digits), flags, 0)?;
    sys::open(process.borrow(), c"ns/user", sys::O_RDONLY, 0)
}

fn build(plan: Plan<'static>, users: BorrowedFd, init: BorrowedFd) -> Result<(), Fault> {
    sys::die_with_parent().map_err(at(Step::Launch, Call::Prctl, NONE))?;
    let flags = sys::MS_REC | sys::MS_PRIVATE;
    sys::mount(c"", c"/", c"", flags, c"").map_err(at(Step::Filesystem, Call::Mount, NONE))?;
    for record in plan.records() {
        filesystem::source::prepare(record)?;
        if let Some(mount) = filesystem::source::mount(record, Some(users), Stage::NONE)? {
            let sent = sys::send(init, b"m", [Some(mount.borrow()), None]);
            sent.map_err(at(Step::Filesystem, Call::Send, record.index))?;
        }
    }
    Ok(())
}

/// pid 1: the next mount. A builder that is gone has told its fault.
pub(crate) fn next(builder: BorrowedFd) -> sys::Result<Fd> {
    let mut byte = [0_u8; 1];
    let packet = crate::userns::await_packet(builder, &mut byte)?;
    match packet {
        sys::Packet { length: 0, .. } => sys::exit(125),
        sys::Packet { fd: Some(mount), .. } => Ok(mount),
        // The descriptor got lost: this process may have no more of them.
        sys::Packet { .. } => Err(Errno::EMFILE),
    }
}
