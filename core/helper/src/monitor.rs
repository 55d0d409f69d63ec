//! The monitor of one container: starts pid 1, watches it, ends it when it
//! must, measures it, records how it ended and removes what was made.
//!
//! It stays in the host's namespaces and outside the container's groups, in a
//! session of its own, with no descriptor of the host but those of the plan.

pub(crate) mod groups;
pub(crate) mod lifeline;
mod log;
pub(crate) mod number;
pub(crate) mod oom;
pub(crate) mod record;
pub(crate) mod remove;
mod start;

use core::sync::atomic::Ordering;

use crate::fault::{Call, Fault, Step};
use crate::builder;
use crate::init::{self, Inherited, at, descriptor};
use crate::message::{Control, Message};
use crate::plan::{Field, Plan, flag, when};
use crate::sys::{self, BorrowedFd, Fd, Fork, POLLIN, Status, Watch};
use crate::userns;
use groups::Groups;
use log::Log;
use record::{End, Reason};

const NONE: u16 = Fault::NO_RECORD;
/// How soon what was killed and is still there is killed again.
const AGAIN_NS: u64 = 50_000_000;

/// Runs the whole life of the container that the plan describes.
pub(crate) fn run(plan: Plan<'static>) -> ! {
    let code = match Monitor::launch(plan) {
        Ok(monitor) => monitor.watch(),
        Err(fault) => fail(plan, fault),
    };
    sys::exit(code)
}

/// Tells the host that the container could not be started.
fn fail(plan: Plan<'static>, fault: Fault) -> i32 {
    clean_up(plan, when::FAILED);
    tell(plan, Message::Failed(fault), [None, None]);
    125
}

/// Removes what was made. Where a group stays, so does the directory by which
/// the next opening finds it.
fn clean_up(plan: Plan<'static>, occasion: u32) {
    if groups::remove(plan) {
        remove::all(plan, occasion);
    }
}

pub(crate) fn tell(plan: Plan<'_>, message: Message, fds: [Option<BorrowedFd>; 2]) {
    if let Some(channel) = descriptor(plan, Field::Channel) {
        // A host that has gone away is seen through the lifeline.
        let _ = sys::send(channel, &message.to_bytes(), fds);
    }
}

/// Waits for the builder, which ends with its work or with pid 1.
fn reap(builder: Option<i32>) {
    if let Some(pid) = builder {
        let _ = sys::wait(pid, true);
    }
}

/// A container whose pid 1 exists.
struct Monitor {
    plan: Plan<'static>,
    groups: Groups,
    status: &'static Status,
    pid: i32,
    pidfd: Fd,
    /// The process that makes mounts for pid 1, until it is reaped.
    builder: Option<i32>,
    /// What pid 1 says while it sets up.
    setup: Fd,
    terminal: Option<Fd>,
    /// The program's process id.
    program: Option<i32>,
    control: Fd,
    log: Log,
    /// CLOCK_MONOTONIC at exec.
    started: Option<u64>,
    /// CLOCK_REALTIME at exec.
    started_at: u64,
    /// Why it is being ended, once it is.
    reason: Option<Reason>,
    /// When SIGKILL follows, for the first time or again.
    kill_at: Option<u64>,
}

impl Monitor {
    fn launch(plan: Plan<'static>) -> Result<Monitor, Fault> {
        let launch = |call| at(Step::Launch, call, NONE);
        let control = sys::signalfd(Control::SIGNAL, sys::SIGTERM).map_err(launch(Call::Signalfd))?;
        if plan.has(flag::AWAIT_GROUPS) {
            groups::wait(plan, control.borrow())?;
        }
        let groups = Groups::open(plan)?;
        let status = sys::shared_status().map_err(launch(Call::Mmap))?;
        let (setup, init_end) = sys::socketpair().map_err(launch(Call::Socketpair))?;
        sys::pass_credentials(setup.borrow()).map_err(launch(Call::Setsockopt))?;
        let namespaces = plan.get(Field::CloneFlags).unwrap_or(0);
        if plan.has(flag::DEGRADED) {
            sys::adopt_orphans().map_err(launch(Call::Prctl))?;
        }
        let (ours, outside) = match userns::is_wanted(plan) {
            true => sys::socketpair().map(|(a, b)| (Some(a), Some(b))).map_err(launch(Call::Socketpair))?,
            false => (None, None),
        };
        let fork = sys::clone(namespaces, groups.v2(), true).map_err(launch(Call::Clone))?;
        let (pid, pidfd) = match fork {
            Fork::Child { in_group } => {
                drop((setup, control, ours));
                init::run(plan, Inherited { monitor: init_end, status, in_group, outside })
            }
            Fork::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop(outside);
        let Some(pidfd) = pidfd else { return Err(at(Step::Launch, Call::Clone, NONE)(sys::Errno::EINVAL)) };
        let mut builder = None;
        let ready = ours.map_or(Ok(()), |ours| Self::map(plan, pid, &ours, &init_end, &mut builder));
        // As long as this process has that end too, the packets of pid 1 never
        // end.
        let closed = init_end.close().map_err(launch(Call::Close));
        if let Err(fault) = ready.and(closed) {
            let _ = sys::signal(pidfd.borrow(), sys::SIGKILL);
            let _ = sys::wait(pid, true);
            reap(builder);
            return Err(fault);
        }
        // Only the container holds them now, so that their other ends see it
        // close them.
        for stream in [Field::Stdin, Field::Stdout, Field::Stderr] {
            drop(descriptor(plan, stream).map(|fd| Fd::adopt(fd.0)));
        }
        Ok(Monitor {
            plan,
            groups,
            status,
            pid,
            pidfd,
            builder,
            setup,
            terminal: None,
            program: None,
            control,
            log: Log::new(plan),
            started: None,
            started_at: 0,
            reason: None,
            kill_at: None,
        })
    }

    /// Gives pid 1 its ids, and somebody who makes its mounts.
    fn map(
        plan: Plan<'static>,
        pid: i32,
        ours: &Fd,
        init_end: &Fd,
        builder: &mut Option<i32>,
    ) -> Result<(), Fault> {
        userns::map(plan, pid, ours.borrow())?;
        if plan.has(flag::BUILDER) {
            *builder = Some(builder::start(plan, pid, ours.borrow(), init_end.borrow())?);
        }
        // Its files in /proc are root's as long as it cannot be dumped, and
        // the maps are some of them.
        sys::not_dumpable().map_err(at(Step::Launch, Call::Prctl, NONE))
    }

    /// Watches until pid 1 has ended, then cleans up.
    fn watch(mut self) -> i32 {
        loop {
            let now = sys::monotonic_ns();
            self.deadlines(now);
            let watch = |fd: Option<BorrowedFd>| Watch { fd: fd.map_or(-1, |fd| fd.0), events: POLLIN, ready: 0 };
            let mut watches = [
                watch(Some(self.pidfd.borrow())),
                watch(Some(self.control.borrow())),
                watch(lifeline::watched(self.plan).filter(|_| self.reason.is_none())),
                watch(Some(self.setup.borrow()).filter(|_| self.started.is_none())),
                watch(self.log.stdout()),
                watch(self.log.stderr()),
            ];
            let patience = lifeline::patience(self.plan, self.patience(now));
            if sys::poll(&mut watches, patience).is_err() {
                return self.give_up();
            }
            let [ended, control, host, setup, stdout, stderr] = watches.map(|watch| watch.ready != 0);
            if control {
                self.obey();
            }
            if host || lifeline::is_gone(self.plan) {
                self.end(Reason::Cancelled);
            }
            if setup && let Err(fault) = self.hear(false) {
                self.kill();
                let _ = sys::wait(self.pid, true);
                reap(self.builder);
                self.groups.close();
                return fail(self.plan, fault);
            }
            self.log.copy(stdout, stderr);
            if ended {
                return self.finish();
            }
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

    /// Ends the container if a limit of time is used up.
    fn deadlines(&mut self, now: u64) {
        if self.kill_at.is_some_and(|at| now >= at) {
            self.kill();
        }
        let (Some(started), None) = (self.started, self.reason) else { return };
        if self.plan.get(Field::WallTime).is_some_and(|limit| now.saturating_sub(started) >= limit) {
            return self.end(Reason::WallTimeout);
        }
        if let Some(limit) = self.plan.get(Field::CpuTime)
            && self.groups.cpu_ns().is_some_and(|used| used >= limit)
        {
            self.end(Reason::CpuTimeout);
        }
    }

    /// How long nothing can happen that is not seen by a descriptor.
    fn patience(&self, now: u64) -> Option<u64> {
        if let Some(at) = self.kill_at {
            return Some(at.saturating_sub(now));
        }
        let (Some(started), None) = (self.started, self.reason) else { return None };
        let wall = self.plan.get(Field::WallTime).map(|limit| {
            started.saturating_add(limit).saturating_sub(now)
        });
        // CPU time passes at most once per processor.
        let cpu = self.plan.get(Field::CpuTime).map(|limit| {
            let left = limit.saturating_sub(self.groups.cpu_ns().unwrap_or(0));
            let processors = self.plan.get(Field::Processors).unwrap_or(1).max(1);
            left.checked_div(processors).unwrap_or(left).max(1_000_000)
        });
        match (wall, cpu) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Begins to end the container: politely if there is a grace period.
    fn end(&mut self, reason: Reason) {
        if self.reason.is_some() {
            return;
        }
        self.reason = Some(reason);
        let grace = self.plan.get(Field::Grace).filter(|grace| *grace > 0 && self.started.is_some());
        match grace {
            Some(grace) => {
                let signal = self.plan.get(Field::StopSignal).and_then(|signal| i32::try_from(signal).ok());
                self.groups.thaw();
                let _ = sys::signal(self.pidfd.borrow(), signal.unwrap_or(sys::SIGTERM));
                self.kill_at = Some(sys::monotonic_ns().saturating_add(grace));
            }
            None => self.kill(),
        }
    }

    /// SIGKILL to pid 1 ends the pid namespace, and so everything; the group
    /// is for what shares no pid namespace. Once more after a while: somebody
    /// may stop the group in between, and on v1 what is stopped does not die.
    fn kill(&mut self) {
        if sys::signal(self.pidfd.borrow(), sys::SIGKILL).is_err() {
            // Not reaped yet, so the number is still its own.
            let _ = sys::kill(self.pid, sys::SIGKILL);
        }
        self.groups.kill();
        self.kill_at = Some(sys::monotonic_ns().saturating_add(AGAIN_NS));
    }

    /// Nothing can be watched any more: everything ends, and as there is no
    /// record the container counts as lost.
    fn give_up(mut self) -> i32 {
        self.kill();
        let _ = sys::wait(self.pid, true);
        reap(self.builder);
        self.groups.close();
        clean_up(self.plan, when::ALWAYS);
        125
    }

    /// Without a pid namespace what the program has started goes on without it;
    /// as its processes lose their parents they become this one's children.
    fn end_orphans(&self) {
        if self.plan.has(flag::DEGRADED) {
            loop {
                sys::each_child(|pid| {
                    let _ = sys::kill(pid, sys::SIGKILL);
                });
                if sys::wait(-1, true).is_err() {
                    break;
                }
            }
        }
    }

    /// pid 1 has ended: everything is measured, recorded, removed.
    fn finish(mut self) -> i32 {
        let Ok(Some(ended)) = sys::wait(self.pid, true) else { return self.give_up() };
        self.end_orphans();
        // Its last words may still be unread.
        while self.started.is_none() {
            if let Err(fault) = self.hear(true) {
                reap(self.builder);
                self.groups.close();
                return fail(self.plan, fault);
            }
        }
        let now = sys::monotonic_ns();
        // The program's own end, or that of pid 1 if the init was killed.
        let (program, pid) = match self.status.ended.load(Ordering::Acquire) {
            1 => (self.status.wait.load(Ordering::Relaxed), self.program),
            _ => (ended.status, Some(self.pid)),
        };
        self.log.drain();
        let usage = self.groups.usage(ended.usage);
        let started = self.started.unwrap_or(now);
        let some_killed = usage.oom_kills.is_some_and(|kills| kills > 0);
        // Whose end it was only matters where both a count and a SIGKILL are.
        let oom_killed = some_killed
            && self.reason.is_none()
            && program & 0x7f == sys::SIGKILL
            && oom::killed(pid, started);
        record::write(
            self.plan,
            &End {
                status: program,
                oom_killed,
                reason: self.reason,
                usage,
                wall_ns: now.saturating_sub(started),
                started_in_ns: self.plan.get(Field::Begun).map(|begun| started.saturating_sub(begun)),
                started_at_ns: self.started_at,
                ended_at_ns: sys::realtime_ns(),
            },
        );
        self.groups.close();
        clean_up(self.plan, when::ALWAYS);
        0
    }
}
