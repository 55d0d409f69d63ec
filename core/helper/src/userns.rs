//! The user namespace: its maps written by the parent, its ids taken by the
//! child (user_namespaces(7), newuidmap(1)).
//!
//! A child that was cloned with `CLONE_NEWUSER` waits on a socket until the
//! parent, which is outside, has written the maps: until then it has no ids.

use core::ffi::CStr;

use crate::fault::{Call, Fault, Step};
use crate::init::at;
use crate::monitor::number;
use crate::plan::{Field, Kind, Plan, flag};
use crate::sys::{self, BorrowedFd, CLONE_NEWUSER, Errno, Fd, Fork, POLLIN, Pointers, Watch};

/// The type of procfs (linux/magic.h).
const PROC: u64 = 0x9fa0;

/// What the parent sends when the maps are written.
const GO: &[u8] = b"g";

/// Whether pid 1 has a user namespace of its own.
pub(crate) fn is_wanted(plan: Plan<'_>) -> bool {
    plan.get(Field::CloneFlags).is_some_and(|flags| flags & CLONE_NEWUSER != 0)
}

fn failed(call: Call, index: u16) -> impl FnOnce(Errno) -> Fault {
    at(Step::User, call, index)
}

/// Parent: writes the maps of the child `pid` and lets it go on.
pub(crate) fn map(plan: Plan<'static>, pid: i32, child: BorrowedFd) -> Result<(), Fault> {
    let mut digits = [0; 21];
    let pid = pid_text(pid, &mut digits);
    for record in plan.records() {
        let mut body = record.body;
        let broken = Fault::broken_plan(Step::User, record.index);
        match record.kind {
            Kind::IdMap => {
                let name = body.string().ok_or(broken)?;
                let contents = body.string().ok_or(broken)?;
                write(pid, name, contents.to_bytes()).map_err(failed(Call::Write, record.index))?;
            }
            Kind::IdTool => tool(record.body, pid, record.index)?,
            _ => {}
        }
    }
    sys::send(child, GO, [None, None]).map_err(failed(Call::Send, Fault::NO_RECORD))
}

/// A process id in decimal digits, with its NUL.
pub(crate) fn pid_text(pid: i32, buffer: &mut [u8; 21]) -> &CStr {
    let digits = buffer.first_chunk_mut().map_or(0, |digits| {
        number::decimal(u64::from(pid.cast_unsigned()), digits).len()
    });
    let text = buffer.get(20_usize.saturating_sub(digits)..);
    text.and_then(|text| CStr::from_bytes_with_nul(text).ok()).unwrap_or(c"")
}

/// The kernel takes a map in one write or not at all.
pub(crate) fn write(pid: &CStr, name: &CStr, contents: &[u8]) -> sys::Result<()> {
    let flags = sys::O_PATH | sys::O_DIRECTORY;
    let proc = sys::open(Fd::CWD, c"/proc", flags, 0)?;
    let process = sys::open(proc.borrow(), pid, flags, 0)?;
    let file = sys::open(process.borrow(), name, sys::O_WRONLY, 0)?;
    // What is mounted there may be anything.
    if sys::file_system_type(file.borrow())? != PROC {
        return Err(Errno::EXDEV);
    }
    sys::write_all(file.borrow(), contents)
}

/// Runs newuidmap(1) or newgidmap(1), which look the map up in /etc/subuid.
fn tool(mut body: crate::plan::Body<'static>, pid: &CStr, index: u16) -> Result<(), Fault> {
    let broken = Fault::broken_plan(Step::User, index);
    let path = body.string().ok_or(broken)?;
    let mut count = 3_usize;
    let mut counted = body;
    while counted.string().is_some() {
        count = count.saturating_add(1);
    }
    let mut arguments = Pointers::with_room(count).map_err(failed(Call::Mmap, index))?;
    let environment = Pointers::with_room(0).map_err(failed(Call::Mmap, index))?;
    let fork = sys::clone(0, None, false).map_err(failed(Call::Fork, index))?;
    match fork {
        Fork::Child { .. } => {
            let mut fill = || -> sys::Result<()> {
                arguments.push(path)?;
                arguments.push(pid)?;
                while let Some(argument) = body.string() {
                    arguments.push(argument)?;
                }
                Ok(())
            };
            if fill().is_ok() {
                sys::block_signals(false);
                sys::execve(path, &arguments, &environment);
            }
            sys::exit(127)
        }
        Fork::Parent { pid, .. } => match sys::wait(pid, true).map_err(failed(Call::Died, index))? {
            Some(ended) if ended.status == 0 => Ok(()),
            // It has written its reason to the standard error that nobody has;
            // what it says is always: not in /etc/subuid.
            _ => Err(failed(Call::IdTool, index)(Errno::EPERM)),
        },
    }
}

/// Child: waits for the maps, then takes the ids 0 if there are any, and no
/// groups but those.
pub(crate) fn enter(plan: Plan<'_>, parent: BorrowedFd) -> Result<(), Fault> {
    let mut go = [0_u8; 1];
    match await_packet(parent, &mut go) {
        Ok(packet) if packet.length == 1 => {}
        // Nobody is there to hear a fault.
        _ => sys::exit(125),
    }
    take_root_ids(plan)
}

/// Takes the ids 0 of this user namespace, if it has them.
pub(crate) fn take_root_ids(plan: Plan<'_>) -> Result<(), Fault> {
    let none = Fault::NO_RECORD;
    if plan.has(flag::ROOT_IDS) {
        sys::setresgid(0).map_err(failed(Call::Setresgid, none))?;
        if !plan.has(flag::NO_SETGROUPS) {
            sys::setgroups(&[]).map_err(failed(Call::Setgroups, none))?;
        }
        sys::setresuid(0).map_err(failed(Call::Setresuid, none))?;
    }
    Ok(())
}

/// Waits for a packet; of length 0 if the other end is gone.
pub(crate) fn await_packet(socket: BorrowedFd, bytes: &mut [u8]) -> sys::Result<sys::Packet> {
    loop {
        match sys::receive(socket, bytes) {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
        sys::poll(&mut [Watch { fd: socket.0, events: POLLIN, ready: 0 }], None)?;
    }
}

/// Does `work` in a child with the ids of the plan's user namespace.
pub(crate) fn inside(
    plan: Plan<'static>,
    work: impl FnOnce() -> Result<(), Fault>,
) -> Result<(), Fault> {
    let none = Fault::NO_RECORD;
    let (ours, theirs) = sys::socketpair().map_err(failed(Call::Socketpair, none))?;
    // The child begins as this process is now, and until its maps are written
    // its files in /proc have to be the user's.
    sys::set_dumpable(true).map_err(failed(Call::Prctl, none))?;
    let fork = sys::clone(CLONE_NEWUSER, None, false).map_err(failed(Call::Clone, none));
    let closed = sys::set_dumpable(matches!(fork, Ok(Fork::Child { .. })));
    let pid = match fork? {
        Fork::Child { .. } => {
            drop(ours);
            let done = sys::die_with_parent()
                .map_err(failed(Call::Prctl, none))
                .and_then(|()| enter(plan, theirs.borrow()))
                .and_then(|()| sys::not_dumpable().map_err(failed(Call::Prctl, none)))
                .and_then(|()| work());
            if let Err(fault) = done {
                let _ = sys::send(theirs.borrow(), &fault.to_bytes(), [None, None]);
            }
            sys::exit(0)
        }
        Fork::Parent { pid, .. } => pid,
    };
    drop(theirs);
    let mapped =
        closed.map_err(failed(Call::Prctl, none)).and_then(|()| map(plan, pid, ours.borrow()));
    if mapped.is_err() {
        let _ = sys::kill(pid, sys::SIGKILL);
    }
    let mut bytes = [0_u8; 8];
    let packet = await_packet(ours.borrow(), &mut bytes);
    let ended = sys::wait(pid, true);
    mapped?;
    match (packet, ended) {
        (Ok(packet), _) if packet.length == 8 => Err(Fault::from_bytes(bytes)),
        (_, Ok(Some(ended))) if ended.status == 0 => Ok(()),
        _ => Err(at(Step::Launch, Call::Died, none)(Errno(0))),
    }
}
