//! Escapes through /proc and /sys: a redirected /proc, masks that hide
//! something else, settings of the kernel that open for writing.
//!
//! Known from CVE-2019-16884, 2019-19921, 2025-31133, 2025-52881. Files are
//! opened and never written.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use libctr::spec::{IdMap, Landlock, Mount, RunSpec, Seccomp, UserNamespace};
use libctr::{ErrorKind, Stage};
use libctr_tests::{Fixture, as_root, fixture, is_root, lacks, skip};

/// A run of the probe in a directory as its root.
fn in_root(fixture: &Fixture, root: &Path, words: &[&str]) -> RunSpec {
    let mut spec = fixture.probe(words);
    spec.mounts.clear();
    RunSpec { rootfs: Some(root.into()), ..spec }
}

/// With all rights over namespaces and no filter.
fn powerful(mut spec: RunSpec) -> RunSpec {
    spec.security.capabilities.add.push("SYS_ADMIN".into());
    spec.security.seccomp = Seccomp::Unconfined;
    spec
}

/// The null device: a node of the container's own, or in a user namespace the
/// host's, whose owner has no id there.
fn null_device() -> &'static str {
    if is_root() { "character 1:3 666 0 0" } else { "character 1:3 666 65534 65534" }
}

#[test]
fn proc_that_an_image_has_made_a_file_is_refused() {
    let Some(fixture) = fixture() else { return };
    for name in ["proc", "sys", "dev"] {
        let root = fixture.rootfs(name);
        fs::write(root.join(name), "").expect("file");
        let (_, stage, errno, text) = fixture.refusal(&in_root(&fixture, &root, &["uid"]));
        assert_eq!((stage, errno), (Stage::Filesystem, Some(libc::ENOTDIR)), "{text}");
    }
}

#[test]
fn proc_that_an_image_has_filled_is_covered() {
    let Some(fixture) = fixture() else { return };
    let root = fixture.rootfs("root");
    fs::create_dir_all(root.join("proc/self/attr")).expect("directory");
    fs::create_dir_all(root.join("sys/kernel")).expect("directory");
    fs::create_dir_all(root.join("dev/pts")).expect("directory");
    fs::write(root.join("proc/self/attr/exec"), "fake").expect("file");
    fs::write(root.join("proc/kcore"), "fake").expect("file");
    fs::write(root.join("dev/null"), "fake").expect("file");
    let words = ["stat", "/proc/kcore", ",", "stat", "/dev/null", ",", "list", "/sys/firmware"];
    let null = null_device();
    let answer = fixture.answer(&in_root(&fixture, &root, &words));
    // A kernel without kcore shows none.
    let kcore = fs::symlink_metadata("/proc/kcore").map_or("error 2", |_| null);
    assert_eq!(answer, format!("{kcore}\n{null}\n"));
    assert_eq!(fs::read_to_string(root.join("dev/null")).expect("file"), "fake");
}

#[test]
fn mount_over_proc_or_sys_is_refused_before_anything_is_made() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.directory("source");
    for target in ["/proc", "/proc/self", "/proc/self/attr", "/proc/sys", "/sys", "/sys/firmware"] {
        for mount in
            [Mount::bind(&source, target), Mount::tmpfs(target), Mount::overlay(&source, target)]
        {
            let mut spec = fixture.probe(&["uid"]);
            spec.mounts.push(mount);
            let (kind, stage, errno, text) = fixture.refusal(&spec);
            assert_eq!(
                (kind, stage, errno),
                (ErrorKind::InvalidInput, Stage::Spec, None),
                "{text}"
            );
            assert!(text.ends_with("is the kernel's, no mount may cover it"), "{text}");
        }
    }
}

#[test]
fn mount_that_a_link_leads_into_proc_or_sys_is_refused() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.directory("source");
    fs::write(source.join("file"), "").expect("file");
    let root = fixture.rootfs("root");
    fs::create_dir(root.join("elsewhere")).expect("directory");
    for (name, leads) in [
        ("self", "/proc/self"),
        ("all", "proc"),
        ("kernel", "/../sys/kernel"),
        ("fine", "/elsewhere"),
    ] {
        symlink(leads, root.join(name)).expect("link");
    }
    let start = |mount: Mount| {
        let mut spec = in_root(&fixture, &root, &["list", "/elsewhere"]);
        spec.mounts.push(mount);
        spec
    };
    let file = source.join("file");
    for mount in [
        Mount::bind(&source, "/self/attr"),
        Mount::bind(&file, "/self/comm"),
        Mount::bind(&source, "/all"),
        Mount::tmpfs("/all/sys"),
        Mount::overlay(&source, "/all/irq"),
        Mount::bind(&source, "/kernel"),
    ] {
        let (kind, stage, errno, text) = fixture.refusal(&start(mount));
        let expected = (ErrorKind::InvalidInput, Stage::Filesystem, Some(libc::EXDEV));
        assert_eq!((kind, stage, errno), expected, "{text}");
        assert!(text.contains("where nothing may be mounted"), "{text}");
    }
    // A link to anywhere else is followed.
    assert_eq!(fixture.answer(&start(Mount::bind(&source, "/fine"))), "file");
}

#[test]
fn files_of_proc_that_tell_of_the_machine_may_be_replaced() {
    let Some(fixture) = fixture() else { return };
    let file = fixture.path().join("meminfo");
    fs::write(&file, "MemTotal: 1 kB").expect("file");
    let mut spec = fixture.probe(&["read", "/proc/meminfo"]);
    spec.mounts.push(Mount::bind(&file, "/proc/meminfo"));
    assert_eq!(fixture.answer(&spec), "MemTotal: 1 kB");
}

#[test]
fn masks_are_the_containers_own_null_device_whatever_covers_it() {
    let Some(fixture) = fixture() else { return };
    let file = fixture.path().join("null");
    fs::write(&file, "not null").expect("file");
    let words = ["read", "/dev/null", ",", "stat", "/proc/keys", ",", "write", "/proc/keys", "x"];
    let mut spec = fixture.probe(&words);
    spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&file, "/dev/null") });
    assert_eq!(fixture.answer(&spec), format!("not null\n{}", null_device()));
    assert_eq!(fs::read_to_string(&file).expect("file"), "not null");
    // The same with all of /dev.
    let place = fixture.directory("dev");
    symlink(&file, place.join("null")).expect("link");
    spec.mounts.pop();
    spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&place, "/dev") });
    assert_eq!(fixture.answer(&spec), format!("error 2\n{}", null_device()));
    assert_eq!(fs::read_to_string(&file).expect("file"), "not null");
}

/// What uid 0 may open for writing in a /proc and a /sys of a container: its
/// own process' files, for their names below `/proc/self`.
const OWN: [&str; 22] = [
    "attr",
    "autogroup",
    "clear_refs",
    "comm",
    "coredump_filter",
    "gid_map",
    "loginuid",
    "mem",
    "oom_adj",
    "oom_score_adj",
    "projid_map",
    "reclaim",
    "sched",
    "sched_autogroup_enabled",
    "setgroups",
    "timens_offsets",
    "timerslack_ns",
    "uid_map",
    "latency",
    "make-it-fail",
    "fail-nth",
    "patch_state",
];

/// Where anybody may ask to be told of a shortage, every two seconds at most
/// (linux, Documentation/accounting/psi.rst).
const PRESSURE: &str = "/proc/pressure/";

/// Those of the paths that are not files of the process itself.
fn foreign(answer: &str) -> Vec<&str> {
    let own = |path: &&str| {
        let rest =
            ["/proc/self/", "/proc/thread-self/"].iter().find_map(|start| path.strip_prefix(start));
        rest.is_some_and(|rest| rest.split('/').any(|part| OWN.contains(&part)))
    };
    answer
        .lines()
        .filter(|path| !path.is_empty() && !path.starts_with(PRESSURE) && !own(path))
        .collect()
}

#[test]
fn nothing_of_the_kernel_opens_for_writing() {
    let Some(fixture) = fixture() else { return };
    let words = ["writable", "/proc", ",", "writable", "/proc/self/", ",", "writable", "/sys"];
    let answer = fixture.ask(&words);
    assert!(answer.contains("/proc/self/comm"), "{answer}");
    assert_eq!(foreign(&answer), Vec::<&str>::new());
}

#[test]
fn nothing_of_the_kernel_opens_for_writing_with_every_host_id_mapped() {
    // Refused without them: `old_kernel::ids_of_a_map_are_refused_without_mount_setattr`.
    let there = !lacks("mount_setattr") && !lacks("fsopen");
    let Some(fixture) = fixture().filter(|_| there && as_root()) else { return };
    let words = ["writable", "/proc", ",", "writable", "/proc/self/", ",", "writable", "/sys"];
    let mut spec = fixture.probe(&words);
    let map = vec![IdMap { container: 0, host: 0, size: 65_536 }];
    spec.security.user_namespace = UserNamespace::Map { uid_maps: map.clone(), gid_maps: map };
    let answer = fixture.answer(&spec);
    assert!(answer.contains("/proc/self/comm"), "{answer}");
    assert_eq!(foreign(&answer), Vec::<&str>::new());
}

#[test]
fn kernel_settings_open_in_a_proc_that_is_not_protected() {
    let Some(fixture) = fixture() else { return };
    let setting = "/p/sys/kernel/core_pattern";
    let words = ["mkdir", "/p", ",", "mount", "proc", "/p", "proc", "0", ",", "open", setting, "w"];
    // To an ordinary user they are the machine's all the same.
    let open = if is_root() { "mounted" } else { "mounted\nerror 13" };
    assert_eq!(fixture.answer(&powerful(fixture.probe(&words))), open);
    // And without the right to mount one there is no such /proc.
    let mut spec = powerful(fixture.probe(&words));
    spec.security.capabilities.add.clear();
    assert_eq!(fixture.answer(&spec), "error 1\nerror 2");
}

#[test]
fn protected_paths_stay_when_the_program_may_not_mount() {
    let Some(fixture) = fixture() else { return };
    // Neither a remount nor an unmount: MS_REMOUNT | MS_BIND is 4128.
    let words =
        ["mount", "none", "/proc/sys", "none", "4128", ",", "mount", "none", "/", "none", "4128"];
    let mut spec = fixture.probe(&words);
    spec.security.seccomp = Seccomp::Unconfined;
    assert_eq!(fixture.answer(&spec), "error 1\nerror 1");
}

/// Whether this machine has a v1 hierarchy of the memory controller.
fn has_legacy_memory() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.starts_with("cgroup ") && line.contains("memory"))
}

/// Namespaces of its own (user, mount, cgroup), a hierarchy, then two files of
/// it: the agent that the kernel starts as root, and the container's own limit.
fn hierarchy(fixture: &Fixture) -> RunSpec {
    let flags = (0x1000_0000 | 0x0002_0000 | 0x0200_0000).to_string();
    let mount = ["mount", "cgroup", "/tmp", "cgroup", "0", "memory", ","];
    let agent = ["open", "/tmp/release_agent", "w", ","];
    let limit = ["open", "/tmp/memory.limit_in_bytes", "w", ",", "say", "end"];
    fixture.probe(&[&["unshare", &flags, ","][..], &mount, &agent, &limit].concat())
}

#[test]
fn legacy_hierarchy_with_its_release_agent_cannot_be_mounted() {
    let Some(fixture) = fixture() else { return };
    let text = fixture.answer(&hierarchy(&fixture));
    assert!(!text.contains("mounted"), "{text}");
    assert!(text.ends_with("error 2\nerror 2\nend"), "{text}");
}

#[test]
fn legacy_hierarchy_without_filter_and_wall_has_no_release_agent() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    if !has_legacy_memory() {
        return skip("this machine has no v1 hierarchy of the memory controller");
    }
    let mut spec = hierarchy(&fixture);
    spec.security.seccomp = Seccomp::Unconfined;
    spec.security.landlock = Landlock::Off;
    // What it can reach is its own limit: nothing but the filter is in between.
    assert_eq!(fixture.answer(&spec), "mounted\nerror 2\nend");
}

#[test]
fn control_groups_cannot_be_written() {
    let Some(fixture) = fixture() else { return };
    let answer = fixture.ask(&["mkdir", "/sys/fs/cgroup/x", ",", "writable", "/sys/fs/cgroup"]);
    let mut lines = answer.lines();
    // Without a v2 group there is no hierarchy inside, and nothing to make one.
    assert!(matches!(lines.next(), Some("error 30" | "error 2" | "error 1")), "{answer}");
    assert_eq!(lines.filter(|line| !line.is_empty()).count(), 0, "{answer}");
}
