//! The joiner: from the host into the container, and there to the program.
//!
//! cgroup → streams → namespaces → terminal → user → landlock → chdir → exec
//!
//! Until its last step it has no process id inside, so no process of the
//! container can trace it or look at it through /proc; it is not dumpable
//! besides, against those outside. Of the host it has the program's streams
//! and the socket of its parent.

use crate::fault::{Call, Fault, Step};
use crate::init::filesystem::terminal;
use crate::init::{self, Inherited, at, cgroup, chdir, descriptor, exec, filter, landlock, user};
use crate::plan::{Field, Kind, Plan, flag};
use crate::sys::{self, BorrowedFd, CLONE_FILES, CLONE_NEWUSER, CLONE_PARENT, Errno, Fd, Fork, POLLIN, Watch};
use crate::userns;

const NONE: u16 = Fault::NO_RECORD;

/// Runs the joiner; the fault of a step that failed goes to the parent.
pub(super) fn run(plan: Plan<'static>, inherited: Inherited) -> ! {
    if let Err(fault) = steps(plan, &inherited) {
        let _ = sys::send(inherited.monitor.borrow(), &fault.to_bytes(), [None, None]);
    }
    sys::exit(125)
}

fn steps(plan: Plan<'static>, inherited: &Inherited) -> Result<(), Fault> {
    let prctl = || at(Step::Launch, Call::Prctl, NONE);
    init::end_with_monitor(inherited).map_err(prctl())?;
    sys::not_dumpable().map_err(prctl())?;
    // First, so that everything from here on is counted; with the host's ids,
    // which may write there.
    cgroup::enter(plan, inherited.in_group)?;
    if !plan.has(flag::TERMINAL) {
        exec::streams(plan, None)?;
    }
    close_the_rest(plan, inherited);
    join(plan)?;
    if plan.get(Field::Join).is_some_and(|kinds| kinds & CLONE_NEWUSER != 0) {
        userns::take_root_ids(plan)?;
    }
    // What changes credentials clears both (prctl(2)).
    init::end_with_monitor(inherited).map_err(prctl())?;
    sys::not_dumpable().map_err(prctl())?;

    if plan.has(flag::TERMINAL) {
        exec::streams(plan, Some(&open_terminal(plan, inherited)?))?;
    }
    let rulesets = landlock::prepare(plan)?;
    exec::limits(plan)?;
    user::become_user(plan, inherited)?;
    sys::not_dumpable().map_err(prctl())?;
    landlock::restrict(&rulesets)?;
    drop(rulesets);
    chdir::enter(plan)?;
    // A sibling, because only children are born in the pid namespace. The
    // listener of the filter appears among descriptors that both have.
    let listens = plan.has(flag::LISTENER);
    let flags = CLONE_PARENT | if listens { CLONE_FILES } else { 0 };
    match sys::clone(flags, None, listens).map_err(at(Step::Launch, Call::Fork, NONE))? {
        Fork::Child { .. } => become_program(plan, inherited),
        Fork::Parent { pidfd, .. } => {
            if let Some(program) = pidfd {
                filter::pass_on(program.borrow(), inherited);
            }
            sys::exit(0)
        }
    }
}

/// The last steps, seen by the container; nothing is left to be given up.
fn become_program(plan: Plan<'static>, inherited: &Inherited) -> Result<(), Fault> {
    init::end_with_monitor(inherited).map_err(at(Step::Launch, Call::Prctl, NONE))?;
    let terminal = plan.has(flag::TERMINAL).then_some(BorrowedFd(0));
    exec::session(terminal)?;
    sys::send(inherited.monitor.borrow(), b"x", [None, None]).map_err(at(Step::Exec, Call::Send, NONE))?;
    exec::execute(plan, inherited)
}

/// The plan is in memory; nothing of the host's may come along.
fn close_the_rest(plan: Plan<'_>, inherited: &Inherited) {
    let number = |field| descriptor(plan, field).map_or(-1, |fd: BorrowedFd| fd.0);
    let keep = [inherited.monitor.borrow().0, number(Field::JoinInit), number(Field::JoinProgram)];
    sys::close_all_but(&keep);
}

/// Enters all namespaces at once: rights over the others come from the user
/// namespace, and after the mount namespace no path is the host's.
fn join(plan: Plan<'_>) -> Result<(), Fault> {
    let broken = Fault::broken_plan(Step::Launch, NONE);
    let kinds = plan.get(Field::Join).ok_or(broken)?;
    let init = descriptor(plan, Field::JoinInit).ok_or(broken)?;
    let program = descriptor(plan, Field::JoinProgram).ok_or(broken)?;
    let joined = match sys::setns(init, kinds) {
        // pid 1 is not dumpable, so only root may look into it. Its child, the
        // program, may be looked into by whoever owns its user namespace.
        Err(Errno::EPERM) => sys::setns(program, kinds),
        other => other,
    };
    match joined {
        // Before Linux 5.8 only namespaces could be joined.
        Err(Errno::EINVAL) => one_by_one(plan, init)?,
        other => other.map_err(at(Step::Launch, Call::Setns, NONE))?,
    }
    // They are processes of the container: what is learned is of no use there.
    for held in [init, program] {
        drop(Fd::adopt(held.0));
    }
    Ok(())
}

fn one_by_one(plan: Plan<'_>, init: BorrowedFd) -> Result<(), Fault> {
    const MOST: usize = 8;
    let mut namespaces: [Option<(u64, u16, Fd)>; MOST] = [const { None }; MOST];
    let records = plan.records().filter(|record| record.kind == Kind::Namespace);
    for (slot, mut record) in namespaces.iter_mut().zip(records) {
        let broken = Fault::broken_plan(Step::Launch, record.index);
        let kind = record.body.u32().ok_or(broken)?;
        let of_init = record.body.string().ok_or(broken)?;
        let of_program = record.body.string().ok_or(broken)?;
        let opened = match sys::open(Fd::CWD, of_init, sys::O_RDONLY, 0) {
            Err(Errno::EACCES | Errno::EPERM) => sys::open(Fd::CWD, of_program, sys::O_RDONLY, 0),
            other => other,
        };
        let namespace = opened.map_err(at(Step::Launch, Call::Open, record.index))?;
        *slot = Some((u64::from(kind), record.index, namespace));
    }
    // Process ids are used again: they were the container's if pid 1 lives.
    let mut watches = [Watch { fd: init.0, events: POLLIN, ready: 0 }];
    sys::poll(&mut watches, Some(0)).map_err(at(Step::Launch, Call::Poll, NONE))?;
    if watches[0].ready != 0 {
        return Err(at(Step::Launch, Call::Died, NONE)(Errno(0)));
    }
    for (kind, index, namespace) in namespaces.iter().flatten() {
        sys::setns(namespace.borrow(), *kind).map_err(at(Step::Launch, Call::Setns, *index))?;
    }
    Ok(())
}

/// A terminal of the container's own devpts. Whatever lies at that path, it
/// must be what makes terminals; the other end comes from it alone.
fn open_terminal(plan: Plan<'_>, inherited: &Inherited) -> Result<Fd, Fault> {
    const PTMX: (u32, u32) = (5, 2);
    let failed = |call| at(Step::Exec, call, NONE);
    let root = sys::open(Fd::CWD, c"/", sys::O_PATH | sys::O_DIRECTORY, 0).map_err(failed(Call::Open))?;
    let open = |flags| -> Result<Fd, Fault> {
        let fd = sys::open_in_root(root.borrow(), c"dev/pts/ptmx", flags).map_err(failed(Call::Openat2))?;
        let stat = sys::stat(fd.borrow()).map_err(failed(Call::Fstat))?;
        match (stat.mode & sys::S_IFMT, stat.device) {
            (sys::S_IFCHR, PTMX) => Ok(fd),
            _ => Err(failed(Call::Openat2)(Errno::ENXIO)),
        }
    };
    // Before it is opened for use, and again, because it may be another by
    // then.
    drop(open(sys::O_PATH)?);
    let master = open(sys::O_RDWR | sys::O_NOCTTY | sys::O_NONBLOCK)?;
    sys::blocking(master.borrow()).map_err(failed(Call::Fcntl))?;
    let terminal = terminal::other_end(plan, &master)?;
    sys::send(inherited.monitor.borrow(), b"t", [Some(master.borrow()), None])
        .map_err(failed(Call::Send))?;
    Ok(terminal)
}
