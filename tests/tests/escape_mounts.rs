//! Escapes through mounts: names that change while a container starts, what
//! spreads from one mount namespace to another, what may be written, executed
//! or gain rights in a mount, and targets that are not what they seem.
//!
//! Known from CVE-2021-30465, 2024-45310, 2026-41579, 2026-47766.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use libctr::Stage;
use libctr::spec::{Mount, MountOption, RunSpec, Seccomp};
use libctr_tests::{Fixture, apart, as_root, fixture, place, probe_path, runs, unshare, until};
use nix::mount::MsFlags;

fn writable(source: impl Into<PathBuf>, target: &str) -> Mount {
    Mount { read_only: Some(false), ..Mount::bind(source, target) }
}

/// With the right to mount, and no filter.
fn powerful(mut spec: RunSpec) -> RunSpec {
    spec.security.capabilities.add.push("SYS_ADMIN".into());
    spec.security.seccomp = Seccomp::Unconfined;
    spec
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("directory").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A volume with a directory and a link to a sacrificial one of the host.
fn swapping(fixture: &Fixture) -> (PathBuf, PathBuf) {
    let (volume, victim) = (fixture.directory("volume"), fixture.directory("victim"));
    fs::create_dir(volume.join("a")).expect("directory");
    symlink(&victim, volume.join("b")).expect("link");
    (volume, victim)
}

#[test]
fn targets_in_a_volume_that_another_container_swaps_stay_inside() {
    let Some(fixture) = fixture() else { return };
    let (volume, victim) = swapping(&fixture);
    let source = fixture.directory("source");
    fs::write(source.join("file"), "").expect("file");
    let mut spec = fixture.probe(&["exchange", "/v/a", "/v/b"]);
    spec.mounts.push(writable(&volume, "/v"));
    let attacker = fixture.start(&spec);
    let moved = || fs::symlink_metadata(volume.join("a")).is_ok_and(|found| found.is_symlink());
    until("the names are swapped", moved);

    let mut started = 0;
    for _ in 0..runs(500) {
        let mut spec = fixture.probe(&["mounts"]);
        spec.mounts.push(writable(&volume, "/v"));
        // Inside, where the link leads to is another directory.
        spec.mounts.push(Mount::tmpfs(&victim));
        spec.mounts.push(Mount::bind(&source, "/v/a/directory"));
        spec.mounts.push(Mount::bind(source.join("file"), "/v/a/deep/file"));
        spec.mounts.push(Mount::tmpfs("/v/b/memory"));
        // A name that is another one between two steps is an error; nothing
        // else may happen.
        match fixture.try_start(&spec) {
            Ok(container) => {
                let output = container.output(b"", &spec.limits).expect("output");
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(output.exit.success(), "{text}");
                let point = |line: &str| line.split(' ').nth(4).unwrap_or_default().to_owned();
                let points: Vec<String> = text.lines().map(point).collect();
                for name in ["/directory", "/deep/file", "/memory"] {
                    assert!(points.iter().any(|point| point.ends_with(name)), "{text}");
                }
                started += 1;
            }
            Err(error) => assert_eq!(error.stage(), Stage::Filesystem, "{error}"),
        }
        assert_eq!(names(&victim), Vec::<String>::new());
    }
    assert!(started > 0, "not one container could be started");
    attacker.stop(Duration::ZERO).expect("stop");
}

#[test]
fn targets_made_by_paths_are_led_outside_by_the_same_swaps() {
    let Some(fixture) = fixture() else { return };
    let (volume, victim) = swapping(&fixture);
    let mut spec = fixture.probe(&["exchange", "/v/a", "/v/b"]);
    spec.mounts.push(writable(&volume, "/v"));
    let attacker = fixture.start(&spec);
    // What a runtime does that joins paths on the host.
    until("the sacrificial directory has something", || {
        let _ = fs::create_dir(volume.join("a/directory"));
        !names(&victim).is_empty()
    });
    attacker.stop(Duration::ZERO).expect("stop");
}

#[test]
fn dev_that_is_a_link_makes_nothing_where_it_leads() {
    let Some(fixture) = fixture() else { return };
    let victim = fixture.directory("victim");
    let root = fixture.rootfs("root");
    symlink(&victim, root.join("dev")).expect("link");
    fs::create_dir_all(root.join(victim.strip_prefix("/").expect("absolute"))).expect("directory");
    for mounts in [vec![], vec![Mount::tmpfs("/dev")], vec![Mount::tmpfs("/dev/shm")]] {
        let mut spec = fixture.probe(&["uid"]);
        spec.mounts = mounts;
        spec.rootfs = Some(root.clone());
        spec.tty = true;
        let (_, stage, errno, text) = fixture.refusal(&spec);
        assert_eq!((stage, errno), (Stage::Filesystem, Some(libc::ENOTDIR)), "{text}");
        assert_eq!(names(&victim), Vec::<String>::new());
    }
    // An image with a directory there starts.
    fs::remove_file(root.join("dev")).expect("link");
    let mut spec = fixture.probe(&["stat", "/dev/null"]);
    spec.mounts = vec![Mount::tmpfs("/dev/x")];
    spec.rootfs = Some(root);
    assert!(fixture.answer(&spec).starts_with("character 1:3 "));
}

#[test]
fn mounts_made_inside_and_outside_do_not_meet() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let shared = fixture.directory("shared");
    apart(|| {
        place("libctr-small", &shared, "tmpfs", MsFlags::empty());
        place("none", &shared, "", MsFlags::MS_SHARED);
        fs::create_dir(shared.join("inside")).expect("directory");
        fs::create_dir(shared.join("outside")).expect("directory");
        // It mounts, says so, waits for a line, and then says what it has.
        let words = ["mount", "inner", "/s/inside", "tmpfs", "0", ",", "line", ",", "mounts"];
        let mut spec = powerful(fixture.probe(&words));
        spec.mounts.push(writable(&shared, "/s"));
        let container = fixture.start(&spec);
        let mut stdout = File::from(container.take_stream(1).expect("output"));
        let mut said = [0; 8];
        std::io::Read::read_exact(&mut stdout, &mut said).expect("read");
        assert_eq!(&said, b"mounted\n");
        place("libctr-small", &shared.join("outside"), "tmpfs", MsFlags::empty());
        let mut stdin = File::from(container.take_stream(0).expect("input"));
        std::io::Write::write_all(&mut stdin, b"\n").expect("write");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut text).expect("read");
        container.wait(None).expect("wait");
        assert!(text.contains(" /s/inside "), "{text}");
        assert!(!text.contains(" /s/outside "), "{text}");
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
        assert!(!mounts.contains("/shared/inside "), "{mounts}");
    });
}

#[test]
fn shared_mounts_meet_where_nobody_cuts_them_off() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let shared = fixture.directory("shared");
    apart(|| {
        place("libctr-small", &shared, "tmpfs", MsFlags::empty());
        place("none", &shared, "", MsFlags::MS_SHARED);
        let below = shared.join("below");
        fs::create_dir(&below).expect("directory");
        thread::scope(|scope| {
            scope.spawn(|| {
                unshare();
                place("libctr-small", &below, "tmpfs", MsFlags::empty());
            });
        });
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
        assert!(mounts.contains("/shared/below "), "{mounts}");
        nix::mount::umount(&below).expect("umount");
    });
}

/// A directory of the host with a probe of root's with the set-user-ID bit,
/// and a file system below it with another.
fn programs(directory: &Path) {
    let program = |place: &Path| {
        let path = place.join("program");
        fs::copy(probe_path(), &path).expect("copy");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o4755)).expect("mode");
    };
    program(directory);
    let below = directory.join("below");
    fs::create_dir(&below).expect("directory");
    place("libctr-small", &below, "tmpfs", MsFlags::empty());
    program(&below);
}

#[test]
fn options_of_a_mount_hold_for_all_below_it() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let directory = fixture.directory("programs");
    fs::set_permissions(fixture.path(), PermissionsExt::from_mode(0o755)).expect("mode");
    apart(|| {
        programs(&directory);
        for program in ["/p/program", "/p/below/program"] {
            let uid = |mount: Mount| {
                let mut spec = fixture.probe(&[]);
                spec.args = [program, "uid"].map(Into::into).into();
                spec.user = Some("1000:1000".into());
                // Else the kernel would not let them gain anything.
                spec.security.no_new_privileges = false;
                spec.mounts.push(mount);
                spec
            };
            let bind = || Mount::bind(&directory, "/p");
            assert_eq!(fixture.answer(&uid(bind())), "1000 1000 1000 1000", "{program}");
            let options = |options: &[MountOption]| Mount { options: options.to_vec(), ..bind() };
            let gained = fixture.answer(&uid(options(&[MountOption::Suid])));
            assert_eq!(gained, "1000 0 0 0", "{program}");
            let (_, stage, errno, text) = fixture.refusal(&uid(options(&[MountOption::NoExec])));
            assert_eq!((stage, errno), (Stage::Exec, Some(libc::EACCES)), "{text}");
        }
    });
}

#[test]
fn options_hold_for_views_and_memory_too() {
    let Some(fixture) = fixture() else { return };
    let directory = fixture.directory("programs");
    for (mount, expected) in [
        (Mount::bind(&directory, "/p"), "ro,nosuid,nodev"),
        (writable(&directory, "/p"), "rw,nosuid,nodev"),
        (Mount::overlay(&directory, "/p"), "rw,nosuid,nodev"),
        (Mount::tmpfs("/p"), "rw,nosuid,nodev"),
    ] {
        for (option, more) in [(None, ""), (Some(MountOption::NoExec), ",noexec")] {
            let mut spec = fixture.probe(&["mounts"]);
            spec.mounts.push(Mount { options: option.into_iter().collect(), ..mount.clone() });
            let text = fixture.answer(&spec);
            let line = text.lines().find(|line| line.contains(" /p ")).unwrap_or_default();
            let found = line.split(' ').nth(5).unwrap_or_default();
            let found = found.trim_end_matches(",relatime").trim_end_matches(",noatime");
            assert_eq!(found, format!("{expected}{more}"), "{line}");
        }
    }
}

#[test]
fn read_only_holds_for_all_below_and_cannot_be_taken_back() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let directory = fixture.directory("data");
    apart(|| {
        let below = directory.join("below");
        fs::create_dir(&below).expect("directory");
        place("libctr-small", &below, "tmpfs", MsFlags::empty());
        let writes = ["write", "/d/x", "1", ",", "write", "/d/below/x", "1"];
        // MS_REMOUNT | MS_BIND
        let remount = ["mount", "none", "/d/below", "none", "4128"];
        let words = [&writes[..], &[","], &remount].concat();
        let mut spec = fixture.probe(&words);
        spec.mounts.push(Mount::bind(&directory, "/d"));
        spec.security.seccomp = Seccomp::Unconfined;
        assert_eq!(fixture.answer(&spec), "error 30\nerror 30\nerror 1");
        assert_eq!(fixture.answer(&powerful(spec)), "error 30\nerror 30\nmounted");
        let mut spec = fixture.probe(&writes);
        spec.mounts.push(writable(&directory, "/d"));
        assert_eq!(fixture.answer(&spec), "");
        assert_eq!(fs::read_to_string(below.join("x")).expect("file"), "1");
    });
}

#[test]
fn read_only_root_cannot_be_made_writable() {
    let Some(fixture) = fixture() else { return };
    let words = ["mount", "none", "/", "none", "4128", ",", "write", "/x", "1"];
    let mut spec = fixture.probe(&words);
    spec.read_only = true;
    spec.security.seccomp = Seccomp::Unconfined;
    assert_eq!(fixture.answer(&spec), "error 1\nerror 30");
    // The right to mount is the right to undo it.
    assert_eq!(fixture.answer(&powerful(spec)), "mounted");
}

#[test]
fn file_is_bound_over_a_link_a_socket_and_a_pipe() {
    let Some(fixture) = fixture() else { return };
    let root = fixture.rootfs("root");
    let victim = fixture.path().join("victim");
    fs::write(&victim, "victim").expect("file");
    symlink("file", root.join("link")).expect("link");
    fs::write(root.join("file"), "").expect("file");
    drop(UnixListener::bind(root.join("socket")).expect("socket"));
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o644);
    nix::unistd::mkfifo(&root.join("pipe"), mode).expect("pipe");
    let source = fixture.path().join("source");
    fs::write(&source, "text").expect("file");
    for target in ["/link", "/socket", "/pipe", "/a/new"] {
        let mut spec = fixture.probe(&["read", target]);
        spec.rootfs = Some(root.clone());
        spec.mounts = vec![Mount::bind(&source, target)];
        assert_eq!(fixture.answer(&spec), "text", "{target}");
    }
    assert_eq!(fs::read_to_string(&victim).expect("file"), "victim");
}

#[test]
fn bound_file_keeps_its_rights() {
    let Some(fixture) = fixture() else { return };
    let secret = fixture.path().join("secret");
    fs::write(&secret, "secret").expect("file");
    for (mode, user, expected) in [
        (0o600, "1000:1000", "error 13"),
        (0o000, "1000:1000", "error 13"),
        (0o644, "1000:1000", "secret"),
        (0o600, "0:0", "secret"),
    ] {
        fs::set_permissions(&secret, PermissionsExt::from_mode(mode)).expect("mode");
        let mut spec = fixture.probe(&["read", "/secret"]);
        spec.user = Some(user.into());
        spec.mounts.push(Mount::bind(&secret, "/secret"));
        assert_eq!(fixture.answer(&spec), expected, "{mode:o} {user}");
    }
}

#[test]
fn what_is_made_for_mounts_has_harmless_modes() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.directory("source");
    let file = fixture.path().join("file");
    fs::write(&file, "").expect("file");
    let kept = fixture.rootfs("root");
    let mut spec = fixture.probe(&["stat", "/a", ",", "stat", "/f", ",", "uid"]);
    spec.rootfs = Some(kept);
    spec.umask = Some(0);
    spec.mounts = vec![Mount::bind(&source, "/a/b/c"), Mount::bind(&file, "/f/g")];
    assert_eq!(fixture.answer(&spec), "directory 755 0 0\ndirectory 755 0 0\n0 0 0 0");
}

#[test]
fn temporary_directory_as_source_and_as_target_shows_nothing_of_the_start() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.directory("tmp");
    for (mount, expected) in [
        (writable(&source, "/tmp"), ""),
        (writable(&source, "/tmp/x"), "x"),
        (Mount::tmpfs("/tmp"), ""),
    ] {
        let mut spec = fixture.probe(&["list", "/tmp"]);
        spec.mounts.push(mount);
        assert_eq!(fixture.answer(&spec), expected);
    }
    assert_eq!(names(&source), Vec::<String>::new());
    // The host's own as the source, with this test's state in it.
    let mut spec = fixture.probe(&["stat", "/x"]);
    spec.mounts.push(Mount::bind(std::env::temp_dir(), "/x"));
    assert!(fixture.answer(&spec).starts_with("directory "));
}

#[test]
fn odd_names_of_directories_are_taken_as_they_are() {
    let Some(fixture) = fixture() else { return };
    let below = "x".repeat(200);
    for name in ["a:b", "a,b=c", "back\\slash\\:", "quote\"d", "new\nline", " ", &below] {
        let source = fixture.directory(&format!("{below}/{name}"));
        fs::write(source.join("file"), "text").expect("file");
        for mount in [Mount::bind(&source, "/m"), Mount::overlay(&source, "/m")] {
            let target = format!("/t/{name}");
            let mut spec =
                fixture.probe(&["read", "/m/file", ",", "read", &format!("{target}/file")]);
            spec.mounts.push(Mount { target: target.clone().into(), ..mount.clone() });
            spec.mounts.push(mount);
            assert_eq!(fixture.answer(&spec), "text\ntext", "{name:?}");
        }
        assert_eq!(names(&source), ["file"]);
    }
}
