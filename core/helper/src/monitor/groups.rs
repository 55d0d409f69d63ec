//! The container's control groups, as the monitor needs them: pid 1 goes in,
//! figures come out, what is left is killed, the groups are removed
//! (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel).

use core::ffi::CStr;

use super::number::{after, leading};
use crate::fault::{Call, Fault, Step};
use crate::init::{at, descriptor};
use crate::message::Message;
use crate::plan::{Field, Kind, Plan, controller};
use crate::sys::{self, BorrowedFd, Errno, Fd, POLLIN, Usage, Watch};

/// Figures of a whole container; what was not measured is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) cpu_user_ns: Option<u64>,
    pub(crate) cpu_system_ns: Option<u64>,
    pub(crate) memory_peak: Option<u64>,
    pub(crate) oom_kills: Option<u64>,
    pub(crate) pids_peak: Option<u64>,
    pub(crate) pids_refused: Option<u64>,
    pub(crate) io_read: Option<u64>,
    pub(crate) io_written: Option<u64>,
}

/// The directories of the groups that are read or written.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    v2: Option<Fd>,
    memory: Option<Fd>,
    pids: Option<Fd>,
    cpuacct: Option<Fd>,
    freezer: Option<Fd>,
    blkio: Option<Fd>,
}

impl Groups {
    pub(crate) fn open(plan: Plan<'_>) -> Result<Groups, Fault> {
        let mut groups = Groups::default();
        for record in plan.records() {
            let mut body = record.body;
            let broken = Fault::broken_plan(Step::Cgroup, record.index);
            let slot = match record.kind {
                Kind::GroupV2 => &mut groups.v2,
                Kind::GroupV1 => match body.u32().ok_or(broken)? {
                    controller::MEMORY => &mut groups.memory,
                    controller::PIDS => &mut groups.pids,
                    controller::CPUACCT => &mut groups.cpuacct,
                    controller::FREEZER => &mut groups.freezer,
                    controller::BLKIO => &mut groups.blkio,
                    _ => continue,
                },
                _ => continue,
            };
            let path = body.string().ok_or(broken)?;
            let dir = sys::open(Fd::CWD, path, sys::O_RDONLY | sys::O_DIRECTORY, 0);
            *slot = Some(dir.map_err(at(Step::Cgroup, Call::Open, record.index))?);
        }
        Ok(groups)
    }

    /// The v2 group, for CLONE_INTO_CGROUP.
    pub(crate) fn v2(&self) -> Option<BorrowedFd> {
        self.v2.as_ref().map(Fd::borrow)
    }

    /// CPU time of all processes so far, also of those that are gone.
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        if let Some(v2) = &self.v2
            && let Some(us) = value(v2, c"cpu.stat", Some(b"usage_usec"))
        {
            return us.checked_mul(1000);
        }
        value(self.cpuacct.as_ref()?, c"cpuacct.usage", None)
    }

    pub(crate) fn kill(&self) {
        self.thaw();
        if let Some(v2) = &self.v2 {
            let _ = write(v2.borrow(), c"cgroup.kill", b"1");
        }
    }

    /// A frozen process of v1 does not even die.
    pub(crate) fn thaw(&self) {
        if let Some(freezer) = &self.freezer {
            let _ = write(freezer.borrow(), c"freezer.state", b"THAWED");
        }
        if let Some(v2) = &self.v2 {
            let _ = write(v2.borrow(), c"cgroup.freeze", b"0");
        }
    }

    /// Processes that the kernel has killed for want of memory.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let v2 = self.v2.as_ref().and_then(|dir| value(dir, c"memory.events", Some(b"oom_kill")));
        v2.or_else(|| value(self.memory.as_ref()?, c"memory.oom_control", Some(b"oom_kill")))
    }

    /// All figures. `reaped` is what wait4 says of pid 1 and its children.
    pub(crate) fn usage(&self, reaped: Usage) -> Figures {
        let v2 = |file, key: &'static [u8]| self.v2.as_ref().and_then(|dir| value(dir, file, Some(key)));
        let whole = |dir: &Option<Fd>, file| dir.as_ref().and_then(|dir| value(dir, file, None));
        let v1 = |dir: &Option<Fd>, file, key: &'static [u8]| dir.as_ref().and_then(|dir| value(dir, file, Some(key)));

        let (user, system) = match v2(c"cpu.stat", b"user_usec").zip(v2(c"cpu.stat", b"system_usec")) {
            Some((user, system)) => (user.saturating_mul(1000), system.saturating_mul(1000)),
            None => self.split(reaped),
        };
        let io = self.io();
        Figures {
            cpu_user_ns: Some(user),
            cpu_system_ns: Some(system),
            memory_peak: whole(&self.v2, c"memory.peak").or(whole(&self.memory, c"memory.max_usage_in_bytes")),
            oom_kills: self.oom_kills(),
            pids_peak: whole(&self.v2, c"pids.peak").or(whole(&self.pids, c"pids.peak")),
            pids_refused: v2(c"pids.events", b"max").or(v1(&self.pids, c"pids.events", b"max")),
            io_read: io.map(|(read, _)| read).or(Some(reaped.blocks_in.saturating_mul(512))),
            io_written: io.map(|(_, written)| written).or(Some(reaped.blocks_out.saturating_mul(512))),
        }
    }

    /// The total of cpuacct, divided as the reaped processes say: its own
    /// division counts ticks and is off by a third for short programs.
    fn split(&self, reaped: Usage) -> (u64, u64) {
        let sum = reaped.user_ns.saturating_add(reaped.system_ns);
        let Some(total) = self.cpu_ns() else { return (reaped.user_ns, reaped.system_ns) };
        let user = u128::from(total)
            .saturating_mul(u128::from(reaped.user_ns))
            .checked_div(u128::from(sum))
            .and_then(|user| u64::try_from(user).ok())
            .unwrap_or(0);
        (user, total.saturating_sub(user))
    }

    /// Bytes read and written, summed over all devices.
    fn io(&self) -> Option<(u64, u64)> {
        let mut buffer = [0; 4096];
        let text = contents(self.v2.as_ref()?, c"io.stat", &mut buffer)?;
        let sum = |key| {
            text.split(|byte| *byte == b'\n').filter_map(|line| after(line, key)).fold(0, u64::saturating_add)
        };
        Some((sum(b"rbytes"), sum(b"wbytes")))
    }

    /// Lets go of the directories.
    pub(crate) fn close(&mut self) {
        *self = Groups::default();
    }
}

/// Waits until the host has made the groups, in a scope around this process.
/// Ends when the host gives the start up or ends itself, and at last without
/// either: the channel of a host that has forked stays open.
pub(super) fn wait(plan: Plan<'_>, control: BorrowedFd) -> Result<(), Fault> {
    const MOST_NS: u64 = 60_000_000_000;
    let failed = |errno| at(Step::Launch, Call::Poll, Fault::NO_RECORD)(errno);
    let broken = Fault::broken_plan(Step::Launch, Fault::NO_RECORD);
    let channel = descriptor(plan, Field::Channel).ok_or(broken)?;
    let lifeline = descriptor(plan, Field::Lifeline);
    let end = sys::monotonic_ns().saturating_add(MOST_NS);
    loop {
        let watch = |fd: Option<BorrowedFd>| Watch { fd: fd.map_or(-1, |fd| fd.0), events: POLLIN, ready: 0 };
        let mut watches = [watch(Some(channel)), watch(Some(control)), watch(lifeline)];
        let left = end.saturating_sub(sys::monotonic_ns());
        sys::poll(&mut watches, Some(left)).map_err(failed)?;
        match watches.map(|watch| watch.ready != 0) {
            [true, false, false] => {
                let mut packet = [0; Message::GO_ON.len()];
                let went = sys::receive(channel, &mut packet).is_ok_and(|_| packet == *Message::GO_ON);
                return if went { Ok(()) } else { Err(failed(Errno::ECANCELED)) };
            }
            [false, false, false] if left > 0 => {}
            [false, false, false] => return Err(failed(Errno::ETIMEDOUT)),
            _ => return Err(failed(Errno::ECANCELED)),
        }
    }
}

/// Removes the groups; false if one stays. A group whose last process has only
/// just gone can be busy for a moment; one in which the program has made groups
/// of its own stays so.
pub(crate) fn remove(plan: Plan<'_>) -> bool {
    let mut patience = 500_u32;
    let mut gone = true;
    for record in plan.records() {
        let mut body = record.body;
        match record.kind {
            Kind::GroupV2 => {}
            Kind::GroupV1 => drop(body.u32()),
            _ => continue,
        }
        let Some(path) = body.string() else { continue };
        gone &= loop {
            match sys::rmdir(Fd::CWD, path) {
                Ok(()) | Err(Errno::ENOENT) => break true,
                Err(_) if super::remove::directory(path).is_ok() => break true,
                Err(_) if patience == 0 => break false,
                Err(_) => drop(sys::poll(&mut [], Some(1_000_000))),
            }
            patience = patience.saturating_sub(1);
        };
    }
    gone
}

fn write(dir: BorrowedFd, file: &CStr, bytes: &[u8]) -> sys::Result<()> {
    let file = sys::open(dir, file, sys::O_WRONLY, 0)?;
    sys::write_all(file.borrow(), bytes)
}

fn contents<'b>(dir: &Fd, file: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let file = sys::open(dir.borrow(), file, sys::O_RDONLY, 0).ok()?;
    let length = sys::read(file.borrow(), buffer).ok()?;
    buffer.get(..length)
}

/// One number of a group's file: the whole file, or the one after a key.
fn value(dir: &Fd, file: &CStr, key: Option<&[u8]>) -> Option<u64> {
    let mut buffer = [0; 4096];
    let text = contents(dir, file, &mut buffer)?;
    match key {
        Some(key) => after(text, key),
        None => leading(text),
    }
}
