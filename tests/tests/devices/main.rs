//! Devices: the default set and what was asked for, and the two walls around
//! it, each where the other does not stand: `nodev` mounts (EACCES, 13) and the
//! rules of the control group (EPERM, 1).
//!
//! The devices that are tried are harmless: the kernel's log (1:11), fuse
//! (10:229) and a loop device (7:0) are opened, if ever, for nothing.

mod unfiltered;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use libctr::image::{ImportOptions, Source};
use libctr::spec::{DeviceAccess, HostDevice, Mount, RunSpec, Writable};
use libctr::{ErrorKind, Stage};
use libctr_tests::{Fixture, as_root, fixture, skip};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// What `/dev` has by default.
const DEFAULT: [&str; 14] = [
    "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
    "tty", "urandom", "zero",
];

#[test]
fn default_devices_are_the_harmless_ones_and_no_others() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    assert_eq!(fixture.ask(&["list", "/dev"]), DEFAULT.join("\n"));
    for (path, expected) in [
        ("/dev/null", "character 1:3 666 0 0"),
        ("/dev/zero", "character 1:5 666 0 0"),
        ("/dev/full", "character 1:7 666 0 0"),
        ("/dev/random", "character 1:8 666 0 0"),
        ("/dev/urandom", "character 1:9 666 0 0"),
        ("/dev/tty", "character 5:0 666 0 0"),
        ("/dev/pts/ptmx", "character 5:2 666 0 0"),
        ("/dev/shm", "directory 1777 0 0"),
        ("/dev", "directory 755 0 0"),
    ] {
        assert_eq!(fixture.ask(&["stat", path]), expected, "{path}");
    }
    assert_eq!(
        fixture.ask(&["link", "/dev/fd", ",", "link", "/dev/ptmx"]),
        "/proc/self/fd\npts/ptmx"
    );
    assert_eq!(fixture.ask(&["list", "/dev/pts"]), "ptmx");
}

/// A run of the probe with devices.
fn with(fixture: &Fixture, devices: &[&str], words: &[&str]) -> RunSpec {
    let devices = devices.iter().map(|text| text.parse::<HostDevice>().expect("device"));
    RunSpec { devices: devices.collect(), ..fixture.probe(words) }
}

/// A node of this machine that only its number is taken of.
fn node(path: &Path, kind: SFlag, major: u64, minor: u64) -> PathBuf {
    mknod(path, kind, Mode::empty(), makedev(major, minor)).expect("mknod");
    fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("mode");
    path.to_owned()
}

/// With the right to read the kernel's log, which is another matter.
fn syslog(mut spec: RunSpec) -> RunSpec {
    spec.security.capabilities.add.push("SYSLOG".into());
    spec
}

/// The kernel's log, or a skip.
fn kmsg() -> bool {
    let there = Path::new("/dev/kmsg").exists();
    if !there {
        skip("this machine has no /dev/kmsg");
    }
    there
}

#[test]
fn made_node_of_another_device_cannot_be_opened() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    for (kind, major, minor) in [("b", "7", "0"), ("c", "1", "11"), ("c", "10", "229")] {
        let words = ["mknod", "/dev/x", kind, major, minor];
        for access in ["r", "w", "rw"] {
            let words = [&words[..], &[",", "open", "/dev/x", access]].concat();
            let answer = fixture.answer(&syslog(fixture.probe(&words)));
            assert_eq!(answer, "error 1", "{kind} {major}:{minor} {access}");
        }
    }
}

#[test]
fn made_node_of_a_default_device_can_be_opened_in_dev_alone() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let words = |path| ["mknod", path, "c", "1", "3", ",", "open", path, "rw"];
    assert_eq!(fixture.ask(&words("/dev/x")), "");
    // The rules would allow it: what stands in its way is the mount.
    for path in ["/x", "/tmp/x", "/dev/shm/x", "/usr/x"] {
        assert_eq!(fixture.ask(&words(path)), "error 13", "{path}");
    }
}

#[test]
fn nodes_in_a_root_are_dead_whatever_it_is_made_of() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let root = fixture.rootfs("root");
    node(&root.join("null"), SFlag::S_IFCHR, 1, 3);
    node(&root.join("loop"), SFlag::S_IFBLK, 7, 0);
    let source = Source::Path(root.clone());
    let images = fixture.runtime().images().expect("store");
    images.import(source, Some("nodes"), &ImportOptions::default()).expect("import");
    let words = ["stat", "/null", ",", "open", "/null", "r", ",", "open", "/loop", "r"];
    let bare = RunSpec { mounts: Vec::new(), ..fixture.probe(&words) };
    let expected = "character 1:3 644 0 0\nerror 13\nerror 13";
    for writable in [Writable::Memory, Writable::Disk] {
        for read_only in [false, true] {
            let spec = RunSpec { writable: Some(writable), read_only, ..bare.clone() };
            let directory = RunSpec { rootfs: Some(root.clone()), ..spec.clone() };
            assert_eq!(fixture.answer(&directory), expected, "{writable:?} {read_only}");
            let image = RunSpec { image: Some("nodes".into()), ..spec };
            assert_eq!(fixture.answer(&image), expected, "{writable:?} {read_only}");
        }
    }
}

#[test]
fn nodes_in_mounts_are_dead_but_for_a_default_device_itself() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let source = fixture.directory("source");
    node(&source.join("null"), SFlag::S_IFCHR, 1, 3);
    let mut spec = fixture.probe(&[
        "open",
        "/bind/null",
        "rw",
        ",",
        "open",
        "/view/null",
        "rw",
        ",",
        "open",
        "/empty",
        "rw",
        ",",
        "open",
        "/one",
        "r",
    ]);
    spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&source, "/bind") });
    spec.mounts.push(Mount::overlay(&source, "/view"));
    // As one hides a file: docker run -v /dev/null:/file
    spec.mounts.push(Mount::bind("/dev/null", "/empty"));
    spec.mounts.push(Mount::bind(node(&source.join("loop"), SFlag::S_IFBLK, 7, 0), "/one"));
    assert_eq!(fixture.answer(&spec), "error 13\nerror 13\nerror 13");
}

#[test]
fn sys_admin_passes_the_mounts_and_not_the_rules() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let mut spec = syslog(fixture.probe(&[]));
    spec.security.capabilities.add.push("SYS_ADMIN".into());
    let script = "
        try() { (: <$1) 2>/dev/null && echo $1 open || echo $1 shut; }
        mknod /null c 1 3 && mknod /log c 1 11 && try /null
        mount -o remount,bind,dev / && try /null && try /log
        mount -t devtmpfs none /mnt && try /mnt/null && try /mnt/kmsg";
    spec.args = ["sh", "-c", script].map(Into::into).to_vec();
    let answer = fixture.answer(&spec);
    let expected = "/null shut\n/null open\n/log shut\n/mnt/null open\n/mnt/kmsg shut";
    assert_eq!(answer, expected);
}

#[test]
fn device_asked_for_looks_as_on_the_host() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let place = fixture.directory("place");
    let log = node(&place.join("log"), SFlag::S_IFCHR, 1, 11);
    fs::set_permissions(&log, PermissionsExt::from_mode(0o640)).expect("mode");
    chown(&log, Some(123), Some(456)).expect("owner");
    node(&place.join("loop"), SFlag::S_IFBLK, 7, 0);
    symlink("log", place.join("link")).expect("link");
    let of = |name: &str, inside: &str| format!("{}/{name}:{inside}", place.display());
    let spec = with(
        &fixture,
        &[&of("log", "/dev/log"), &of("link", "/dev/deep/er/log"), &of("loop", "/srv/new/loop")],
        &[
            "stat",
            "/dev/log",
            ",",
            "stat",
            "/dev/deep/er/log",
            ",",
            "stat",
            "/srv/new/loop",
            ",",
            "stat",
            "/dev/deep",
            ",",
            "list",
            "/dev",
        ],
    );
    let answer = fixture.answer(&spec);
    let mut lines = answer.lines();
    let mut line = || lines.next().unwrap_or_default();
    assert_eq!(line(), "character 1:11 640 123 456");
    assert_eq!(line(), "character 1:11 640 123 456");
    assert_eq!(line(), "block 7:0 644 0 0");
    assert_eq!(line(), "directory 755 0 0");
    // Nothing else is there, nor what it was made of.
    let names: Vec<&str> = lines.filter(|name| !DEFAULT.contains(name)).collect();
    assert_eq!(names, ["deep", "log"]);
    // What the container does to its node it does to its own.
    let script = "chmod 777 /dev/log; chown 7:7 /dev/log; stat -c %a%u /dev/log";
    let args = ["sh", "-c", script].map(Into::into).to_vec();
    assert_eq!(fixture.answer(&RunSpec { args, ..spec }), "7777");
    assert_eq!(fs::metadata(&log).expect("node").permissions().mode() & 0o777, 0o640);
}

#[test]
fn device_can_be_opened_as_far_as_asked() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    if !kmsg() {
        return;
    }
    let words = ["open", "/dev/kmsg", "r", ",", "open", "/dev/kmsg", "w"];
    assert_eq!(fixture.ask(&words), "error 2\nerror 2");
    for (device, expected) in [
        ("/dev/kmsg", ""),
        ("/dev/kmsg:rw", ""),
        ("/dev/kmsg:r", "error 1"),
        ("/dev/kmsg:rm", "error 1"),
        ("/dev/kmsg:m", "error 1\nerror 1"),
    ] {
        let spec = syslog(with(&fixture, &[device], &words));
        assert_eq!(fixture.answer(&spec), expected, "{device}");
    }
    // Outside of /dev, where no other node lives.
    let words = ["open", "/srv/log", "r", ",", "open", "/srv/log", "w"];
    let spec = syslog(with(&fixture, &["/dev/kmsg:/srv/log:r"], &words));
    assert_eq!(fixture.answer(&spec), "error 1");
}

#[test]
fn device_of_the_default_set_stays_whole() {
    let Some(fixture) = fixture() else { return };
    let words = ["open", "/dev/null", "rw", ",", "open", "/dev/nought", "rw"];
    assert_eq!(fixture.answer(&with(&fixture, &["/dev/null:/dev/nought:r"], &words)), "");
}

#[test]
fn directory_gives_all_devices_below_it_and_no_others() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let place = fixture.directory("place");
    fs::create_dir_all(place.join("deep")).expect("directory");
    node(&place.join("deep/log"), SFlag::S_IFCHR, 1, 11);
    node(&place.join("loop"), SFlag::S_IFBLK, 7, 0);
    fs::write(place.join("file"), "").expect("file");
    symlink("loop", place.join("link")).expect("link");
    let device = format!("{}:/dev/some:r", place.display());
    let words = [
        "list",
        "/dev/some",
        ",",
        "list",
        "/dev/some/deep",
        ",",
        "open",
        "/dev/some/deep/log",
        "w",
        ",",
        "mknod",
        "/dev/other",
        "c",
        "1",
        "1",
        ",",
        "open",
        "/dev/other",
        "r",
    ];
    let answer = fixture.answer(&with(&fixture, &[&device], &words));
    assert_eq!(answer, "deep\nloop\nlog\nerror 1\nerror 1");
}

#[test]
fn document_shows_devices_and_rules() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let node = node(&fixture.path().join("loop"), SFlag::S_IFBLK, 7, 0);
    let device = format!("{}:/dev/some:r", node.display());
    let spec = with(&fixture, &[&device], &["line"]);
    let container = fixture.start(&spec);
    let config = container.info().expect("info").config.expect("config");
    let linux = &config["linux"];
    let devices = linux["devices"].as_array().expect("devices");
    let expected = serde_json::json!({
        "path": "/dev/some", "type": "b", "major": 7, "minor": 0,
        "fileMode": 0o644, "uid": 0, "gid": 0
    });
    assert!(devices.contains(&expected), "{devices:?}");
    assert_eq!(devices.len(), 7);
    let rules = linux["resources"]["devices"].as_array().expect("rules");
    assert_eq!(rules[0], serde_json::json!({"allow": false, "access": "rwm"}));
    assert_eq!(rules[1], serde_json::json!({"allow": true, "type": "c", "access": "m"}));
    let last = serde_json::json!({
        "allow": true, "type": "c", "major": 5, "minor": 2, "access": "rwm"
    });
    assert!(rules.contains(&last), "{rules:?}");
    let asked = serde_json::json!({
        "allow": true, "type": "b", "major": 7, "minor": 0, "access": "r"
    });
    assert_eq!(rules.last(), Some(&asked));
    drop(container.take_stream(0));
    assert!(container.wait(None).expect("wait").expect("end").success());
}

#[test]
fn what_is_no_device_is_refused() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let refusal = |device: &str| fixture.refusal(&with(&fixture, &[device], &["uid"]));
    let text = "filesystem: devices[0].path: stat(\"/dev/none\"): ENOENT";
    let (kind, stage, errno, found) = refusal("/dev/none");
    assert_eq!((kind, stage, errno), (ErrorKind::NotFound, Stage::Filesystem, Some(2)));
    assert!(found.starts_with(text), "{found}");
    let (kind, stage, errno, found) = refusal("/etc/passwd");
    assert_eq!((kind, stage, errno), (ErrorKind::InvalidInput, Stage::Filesystem, None));
    assert_eq!(found, "filesystem: devices[0].path: \"/etc/passwd\" is no device");
    // A place that cannot be: below a device.
    let (kind, stage, errno, found) = refusal("/dev/full:/dev/null/x");
    assert_eq!((kind, stage, errno), (ErrorKind::SetupFailed, Stage::Filesystem, Some(20)));
    let expected = "filesystem: mknodat(device \"/dev/full\" on \"dev/null/x\", 1:7): ENOTDIR";
    assert!(found.starts_with(expected), "{found}");
    let none = DeviceAccess { read: false, write: false, mknod: false };
    let mut spec = with(&fixture, &["/dev/full"], &["uid"]);
    spec.devices[0].access = none;
    assert_eq!(fixture.refusal(&spec).1, Stage::Spec);
}
