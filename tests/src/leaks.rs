//! What a test may not leave behind.
//!
//! Tests of one file share a process and run one after the other (the lock in
//! `fixture`), so what this process has can be compared exactly. Control
//! groups and processes are the machine's, where others may be at work: of
//! processes those count that carry the fixture's mark, of groups the new ones
//! that stay without a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::skip::is_root;

/// How long a group may be empty and there: its owner is about to remove it.
const EMPTY: Duration = Duration::from_secs(5);

/// What there was before a test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Before {
    descriptors: BTreeMap<i32, String>,
    children: BTreeSet<i32>,
    groups: BTreeSet<PathBuf>,
    mounts: BTreeSet<String>,
}

impl Before {
    /// Looks at everything; `directory` is the fixture's own.
    pub(crate) fn look(directory: &Path) -> Before {
        Before {
            descriptors: descriptors(),
            children: children(),
            groups: groups(),
            mounts: mounts(directory),
        }
    }

    /// Fails the test if anything is there that was not before.
    pub(crate) fn compare(&self, directory: &Path, mark: &str) {
        assert_eq!(processes(directory, mark), Vec::<String>::new(), "processes are left");
        assert_eq!(self.descriptors, descriptors(), "descriptors");
        assert_eq!(self.children, children(), "children");
        assert_eq!(self.mounts, mounts(directory), "mounts");
        for place in ["run/containers", "run/names", "data/upper"] {
            assert_eq!(names(&directory.join(place)), Vec::<String>::new(), "{place}");
        }
        let end = Instant::now() + EMPTY;
        loop {
            let new: Vec<PathBuf> = groups().difference(&self.groups).cloned().collect();
            let empty: Vec<&PathBuf> = new.iter().filter(|dir| is_empty(dir)).collect();
            if empty.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "groups are left: {empty:?}");
            sleep(Duration::from_millis(20));
        }
    }
}

/// Names in a directory; none if it does not exist.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn numbers(directory: &str) -> Vec<i32> {
    names(Path::new(directory)).iter().filter_map(|name| name.parse().ok()).collect()
}

/// Open files of this process. The library keeps its helper program in one
/// memory file for good.
pub(crate) fn descriptors() -> BTreeMap<i32, String> {
    let mut found = BTreeMap::new();
    let mut programs = 0;
    for number in numbers("/proc/self/fd") {
        // The one that read the directory is closed by now.
        let Ok(target) = fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
        let target = target.to_string_lossy().into_owned();
        match target.as_str() {
            // Of the allocator, when another test's thread ends (glibc, shrink_heap).
            "/proc/sys/vm/overcommit_memory" => {}
            name if name.starts_with("/memfd:libctr-helper") => programs += 1,
            _ => drop(found.insert(number, target)),
        }
    }
    assert!(programs <= 1, "{programs} memory files of the helper program");
    found
}

/// Children of this process, zombies included.
pub(crate) fn children() -> BTreeSet<i32> {
    let own = std::process::id().to_string();
    let is_child = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        after.split(' ').nth(1) == Some(own.as_str())
    };
    numbers("/proc").into_iter().filter(is_child).collect()
}

fn mounts(directory: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let directory = directory.to_string_lossy();
    let ours = |line: &&str| line.contains(&*directory);
    text.lines().filter(ours).map(str::to_owned).collect()
}

/// Programs with the mark in their environment, and helpers that have a file
/// of the fixture open. A helper shows its files to root alone; others see that
/// it holds a container's lock.
pub(crate) fn processes(directory: &Path, mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !is_root() {
        found.extend(locked(&directory.join("run/containers")));
    }
    for pid in numbers("/proc") {
        let of = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let marked = of("environ").split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes());
        let has_file = || {
            names(Path::new(&format!("/proc/{pid}/fd"))).iter().any(|number| {
                fs::read_link(format!("/proc/{pid}/fd/{number}"))
                    .is_ok_and(|target| target.starts_with(directory))
            })
        };
        if marked || (of("comm") == b"libctr\n" && has_file()) {
            let arguments = String::from_utf8_lossy(&of("cmdline")).replace('\0', " ");
            found.push(format!("{pid} {arguments}"));
        }
    }
    found
}

/// Containers whose lock is held: by their helper, wherever it is.
fn locked(containers: &Path) -> Vec<String> {
    let is_locked = |id: &String| {
        let lock = fs::File::open(containers.join(id).join("lock"));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
    };
    // Those that are being made have no lock to spare.
    let made = names(containers).into_iter().filter(|id| !id.starts_with('.'));
    made.filter(is_locked).map(|id| format!("0 helper of {id}")).collect()
}

/// All groups of containers on this machine.
fn groups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut todo = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            match entry.file_name().to_string_lossy().starts_with("libctr-") {
                true => drop(found.insert(entry.path())),
                false => todo.push(entry.path()),
            }
        }
    }
    found
}

/// Whether a group is there and neither it nor one below it has a process.
fn is_empty(group: &Path) -> bool {
    let below = fs::read_to_string(group.join("cgroup.events")).unwrap_or_default();
    fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|pids| pids.is_empty())
        && !below.contains("populated 1")
}
