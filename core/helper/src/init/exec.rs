//! `exec`: session and standard streams, limits, then the program.

use super::{Inherited, at, descriptor, filter};
use crate::fault::{Call, Fault, Step};
use crate::plan::{Body, Field, Kind, Plan};
use crate::sys::{self, BorrowedFd, Errno, Fd, Pointers};

/// A session of its own, with the terminal if there is one.
pub(crate) fn session(terminal: Option<BorrowedFd>) -> Result<(), Fault> {
    let failed = |call| at(Step::Exec, call, Fault::NO_RECORD);
    // Fails only for a session leader, which a fresh child is not.
    sys::setsid().map_err(failed(Call::Setsid))?;
    if let Some(terminal) = terminal {
        sys::controlling_terminal(terminal).map_err(failed(Call::Ioctl))?;
    }
    Ok(())
}

/// Streams 0 to 2. All other descriptors are close-on-exec.
pub(crate) fn streams(plan: Plan<'_>, terminal: Option<&Fd>) -> Result<(), Fault> {
    for (number, field) in [(0, Field::Stdin), (1, Field::Stdout), (2, Field::Stderr)] {
        let stream = terminal.map(Fd::borrow).or(descriptor(plan, field));
        let stream = stream.ok_or(Fault::broken_plan(Step::Exec, Fault::NO_RECORD))?;
        sys::dup_to(stream, number).map_err(at(Step::Exec, Call::Dup, Fault::NO_RECORD))?;
    }
    Ok(())
}

/// Limits of resources, which an ordinary user can only lower.
pub(crate) fn limits(plan: Plan<'_>) -> Result<(), Fault> {
    for mut record in plan.records().filter(|record| record.kind == Kind::Rlimit) {
        let broken = Fault::broken_plan(Step::Exec, record.index);
        let resource = record.body.u32().ok_or(broken)?;
        let soft = record.body.u64().ok_or(broken)?;
        let hard = record.body.u64().ok_or(broken)?;
        sys::setrlimit(resource, soft, hard)
            .map_err(at(Step::Exec, Call::Prlimit, record.index))?;
    }
    Ok(())
}

/// Loads the filter and executes the first candidate that exists. Comes back
/// only with a fault: EACCES wins over ENOENT, as in execvp(3).
pub(crate) fn execute(plan: Plan<'static>, inherited: &Inherited) -> Result<(), Fault> {
    let mask = plan.get(Field::Umask).and_then(|mask| u32::try_from(mask).ok());
    sys::umask(mask.unwrap_or(0o022));
    let arguments = pointers(plan, Kind::Argument)?;
    let environment = pointers(plan, Kind::Environment)?;
    let mut fault = Fault::broken_plan(Step::Exec, Fault::NO_RECORD);
    let mut refused = false;
    // What this process blocked, the program must not inherit.
    sys::block_signals(false);
    let filtered = filter::load(plan, inherited)?;
    for mut record in plan.records().filter(|record| record.kind == Kind::Program) {
        let Some(program) = record.body.string() else {
            fault = Fault::broken_plan(Step::Exec, record.index);
            break;
        };
        let errno = sys::execve(program, &arguments, &environment);
        if !refused {
            fault = at(Step::Exec, Call::Execve, record.index)(errno);
        }
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => refused = true,
            _ => break,
        }
    }
    if filtered {
        filter::fail(fault, inherited);
    }
    Err(fault)
}

fn pointers(plan: Plan<'static>, kind: Kind) -> Result<Pointers<'static>, Fault> {
    let failed = || at(Step::Exec, Call::Mmap, Fault::NO_RECORD);
    let mut pointers = Pointers::with_room(plan.of(kind).count()).map_err(failed())?;
    for mut body in plan.of(kind) {
        let body: &mut Body<'static> = &mut body;
        let string = body.string().ok_or(Fault::broken_plan(Step::Exec, Fault::NO_RECORD))?;
        pointers.push(string).map_err(failed())?;
    }
    Ok(pointers)
}
