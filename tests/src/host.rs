//! Everything of a host process that the library promises not to change
//! (`core/src/lib.rs`), as one value to compare.

#![allow(unsafe_code, reason = "one system call that has no wrapper")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::leaks;

/// State of this process.
#[derive(Debug, PartialEq, Eq)]
pub struct HostState {
    environment: BTreeMap<std::ffi::OsString, std::ffi::OsString>,
    cwd: String,
    root: String,
    /// Mask, dispositions, ids, capabilities, seccomp and so on, per thread.
    threads: BTreeMap<String, Vec<String>>,
    limits: String,
    namespaces: BTreeMap<String, String>,
    oom_score: String,
    subreaper: bool,
    dumpable: bool,
    keyring: i64,
    children: BTreeSet<i32>,
    descriptors: BTreeMap<i32, String>,
    mounts: String,
    cgroup: String,
}

impl HostState {
    /// Looks at this process.
    #[must_use]
    pub fn look() -> HostState {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let link = |path: &str| {
            fs::read_link(path)
                .map(|target| target.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        let mut namespaces = BTreeMap::new();
        let mut threads = BTreeMap::new();
        for thread in leaks::names("/proc/self/task".as_ref()) {
            let directory = format!("/proc/self/task/{thread}");
            for name in leaks::names(format!("{directory}/ns").as_ref()) {
                let path = format!("{directory}/ns/{name}");
                namespaces.insert(path.clone(), link(&path));
            }
            let status = read(&format!("{directory}/status"));
            threads.insert(
                thread,
                status.lines().filter(|line| is_state(line)).map(Into::into).collect(),
            );
        }
        HostState {
            environment: std::env::vars_os().collect(),
            cwd: link("/proc/self/cwd"),
            root: link("/proc/self/root"),
            threads,
            limits: read("/proc/self/limits"),
            namespaces,
            oom_score: read("/proc/self/oom_score_adj"),
            subreaper: nix::sys::prctl::get_child_subreaper().expect("prctl"),
            dumpable: nix::sys::prctl::get_dumpable().expect("prctl"),
            keyring: session_keyring(),
            children: leaks::children(),
            descriptors: leaks::descriptors(),
            mounts: read("/proc/self/mountinfo"),
            cgroup: read("/proc/self/cgroup"),
        }
    }
}

/// Lines of /proc/self/status that are no measurement.
fn is_state(line: &str) -> bool {
    const MEASURED: [&str; 13] = [
        "State",
        "Vm",
        "Rss",
        "Hugetlb",
        "voluntary",
        "nonvoluntary",
        "SigQ",
        "CoreDumping",
        "FDSize",
        "untag",
        "Mems",
        "x86_",
        "Speculation",
    ];
    !MEASURED.iter().any(|key| line.starts_with(key))
}

/// Serial number of the session keyring.
fn session_keyring() -> i64 {
    const GET_KEYRING_ID: libc::c_int = 0;
    const SESSION_KEYRING: libc::c_int = -3;
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION_KEYRING, 0) }
}
