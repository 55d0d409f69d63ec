//! What is left of the walls on a machine that lacks one: no control groups to
//! filter with, or no right to make nodes. Each test runs itself once more
//! where that is so.

use std::env;
use std::process::Command;

use libctr::spec::{IdMap, RunSpec, UserNamespace};
use libctr::{ErrorKind, Stage};
use libctr_tests::{Fixture, as_root, fixture, lacks};
use nix::sys::stat::SFlag;

use super::{node, with};

/// The second run of a test, started by a script: the fixture; `None` in the
/// first run, once the second has ended well.
fn again(script: &str) -> Option<Fixture> {
    if env::var_os("LIBCTR_TEST_AGAIN").is_some() {
        return fixture();
    }
    let _alone = fixture().filter(|_| as_root())?;
    let thread = std::thread::current();
    let test = thread.name().expect("the test's name");
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture"])
        .env("LIBCTR_TEST_AGAIN", "1")
        .output()
        .expect("unshare");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
    None
}

/// No hierarchy can be seen, so there is nothing to filter with.
const NO_GROUPS: &str = "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"";

#[test]
fn without_a_filter_no_node_can_be_made() {
    let Some(fixture) = again(NO_GROUPS) else { return };
    let words =
        ["mknod", "/dev/x", "c", "1", "3", ",", "open", "/dev/null", "rw", ",", "capabilities"];
    let set = "00000000a00425fb";
    let none = "0000000000000000";
    let expected = format!("error 1\n{none} {set} {set} {set} {none}");
    assert_eq!(fixture.ask(&words), expected);
    let mut other = fixture.probe(&["capabilities"]);
    other.user = Some("1000:1000".into());
    assert_eq!(fixture.answer(&other), format!("{none} {none} {none} {set} {none}"));
    let container = fixture.start(&fixture.probe(&["line"]));
    let config = container.info().expect("info").config.expect("config");
    assert!(config["linux"]["resources"].get("devices").is_none());
    drop(container.take_stream(0));
    container.wait(None).expect("wait");
    // A device that is open as a whole needs no filter, nor one of the default
    // set.
    let node = node(&fixture.path().join("log"), SFlag::S_IFCHR, 1, 11);
    let device = format!("{}:/dev/log:rw", node.display());
    let words = ["open", "/dev/log", "w", ",", "open", "/dev/brim", "r"];
    let spec = with(&fixture, &[&device, "/dev/full:/dev/brim:r"], &words);
    assert_eq!(fixture.answer(&spec), "");
}

#[test]
fn without_a_filter_what_would_be_a_lie_is_refused() {
    let Some(fixture) = again(NO_GROUPS) else { return };
    let why = "no mounted cgroup hierarchy has the controller devices; \
               mount -t cgroup2 none /sys/fs/cgroup";
    let unsupported = |what: &str| {
        let text = format!("cgroup: {what} cannot be enforced: {why}");
        (ErrorKind::Unsupported, Stage::Cgroup, None, text)
    };
    let node = node(&fixture.path().join("log"), SFlag::S_IFCHR, 1, 11);
    for access in ["r", "w", "m", "rm"] {
        let spec = with(&fixture, &[&format!("{}:/dev/log:{access}", node.display())], &["uid"]);
        let what = format!("devices[0].access (\"{access}\")");
        assert_eq!(fixture.refusal(&spec), unsupported(&what));
    }
    for name in ["MKNOD", "CAP_SYS_ADMIN", "ALL"] {
        let mut spec = fixture.probe(&["uid"]);
        spec.security.capabilities.add = vec![name.into()];
        let what = format!("the filter of devices for security.capabilities.add ({name:?})");
        assert_eq!(fixture.refusal(&spec), unsupported(&what));
    }
}

#[test]
fn without_mknod_the_hosts_nodes_are_bound() {
    let script = "exec setpriv --bounding-set=-mknod \"$@\"";
    let Some(fixture) = again(script) else { return };
    let words = [
        "open",
        "/dev/null",
        "rw",
        ",",
        "stat",
        "/dev/null",
        ",",
        "mknod",
        "/dev/x",
        "c",
        "1",
        "3",
    ];
    assert_eq!(fixture.ask(&words), "character 1:3 666 0 0\nerror 1");
    let words = ["stat", "/srv/brim", ",", "open", "/srv/brim", "rw"];
    let answer = fixture.answer(&with(&fixture, &["/dev/full:/srv/brim:r"], &words));
    assert_eq!(answer, "character 1:7 666 0 0");
}

#[test]
fn in_a_user_namespace_the_hosts_nodes_are_bound() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let root = fixture.rootfs("root");
    node(&root.join("null"), SFlag::S_IFCHR, 1, 3);
    let map = vec![IdMap { container: 0, host: 100_000, size: 65_536 }];
    let words = [
        "open",
        "/dev/null",
        "rw",
        ",",
        "open",
        "/srv/brim",
        "r",
        ",",
        "open",
        "/null",
        "r",
        ",",
        "mknod",
        "/dev/x",
        "c",
        "1",
        "3",
        ",",
        "stat",
        "/dev/null",
    ];
    let mut spec = RunSpec {
        rootfs: Some(root),
        mounts: Vec::new(),
        ..with(&fixture, &["/dev/full:/srv/brim"], &words)
    };
    spec.security.user_namespace = UserNamespace::Map { uid_maps: map.clone(), gid_maps: map };
    // Of no use there, so it needs nothing else either.
    spec.security.capabilities.add = vec!["MKNOD".into()];
    if lacks("mount_setattr") {
        // Nothing can be shown with other ids.
        let (kind, _, errno, text) = fixture.refusal(&spec);
        assert_eq!((kind, errno), (ErrorKind::Unsupported, Some(libc::ENOSYS)), "{text}");
        assert!(text.contains(" came with Linux 5."), "{text}");
        return;
    }
    assert_eq!(fixture.answer(&spec), "error 13\nerror 1\ncharacter 1:3 666 65534 65534");
}
