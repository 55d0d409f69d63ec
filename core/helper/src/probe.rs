//! Tries what containers need, each in a process of its own: what a try does
//! to that process, be it a signal or no end, is an answer and no harm.
//!
//! ```text
//! host ── plan ──▶ this program ── clone(2) ──▶ one child for each ability
//!      ◀── one packet for each ──┘   ◀── a verdict ──┘
//! ```
//!
//! Children have namespaces of their own, as pid 1 of a container would have
//! them; what they mount goes with them.

mod calls;
mod mounts;
mod overlay;

use crate::ability::{Ability, Verdict};
use crate::fault::{Call, Fault};
use crate::init::descriptor;
use crate::message::Message;
use crate::monitor::number;
use crate::plan::{Field, Kind, Plan};
use crate::sys::{self, BorrowedFd, CLONE_NEWNS, CLONE_NEWUSER, Errno, Fd, POLLIN, Watch};
use crate::userns;

/// How long one try may take, nanoseconds.
const PATIENCE_NS: u64 = 2_000_000_000;

/// What a try comes to: a number, or the verdict that says why not.
type Tried = Result<u32, Verdict>;

/// Whose ids a try has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ids {
    /// The host's.
    Host,
    /// A user namespace in which 0 is the caller.
    Single,
    /// The user namespace of the plan.
    Plan,
}

/// Tries everything and tells the host, one by one.
pub(crate) fn run(plan: Plan<'static>) -> ! {
    let Some(channel) = descriptor(plan, Field::Channel) else { sys::exit(125) };
    for ability in Ability::ALL {
        let verdict = attempt(plan, *ability);
        let message = Message::Tried { ability: *ability as u8, verdict };
        // Nobody is there any more to be told the rest.
        if sys::send(channel, &message.to_bytes(), [None, None]).is_err() {
            sys::exit(0);
        }
    }
    let _ = sys::send(channel, &Message::Done.to_bytes(), [None, None]);
    sys::exit(0)
}

fn attempt(plan: Plan<'static>, ability: Ability) -> Verdict {
    use Ability as A;
    let own = if userns::is_wanted(plan) { Ids::Plan } else { Ids::Host };
    let host = |work: fn(Plan<'static>) -> Tried| within(plan, Ids::Host, 0, work);
    let in_own = |namespaces, work: fn(Plan<'static>) -> Tried| within(plan, own, namespaces, work);
    match ability {
        A::Clone3 => host(calls::clone3),
        A::IntoGroup => host(calls::into_group),
        A::Openat2 => host(calls::openat2),
        A::Pidfd => host(calls::pidfd),
        A::CloseRange => host(calls::close_range),
        A::User => within(plan, Ids::Single, 0, calls::right),
        A::UserMapped if plan.of(Kind::IdMap).chain(plan.of(Kind::IdTool)).next().is_none() => {
            Verdict::Untried
        }
        A::UserMapped => within(plan, Ids::Plan, 0, calls::right),
        A::Pid => in_own(sys::CLONE_NEWPID, calls::first_process),
        A::Mount => in_own(CLONE_NEWNS, mounts::private),
        A::Ipc => in_own(sys::CLONE_NEWIPC, calls::nothing),
        A::Uts => in_own(0, calls::host_name),
        A::Net => in_own(sys::CLONE_NEWNET, calls::loopback),
        A::Cgroup => in_own(0, calls::cgroup_namespace),
        A::Time => in_own(0, calls::time_namespace),
        A::MountApi => in_own(CLONE_NEWNS, mounts::by_descriptor),
        A::Proc => in_own(CLONE_NEWNS | sys::CLONE_NEWPID, mounts::proc),
        A::Sysfs => in_own(CLONE_NEWNS | sys::CLONE_NEWNET, mounts::sysfs),
        A::PivotRoot => in_own(CLONE_NEWNS, mounts::pivot_root),
        A::Overlay => in_own(CLONE_NEWNS, overlay::in_memory),
        A::OverlayUser => in_own(CLONE_NEWNS, overlay::in_memory_of_users),
        A::OverlayOnData => in_own(CLONE_NEWNS, overlay::on_data),
        // Only the host's root shows mounts with other ids.
        A::Idmap if own != Ids::Host => Verdict::Untried,
        A::Idmap => within(plan, Ids::Host, CLONE_NEWNS, mounts::idmap),
        A::Filter => host(calls::filter),
        A::Notify => host(calls::notify),
        A::Landlock => host(calls::landlock),
        A::Tun => in_own(sys::CLONE_NEWNET, calls::tun),
    }
}

fn refused(call: Call) -> impl Fn(Errno) -> Verdict {
    move |errno| Verdict::Refused { call, errno: errno.0 }
}

/// Of a call that the ability is about.
fn alone(errno: Errno) -> Verdict {
    refused(Call::Unknown)(errno)
}

fn of_fault(fault: Fault) -> Verdict {
    Verdict::Refused { call: fault.call, errno: fault.errno }
}

/// Does `work` in a child with these ids and namespaces.
fn within(
    plan: Plan<'static>,
    ids: Ids,
    namespaces: u64,
    work: fn(Plan<'static>) -> Tried,
) -> Verdict {
    let (ours, theirs) = match sys::socketpair() {
        Ok(pair) => pair,
        Err(errno) => return refused(Call::Socketpair)(errno),
    };
    let users = if ids == Ids::Host { 0 } else { CLONE_NEWUSER };
    match sys::fork(namespaces | users) {
        Err(errno) => refused(Call::Fork)(errno),
        Ok(None) => {
            drop(ours);
            let verdict = match enter(plan, ids, theirs.borrow()).and_then(|()| work(plan)) {
                Ok(number) => Verdict::Works(number),
                Err(verdict) => verdict,
            };
            let _ = sys::send(theirs.borrow(), &verdict.to_bytes(), [None, None]);
            sys::exit(0)
        }
        Ok(Some(pid)) => {
            drop(theirs);
            let mapped = match ids {
                Ids::Host => Ok(()),
                Ids::Single => single(plan, pid, ours.borrow()),
                Ids::Plan => userns::map(plan, pid, ours.borrow()).map_err(of_fault),
            };
            let verdict = match mapped {
                Ok(()) => answer(ours.borrow()),
                Err(verdict) => Some(verdict),
            };
            conclude(pid, verdict)
        }
    }
}

/// Child: takes its ids.
fn enter(plan: Plan<'static>, ids: Ids, parent: BorrowedFd) -> Result<(), Verdict> {
    let bound = || sys::die_with_parent().map_err(refused(Call::Prctl));
    bound()?;
    match ids {
        Ids::Host => return Ok(()),
        Ids::Plan => userns::enter(plan, parent).map_err(of_fault)?,
        Ids::Single => {
            match userns::await_packet(parent, &mut [0_u8; 1]) {
                Ok(packet) if packet.length == 1 => {}
                _ => sys::exit(125),
            }
            sys::setresgid(0).map_err(refused(Call::Setresgid))?;
            sys::setresuid(0).map_err(refused(Call::Setresuid))?;
        }
    }
    // A change of ids may have undone it (prctl(2), PR_SET_PDEATHSIG).
    bound()
}

/// Parent: maps 0 to the caller, which needs no right at all.
fn single(plan: Plan<'static>, pid: i32, child: BorrowedFd) -> Result<(), Verdict> {
    let of = |field| plan.get(field).unwrap_or(0);
    let mut digits = [0; 21];
    let pid = userns::pid_text(pid, &mut digits);
    let write = |name, contents: &[u8]| {
        userns::write(pid, name, contents).map_err(refused(Call::Write))
    };
    write(c"setgroups", b"deny")?;
    for (name, id) in [(c"uid_map", of(Field::Uid)), (c"gid_map", of(Field::Gid))] {
        let mut digits = [0; 20];
        let digits = number::decimal(id, &mut digits);
        let mut line = [b' '; 32];
        line[0] = b'0';
        let end = digits.len().saturating_add(4);
        sys::copy(line.get_mut(2..).unwrap_or_default(), digits);
        if let Some(one) = line.get_mut(end.saturating_sub(1)) {
            *one = b'1';
        }
        write(name, line.get(..end).unwrap_or_default())?;
    }
    sys::send(child, b"g", [None, None]).map_err(refused(Call::Send))
}

/// What the child says; `None` if it ends without a word.
fn answer(child: BorrowedFd) -> Option<Verdict> {
    let end = sys::monotonic_ns().saturating_add(PATIENCE_NS);
    loop {
        let mut bytes = [0_u8; 6];
        match sys::receive(child, &mut bytes) {
            Ok(sys::Packet { length: 6, .. }) => return Some(Verdict::from_bytes(bytes)),
            Err(Errno::EAGAIN) => {}
            _ => return None,
        }
        let Some(left) = end.checked_sub(sys::monotonic_ns()) else { return Some(Verdict::Hung) };
        let _ = sys::poll(&mut [Watch { fd: child.0, events: POLLIN, ready: 0 }], Some(left));
    }
}

/// Nothing of the child stays.
fn conclude(pid: i32, verdict: Option<Verdict>) -> Verdict {
    if verdict.is_some() {
        let _ = sys::kill(pid, sys::SIGKILL);
    }
    let status = sys::wait(pid, true).ok().flatten().map_or(0, |ended| ended.status);
    verdict.unwrap_or(match status & 0x7f {
        0 => Verdict::Refused { call: Call::Died, errno: 0 },
        signal => Verdict::Killed(signal),
    })
}

/// The directory of the plan on which things can be mounted.
fn stage(plan: Plan<'static>) -> Result<&'static core::ffi::CStr, Verdict> {
    plan.of(Kind::Scratch).next().and_then(|mut body| body.string()).ok_or(Verdict::Untried)
}

/// The same, in the data directory.
fn data(plan: Plan<'static>) -> Result<&'static core::ffi::CStr, Verdict> {
    plan.of(Kind::ScratchOnData).next().and_then(|mut body| body.string()).ok_or(Verdict::Untried)
}

/// A process in the plan's user namespace, until the descriptor is closed.
fn holder(plan: Plan<'static>) -> Result<(i32, Fd), Verdict> {
    let (ours, theirs) = sys::socketpair().map_err(refused(Call::Socketpair))?;
    match sys::fork(CLONE_NEWUSER).map_err(refused(Call::Fork))? {
        None => {
            drop(ours);
            let _ = sys::die_with_parent();
            while matches!(
                userns::await_packet(theirs.borrow(), &mut [0_u8; 1]),
                Ok(sys::Packet { length: 1, .. })
            ) {}
            sys::exit(0)
        }
        Some(pid) => {
            drop(theirs);
            userns::map(plan, pid, ours.borrow()).map_err(of_fault)?;
            Ok((pid, ours))
        }
    }
}
