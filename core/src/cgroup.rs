//! Set cgroup: the container's control groups, from choice to removal.
//!
//! Stage `cgroup`. Everything here runs in the host, on any thread, and
//! changes nothing but files below the cgroup mounts. The order of a life:
//!
//! ```text
//! Hierarchies::get        which hierarchies this machine has, and where
//! Setup::choose           which groups this container needs; makes nothing
//!   (Setup::groups is recorded in the container's metadata)
//! Setup::create           mkdir, limits and the filter of devices, all or nothing
//!   (create_around        the same once the helper runs, in systemd's scope)
//! Groups::open            descriptors with which pid 1 is born into them
//! Groups::{stats, freeze, thaw, update, kill, is_empty}
//! Groups::remove          when the tree is empty
//! ```
//!
//! cgroup v2, v1 and hybrid machines differ only in which hierarchy serves a
//! controller; that is decided once, per controller, in `Setup::choose`.
//! A group is a directory `libctr-<id>` made directly in the place found for
//! it, without a common parent: a parent would cost every first start 0.2 ms
//! and, before Linux 6.0, an RCU grace period of some 20 ms for enabling
//! controllers in it, and it could not be removed without a race. An ordinary
//! user without such a place has systemd make one for each container: see
//! `systemd`.
//!
//! How pid 1 enters matters more than all the rest: writing a pid into
//! `cgroup.procs` waits for an RCU grace period (19 ms measured on an idle
//! machine), `CLONE_INTO_CGROUP` and a single-threaded process that writes
//! `0` into v1 `tasks` do not (35 µs). See `Entrance`.
//!
//! Errors: kind `Unsupported` or `Denied` when a limit that was asked for
//! cannot be enforced here, `InvalidInput` when the kernel refuses its value,
//! `Busy`, `Timeout`, `NotFound` from the later calls; always stage `cgroup`.
//!
//! Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the
//! kernel, cgroups(7), and for conversions the runtimes named in `weight`.

use std::collections::BTreeMap;
#[cfg(test)]
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

mod devices;
mod file;
mod freezer;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod hierarchy;
mod limits;
mod place;
mod setup;
mod stats;
mod systemd;
mod tree;
mod trial;
mod v1;
mod v2;

#[cfg(test)]
mod live;

use crate::error::{Error, ErrorKind, Result, Stage};

pub(crate) use devices::{DeviceAccess, DeviceFilter, DeviceKind, DeviceRule};
pub use hierarchy::Controller;
pub(crate) use hierarchy::Hierarchies;
pub use limits::weight_of_shares;
pub(crate) use limits::{Device, IoLimit, Limits};
pub(crate) use place::Systemd;
pub(crate) use setup::Setup;
pub use stats::{CpuStats, IoStats, MemoryStats, PidsStats, Stats};
pub(crate) use systemd::Manager;
pub(crate) use trial::Trial;

/// How long [`Groups::freeze`] waits for the kernel, and [`Groups::remove`]
/// for processes that are already dying.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which groups a container has, as absolute directories.
///
/// Recorded in the container's metadata *before* the groups are made, so that
/// any process can find, freeze, kill and remove them later. No directories
/// at all mean that the container runs without cgroups: its limits, figures
/// and kill then come from elsewhere (rlimits, the pid namespace).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// The group in the v2 hierarchy.
    pub v2: Option<PathBuf>,
    /// The groups in v1 hierarchies. Controllers that are mounted together
    /// share one directory.
    pub v1: BTreeMap<Controller, PathBuf>,
}

/// How pid 1 gets into the groups before the program's first instruction.
///
/// All descriptors are close-on-exec and numbered 3 or higher.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Entrance {
    /// The v2 directory, for `clone3(CLONE_INTO_CGROUP)`. Where that call is
    /// missing, pid 1 writes `0` into `cgroup.procs` below this descriptor.
    pub(crate) v2: Option<OwnedFd>,
    /// The `tasks` file of each v1 group, opened for writing. Pid 1 itself
    /// writes `0` into each while it has one thread: moving only itself, it
    /// need not wait for an RCU grace period (Linux 5.5, commit 9a3284fad42f;
    /// older kernels wait). The rights checked are those of the opener.
    pub(crate) v1: Vec<OwnedFd>,
}

impl Groups {
    /// Whether the container runs without any cgroup.
    pub(crate) fn is_none(&self) -> bool {
        self.v2.is_none() && self.v1.is_empty()
    }

    /// Every directory once.
    fn dirs(&self) -> Vec<&Path> {
        let mut dirs: Vec<&Path> = Vec::new();
        for dir in self.v2.iter().chain(self.v1.values()) {
            if !dirs.contains(&dir.as_path()) {
                dirs.push(dir);
            }
        }
        dirs
    }

    /// The group whose list of processes is the container's: v2, or the v1
    /// hierarchy that can stop them.
    fn tree(&self) -> Result<&Path> {
        self.v2
            .as_ref()
            .or_else(|| self.v1.get(&Controller::Freezer))
            .or_else(|| self.v1.get(&Controller::Pids))
            .or_else(|| self.v1.values().next())
            .map(PathBuf::as_path)
            .ok_or_else(|| {
                Error::new(Stage::Cgroup, ErrorKind::Unsupported, "the container has no cgroup")
                    .with_hint(
                        "start the program in a group of its own: \
                         systemd-run --user --scope -p Delegate=yes PROGRAM",
                    )
            })
    }

    /// Opens what pid 1 needs to enter the groups.
    #[cfg(test)]
    pub(crate) fn open(&self) -> Result<Entrance> {
        let v2 = self.v2.as_deref().map(file::open_dir).transpose()?;
        let mut v1 = Vec::new();
        for dir in self.dirs() {
            if self.v2.as_deref() != Some(dir) {
                v1.push(file::open_for_writing(dir, "tasks")?.into());
            }
        }
        Ok(Entrance { v2, v1 })
    }

    /// Stops every process of the container; returns when all have stopped.
    ///
    /// # Errors
    /// `Timeout` when a process cannot be stopped within two seconds (it is
    /// then running again), `NotFound` when the groups are gone.
    pub(crate) fn freeze(&self) -> Result<()> {
        freezer::freeze(self, PATIENCE)
    }

    /// Continues what [`Groups::freeze`] stopped.
    pub(crate) fn thaw(&self) -> Result<()> {
        freezer::thaw(self)
    }

    /// Whether the container is stopped by [`Groups::freeze`].
    pub(crate) fn is_frozen(&self) -> Result<bool> {
        freezer::is_frozen(self)
    }

    /// Sends SIGKILL to every process of the container, also to a frozen one
    /// and to one that forks without pause. Groups that are gone are no error.
    /// The processes end soon after; [`Groups::is_empty`] tells.
    pub(crate) fn kill(&self) -> Result<()> {
        tree::kill(self)
    }

    /// The processes of the container, as pids of the caller's namespace.
    #[cfg(test)]
    pub(crate) fn processes(&self) -> Result<Vec<i32>> {
        tree::processes(self.tree()?)
    }

    /// Whether no process is left. A group that is gone is empty.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> Result<bool> {
        match &self.v2 {
            Some(dir) => Ok(!v2::event(dir, "populated")?),
            None => Ok(self.processes()?.is_empty()),
        }
    }

    /// What the kernel has counted so far. See [`Stats`].
    pub(crate) fn stats(&self) -> Result<Stats> {
        stats::read(self)
    }

    /// Changes the limits that `limits` gives, and no others, on a running
    /// container. With memory but without swap, the allowance of swap stays.
    ///
    /// # Errors
    /// `Unsupported` when the container was started without a group for that
    /// controller, `InvalidInput` when the kernel refuses a value. The limits
    /// are applied one after the other; those before the failed one stay.
    pub(crate) fn update(&self, limits: &Limits) -> Result<()> {
        setup::update(self, limits)
    }

    /// Removes the groups, which must be empty or about to be; kills nothing.
    /// Groups made inside by the container go as well. What is already gone
    /// is done. All groups are tried; the first error is returned.
    ///
    /// # Errors
    /// `Busy` when a process is still there after two seconds.
    pub(crate) fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let results: Vec<Result<()>> =
            self.dirs().into_iter().map(|dir| tree::remove(dir, deadline)).collect();
        results.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Controller, Groups};
    use crate::error::ErrorKind;
    use std::path::Path;

    #[test]
    fn groups_survive_the_metadata() {
        let mut groups =
            Groups { v2: Some("/sys/fs/cgroup/unified/libctr-1".into()), ..Groups::default() };
        groups.v1.insert(Controller::Memory, "/sys/fs/cgroup/memory/libctr-1".into());
        let text = serde_json::to_string(&groups).unwrap();
        assert_eq!(
            text,
            r#"{"v2":"/sys/fs/cgroup/unified/libctr-1","v1":{"memory":"/sys/fs/cgroup/memory/libctr-1"}}"#
        );
        assert_eq!(serde_json::from_str::<Groups>(&text).unwrap(), groups);
    }

    #[test]
    fn controllers_mounted_together_are_one_directory() {
        let mut groups = Groups::default();
        groups.v1.insert(Controller::Cpu, "/c/cpu,cpuacct/x".into());
        groups.v1.insert(Controller::Cpuacct, "/c/cpu,cpuacct/x".into());
        assert_eq!(groups.dirs(), [Path::new("/c/cpu,cpuacct/x")]);
    }

    #[test]
    fn without_groups_kill_and_list_say_so() {
        let groups = Groups::default();
        assert!(groups.is_none());
        for error in [
            groups.kill().unwrap_err(),
            groups.processes().unwrap_err(),
            groups.is_empty().unwrap_err(),
            groups.freeze().unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert_eq!(error.message(), "the container has no cgroup");
        }
        groups.remove().unwrap();
    }
}
