//! Mount tables as machines really show them.

use super::{Controller, Hierarchies, Mount, Own, path};
use std::path::{Path, PathBuf};

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:2 - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
const PURE_V2: &str = "\
24 1 0:22 / /sys rw,nosuid - sysfs sysfs rw
45 24 0:34 / /sys/fs/cgroup rw,relatime shared:8 - cgroup2 cgroup2 rw,nsdelegate
";
/// Docker with v1 and no cgroup namespace: each mount shows a part.
const DOCKER_V1: &str = "\
700 699 0:50 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw,mode=755
701 700 0:32 /docker/4f2b /sys/fs/cgroup/memory ro,nosuid master:9 - cgroup cgroup rw,memory
";

fn mount(point: &str, root: &str, minor: u64) -> Mount {
    Mount { point: point.into(), root: root.into(), device: (0, minor) }
}

#[test]
fn hybrid_is_decided_per_controller() {
    let found = Hierarchies::of(HYBRID, "");
    assert_eq!(found.v2, Some(mount("/sys/fs/cgroup/unified", "/", 38)));
    let both = mount("/sys/fs/cgroup/cpu,cpuacct", "/", 29);
    let expected = [
        (Controller::Memory, mount("/sys/fs/cgroup/memory", "/", 32)),
        (Controller::Cpu, both.clone()),
        (Controller::Cpuacct, both),
        (Controller::Devices, mount("/sys/fs/cgroup/devices", "/", 33)),
    ];
    assert_eq!(found.v1, expected.into_iter().collect());
}

#[test]
fn pure_v2_has_no_v1() {
    let found = Hierarchies::of(PURE_V2, "0::/user.slice/run.scope\n");
    assert_eq!(found.v2, Some(mount("/sys/fs/cgroup", "/", 34)));
    assert!(found.v1.is_empty());
    let own = found.own().unwrap().v2.clone().unwrap();
    assert_eq!(
        found.v2.unwrap().locate(&own),
        Some(PathBuf::from("/sys/fs/cgroup/user.slice/run.scope"))
    );
}

#[test]
fn a_partial_mount_is_relative_to_its_root() {
    let found = Hierarchies::of(DOCKER_V1, "4:memory:/docker/4f2b/job\n");
    let memory = &found.v1[&Controller::Memory];
    assert_eq!(memory.root, Path::new("/docker/4f2b"));
    let cases = [
        ("/docker/4f2b", Some("/sys/fs/cgroup/memory")),
        ("/docker/4f2b/job", Some("/sys/fs/cgroup/memory/job")),
        ("/docker/4f2bc", None),
        ("/elsewhere", None),
        ("/docker/4f2b/../x", None),
    ];
    for (group, expected) in cases {
        assert_eq!(memory.locate(Path::new(group)), expected.map(PathBuf::from), "{group}");
    }
}

#[test]
fn a_mount_of_the_root_wins_over_a_part_and_over_later_ones() {
    let text = "\
1 0 0:5 /part /a rw - cgroup2 none rw
2 0 0:5 / /b rw - cgroup2 none rw
3 0 0:5 / /c rw - cgroup2 none rw
";
    assert_eq!(Hierarchies::of(text, "").v2, Some(mount("/b", "/", 5)));
}

#[test]
fn a_hidden_mount_is_passed_over() {
    let text = "\
1 0 0:5 / /hidden rw - cgroup2 none rw
2 0 0:5 / /seen rw - cgroup2 none rw
";
    let found = Hierarchies::parse(text.as_bytes(), |mount| mount.point.ends_with("seen"));
    assert_eq!(found.v2, Some(mount("/seen", "/", 5)));
    // 0:0 is no device, so what really lies at "/" is not this mount
    assert!(!mount("/", "/", 0).is_visible());
    assert!(!mount("/does/not/exist", "/", 5).is_visible());
}

#[test]
fn own_groups_of_every_kind_of_line() {
    let own = Own::parse(
        b"12:cpu,cpuacct:/a:b\n4:memory:/m\n9:name=systemd:/s\n0::/u (deleted)\nrubbish\n1:\xff:/x\n",
    );
    let expected = [
        (Controller::Memory, PathBuf::from("/m")),
        (Controller::Cpu, PathBuf::from("/a:b")),
        (Controller::Cpuacct, PathBuf::from("/a:b")),
    ];
    assert_eq!(own.v1, expected.into_iter().collect());
    assert_eq!(own.v2, Some(PathBuf::from("/u (deleted)")));
}

#[test]
fn octal_escapes_are_undone() {
    let cases = [
        ("/plain", Some("/plain")),
        (r"/a\040b\011c\134d", Some("/a b\tc\\d")),
        (r"/\303\274", Some("/ü")),
        (r"/\377", None),
        (r"/\777", None),
        (r"/\0x0", None),
        (r"/end\04", Some(r"/end\04")),
        ("", Some("")),
    ];
    for (field, expected) in cases {
        assert_eq!(path(field.as_bytes()).as_deref(), expected.map(Path::new), "{field}");
    }
}

#[test]
fn broken_lines_are_no_mounts() {
    let cases = [
        "",
        " - ",
        "1 0 0:5 / /p rw - cgroup2",
        "1 0 0:5 / /p rw - cgroup2 none",
        "1 0 0:5 / - cgroup2 none rw",
        "1 0 05 / /p rw - cgroup2 none rw",
        "1 0 0:99999999999999999999 / /p rw - cgroup2 none rw",
        "1 0 0:5 relative /p rw - cgroup2 none rw",
        "1 0 0:5 / /p rw - ext4 none rw",
    ];
    for line in cases {
        let found = Hierarchies::parse(line.as_bytes(), |_| true);
        assert_eq!(found, Hierarchies::default(), "{line:?}");
    }
    let found = Hierarchies::parse(&[0xff; 5000], |_| true);
    assert_eq!(found, Hierarchies::default());
}

#[test]
fn this_machine_is_read_twice_alike() {
    let first = Hierarchies::discover().unwrap();
    assert_eq!(&first, Hierarchies::get().unwrap());
    assert!(first.own.is_none());
    first.own().unwrap();
}
