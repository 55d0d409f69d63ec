//! Stopping and continuing all processes of a container.
//!
//! Host side. v2: `cgroup.freeze` and the event `frozen` (cgroup-v2.rst); v1:
//! `freezer.state` (cgroup-v1/freezer-subsystem.rst), which needs repeated
//! asking while processes are being made.

use std::io::Seek;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Controller, Groups, file, v2};
use crate::error::{Error, ErrorKind, Result, Stage};

/// Between two looks at the v1 state, which announces no change.
const PAUSE: Duration = Duration::from_micros(200);

/// Stops everything, or nothing: what does not stop in time is continued.
pub(super) fn freeze(groups: &Groups, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    let stopped = match (&groups.v2, freezer(groups)) {
        (Some(dir), _) => freeze_v2(dir, deadline),
        (None, Ok(dir)) => freeze_v1(dir, deadline),
        (None, Err(error)) => Err(error),
    };
    match stopped {
        Ok(true) => Ok(()),
        Ok(false) => {
            thaw(groups)?;
            Err(Error::new(
                Stage::Cgroup,
                ErrorKind::Timeout,
                format!("a process of {:?} did not stop within {patience:?}", groups.tree()?),
            )
            .with_hint("it waits for a device or file system: ps -eo pid,stat,wchan"))
        }
        Err(error) => Err(error),
    }
}

/// Continues everything.
pub(super) fn thaw(groups: &Groups) -> Result<()> {
    match &groups.v2 {
        Some(dir) => file::write(dir, "cgroup.freeze", "0"),
        None => file::write(freezer(groups)?, "freezer.state", "THAWED"),
    }
}

/// Whether all is stopped. A group that is gone is not.
pub(super) fn is_frozen(groups: &Groups) -> Result<bool> {
    match &groups.v2 {
        Some(dir) => v2::event(dir, "frozen"),
        None => is_frozen_v1(freezer(groups)?),
    }
}

/// The v1 group that can stop processes.
fn freezer(groups: &Groups) -> Result<&Path> {
    // first the error of a container without any group
    groups.tree()?;
    groups.v1.get(&Controller::Freezer).map(|dir| dir.as_path()).ok_or_else(|| {
        Error::new(Stage::Cgroup, ErrorKind::Unsupported, "the container has no freezer group")
            .with_hint("mount a v2 hierarchy, or v1: mount -t cgroup -o freezer cgroup DIR")
    })
}

fn is_frozen_v1(dir: &Path) -> Result<bool> {
    let state = file::read_if_there(dir, "freezer.state")?;
    Ok(state.is_some_and(|state| state.trim_end() == "FROZEN"))
}

fn freeze_v2(dir: &Path, deadline: Instant) -> Result<bool> {
    // Opened before the change, so that no change is missed.
    let mut events = file::open_for_reading(dir, "cgroup.events")?;
    let path = dir.join("cgroup.events");
    file::write(dir, "cgroup.freeze", "1")?;
    loop {
        if file::keyed(&file::read_open(&mut events, &path)?, "frozen") == Some(1) {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::sys(Stage::Cgroup, format!("poll({path:?})"), errno)),
        }
        events
            .rewind()
            .map_err(|error| Error::io(Stage::Cgroup, format!("lseek({path:?})"), error))?;
    }
}

fn freeze_v1(dir: &Path, deadline: Instant) -> Result<bool> {
    loop {
        // Each write also stops the processes that were made in the meantime.
        file::write(dir, "freezer.state", "FROZEN")?;
        if is_frozen_v1(dir)? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(PAUSE);
    }
}
