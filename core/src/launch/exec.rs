//! Another program in a container that runs, on the host's side, in order:
//!
//! container → process → streams → directory → plan → helper → verdict
//!
//! What the program is comes from the document of the container, of which the
//! caller changes what he names; the parts of the plan that say who it is and
//! what it runs are written by the same functions as at the container's start.
//! Names of users are those of the container's files as they are now, read
//! through the root of one of its processes.
//!
//! Errors: those of a start; stage `state` for a container that does not run
//! or is paused.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use libctr_helper::message::Control;
use libctr_helper::plan::{Field, Kind, flag, job, when};
use nix::errno::Errno;
use nix::libc;

use super::verdict::Executed;
use super::verdict::verdict;
use super::{RunOptions, describe, landlock, now, seccomp, security, stdio};
use crate::container::Started;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::helper::plan::Plan;
use crate::helper::{self, channel};
use crate::process::{self, Process};
use crate::runtime::Runtime;
use crate::spec::{Capabilities, ExecSpec, RunSpec};
use crate::state::{ExecDir, ExecMeta, Meta, RootMount, StateDir};
use crate::sys;
use crate::userns::Users;

/// Where the container's document says that its group filters devices.
const DEVICES: &str = "/linux/resources/devices";

/// The container, which ran when its lock was looked at last.
pub(crate) struct Target<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) dir: &'a StateDir,
    pub(crate) meta: &'a Meta,
    /// pid 1 and its number.
    pub(crate) init: (BorrowedFd<'a>, i32),
    /// The container's own program and its number; may be the same process.
    pub(crate) program: (BorrowedFd<'a>, i32),
}

/// Starts the program; returns once it was executed.
pub(crate) fn run(
    target: &Target<'_>,
    spec: &ExecSpec,
    options: RunOptions<'_>,
) -> Result<(ExecDir, ExecMeta, Started)> {
    let begun = now();
    if target.meta.root == RootMount::Degraded {
        let message = "the container has no namespaces (degraded), so nothing can join them";
        return Err(Error::new(Stage::Launch, ErrorKind::Unsupported, message));
    }
    let Target { runtime, dir, meta, init, program } = *target;
    let effective = effective(meta, spec)?;
    let users = match meta.exec.namespaces & libc::CLONE_NEWUSER.cast_unsigned() {
        0 => None,
        _ => Some(Users::of_process(init.1)?),
    };
    let process = process::resolve(&effective, None, &[root(target)?], &meta.hostname)?;
    if let Some(users) = &users {
        users.check(process.uid, process.gid, !effective.groups.is_empty())?;
    }
    let filter = seccomp::filter(&effective, security::bounding(&effective, users.as_ref())?)?;
    let streams = stdio::open([options.stdin, options.stdout, options.stderr])?;
    if streams.log.iter().any(Option::is_some) {
        let message = "the log is the container's own: give a pipe or a file instead";
        return Err(Error::invalid(Stage::Exec, message));
    }

    let exec = exec_meta(spec, &process)?;
    let made = ExecDir::create(dir, &exec)?;
    let undo = Undo { target, dir: &made.dir };
    // What was made in the directory of a container that is being removed goes
    // with this one's failure.
    target.check()?;
    let (channel, their_end) = channel::pair()?;
    let lifeline = match spec.detach {
        true => None,
        false => Some(pidfd(std::process::id().cast_signed())?),
    };

    let mut plan = Plan::new();
    plan.set(Field::Job, job::EXEC);
    plan.set(Field::Begun, begun);
    life(&mut plan, target, spec, made.dir.path());
    if let Some(users) = &users {
        users.write_ids(&mut plan);
    }
    // What filters devices is the group's, which the program enters.
    let filtered = dir.config().is_some_and(|config| config.pointer(DEVICES).is_some());
    security::write(&mut plan, &effective, &process, users.as_ref(), filtered)?;
    landlock::write(&mut plan, &effective)?;
    seccomp::write(&mut plan, &effective, filter.as_ref());
    describe::program(&mut plan, &effective, &process);
    if let Some((rows, columns)) = options.terminal.filter(|_| spec.tty) {
        plan.set(Field::Rows, rows);
        plan.set(Field::Columns, columns);
    }

    let mut keep: Vec<RawFd> = Vec::with_capacity(12);
    let mut hand = |field: Field, fd: BorrowedFd<'_>| {
        plan.descriptor(field, fd);
        keep.push(fd.as_raw_fd());
    };
    hand(Field::Channel, their_end.as_fd());
    hand(Field::Exit, made.exit.as_fd());
    hand(Field::Status, made.status.as_fd());
    hand(Field::JoinInit, init.0);
    hand(Field::JoinProgram, program.0);
    let [stdin, stdout, stderr] = &streams.program;
    hand(Field::Stdin, stdin.as_fd());
    hand(Field::Stdout, stdout.as_fd());
    hand(Field::Stderr, stderr.as_fd());
    if let Some(lifeline) = &lifeline {
        hand(Field::Lifeline, lifeline.as_fd());
    }
    keep.push(made.lock.as_raw_fd());

    let bytes = plan.to_bytes();
    let places = [dir.path(), runtime.data()];
    let helper = helper::start(&bytes, &keep, runtime.helper(), &places)?;
    drop((their_end, made.status, lifeline));
    match verdict(&channel, &helper, &bytes, options.cancel) {
        Ok(Executed { pid, pidfd, terminal, listener }) => {
            undo.disarm();
            let (exit, streams) = (made.exit, streams.caller);
            let started = Started { helper, pid, pidfd, exit, terminal, listener, streams };
            Ok((made.dir, exec, started))
        }
        Err(failure) => {
            abandon(&helper);
            // Whatever was hindered, it was the container's end.
            target.check()?;
            Err(failure.into())
        }
    }
}

/// A process to join or to end with.
///
/// # Errors
/// `Unsupported` where the kernel has no pidfds that can be opened.
pub(crate) fn pidfd(pid: i32) -> Result<OwnedFd> {
    sys::pidfd_open(pid).map_err(|errno| {
        let error = Error::sys(Stage::Launch, format!("pidfd_open({pid})"), errno);
        match errno {
            Errno::ENOSYS | Errno::EPERM => error
                .with_kind(ErrorKind::Unsupported)
                .with_hint("programs can be executed in running containers from Linux 5.3 on"),
            _ => error,
        }
    })
}

/// Whatever this side could not hear, no program runs on.
fn abandon(helper: &OwnedFd) {
    let _ = channel::ask(helper.as_fd(), Control::Kill);
    let _ = crate::wait::until_readable(helper.as_fd(), Some(Duration::from_secs(10)));
    sys::reap_pidfd(helper.as_fd());
}

/// How it lives: in which groups and namespaces, for how long, and what is
/// removed at its end.
fn life(plan: &mut Plan, target: &Target<'_>, spec: &ExecSpec, dir: &std::path::Path) {
    let namespaces = target.meta.exec.namespaces;
    plan.set(Field::Join, namespaces);
    plan.flag(flag::TERMINAL, spec.tty);
    plan.flag(flag::KEYRING, true);
    describe::groups(plan, &target.meta.groups);
    if let Some(time) = spec.limits.wall_time {
        plan.set(Field::WallTime, describe::ns(time));
    }
    plan.set(Field::Grace, describe::ns(spec.limits.grace));
    plan.record(Kind::Remove, |body| {
        body.u32(if spec.detach { when::FAILED } else { when::ALWAYS }).path(dir);
    });
    // The user namespace gives the right to the others, and after the mount
    // namespace /proc is the container's.
    for (kind, name) in [
        (libc::CLONE_NEWUSER, "user"),
        (libc::CLONE_NEWIPC, "ipc"),
        (libc::CLONE_NEWUTS, "uts"),
        (libc::CLONE_NEWNET, "net"),
        (libc::CLONE_NEWPID, "pid"),
        (libc::CLONE_NEWCGROUP, "cgroup"),
        (libc::CLONE_NEWNS, "mnt"),
    ] {
        let kind = kind.cast_unsigned();
        if namespaces & kind != 0 {
            let path = |pid: i32| format!("/proc/{pid}/ns/{name}");
            plan.record(Kind::Namespace, |body| {
                body.u32(kind).string(path(target.init.1)).string(path(target.program.1));
            });
        }
    }
}

/// The document of the container with what is otherwise for this program.
fn effective(meta: &Meta, spec: &ExecSpec) -> Result<RunSpec> {
    let mut effective = RunSpec::from_json(meta.spec.to_string().as_bytes())?;
    // The way to say "no entry point".
    effective.entrypoint = Some(vec!["".into()]);
    effective.args.clone_from(&spec.args);
    effective.env.clone_from(&meta.exec.env);
    effective.inherit_env.clear();
    for name in &spec.inherit_env {
        if let Some(value) = std::env::var_os(name) {
            effective.env.insert(name.clone(), Some(value.into()));
        }
    }
    effective.env.extend(spec.env.clone());
    let of_container = || PathBuf::from(meta.exec.cwd.clone().into_os_string());
    effective.cwd = Some(spec.cwd.clone().unwrap_or_else(of_container));
    let user = spec.user.clone().filter(|user| !user.is_empty());
    effective.user = Some(user.unwrap_or_else(|| meta.exec.user.clone()));
    effective.groups.extend(spec.groups.iter().cloned());
    effective.umask = spec.umask.or(effective.umask);
    effective.tty = spec.tty;
    change(&mut effective.security.capabilities, &spec.capabilities);
    Ok(effective)
}

/// Changes of changes: what this program is to go without, it does not get
/// because the container has it.
fn change(of: &mut Capabilities, by: &Capabilities) {
    let plain = |name: &str| {
        let name = name.to_ascii_uppercase();
        name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
    };
    let dropped: Vec<String> = by.drop.iter().map(|name| plain(name)).collect();
    let all = dropped.iter().any(|name| name == "ALL");
    of.add.retain(|name| !all && !dropped.contains(&plain(name)));
    of.drop.extend(by.drop.iter().cloned());
    of.add.extend(by.add.iter().cloned());
}

/// The container's root as one of its processes has it. pid 1 may only be
/// looked into by root; its program by whoever owns its user namespace.
fn root(target: &Target<'_>) -> Result<PathBuf> {
    let mut refused = None;
    for pid in [target.init.1, target.program.1] {
        let path = PathBuf::from(format!("/proc/{pid}/root"));
        match OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&path) {
            Ok(_) => {
                // Process ids are used again: it was theirs if they live.
                target.check()?;
                return Ok(path);
            }
            Err(error) => {
                target.check()?;
                let call = format!("open({path:?}, O_PATH)");
                refused = Some(Error::io(Stage::User, call, error));
            }
        }
    }
    Err(refused.unwrap_or_else(|| target.not_running()))
}

fn exec_meta(spec: &ExecSpec, process: &Process) -> Result<ExecMeta> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(ExecMeta {
        id: crate::state::new_id()?,
        command: process.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
        created_at_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        detached: spec.detach,
    })
}

impl Target<'_> {
    /// Whether pid 1 still runs, and with it everything.
    fn check(&self) -> Result<()> {
        match crate::wait::until_readable(self.init.0, Some(Duration::ZERO))? {
            true => Err(self.not_running()),
            false => Ok(()),
        }
    }

    fn not_running(&self) -> Error {
        let message = format!("container {} not running", &self.meta.id[..12]);
        Error::new(Stage::State, ErrorKind::NotFound, message)
    }
}

/// Removes the directory, unless the start succeeds; and what is left of a
/// container that has ended meanwhile.
struct Undo<'a> {
    target: &'a Target<'a>,
    dir: &'a ExecDir,
}

impl Undo<'_> {
    fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is found at the next opening.
        let _ = self.dir.remove();
        if self.target.check().is_err() {
            let _ = crate::state::bury(self.target.runtime.run_directory(), self.target.dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::change;
    use crate::spec::Capabilities;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn capabilities_of_the_container_are_changed_by_those_of_the_program() {
        let container =
            Capabilities { add: list(&["cap_net_admin", "KILL"]), drop: list(&["CHOWN"]) };
        for (add, drop, expected_add, expected_drop) in [
            (
                &["SYS_TIME"][..],
                &[][..],
                &["cap_net_admin", "KILL", "SYS_TIME"][..],
                &["CHOWN"][..],
            ),
            (&[], &["NET_ADMIN"], &["KILL"], &["CHOWN", "NET_ADMIN"]),
            (&["CHOWN"], &["all"], &["CHOWN"], &["CHOWN", "all"]),
        ] {
            let mut of = container.clone();
            change(&mut of, &Capabilities { add: list(add), drop: list(drop) });
            assert_eq!((of.add, of.drop), (list(expected_add), list(expected_drop)));
        }
    }
}
