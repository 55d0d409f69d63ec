//! Escapes through what a process still has of its host when the program
//! begins: descriptors, directories behind them, the runtime's own program,
//! keys.
//!
//! Known from CVE-2016-9962, 2019-5736, 2024-21626.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use libctr::spec::{RunSpec, Seccomp};
use libctr::{ErrorKind, Outcome, Stage};
use libctr_tests::{as_root, fixture, helper, is_root, session_key, skip};
use nix::fcntl::{FcntlArg, fcntl};

/// Directories of the host, open without close-on-exec as C libraries leave
/// them.
struct Leaked(Vec<i32>);

impl Leaked {
    fn new(directory: &Path) -> Leaked {
        let opened = File::open(directory).expect("directory");
        Leaked((0..20).map(|_| fcntl(&opened, FcntlArg::F_DUPFD(20)).expect("fcntl")).collect())
    }
}

impl Drop for Leaked {
    fn drop(&mut self) {
        for number in &self.0 {
            let _ = nix::unistd::close(*number);
        }
    }
}

/// With the right to trace others, and no filter.
fn powerful(mut spec: RunSpec) -> RunSpec {
    spec.security.capabilities.add.push("SYS_PTRACE".into());
    spec.security.seccomp = Seccomp::Unconfined;
    spec
}

#[test]
fn working_directory_behind_any_descriptor_is_refused() {
    let Some(fixture) = fixture() else { return };
    let _leaked = Leaked::new(Path::new("/"));
    let mut met = 0;
    for number in 3..64 {
        for init in [true, false] {
            let mut spec = fixture.probe(&["list", "."]);
            spec.cwd = Some(format!("/proc/self/fd/{number}").into());
            spec.init = init;
            let (kind, stage, errno, text) = fixture.refusal(&spec);
            assert_eq!(stage, Stage::Chdir, "{text}");
            match errno {
                Some(libc::ELOOP) => met += 1,
                _ => assert_eq!(errno, Some(libc::ENOENT), "{text}"),
            }
            let expected = if errno == Some(libc::ELOOP) {
                ErrorKind::InvalidInput
            } else {
                ErrorKind::NotFound
            };
            assert_eq!(kind, expected, "{text}");
        }
    }
    // There are some: without a descriptor this test would show nothing.
    assert!(met > 2, "{met}");
}

#[test]
fn working_directory_behind_other_links_of_proc_is_refused() {
    let Some(fixture) = fixture() else { return };
    for path in [
        "/proc/self/cwd",
        "/proc/self/root",
        "/proc/thread-self/fd/0",
        "/dev/fd/3",
        "/proc/self/fd/0",
        "/proc/1/root/etc",
    ] {
        let mut spec = fixture.probe(&["cwd"]);
        spec.cwd = Some(path.into());
        let (_, stage, errno, text) = fixture.refusal(&spec);
        let refused =
            matches!(errno, Some(libc::ELOOP | libc::ENOENT | libc::EACCES | libc::ENOTDIR));
        assert!(stage == Stage::Chdir && refused, "{text}");
    }
}

#[test]
fn working_directory_behind_an_ordinary_link_is_entered() {
    let Some(fixture) = fixture() else { return };
    let root = fixture.rootfs("root");
    fs::create_dir(root.join("place")).expect("directory");
    symlink("/place", root.join("link")).expect("link");
    let mut spec = fixture.probe(&["cwd"]);
    spec.mounts.clear();
    spec.rootfs = Some(root);
    for path in ["/link", "/proc/self/../../link", "/proc/self/task"] {
        spec.cwd = Some(path.into());
        let found = fixture.answer(&spec);
        let inside = found == "/place" || (found.starts_with("/proc/") && found.ends_with("/task"));
        assert!(inside, "{path}: {found}");
    }
}

#[test]
fn descriptors_that_the_host_leaks_reach_its_other_children() {
    let Some(fixture) = fixture() else { return };
    let leaked = Leaked::new(fixture.path());
    let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output().expect("ls");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = fixture.path().to_string_lossy().into_owned();
    assert_eq!(text.matches(&name).count(), leaked.0.len(), "{text}");
}

#[test]
fn helper_has_none_of_the_descriptors_that_the_host_leaks() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let place = fixture.directory("leaked");
    let _leaked = Leaked::new(&place);
    let container = fixture.start(&fixture.probe(&["line"]));
    let descriptors = PathBuf::from(format!("/proc/{}/fd", helper(&container)));
    let targets: Vec<PathBuf> = fs::read_dir(descriptors)
        .expect("descriptors")
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .collect();
    assert!(targets.len() > 3, "{targets:?}");
    assert!(!targets.contains(&place), "{targets:?}");
    container.stop(std::time::Duration::ZERO).expect("stop");
}

/// The memory file of the helper program that this process keeps: device,
/// inode, size, time of the last change.
fn program() -> Vec<(u64, u64, u64, i64, i64)> {
    let entries = fs::read_dir("/proc/self/fd").expect("descriptors").flatten();
    let ours = entries.map(|entry| entry.path()).filter(|path| {
        fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:libctr-helper"))
    });
    ours.filter_map(|path| fs::metadata(path).ok())
        .map(|found| (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        .collect()
}

#[test]
fn program_that_is_the_runtime_itself_gets_nothing_and_changes_nothing() {
    let Some(fixture) = fixture() else { return };
    assert_eq!(fixture.ask(&["uid"]), "0 0 0 0");
    let before = program();
    assert_eq!(before.len(), 1);
    let root = fixture.rootfs("root");
    fs::write(root.join("script"), "#!/proc/self/exe\n").expect("script");
    fs::set_permissions(root.join("script"), PermissionsExt::from_mode(0o755)).expect("mode");
    for args in [["/proc/self/exe", "0"], ["/proc/self/exe", "3"], ["/script", "4"]] {
        let mut spec = fixture.probe(&[]);
        spec.mounts.clear();
        spec.rootfs = Some(root.clone());
        spec.args = args.map(Into::into).into();
        let output = fixture.run(&spec);
        let end = (output.exit.outcome, output.exit.code, output.stdout.len());
        assert_eq!(end, (Outcome::Exited, Some(125), 0), "{args:?}");
    }
    assert_eq!(program(), before);
    assert_eq!(fixture.ask(&["uid"]), "0 0 0 0");
}

#[test]
fn runtimes_program_is_out_of_reach_and_sealed() {
    let Some(fixture) = fixture() else { return };
    let words =
        ["reopen", "/proc/1/exe", ",", "seals", "/proc/1/exe", ",", "reopen", "/etc/hostname"];
    // Not even for reading.
    assert_eq!(fixture.ask(&words), "error 13\nerror 13\nwritable");
    // Who may trace sees a program that runs (ETXTBSY) and that is sealed
    // against writing, growing, shrinking and being unsealed.
    // In a user namespace nobody has that right over a program from outside.
    let traced = if is_root() { "error 26\n15\nwritable" } else { "error 13\nerror 13\nwritable" };
    assert_eq!(fixture.answer(&powerful(fixture.probe(&words))), traced);
}

#[test]
fn init_that_may_be_looked_into_has_nothing_of_the_host() {
    let Some(fixture) = fixture() else { return };
    // It closes its own at the same time as the program starts.
    let words = [
        "sleep",
        "300",
        ",",
        "list",
        "/proc/1/fd",
        ",",
        "link",
        "/proc/1/cwd",
        ",",
        "read",
        "/proc/1/environ",
    ];
    let closed = "error 13\nerror 13\nerror 13";
    let seen = if is_root() { "\n/\n" } else { closed };
    assert_eq!(fixture.answer(&powerful(fixture.probe(&words))), seen);
    let others = fixture.ask(&words);
    let (descriptors, rest) = others.split_once('\n').unwrap_or_default();
    assert!(matches!(descriptors, "" | "error 13") && rest == "error 13\nerror 13", "{others}");
}

#[test]
fn keys_of_the_host_are_not_found_inside() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["key", "libctr-test"]);
    spec.security.seccomp = Seccomp::Unconfined;
    // As in this process' own children.
    let probe = libctr_tests::probe_path();
    let found = session_key("libctr-test", || {
        let own = Command::new(probe).args(["key", "libctr-test"]).output().expect("probe");
        (fixture.answer(&spec), String::from_utf8_lossy(&own.stdout).into_owned())
    });
    match found {
        // ENOKEY
        Some(found) => assert_eq!(found, ("error 126".into(), "found\n".into())),
        None => skip("this kernel has no keyrings"),
    }
}
