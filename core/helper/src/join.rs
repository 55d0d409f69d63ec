//! Another program in a container that runs: starts it, watches it, ends it
//! when it must, and records how it ended.
//!
//! ```text
//! this process ── clone(into the group) ──▶ joiner ── setns, user, chdir ── clone(PARENT) ──▶ program
//!   host's namespaces                         host's pid namespace, then gone       in all of the container's
//! ```
//!
//! The joiner has no process id in the container, so nobody there can see it
//! while it has rights and descriptors that the program will not have. Its
//! child appears there with nothing but what the program gets, and is the
//! child of this process, which so learns how it ends.
//!
//! The program ends with the container, and when this process ends. Ended is
//! it with all that descends from it ([`tree`]).

mod enter;
mod tree;

use core::sync::atomic::Ordering;

use crate::fault::{Call, Fault, Step};
use crate::init::{Inherited, at, descriptor};
use crate::message::{Control, Message};
use crate::monitor::groups::{Figures, Groups};
use crate::monitor::record::{self, End, Reason};
use crate::monitor::{lifeline, oom, remove, tell};
use crate::plan::{Field, Plan, when};
use crate::sys::{self, BorrowedFd, Errno, Fd, Fork, POLLIN, Packet, Status, Watch};

const NONE: u16 = Fault::NO_RECORD;
/// How soon what was killed and is still there is killed again: a container
/// that is paused may hold it back.
const AGAIN_NS: u64 = 100_000_000;
/// How long what was killed before it was a program may take to be gone.
const LAST_BREATH_MS: u32 = 1000;

/// Runs the whole life of the program that the plan describes.
pub(crate) fn run(plan: Plan<'static>) -> ! {
    let code = match Exec::launch(plan) {
        Ok(exec) => exec.watch(),
        Err(fault) => fail(plan, fault),
    };
    sys::exit(code)
}

/// Tells the host that the program could not be started.
fn fail(plan: Plan<'static>, fault: Fault) -> i32 {
    remove::all(plan, when::FAILED);
    tell(plan, Message::Failed(fault), [None, None]);
    125
}

/// A program whose joiner exists.
struct Exec {
    plan: Plan<'static>,
    groups: Groups,
    /// What the kernel had killed in the container before.
    oom_kills: u64,
    /// Where a program behind the filter of system calls leaves its fault.
    status: &'static Status,
    joiner: Option<i32>,
    /// What joiner and program say.
    setup: Fd,
    terminal: Option<Fd>,
    program: Option<Program>,
    control: Fd,
    /// CLOCK_MONOTONIC at exec.
    started: Option<u64>,
    /// CLOCK_REALTIME at exec.
    started_at: u64,
    reason: Option<Reason>,
    /// When SIGKILL follows, for the first time or again.
    kill_at: Option<u64>,
}

#[derive(Debug)]
struct Program {
    pid: i32,
    pidfd: Fd,
}

impl Exec {
    fn launch(plan: Plan<'static>) -> Result<Exec, Fault> {
        let launch = |call| at(Step::Launch, call, NONE);
        let control = sys::signalfd(Control::SIGNAL, sys::SIGTERM).map_err(launch(Call::Signalfd))?;
        let groups = Groups::open(plan)?;
        let status = sys::shared_status().map_err(launch(Call::Mmap))?;
        let (setup, theirs) = sys::socketpair().map_err(launch(Call::Socketpair))?;
        sys::pass_credentials(setup.borrow()).map_err(launch(Call::Setsockopt))?;
        let fork = sys::clone(0, groups.v2(), false).map_err(launch(Call::Clone))?;
        let joiner = match fork {
            Fork::Child { in_group } => {
                drop((setup, control));
                enter::run(plan, Inherited { monitor: theirs, status, in_group, outside: None })
            }
            Fork::Parent { pid, .. } => Some(pid),
        };
        // As long as this process has that end too, the packets never end; and
        // whoever reads what the program writes waits for this process too.
        drop(theirs);
        for held in [
            Field::Stdin,
            Field::Stdout,
            Field::Stderr,
            Field::JoinInit,
            Field::JoinProgram,
        ] {
            drop(descriptor(plan, held).map(|fd| Fd::adopt(fd.0)));
        }
        let oom_kills = groups.oom_kills().unwrap_or(0);
        Ok(Exec {
            plan,
            groups,
            oom_kills,
            status,
            joiner,
            setup,
            terminal: None,
            program: None,
            control,
            started: None,
            started_at: 0,
            reason: None,
            kill_at: None,
        })
    }

    /// Watches until the program has ended.
    fn watch(mut self) -> i32 {
        loop {
            let now = sys::monotonic_ns();
            self.deadlines(now);
            let watch = |fd: Option<BorrowedFd>| Watch { fd: fd.map_or(-1, |fd| fd.0), events: POLLIN, ready: 0 };
            let mut watches = [
                watch(self.program.as_ref().map(|program| program.pidfd.borrow())),
                watch(Some(self.control.borrow())),
                watch(lifeline::watched(self.plan).filter(|_| self.reason.is_none())),
                watch(Some(self.setup.borrow()).filter(|_| self.started.is_none())),
                watch(self.unread_terminal()),
            ];
            let patience = lifeline::patience(self.plan, self.patience(now));
            if sys::poll(&mut watches, patience).is_err() {
                // Nothing can be watched any more: it counts as lost.
                self.abandon();
                return 125;
            }
            let [ended, control, host, setup, terminal] = watches.map(|watch| watch.ready != 0);
            if control {
                self.obey();
            }
            if host || lifeline::is_gone(self.plan) {
                self.end(Reason::Cancelled);
            }
            if setup && let Err(fault) = self.hear(false) {
                self.abandon();
                return fail(self.plan, fault);
            }
            if terminal && self.drop_output().is_none() {
                self.terminal = None;
            }
            if ended {
                return self.finish();
            }
        }
    }

    /// The terminal of a program that no host reads from: it must not fill.
    fn unread_terminal(&self) -> Option<BorrowedFd> {
        self.terminal.as_ref().map(Fd::borrow).filter(|_| self.started.is_some())
    }

    fn drop_output(&self) -> Option<usize> {
        let mut bytes = [0; 4096];
        sys::read(self.unread_terminal()?, &mut bytes).ok().filter(|length| *length > 0)
    }

    /// One packet: the terminal, "execve is next", the listener of the filter, a
    /// fault of eight bytes, or the end of all packets, which means that the
    /// program was executed.
    fn hear(&mut self, ended: bool) -> Result<(), Fault> {
        let mut bytes = [0_u8; 8];
        let packet = match sys::receive(self.setup.borrow(), &mut bytes) {
            Err(Errno::EAGAIN) if !ended => return Ok(()),
            packet => packet.unwrap_or_default(),
        };
        match packet {
            Packet { fd: Some(listener), .. } if bytes.starts_with(b"n") => {
                tell(self.plan, Message::Listener, [Some(listener.borrow()), None]);
            }
            Packet { fd: Some(master), .. } => self.terminal = Some(master),
            // Its descriptor got lost: this process may have no more of them.
            Packet { length: 1, .. } if bytes.starts_with(b"t") || bytes.starts_with(b"n") => {
                return Err(at(Step::Exec, Call::Send, NONE)(Errno::EMFILE));
            }
            Packet { length: 8, .. } => return Err(Fault::from_bytes(bytes)),
            Packet { length: 1, pid: Some(pid), .. } => {
                // A child of this process that is not reaped.
                let pidfd = sys::pidfd_open(pid).map_err(at(Step::Launch, Call::PidfdOpen, NONE))?;
                self.program = Some(Program { pid, pidfd });
            }
            _ => match (self.status.fault.load(Ordering::Acquire), &self.program) {
                (0, Some(_)) => self.executed(),
                // It was killed on its way in, perhaps with the container.
                (0, None) => return Err(at(Step::Launch, Call::Died, NONE)(Errno(0))),
                (fault, _) => return Err(Fault::from_bytes(fault.to_le_bytes())),
            },
        }
        Ok(())
    }

    fn executed(&mut self) {
        self.reap_joiner();
        self.started = Some(sys::monotonic_ns());
        self.started_at = sys::realtime_ns();
        let Some(program) = &self.program else { return };
        let pids = [("helper", sys::getpid()), ("init", program.pid), ("program", program.pid)];
        record::status(self.plan, pids, self.started_at);
        let attached = self.plan.get(Field::Lifeline).is_some();
        let terminal = self.terminal.as_ref().filter(|_| attached).map(Fd::borrow);
        let fds = [Some(program.pidfd.borrow()), terminal];
        tell(self.plan, Message::Started { pid: program.pid }, fds);
        if attached {
            self.terminal = None;
        }
        if let Some(channel) = descriptor(self.plan, Field::Channel) {
            drop(Fd::adopt(channel.0));
        }
    }

    fn reap_joiner(&mut self) {
        if let Some(pid) = self.joiner.take() {
            // It has done its work, or waits for a program that has ended.
            let _ = sys::kill(pid, sys::SIGKILL);
            let _ = sys::wait(pid, true);
        }
    }

    fn obey(&mut self) {
        while let Some(reason) = Reason::asked(self.control.borrow()) {
            match reason {
                Reason::Killed => {
                    self.reason.get_or_insert(reason);
                    self.kill();
                }
                reason => self.end(reason),
            }
        }
    }

    /// Ends the program if its time is used up.
    fn deadlines(&mut self, now: u64) {
        if self.kill_at.is_some_and(|at| now >= at) {
            self.kill();
        }
        if let (Some(started), Some(limit)) = (self.started, self.plan.get(Field::WallTime))
            && now.saturating_sub(started) >= limit
        {
            self.end(Reason::WallTimeout);
        }
    }

    /// How long nothing can happen that is not seen by a descriptor.
    fn patience(&self, now: u64) -> Option<u64> {
        if let Some(at) = self.kill_at {
            return Some(at.saturating_sub(now));
        }
        let started = self.started.filter(|_| self.reason.is_none())?;
        let limit = self.plan.get(Field::WallTime)?;
        Some(started.saturating_add(limit).saturating_sub(now))
    }

    /// Begins to end the program: politely if there is a grace period.
    fn end(&mut self, reason: Reason) {
        if self.reason.is_some() {
            return;
        }
        self.reason = Some(reason);
        let grace = self.plan.get(Field::Grace).filter(|grace| *grace > 0 && self.started.is_some());
        match (grace, &self.program) {
            (Some(grace), Some(program)) => {
                let _ = sys::signal(program.pidfd.borrow(), sys::SIGTERM);
                self.kill_at = Some(sys::monotonic_ns().saturating_add(grace));
            }
            _ => self.kill(),
        }
    }

    /// SIGKILL to the program and all that descends from it. Before it is
    /// executed there is only the joiner, or a child that ends with this
    /// process.
    fn kill(&mut self) {
        match (&self.program, self.joiner) {
            (Some(program), _) => tree::kill(program.pid),
            (None, Some(joiner)) => drop(sys::kill(joiner, sys::SIGKILL)),
            (None, None) => {}
        }
        self.kill_at = Some(sys::monotonic_ns().saturating_add(AGAIN_NS));
    }

    /// Ends everything, without a record.
    fn abandon(&mut self) {
        if let Some(joiner) = self.joiner {
            let _ = sys::kill(joiner, sys::SIGKILL);
        }
        if let Some(program) = &self.program {
            tree::kill(program.pid);
        }
        for _ in 0..LAST_BREATH_MS {
            match sys::wait(-1, false) {
                Ok(Some(_)) => {}
                Ok(None) => drop(sys::poll(&mut [], Some(1_000_000))),
                Err(_) => break,
            }
        }
    }

    /// The program has ended: everything is measured, recorded, removed.
    fn finish(mut self) -> i32 {
        while self.started.is_none() {
            // Its last words may still be unread.
            if let Err(fault) = self.hear(true) {
                self.abandon();
                return fail(self.plan, fault);
            }
        }
        let Some(program) = self.program.take() else { return 125 };
        // Not reaped yet, so its number is nobody else's: what it has left of
        // itself goes too if it was ended.
        if self.reason.is_some() {
            tree::kill(program.pid);
        }
        let Ok(Some(ended)) = sys::wait(program.pid, true) else { return 125 };
        let now = sys::monotonic_ns();
        let started = self.started.unwrap_or(now);
        let oom_killed = self.reason.is_none()
            && ended.status & 0x7f == sys::SIGKILL
            && self.groups.oom_kills().is_some_and(|kills| kills > self.oom_kills)
            && oom::killed(Some(program.pid), started);
        record::write(
            self.plan,
            &End {
                status: ended.status,
                oom_killed,
                reason: self.reason,
                // Of this program and what it waited for; the rest is only
                // measured for the container as a whole.
                usage: Figures {
                    cpu_user_ns: Some(ended.usage.user_ns),
                    cpu_system_ns: Some(ended.usage.system_ns),
                    io_read: Some(ended.usage.blocks_in.saturating_mul(512)),
                    io_written: Some(ended.usage.blocks_out.saturating_mul(512)),
                    ..Figures::default()
                },
                wall_ns: now.saturating_sub(started),
                started_in_ns: self.plan.get(Field::Begun).map(|begun| started.saturating_sub(begun)),
                started_at_ns: self.started_at,
                ended_at_ns: sys::realtime_ns(),
            },
        );
        self.groups.close();
        remove::all(self.plan, when::ALWAYS);
        0
    }
}
