//! The processes and groups below a container's group: list, kill, remove.
//!
//! Host side. A container that was given a cgroup namespace and a writable
//! mount may have made groups of its own inside, so everything here goes down
//! the tree. Sources: cgroup-v2.rst on `cgroup.kill` (Linux 5.14), cgroups(7).

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{Controller, Groups, file, freezer};
use crate::error::{Error, Result, Stage};
use crate::sys;

/// More groups than a container has any use for.
const MOST_GROUPS: usize = 100_000;

/// How long killing waits for processes to stop, where it must stop them.
const STOP: Duration = Duration::from_millis(500);

/// How many processes are held at a time: a host may allow few descriptors.
const BATCH: usize = 64;

/// How often killing looks for new processes, where it cannot stop them.
const ROUNDS: u32 = 1000;

/// `top` and all groups below it, parents first. Groups that go away
/// meanwhile are left out.
fn groups(top: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while let Some(dir) = found.get(next).cloned() {
        next += 1;
        let failed = |error| Error::io(Stage::Cgroup, format!("readdir({dir:?})"), error);
        let entries = match std::fs::read_dir(&dir).map_err(failed) {
            Err(error) if file::is_gone(&error) => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = match entry.map_err(failed) {
                Err(error) if file::is_gone(&error) => break,
                entry => entry?,
            };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push(entry.path());
            }
        }
        if found.len() > MOST_GROUPS {
            let call = format!("readdir({top:?}): more than {MOST_GROUPS} groups");
            return Err(Error::sys(Stage::Cgroup, call, Errno::E2BIG));
        }
    }
    Ok(found)
}

/// The pids in `top` and below. Processes that this pid namespace does not
/// show (0) are left out.
pub(super) fn processes(top: &Path) -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    for dir in groups(top)? {
        if let Some(text) = file::read_if_there(&dir, "cgroup.procs")? {
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
    }
    pids.retain(|&pid| pid > 0);
    Ok(pids)
}

/// See [`Groups::kill`].
pub(super) fn kill(groups: &Groups) -> Result<()> {
    let top = groups.tree()?;
    if let Some(dir) = &groups.v2 {
        match file::write_if_there(dir, "cgroup.kill", "1") {
            Ok(true) => return Ok(()),
            Ok(false) if !file::exists(dir) => return Ok(()),
            Ok(false) => {}
            // removed between opening and writing
            Err(error) if error.errno() == Some(Errno::ENODEV as i32) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    kill_one_by_one(groups, top)
}

/// Without `cgroup.kill`: stop all, signal all, continue all, because on v1 a
/// stopped process dies only then. Stopped processes make no new ones. If they
/// do not stop, forbid new ones and go on until none is left.
pub(super) fn kill_one_by_one(groups: &Groups, top: &Path) -> Result<()> {
    let stopped = freezer::freeze(groups, STOP).is_ok();
    let mut result = Ok(());
    if stopped {
        result = signal(top);
    } else {
        if let Some(dir) = groups.v1.get(&Controller::Pids).or(groups.v2.as_ref()) {
            // Best effort: the rounds below end without it, only later.
            let _ = file::write_if_there(dir, "pids.max", "0");
        }
        for _ in 0..ROUNDS {
            if result.is_err() || processes(top)?.is_empty() {
                break;
            }
            result = signal(top);
            sleep(Duration::from_millis(1));
        }
    }
    match freezer::thaw(groups) {
        Err(error) if stopped && !file::is_gone(&error) => result.and(Err(error)),
        _ => result,
    }
}

/// SIGKILL to every process of the tree. Pids can be reused at any moment, so
/// each is held by a descriptor first, and signalled if it is in the tree then.
fn signal(top: &Path) -> Result<()> {
    for batch in processes(top)?.chunks(BATCH) {
        let mut held: Vec<(i32, OwnedFd)> = Vec::with_capacity(batch.len());
        for &pid in batch {
            match sys::signal_handle(pid) {
                Ok(fd) => held.push((pid, fd)),
                // ended (ESRCH), or a thread's id from a threaded group (EINVAL)
                Err(Errno::ESRCH | Errno::EINVAL) => {}
                Err(errno) => {
                    return Err(Error::sys(Stage::Cgroup, format!("pidfd_open({pid})"), errno));
                }
            }
        }
        let still: HashSet<i32> = processes(top)?.into_iter().collect();
        for (pid, fd) in held.into_iter().filter(|(pid, _)| still.contains(pid)) {
            match sys::pidfd_send_signal(fd.as_fd(), libc::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => {
                    return Err(Error::sys(Stage::Cgroup, format!("kill({pid}, SIGKILL)"), errno));
                }
            }
        }
    }
    Ok(())
}

/// Removes `top` and the groups below it, trying again until `deadline` while
/// processes are still on their way out.
pub(super) fn remove(top: &Path, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(100);
    loop {
        let errno = match rmdir(top) {
            Ok(()) => return Ok(()),
            // A read-only mount says EROFS also of what does not exist.
            Err(Errno::EROFS) if !file::exists(top) => return Ok(()),
            Err(errno) => errno,
        };
        let failed = || Error::sys(Stage::Cgroup, format!("rmdir({top:?})"), errno);
        if !matches!(errno, Errno::EBUSY | Errno::ENOTEMPTY) {
            return Err(failed());
        }
        let inner = groups(top)?.split_off(1);
        let removed = inner.iter().rev().filter(|dir| rmdir(dir).is_ok()).count();
        if Instant::now() >= deadline {
            let pids = processes(top)?;
            return Err(failed().with_hint(format!("processes in it: {pids:?}")));
        }
        if inner.is_empty() || removed < inner.len() {
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

/// `rmdir(2)`; what is gone already is done.
fn rmdir(dir: &Path) -> std::result::Result<(), Errno> {
    match std::fs::remove_dir(dir) {
        Ok(()) => Ok(()),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENODEV) => Ok(()),
            Some(errno) => Err(errno),
            None => Err(Errno::UnknownErrno),
        },
    }
}
