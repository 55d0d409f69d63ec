//! A machine made of plain directories, with the mount table to match.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::cgroup::{Hierarchies, Limits, Setup, Systemd};
use crate::error::Error;

/// A tree of files that looks like cgroup mounts.
pub(super) struct Machine {
    root: TempDir,
    pub(super) mounts: String,
    own: String,
}

impl Machine {
    pub(super) fn new() -> Machine {
        Machine { root: tempfile::tempdir().unwrap(), mounts: String::new(), own: String::new() }
    }

    pub(super) fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A mount of which the group `root` is visible.
    pub(super) fn mount(mut self, name: &str, root: &str, kind: &str, options: &str) -> Machine {
        let dir = self.dir(name);
        fs::create_dir_all(&dir).unwrap();
        let line = format!("1 0 0:1 {root} {} rw - {kind} none {options}\n", dir.display());
        self.mounts.push_str(&line);
        self
    }

    /// A v2 group. Without `enabled` it lacks the file, so that it is closed
    /// to everyone, also to the root user who runs the tests.
    pub(super) fn group(
        self,
        name: &str,
        kind: &str,
        offered: &str,
        enabled: Option<&str>,
        procs: &str,
    ) -> Machine {
        let dir = self.dir(name);
        fs::create_dir_all(&dir).unwrap();
        if !kind.is_empty() {
            fs::write(dir.join("cgroup.type"), kind).unwrap();
        }
        fs::write(dir.join("cgroup.controllers"), offered).unwrap();
        if let Some(enabled) = enabled {
            fs::write(dir.join("cgroup.subtree_control"), enabled).unwrap();
            fs::write(dir.join("cgroup.procs"), procs).unwrap();
        }
        self
    }

    pub(super) fn own(mut self, line: &str) -> Machine {
        self.own.push_str(line);
        self.own.push('\n');
        self
    }

    pub(super) fn replace_own(mut self, line: &str) -> Machine {
        self.own = format!("{line}\n");
        self
    }

    pub(super) fn choose(&self, limits: &Limits) -> Result<Setup, Error> {
        self.choose_with(None, limits)
    }

    pub(super) fn choose_with(
        &self,
        systemd: Systemd<'_>,
        limits: &Limits,
    ) -> Result<Setup, Error> {
        Setup::choose(&Hierarchies::of(&self.mounts, &self.own), "1f", limits, systemd)
    }
}

pub(super) fn hybrid() -> Machine {
    Machine::new()
        .mount("memory", "/", "cgroup", "rw,memory")
        .mount("pids", "/", "cgroup", "rw,pids")
        .mount("cpu,cpuacct", "/", "cgroup", "rw,cpu,cpuacct")
        .mount("freezer", "/", "cgroup", "rw,freezer")
        .mount("unified", "/", "cgroup2", "rw")
        .group("unified", "", "hugetlb\n", Some("\n"), "1\n")
}

/// As under a systemd user manager: the process sits in a leaf.
pub(super) fn rootless() -> Machine {
    Machine::new()
        .mount("v2", "/", "cgroup2", "rw")
        .group("v2", "", "cpu io memory pids", None, "")
        .group("v2/user.slice", "domain\n", "cpu io memory pids", None, "")
        .group("v2/user.slice/me", "domain\n", "memory pids", Some("memory"), "")
        .group("v2/user.slice/me/run.scope", "domain\n", "memory", Some(""), "77\n")
        .own("0::/user.slice/me/run.scope")
}

pub(super) fn pids(limit: u64) -> Limits {
    Limits { pids: Some(limit), ..Limits::default() }
}
