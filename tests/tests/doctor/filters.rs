//! Behind filters of system calls that answer, or kill.

use libctr::Probe;
use libctr::probe::{Level, State};
use libctr_tests::{Fixture, lacks, outer};

use crate::report::Place;
use crate::root_fixture;

const ENOSYS: u16 = 38;
const EPERM: u16 = 1;

/// Ability, the calls it needs, where the first is named.
const NEWER: [(&str, &[&str]); 6] = [
    ("clone3", &["clone3"]),
    ("openat2", &["openat2"]),
    ("pidfd", &["pidfd_open"]),
    ("close_range", &["close_range"]),
    ("mount_api", &["fsopen", "fsconfig", "fsmount", "open_tree", "move_mount", "mount_setattr"]),
    ("landlock", &["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"]),
];

fn behind(fixture: &Fixture, calls: &[&str], errno: u16) -> Probe {
    outer::without(calls, errno, || libctr::probe(&fixture.options())).expect("a probe")
}

fn state(probe: &Probe, name: &str) -> State {
    probe.finding(name).unwrap_or_else(|| panic!("{name}")).state
}

#[test]
fn newer_call_that_is_refused_is_named_and_containers_still_run() {
    let Some(fixture) = root_fixture() else { return };
    if lacks("clone3") {
        return;
    }
    for (name, calls) in NEWER {
        for (errno, text) in [(ENOSYS, "ENOSYS"), (EPERM, "EPERM")] {
            let probe = behind(&fixture, calls, errno);
            let finding = probe.finding(name).expect("a finding");
            assert_eq!(finding.state, State::Degraded, "{finding:?}");
            let call = format!("{}(): {text} ", calls[0]);
            assert!(finding.detail.starts_with(&call), "{finding:?}");
            assert!(finding.detail.contains("a filter of system calls"), "{finding:?}");
            assert_eq!(probe.summary().level, Level::Full, "{name} {text}");
            let hostname = outer::without(calls, errno, || fixture.ask(&["hostname"]));
            assert_eq!(hostname.len(), 12);
        }
        // Without the filter it is there: so it was the filter.
        let probe = libctr::probe(&fixture.options()).expect("a probe");
        assert!(probe.has(name), "{:?}", probe.finding(name));
    }
}

#[test]
fn mount_that_is_refused_is_named_and_nothing_runs() {
    let Some(fixture) = root_fixture() else { return };
    let probe = behind(&fixture, &["mount"], EPERM);
    for name in ["namespace.mnt", "mount.proc", "mount.sysfs", "overlay"] {
        let finding = probe.finding(name).expect("a finding");
        assert_eq!(finding.state, State::Missing, "{finding:?}");
        assert!(finding.detail.starts_with("mount(): EPERM "), "{finding:?}");
    }
    assert_eq!(state(&probe, "namespace.pid"), State::Ok);
    assert_eq!(probe.summary().level, Level::Nothing);
    let error = outer::without(&["mount"], EPERM, || {
        fixture.try_start(&fixture.probe(&["hostname"])).map(drop)
    });
    assert_eq!(error.expect_err("no mounts").errno(), Some(libc::EPERM));
}

#[test]
fn seccomp_that_is_refused_leaves_containers_without_filter() {
    let Some(fixture) = root_fixture() else { return };
    let probe = behind(&fixture, &["seccomp"], ENOSYS);
    assert_eq!(state(&probe, "seccomp.filter"), State::Missing);
    assert_eq!(state(&probe, "seccomp.notify"), State::Degraded);
    let features = probe.summary().features;
    let seccomp = features.iter().find(|feature| feature.key == "security.seccomp");
    assert_eq!(seccomp.map(|feature| &feature.needs[..]), Some(&["seccomp.filter"][..]));
    let mut spec = fixture.probe(&["hostname"]);
    spec.security.seccomp = libctr::spec::Seccomp::Unconfined;
    let hostname = outer::without(&["seccomp"], ENOSYS, || fixture.answer(&spec));
    assert_eq!(hostname.len(), 12);
}

#[test]
fn call_that_kills_is_a_finding_and_not_the_end() {
    let Some(fixture) = root_fixture() else { return };
    if lacks("clone3") {
        return;
    }
    for (name, call) in [("clone3", "clone3"), ("mount_api", "fsopen"), ("openat2", "openat2")] {
        let probe = outer::killing(&[call], || libctr::probe(&fixture.options())).expect("a probe");
        let finding = probe.finding(name).expect("a finding");
        assert_eq!(finding.state, State::Missing, "{finding:?}");
        assert!(finding.detail.contains("was ended by SIGSYS"), "{finding:?}");
        assert_eq!(state(&probe, "helper"), State::Ok);
        assert_eq!(state(&probe, "namespace.pid"), State::Ok);
        assert_eq!(state(&probe, "seccomp.filter"), State::Ok);
        assert_eq!(probe.summary().level, Level::Nothing, "{name}");
        let start = || fixture.try_start(&fixture.probe(&["hostname"])).map(drop);
        assert!(outer::killing(&[call], start).is_err(), "{name}");
    }
}

#[test]
fn call_that_kills_and_that_no_start_makes_harms_nothing() {
    let Some(fixture) = root_fixture() else { return };
    let probe = outer::killing(&["setns"], || libctr::probe(&fixture.options())).expect("a probe");
    assert_eq!(probe.summary().level, Level::Full);
}

#[test]
fn helper_that_is_killed_at_once_is_told_and_nothing_hangs() {
    let Some(fixture) = root_fixture() else { return };
    // What it begins with.
    let probe = outer::killing(&["setsid"], || libctr::probe(&fixture.options())).expect("a probe");
    let helper = probe.finding("helper").expect("a finding");
    assert_eq!(helper.state, State::Missing, "{helper:?}");
    assert!(helper.detail.starts_with("the helper ended before"), "{helper:?}");
    assert_eq!(probe.summary().level, Level::Nothing);
    // What the host tries itself is still known.
    assert_eq!(state(&probe, "cgroup.memory"), State::Ok);
}

#[test]
fn filtered_process_and_the_doctor_agree() {
    let Some(_fixture) = root_fixture() else { return };
    for (call, errno) in [
        ("clone3", ENOSYS),
        ("mount", EPERM),
        ("pivot_root", EPERM),
        ("unshare", EPERM),
        ("sethostname", EPERM),
        ("keyctl", EPERM),
    ] {
        let place = Place::new();
        let report = outer::without(&[call], errno, || place.script(&[], "exec \"$@\""));
        report.agrees();
        place.assert_clean();
    }
}
