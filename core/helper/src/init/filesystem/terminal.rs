//! The program's pseudo-terminal: from the container's own devpts, its master
//! end handed to the monitor, its other end bound to `/dev/console`.

use super::failed;
use super::root::Root;
use super::tree::{Stage, Tree};
use crate::fault::{Call, Fault};
use crate::plan::{Field, Plan};
use crate::sys;
use crate::sys::{BorrowedFd, Fd};

/// Opens the terminal; returns the program's end.
pub(super) fn open(
    plan: Plan<'_>,
    root: &mut Root,
    stage: Stage<'_>,
    monitor: BorrowedFd,
) -> Result<Fd, Fault> {
    let none = Fault::NO_RECORD;
    let master = root
        .open_file(c"dev/pts/ptmx", sys::O_RDWR | sys::O_NOCTTY)
        .map_err(failed(Call::Openat2, none))?;
    let terminal = other_end(plan, &master)?;

    let tree = Tree::open(stage, none, terminal.borrow(), c"", false)?;
    let console = root.file_target(c"dev/console", false).map_err(failed(Call::Openat2, none))?;
    tree.attach(console.borrow())?;

    sys::send(monitor, b"t", [Some(master.borrow()), None]).map_err(failed(Call::Send, none))?;
    Ok(terminal)
}

/// The program's end of a new terminal, with the size of the plan and the
/// program's user as its owner.
pub(crate) fn other_end(plan: Plan<'_>, master: &Fd) -> Result<Fd, Fault> {
    let none = Fault::NO_RECORD;
    sys::terminal_unlock(master.borrow()).map_err(failed(Call::Ioctl, none))?;
    let size = |field| plan.get(field).and_then(|size| u16::try_from(size).ok()).unwrap_or(0);
    let (rows, columns) = (size(Field::Rows), size(Field::Columns));
    sys::terminal_size(master.borrow(), rows, columns).map_err(failed(Call::Ioctl, none))?;
    let terminal = sys::terminal_peer(master.borrow()).map_err(failed(Call::Ioctl, none))?;
    let uid = plan.get(Field::Uid).and_then(|uid| u32::try_from(uid).ok()).unwrap_or(0);
    sys::fchown(terminal.borrow(), uid, u32::MAX).map_err(failed(Call::Fchown, none))?;
    Ok(terminal)
}
