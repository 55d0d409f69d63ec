//! The probe: what it says against what then happens, with everything there
//! and with each thing really taken away.

mod filters;
mod inside;
mod places;
mod report;
mod users;

use libctr::probe::{Level, State};
use libctr_tests::{Fixture, as_root, fixture, in_vm, lacks};

/// Abilities that root has on any kernel of these days.
const USUAL: [&str; 24] = [
    "helper",
    "namespace.user",
    "namespace.user.mapped",
    "namespace.pid",
    "namespace.mnt",
    "namespace.ipc",
    "namespace.uts",
    "namespace.net",
    "namespace.cgroup",
    "mount.proc",
    "mount.sysfs",
    "mount.pivot_root",
    "overlay",
    "overlay.user",
    "overlay.on_data_directory",
    "seccomp.filter",
    "seccomp.notify",
    "subuid",
    "newuidmap",
    "cgroup.memory",
    "cgroup.pids",
    "cgroup.cpu",
    "directory.run",
    "directory.data",
];

/// Those that the machine with `LIBCTR_VM`, a small kernel, may lack.
const NEWER: [&str; 8] = [
    "clone3",
    "openat2",
    "pidfd",
    "close_range",
    "mount_api",
    "cgroup.into",
    "cgroup.kill",
    "idmap",
];

/// For tests in which something is taken away, or everything is there.
fn root_fixture() -> Option<Fixture> {
    if as_root() { fixture() } else { None }
}

#[test]
fn root_has_everything_and_runs_containers_with_limits() {
    let Some(fixture) = root_fixture() else { return };
    let probe = libctr::probe(&fixture.options()).expect("a probe");
    let newer = NEWER.iter().filter(|_| !in_vm() && !lacks("clone3"));
    for name in USUAL.iter().chain(newer) {
        let finding = probe.finding(name).unwrap_or_else(|| panic!("no finding {name}"));
        assert_eq!(finding.state, State::Ok, "{finding:?}");
        assert_eq!((&finding.consequence, &finding.fix), (&None, &None), "{finding:?}");
    }
    assert_eq!(probe.summary().level, Level::Full);
    assert_eq!(fixture.ask(&["hostname"]).len(), 12);
    let mut spec = fixture.probe(&["hostname"]);
    spec.limits.memory = Some(64 << 20);
    spec.limits.pids = Some(50);
    spec.limits.cpus = Some(1.0);
    assert_eq!(fixture.answer(&spec).len(), 12);
}

#[test]
fn findings_are_told_once_each_and_bad_ones_say_what_they_mean() {
    let Some(fixture) = fixture() else { return };
    let probe = libctr::probe(&fixture.options()).expect("a probe");
    let mut names: Vec<_> = probe.findings().iter().map(|finding| finding.ability).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
    for finding in probe.findings() {
        assert!(!finding.detail.is_empty(), "{finding:?}");
        assert_eq!(finding.consequence.is_none(), finding.state == State::Ok, "{finding:?}");
    }
}

#[test]
fn document_for_programs_has_its_keys() {
    let Some(fixture) = root_fixture() else { return };
    let probe = libctr::probe(&fixture.options()).expect("a probe");
    let document = serde_json::to_value(&probe).expect("a document");
    let keys: Vec<_> = document.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["features", "findings", "kernel", "level", "uid"]);
    assert_eq!((&document["level"], &document["uid"]), (&"full".into(), &0.into()));
    let first = &document["findings"][0];
    assert_eq!((&first["ability"], &first["state"]), (&"helper".into(), &"ok".into()));
    let feature = document["features"].as_array().expect("features").iter();
    let memory = feature.clone().find(|feature| feature["key"] == "limits.memory");
    assert_eq!(memory.expect("limits.memory")["works"], true);
}

#[test]
fn probe_from_many_threads_leaves_nothing() {
    let Some(fixture) = root_fixture() else { return };
    let options = fixture.options();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let probe = libctr::probe(&options).expect("a probe");
                assert_eq!(probe.summary().level, Level::Full);
            });
        }
    });
    fixture.assert_clean();
    let left = fixture.path().read_dir().expect("a directory").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != "run").collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
}
