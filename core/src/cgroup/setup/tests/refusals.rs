//! Limits that were asked for and cannot be enforced.

use super::machine::{Machine, hybrid, pids, rootless};
use crate::cgroup::Limits;
use crate::error::{ErrorKind, Stage};
use std::fs;

fn assert_refused(machine: &Machine, limits: &Limits, kind: ErrorKind, message: &str, hint: &str) {
    let error = machine.choose(limits).unwrap_err();
    assert_eq!((error.kind(), error.stage()), (kind, Stage::Cgroup));
    assert_eq!(error.message(), message);
    let found = error.hint().unwrap();
    assert!(found.contains(hint), "{found}");
}

#[test]
fn rootless_without_the_controller_names_the_delegation() {
    let machine = rootless();
    assert_refused(
        &machine,
        &Limits { cpus: Some(1.0), ..Limits::default() },
        ErrorKind::Unsupported,
        &format!(
            "limits.cpus cannot be enforced: {:?} was not given the controller cpu",
            machine.dir("v2/user.slice/me")
        ),
        "Delegate=cpu cpuset io memory pids",
    );
}

#[test]
fn a_container_root_that_holds_processes_hands_nothing_down() {
    let machine = Machine::new()
        .mount("v2", "/", "cgroup2", "rw")
        .group("v2", "domain\n", "memory pids", Some(""), "1\n")
        .own("0::/");
    // the default limit is dropped, kill and freeze stay
    let setup = machine.choose(&pids(4096)).unwrap();
    assert_eq!(setup.groups.v2, Some(machine.dir("v2/libctr-1f")));
    assert!(setup.settings.is_empty() && setup.enable.is_none());
    let dir = machine.dir("v2");
    assert_refused(
        &machine,
        &Limits { pids_explicit: true, ..pids(5) },
        ErrorKind::Unsupported,
        &format!(
            "limits.pids cannot be enforced: {dir:?} holds processes and so cannot hand down pids"
        ),
        &format!(
            "mkdir {0}/init && xargs -rn1 < {0}/cgroup.procs > {0}/init/cgroup.procs",
            dir.display()
        ),
    );
}

#[test]
fn processor_time_that_nobody_counts_cannot_be_limited() {
    let machine = Machine::new()
        .mount("v2", "/", "cgroup2", "rw")
        .group("v2", "", "memory pids", None, "")
        .own("0::/");
    let limits = Limits { cpu_time: true, ..Limits::default() };
    let message =
        format!("limits.cpu_time cannot be enforced: access({:?}, W_OK)", machine.dir("v2"));
    let error = machine.choose(&limits).unwrap_err();
    assert_eq!((error.kind(), error.stage()), (ErrorKind::Denied, Stage::Cgroup));
    assert!(error.message().starts_with(&message), "{error}");
    assert!(machine.choose(&Limits::default()).unwrap().groups.is_none());
    // Every v2 group counts it, whatever controllers it has.
    assert!(rootless().choose(&limits).unwrap().groups.v2.is_some());
    assert!(hybrid().choose(&limits).unwrap().groups.v2.is_some());
}

#[test]
fn a_closed_hierarchy_is_an_error_only_for_asked_limits() {
    let machine = Machine::new()
        .mount("v2", "/", "cgroup2", "rw")
        .group("v2", "", "memory pids", None, "")
        .own("0::/session.scope");
    assert!(machine.choose(&pids(4096)).unwrap().groups.is_none());
    assert_refused(
        &machine,
        &Limits { memory: Some(1), ..Limits::default() },
        ErrorKind::Denied,
        &format!("limits.memory cannot be enforced: access({:?}, W_OK)", machine.dir("v2")),
        "systemd-run --user --scope -p Delegate=yes",
    );
}

#[test]
fn the_real_root_without_a_controller_names_the_boot_option() {
    let machine = Machine::new().mount("v2", "/", "cgroup2", "rw").group(
        "v2",
        "",
        "cpu pids",
        Some(""),
        "1\n",
    );
    assert_refused(
        &machine,
        &Limits { memory: Some(1), ..Limits::default() },
        ErrorKind::Unsupported,
        &format!(
            "limits.memory cannot be enforced: the kernel has no controller memory in {:?}",
            machine.dir("v2")
        ),
        "cgroup_enable=memory",
    );
}

#[test]
fn unmounted_controllers_name_the_mount() {
    let limits = Limits { memory: Some(1), ..Limits::default() };
    let message =
        "limits.memory cannot be enforced: no mounted cgroup hierarchy has the controller memory";
    let none = Machine::new();
    assert!(none.choose(&pids(1)).unwrap().groups.is_none());
    assert_refused(&none, &limits, ErrorKind::Unsupported, message, "mount -t cgroup2 none");

    let mut machine = hybrid();
    machine.mounts = machine.mounts.replace("rw,memory", "rw,devices");
    assert_refused(&machine, &limits, ErrorKind::Unsupported, message, "mount -t cgroup -o memory");
}

/// Enabling fails where the kernel has its reasons; here, because the file is
/// a directory.
#[test]
fn a_controller_that_cannot_be_enabled_fails_only_asked_limits() {
    let machine = Machine::new().mount("v2", "/", "cgroup2", "rw").group(
        "v2",
        "",
        "memory pids",
        Some(""),
        "1\n",
    );
    let control = machine.dir("v2/cgroup.subtree_control");
    let default = machine.choose(&pids(4096)).unwrap();
    let asked = machine.choose(&Limits { pids_explicit: true, ..pids(5) }).unwrap();
    fs::remove_file(&control).unwrap();
    fs::create_dir(&control).unwrap();

    let error = asked.create().unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Unsupported, Some(libc::EISDIR)));
    assert_eq!(error.message(), format!("limits.pids cannot be enforced: open({control:?})"));
    assert!(!machine.dir("v2/libctr-1f").exists());

    default.create().unwrap();
    assert!(machine.dir("v2/libctr-1f").is_dir());
}
