//! Kernels without the newer system calls, and filters that refuse them: what
//! takes their place does the same, or what cannot be done is said.
//!
//! Each test runs itself once more behind the filter of `old_kernel`
//! (`src/bin/old_kernel.rs`), for each set of calls. `make test-old-kernel`
//! runs all other tests so.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use libctr::image::{LoadOptions, Source};
use libctr::spec::{IdMap, Landlock, Mount, RunSpec, UserNamespace};
use libctr::{ErrorKind, Outcome, Stage};
use libctr_tests::{Fixture, PATIENCE, as_root, fixture, in_vm, lacks, until};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const WRAPPER: &str = env!("CARGO_BIN_EXE_old_kernel");
const HOST: &str = env!("CARGO_BIN_EXE_host");

/// What can be missing, one at a time and all at once.
const SETS: [&str; 12] = [
    "clone3",
    "openat2",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "fsconfig=EINVAL",
    "pidfd_open",
    "close_range",
    "landlock",
    "all",
    REFUSED,
];

/// An outer profile that does not know the newer calls. (Of clone3 the C
/// library understands no other answer than ENOSYS when it starts a thread.)
const REFUSED: &str =
    "openat2=EPERM,mount=EPERM,pidfd_open=EPERM,close_range=EPERM,landlock=EPERM,clone3";

/// A fixture behind the filter; `None` in the first run, which has run the
/// test behind each filter, and given it `told`.
fn without(sets: &[&str], told: &str) -> Option<Fixture> {
    if env::var_os("LIBCTR_TEST_TOLD").is_some() {
        return fixture();
    }
    // Other tests of this process count its descriptors and children.
    let _alone = fixture().filter(|_| as_root())?;
    let thread = std::thread::current();
    let test = thread.name().expect("the test's name");
    for set in sets {
        let output = Command::new(WRAPPER)
            .arg(set)
            .arg(env::current_exe().expect("this program"))
            .args([test, "--exact", "--nocapture"])
            .env("LIBCTR_TEST_TOLD", told)
            .output()
            .expect("old_kernel");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let passed = output.status.success() && stdout.contains("1 passed");
        assert!(passed, "without {set}: {stdout}{stderr}");
    }
    None
}

/// A small file system, for as long as this lives.
struct Tmpfs<'a>(&'a Path);

impl Tmpfs<'_> {
    fn mount(path: &Path, flags: MsFlags) -> Tmpfs<'_> {
        let data = Some("size=64k");
        mount(Some("libctr-small"), path, Some("tmpfs"), flags, data).expect("mount");
        Tmpfs(path)
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        umount2(self.0, MntFlags::MNT_DETACH).expect("umount");
    }
}

fn in_root(fixture: &Fixture, root: &Path, words: &[&str]) -> RunSpec {
    RunSpec { rootfs: Some(root.to_owned()), mounts: Vec::new(), ..fixture.probe(words) }
}

/// Place, options and type of every mount.
fn mounts(mountinfo: &str) -> BTreeSet<String> {
    let words = |line: &str| -> Option<String> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(4);
        Some(format!("{} {} {}", before.next()?, before.next()?, after.split(' ').next()?))
    };
    mountinfo.lines().filter_map(words).collect()
}

#[test]
fn filter_answers_for_the_named_call_and_no_other() {
    let open = || openat2(AT_FDCWD, ".", OpenHow::new().flags(OFlag::O_CLOEXEC)).map(drop);
    if !lacks("openat2") {
        assert_eq!(open(), Ok(()));
    }
    let Some(_fixture) = without(&["openat2", "openat2=EPERM", "clone3"], "") else { return };
    let set = (lacks("openat2"), lacks("clone3"), open());
    let known = [Err(Errno::ENOSYS), Err(Errno::EPERM)];
    assert!(set == (false, true, Ok(())) || set.0 && !set.1 && known.contains(&set.2), "{set:?}");
}

#[test]
fn container_is_the_same_whatever_call_is_missing() {
    let look = |fixture: &Fixture| {
        let mut spec = fixture.probe(&["mounts"]);
        spec.mounts.push(Mount::overlay(fixture.directory("folder"), "/folder"));
        let table = mounts(&fixture.answer(&spec));
        let words = "uid , groups , capabilities , descriptors , list /dev , interfaces , signals";
        let answers = fixture.ask(&words.split(' ').collect::<Vec<_>>());
        let secrets = fixture.ask(&["read", "/proc/kcore", ",", "list", "/sys/firmware"]);
        // Pipes have numbers of their own.
        let answers: Vec<&str> =
            answers.lines().map(|line| line.split('[').next().unwrap_or(line)).collect();
        format!("{table:#?}{answers:#?}{secrets}")
    };
    let told = match env::var("LIBCTR_TEST_TOLD") {
        Ok(told) => told,
        Err(_) => match fixture() {
            Some(fixture) => look(&fixture),
            None => return,
        },
    };
    let Some(fixture) = without(&SETS, &told) else { return };
    assert_eq!(look(&fixture), told);
}

#[test]
fn container_is_started_where_a_filter_refuses_clone3() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let spec = fixture.probe(&["uid"]).to_json().expect("json");
    let run = |calls: &str| {
        let output = Command::new(WRAPPER)
            .args([calls, HOST])
            .args([fixture.path().join("run"), fixture.path().join("data")])
            .args(["wait", &spec])
            .output()
            .expect("old_kernel");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run("clone3=EPERM"), (Some(0), String::new()));
    assert_eq!(run("all=EPERM"), (Some(0), String::new()));
}

#[test]
fn links_of_an_image_stay_inside_without_openat2() {
    let Some(fixture) = without(&["openat2", "openat2=EPERM", "all"], "") else { return };
    let root = fixture.rootfs("root");
    let outside = fixture.directory("outside");
    fs::create_dir_all(root.join("data/deep")).expect("directory");
    symlink("/data", root.join("absolute")).expect("link");
    symlink("../../../../../../data/deep", root.join("data/up")).expect("link");
    symlink(&outside, root.join("out")).expect("link");
    symlink("loop", root.join("loop")).expect("link");
    let source = fixture.path().join("source");
    fs::write(&source, "text").expect("file");

    for (target, place) in [
        ("/absolute/file", "/data/file"),
        ("/absolute/up/file", "/data/deep/file"),
        ("/absolute/up/a/b/file", "/data/deep/a/b/file"),
        ("/data/up/up/file", "/data/deep/up/file"),
    ] {
        let mut spec = in_root(&fixture, &root, &["read", place]);
        spec.mounts.push(Mount::bind(&source, target));
        assert_eq!(fixture.answer(&spec), "text", "{target}");
    }
    for (target, errno) in [("/loop/file", libc::ELOOP), ("/loop", libc::ELOOP)] {
        let mut spec = in_root(&fixture, &root, &["uid"]);
        spec.mounts.push(Mount::bind(&source, target));
        let (kind, stage, found, text) = fixture.refusal(&spec);
        let wanted = (ErrorKind::SetupFailed, Stage::Filesystem, Some(errno));
        assert_eq!((kind, stage, found), wanted, "{text}");
    }
    let mut spec = in_root(&fixture, &root, &["uid"]);
    spec.mounts.push(Mount::bind(&source, "/out/file"));
    let _ = fixture.try_start(&spec).map(|container| container.wait(Some(PATIENCE)));
    assert_eq!(fs::read_dir(&outside).expect("directory").count(), 0);
}

#[test]
fn binds_are_read_only_with_everything_below_without_mount_setattr() {
    let sets = ["mount_setattr", "mount", "open_tree,mount_setattr", "all", REFUSED];
    let Some(fixture) = without(&sets, "") else { return };
    let source = fixture.directory("source");
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let (odd, deep) = (source.join("be low\\x"), source.join("be low\\x/deep"));
    fs::create_dir(&odd).expect("directory");
    let _covered = Tmpfs::mount(&odd, MsFlags::empty());
    let _odd = Tmpfs::mount(&odd, quiet | MsFlags::MS_NOATIME);
    fs::create_dir(&deep).expect("directory");
    let _deep = Tmpfs::mount(&deep, MsFlags::MS_STRICTATIME);
    let words = "write /in/x x , write /in/be\u{a0}low\\x/x x , write /in/be\u{a0}low\\x/deep/x x";
    let words: Vec<String> = words.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut spec = fixture.probe(&words);
    spec.mounts.push(Mount::bind(&source, "/in"));
    assert_eq!(fixture.answer(&spec), "error 30\nerror 30\nerror 30");

    words = vec!["mounts"];
    let mut spec = fixture.probe(&words);
    spec.mounts.push(Mount::bind(&source, "/in"));
    let found = mounts(&fixture.answer(&spec));
    let odd_now = "/in/be\\040low\\134x ro,nosuid,nodev,noexec,noatime tmpfs";
    assert!(found.contains(odd_now), "{found:#?}");
    assert!(found.contains("/in/be\\040low\\134x/deep ro,nosuid,nodev tmpfs"), "{found:#?}");
    // The host's own are as they were.
    fs::write(deep.join("host"), "").expect("file");
    fs::write(odd.join("host"), "").expect("file");

    let mut spec = fixture.probe(&["write", "/in/be low\\x/deep/x", "x"]);
    spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&source, "/in") });
    assert_eq!(fixture.answer(&spec), "");
    assert_eq!(fs::read_to_string(deep.join("x")).expect("file"), "x");
}

/// Makes an image of 40 layers in the format of `docker save`.
const FORTY: &str = r#"
    set -e
    cd "$1"; layers=; ids=
    for i in $(seq 0 39); do
        mkdir l; echo $i >l/f$i; echo $i >l/top; [ $i != 0 ] || cp "$2" l/probe
        tar -C l -cf $i.tar .; rm -r l
        layers="$layers,\"$i.tar\""; ids="$ids,\"sha256:$(sha256sum <$i.tar | cut -d' ' -f1)\""
    done
    echo "{\"architecture\":\"$3\",\"os\":\"linux\",\"config\":{},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[${ids#,}]}}" >c.json
    echo "[{\"Config\":\"c.json\",\"RepoTags\":[\"forty:1\"],\"Layers\":[${layers#,}]}]" >manifest.json
    tar -cf image.tar manifest.json c.json *.tar
"#;

#[test]
fn forty_layers_are_mounted_without_fsopen() {
    let Some(fixture) = without(&["mount", "fsconfig=EINVAL", "fsopen=EPERM", "all"], "") else {
        return;
    };
    let place = fixture.directory("image");
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let made = Command::new("sh")
        .args(["-c", FORTY, "sh"])
        .arg(&place)
        .args([libctr_tests::probe_path().as_os_str(), architecture.as_ref()])
        .status()
        .expect("sh");
    assert!(made.success());
    let images = fixture.runtime().images().expect("store");
    images.load(Source::Path(place.join("image.tar")), &LoadOptions::default()).expect("load");

    let mut spec = fixture.probe(&["read", "/top", ",", "read", "/f0", ",", "read", "/f39"]);
    spec.mounts.clear();
    spec.image = Some("forty:1".into());
    assert_eq!(fixture.answer(&spec), "39\n0\n39");
    // As many as mount(2) has no room for by their names.
    let layers = fs::read_dir(fixture.path().join("data/layers")).expect("layers");
    let names: usize =
        layers.flatten().map(|entry| entry.path().join("fs").as_os_str().len()).sum();
    assert!(names > 4096, "{names}");
}

#[test]
fn terminal_and_copy_of_a_root_are_there_without_the_calls() {
    let Some(fixture) = without(&["mount", "move_mount", "clone3", "all"], "") else { return };
    let mut spec = fixture.probe(&["say", "hello"]);
    spec.tty = true;
    let container = fixture.start(&spec);
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!((exit.outcome, exit.code), (Outcome::Exited, Some(0)));
}

#[test]
fn attached_container_ends_with_its_host_without_pidfd_open() {
    let Some(fixture) = without(&["pidfd_open", REFUSED], "") else { return };
    let spec = fixture.probe(&["forever"]).to_json().expect("json");
    let mut host = Command::new(HOST)
        .args([fixture.path().join("run"), fixture.path().join("data")])
        .args(["hold", &spec])
        .stdout(Stdio::piped())
        .spawn()
        .expect("host");
    let mut id = String::new();
    let stdout = host.stdout.take().expect("stdout");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut id).expect("id");
    // As long as the host lives, so does the container.
    std::thread::sleep(Duration::from_millis(300));
    let container = fixture.runtime().container(id.trim()).expect("container");
    assert!(container.wait(Some(Duration::ZERO)).expect("look").is_none());
    host.kill().expect("kill");
    host.wait().expect("wait");
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!(exit.outcome, Outcome::Cancelled);
    until("nothing is left", || fixture.processes().is_empty());
}

#[test]
fn handle_that_was_opened_by_name_works_without_pidfd_open() {
    let Some(fixture) = without(&["pidfd_open", "pidfd_open=EPERM"], "") else { return };
    let mut spec = fixture.probe(&["forever"]);
    spec.remove = Some(false);
    let started = fixture.start(&spec);
    let opened = fixture.runtime().container(started.id()).expect("container");
    assert!(started.pidfd().is_some() && opened.pidfd().is_none());
    let event = opened.event_fd().expect("an event");
    let is_ready = |patience: Duration| {
        let mut fds = [PollFd::new(event, PollFlags::POLLIN)];
        let ms = PollTimeout::try_from(patience).expect("a time");
        poll(&mut fds, ms).expect("poll") == 1
    };
    // Neither another look nor time ends it.
    assert!(fixture.runtime().container(started.id()).is_ok());
    assert!(!is_ready(Duration::from_millis(50)));
    assert!(opened.wait(Some(Duration::ZERO)).expect("look").is_none());
    // The program is pid 1's child: a signal that only reaches it by number.
    opened.kill(libc::SIGSTOP).expect("signal");
    opened.kill(libc::SIGCONT).expect("signal");
    opened.kill(libc::SIGKILL).expect("signal");
    assert!(is_ready(PATIENCE));
    let exit = opened.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!((exit.outcome, exit.signal), (Outcome::Signaled, Some(libc::SIGKILL)));
    opened.remove(false).expect("remove");
}

#[test]
fn descriptors_of_the_host_are_not_kept_by_the_helper_without_close_range() {
    let Some(fixture) = without(&["close_range", "all"], "") else { return };
    // Inherited by whatever is executed, as a careless host has them.
    let (reader, writer) = nix::unistd::pipe().expect("pipe");
    let container = fixture.start(&fixture.probe(&["forever"]));
    drop(writer);
    let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut fds, PollTimeout::from(2000_u16)).expect("poll");
    let _ = container.stop(Duration::ZERO);
    assert_eq!(ready, 1, "somebody holds the other end");
}

#[test]
fn root_that_cannot_be_left_is_refused() {
    let Some(fixture) = without(&["pivot_root=EINVAL"], "") else { return };
    let text = "filesystem: pivot_root(): EINVAL (Invalid argument); \
                the root directory of this process must be a mount: is it in a chroot?";
    let wanted = (ErrorKind::Unsupported, Stage::Filesystem, Some(libc::EINVAL), text.into());
    assert_eq!(fixture.refusal(&fixture.probe(&["uid"])), wanted);
}

#[test]
fn ids_of_a_map_are_refused_without_mount_setattr() {
    if in_vm() {
        // Its shared file system has no idmapped mounts to begin with.
        return;
    }
    let Some(fixture) = without(&["mount_setattr"], "") else { return };
    let root = fixture.rootfs("root");
    let mut spec = in_root(&fixture, &root, &["uid"]);
    let map = || vec![IdMap { container: 0, host: 100_000, size: 65536 }];
    spec.security.user_namespace = UserNamespace::Map { uid_maps: map(), gid_maps: map() };
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!(
        (kind, stage, errno),
        (ErrorKind::Unsupported, Stage::Filesystem, Some(38)),
        "{text}"
    );
    assert!(text.contains("mount_setattr came with Linux 5.12"), "{text}");
}

#[test]
fn wall_of_landlock_is_left_out_or_refused_as_asked_without_it() {
    let Some(fixture) = without(&["landlock", "landlock=EPERM"], "") else { return };
    let mut spec = fixture.probe(&["uid"]);
    assert_eq!(fixture.answer(&spec), "0 0 0 0");
    spec.security.landlock = Landlock::Required;
    let text = "user: security.landlock: the kernel has no Landlock of version 2 or later; \
                Linux 5.19 with landlock in CONFIG_LSM or lsm= of its command line";
    let wanted = (ErrorKind::Unsupported, Stage::User, None, text.into());
    assert_eq!(fixture.refusal(&spec), wanted);
}
