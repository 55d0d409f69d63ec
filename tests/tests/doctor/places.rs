//! Control groups that are read-only, data directories on which no overlay can
//! be mounted.

use crate::report::Place;
use crate::root_fixture;

/// All control groups of a mount namespace of its own.
const READ_ONLY: &str =
    "awk '$9 ~ /^cgroup/ || $0 ~ / - cgroup/ { print $5 }' /proc/self/mountinfo |
    while read -r dir; do mount -o remount,ro,bind \"$dir\"; done; exec \"$@\"";

#[test]
fn groups_that_are_read_only_cannot_be_limited_and_containers_run_without() {
    let Some(_fixture) = root_fixture() else { return };
    let place = Place::new();
    let report = place.script(&["unshare", "--mount"], READ_ONLY).agrees();
    assert_eq!(report.level(), "without_limits");
    for name in ["cgroup.memory", "cgroup.pids", "cgroup.cpu"] {
        let (state, detail) = report.of(name);
        assert_eq!(state, "missing", "{detail}");
        assert!(detail.contains("EROFS"), "{detail}");
        let fix = report.fix(name).expect("a fix");
        assert!(fix.starts_with("mount -o remount,rw /sys/fs/cgroup"), "{fix}");
    }
    assert_eq!(report.of("cgroup.kill").0, "degraded");
    place.assert_clean();
}

#[test]
fn groups_that_can_be_written_can_be_limited() {
    let Some(_fixture) = root_fixture() else { return };
    let place = Place::new();
    let report = place.script(&["unshare", "--mount"], "exec \"$@\"").agrees();
    assert_eq!(report.level(), "full");
    assert_eq!(report.of("cgroup.memory").0, "ok");
    place.assert_clean();
}

/// A file system in the place of both directories; `OVERLAY` is an overlay.
fn on(kind: &str) -> String {
    let overlay = "mkdir \"$own\"/l \"$own\"/u \"$own\"/w \"$own\"/m; \
        mount -t overlay o -o lowerdir=\"$own\"/l,upperdir=\"$own\"/u,workdir=\"$own\"/w \"$own\"/m; \
        doctor=$1 program=$4; set -- \"$doctor\" \"$own\"/m/run \"$own\"/m/data \"$program\";";
    let more = if kind == "overlay" { overlay } else { "" };
    format!("own=${{2%/run}}; mount -t tmpfs t \"$own\"; {more} exec \"$@\"")
}

#[test]
fn data_directory_on_an_overlay_takes_no_overlay() {
    let Some(_fixture) = root_fixture() else { return };
    let place = Place::new();
    let report = place.script(&["unshare", "--mount"], &on("overlay")).agrees();
    let (state, detail) = report.of("overlay.on_data_directory");
    assert_eq!((state, detail), ("degraded", "mount(): EINVAL (Invalid argument)"));
    assert_eq!(report.of("overlay").0, "ok");
}

#[test]
fn data_directory_in_memory_takes_an_overlay() {
    let Some(_fixture) = root_fixture() else { return };
    let place = Place::new();
    let report = place.script(&["unshare", "--mount"], &on("tmpfs")).agrees();
    assert_eq!(report.of("overlay.on_data_directory").0, "ok");
}

#[test]
fn directories_that_are_read_only_are_told() {
    let Some(_fixture) = root_fixture() else { return };
    let place = Place::new();
    let script = "own=${2%/run}; mount -t tmpfs -o ro t \"$own\"; exec \"$@\"";
    let report = place.script(&["unshare", "--mount"], script).agrees();
    assert_eq!(report.level(), "nothing");
    for name in ["directory.run", "directory.data"] {
        let (state, detail) = report.of(name);
        assert_eq!(state, "missing");
        assert!(detail.starts_with("mkdir(") && detail.contains("EROFS"), "{detail}");
    }
    // What needs no directory is tried all the same.
    assert_eq!(report.of("mount.proc").0, "ok");
}

#[test]
fn memory_that_cannot_be_executed_is_done_without() {
    let Some(_fixture) = root_fixture() else { return };
    let place = Place::new();
    let script = "test ! -e /proc/sys/vm/memfd_noexec || echo 2 > /proc/sys/vm/memfd_noexec; \
                  exec \"$@\"";
    let report = place.script(&["unshare", "--pid", "--fork", "--mount-proc"], script).agrees();
    if !std::path::Path::new("/proc/sys/vm/memfd_noexec").exists() {
        return libctr_tests::skip("this kernel cannot forbid memory files (before 6.3)");
    }
    let (state, detail) = report.of("memfd.exec");
    assert_eq!(state, "degraded", "{detail}");
    assert_eq!(report.fix("memfd.exec"), Some("as root: sysctl -w vm.memfd_noexec=1"));
    assert_eq!(report.level(), "full");
    place.assert_clean();
}
