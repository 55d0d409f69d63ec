//! From the first process to the last: freeze, kill, list, remove.

use super::{Container, machines, until};
use crate::cgroup::{Controller, Hierarchies, Limits, Setup, Stats, tree};
use crate::error::{ErrorKind, Stage};
use std::fs;
use std::os::fd::AsRawFd;
use std::time::Instant;

fn freezes(machine: &Hierarchies) -> bool {
    machine.v2.is_some() || machine.v1.contains_key(&Controller::Freezer)
}

#[test]
fn life_from_first_to_last() {
    for machine in machines() {
        let limits = Limits { pids: Some(64), ..Limits::default() };
        let mut container = Container::create(&machine, &limits).unwrap();
        let groups = container.groups.clone();
        assert!(groups.dirs().iter().all(|dir| dir.is_dir()));
        assert!(groups.is_empty().unwrap());

        container.run("exec sleep 1000");
        assert_eq!(groups.processes().unwrap(), [container.pid()]);
        assert!(!groups.is_empty().unwrap());
        let stats = groups.stats().unwrap();
        assert!(stats.memory.current > Some(0) && stats.memory.peak > Some(0), "{stats:?}");
        assert_eq!((stats.memory.limit, stats.memory.oom_kills), (None, Some(0)));
        assert_eq!((stats.pids.current, stats.pids.limit), (Some(1), Some(64)));
        assert!(stats.cpu.usage_ns.is_some(), "{stats:?}");

        container.groups.kill().unwrap();
        assert_eq!(container.wait_signal(), Some(libc::SIGKILL));
        container.finish();

        // nobody there any more
        groups.remove().unwrap();
        groups.kill().unwrap();
        assert!(groups.is_empty().unwrap());
        assert!(groups.processes().unwrap().is_empty());
        assert_eq!(groups.stats().unwrap(), Stats::default());
        let error = groups.update(&Limits { pids_explicit: true, ..limits }).unwrap_err();
        assert_eq!((error.kind(), error.stage()), (ErrorKind::NotFound, Stage::Cgroup));
        assert_eq!(groups.open().unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn frozen_container_stands_still_and_can_be_killed() {
    for machine in machines().into_iter().filter(freezes) {
        let mut container = Container::start(&machine, &Limits::default(), "while :; do :; done");
        let groups = container.groups.clone();
        assert!(!groups.is_frozen().unwrap());
        groups.freeze().unwrap();
        assert!(groups.is_frozen().unwrap());
        let used = groups.stats().unwrap().cpu.usage_ns;
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(groups.stats().unwrap().cpu.usage_ns, used);

        groups.thaw().unwrap();
        assert!(!groups.is_frozen().unwrap());
        until("it runs on", || groups.stats().unwrap().cpu.usage_ns > used);

        groups.freeze().unwrap();
        groups.kill().unwrap();
        assert_eq!(container.wait_signal(), Some(libc::SIGKILL));
        container.finish();
        let error = groups.freeze().unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::NotFound, Some(libc::ENOENT)));
        assert!(!groups.is_frozen().unwrap());
    }
}

#[test]
fn freezing_without_freezer_says_what_is_missing() {
    for machine in machines().into_iter().filter(|machine| !freezes(machine)) {
        let container = Container::create(&machine, &Limits::default()).unwrap();
        let error = container.groups.freeze().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.message(), "the container has no freezer group");
        container.finish();
    }
}

#[test]
fn processes_that_fork_without_pause_are_killed() {
    for machine in machines() {
        let limits = Limits { pids: Some(60), ..Limits::default() };
        // children come and go; the limit is reached again and again
        let script = "trap '' HUP TERM; while :; do (sleep 0.05; exec sleep 0.05) & done";
        let container = Container::start(&machine, &limits, script);
        until("there are some", || container.groups.processes().unwrap().len() > 5);
        container.finish();
    }
}

/// `kill` as on kernels before 5.14, which have no `cgroup.kill`.
#[test]
fn killing_one_by_one_reaches_all() {
    for machine in machines() {
        let script = "sleep 1000 & sleep 1000 & exec sleep 1000";
        let mut container = Container::start(&machine, &Limits::default(), script);
        until("all are there", || container.groups.processes().unwrap().len() == 3);
        tree::kill_one_by_one(&container.groups, container.groups.tree().unwrap()).unwrap();
        assert_eq!(container.wait_signal(), Some(libc::SIGKILL));
        until("all are gone", || container.groups.is_empty().unwrap());
        if freezes(&machine) {
            assert!(!container.groups.is_frozen().unwrap());
        }
        container.finish();
    }
}

#[test]
fn groups_inside_are_listed_and_removed() {
    for machine in machines() {
        let mut container = Container::create(&machine, &Limits::default()).unwrap();
        let top = container.groups.clone();
        for dir in top.dirs() {
            fs::create_dir_all(dir.join("a/b")).unwrap();
            fs::create_dir(dir.join("c")).unwrap();
        }
        // the process goes into the inner groups of the same container
        for dir in container.groups.v2.iter_mut().chain(container.groups.v1.values_mut()) {
            dir.push("a/b");
        }
        container.run("exec sleep 1000");
        assert_eq!(top.processes().unwrap(), [container.pid()]);
        assert!(!top.is_empty().unwrap());
        container.groups = top;
        container.finish();
    }
}

#[test]
fn removing_a_busy_group_fails_and_names_the_process() {
    let Some(machine) = machines().into_iter().next() else {
        return;
    };
    let container = Container::start(&machine, &Limits::default(), "exec sleep 1000");
    let dir = container.groups.tree().unwrap();
    let error = tree::remove(dir, Instant::now()).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Busy, Some(libc::EBUSY)));
    assert_eq!(error.message(), format!("rmdir({dir:?})"));
    assert_eq!(error.hint(), Some(format!("processes in it: [{}]", container.pid()).as_str()));
    container.finish();
}

#[test]
fn entrance_has_a_descriptor_per_group() {
    for machine in machines() {
        let container = Container::create(&machine, &Limits::default()).unwrap();
        let entrance = container.groups.open().unwrap();
        assert_eq!(entrance.v2.is_some(), container.groups.v2.is_some());
        let v1 = container.groups.dirs().len() - usize::from(entrance.v2.is_some());
        assert_eq!(entrance.v1.len(), v1);
        for fd in entrance.v1.iter().chain(&entrance.v2) {
            assert!(fd.as_raw_fd() > 2);
            let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
            assert_eq!(flags, libc::FD_CLOEXEC);
        }
        drop(entrance);
        container.finish();
    }
}

#[test]
fn without_delegation_an_asked_limit_is_denied() {
    if nix::unistd::geteuid().is_root() {
        return skip_as_root();
    }
    // outside of any group of one's own there is only the top of the mounts
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let machine = Hierarchies::of(&mounts, "");
    let default =
        Setup::choose(&machine, "1", &Limits { pids: Some(1), ..Limits::default() }, None);
    assert!(default.unwrap().groups.is_none());
    let asked = Limits { memory: Some(1 << 20), ..Limits::default() };
    let error = Setup::choose(&machine, "1", &asked, None).unwrap_err();
    assert_eq!((error.kind(), error.stage()), (ErrorKind::Denied, Stage::Cgroup));
    assert!([Some(libc::EACCES), Some(libc::EROFS)].contains(&error.errno()), "{error}");
    assert!(error.message().starts_with("limits.memory cannot be enforced: access("), "{error}");
}

#[expect(clippy::print_stderr, reason = "a skip must be seen")]
fn skip_as_root() {
    eprintln!("skipped: root may make groups everywhere; run it as an ordinary user");
}
