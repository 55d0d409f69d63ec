//! Control groups of an ordinary user: from systemd's user manager, a scope of
//! each container's own (`make test-systemd` has one, in a machine that
//! `tests/with-systemd` boots), from a group that was delegated, or none.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libctr::spec::{Limits, RunSpec};
use libctr::{Container, ErrorKind, Outcome, Stage, Status};
use libctr_tests::{Fixture, PATIENCE, fixture_of_user, not_here, until};

// Each is set where a user of that kind is promised.
const MANAGED: &str = "LIBCTR_TEST_SYSTEMD";
const DELEGATED: &str = "LIBCTR_TEST_DELEGATED";
const V1: &str = "LIBCTR_TEST_V1_USER";

/// A fixture where systemd answers and gives what the user has not.
fn managed() -> Option<Fixture> {
    let fixture = fixture_of_user(MANAGED)?;
    let run = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).unwrap_or_default();
    if !run.join("systemd/private").exists() {
        not_here(MANAGED, "there is no systemd user manager");
        return None;
    }
    Some(fixture)
}

/// A run of the probe in a root of the test's own. It is made once: a program
/// that runs must not be written anew.
fn probe(fixture: &Fixture, words: &[&str]) -> RunSpec {
    let made = Some(fixture.path().join("root")).filter(|root| root.exists());
    let rootfs = made.unwrap_or_else(|| fixture.rootfs("root"));
    RunSpec { rootfs: Some(rootfs), mounts: Vec::new(), ..fixture.probe(words) }
}

/// The group of a container that runs.
fn group(container: &Container) -> PathBuf {
    container.info().expect("info").groups.v2.expect("a group")
}

/// Waits for systemd, which removes a scope once it has seen its end.
fn gone(group: &Path) {
    let scope = group.parent().expect("a scope").to_owned();
    until("systemd has removed the scope", || !scope.exists());
}

fn waiting(fixture: &Fixture, limits: Limits) -> Container {
    fixture.start(&RunSpec { limits, ..probe(fixture, &["line"]) })
}

fn end(container: &Container) {
    drop(container.take_stream(0));
    assert!(container.wait(Some(PATIENCE)).expect("wait").expect("end").success());
}

#[test]
fn limits_hold_in_a_scope_that_goes_with_the_container() {
    let Some(fixture) = managed() else { return };
    let own = fs::read_to_string("/proc/self/cgroup").expect("groups");
    let limits =
        Limits { memory: Some(64 << 20), pids: Some(33), cpus: Some(0.5), ..Limits::default() };
    let container = waiting(&fixture, limits);
    let group = group(&container);
    let scope = format!("app.slice/libctr-{}.scope/container", container.id());
    assert!(group.ends_with(&scope), "{group:?}");
    let read = |name: &str| fs::read_to_string(group.join(name)).expect("file");
    assert_eq!(read("memory.max").trim_end(), "67108864");
    assert_eq!(read("pids.max").trim_end(), "33");
    assert_eq!(read("cpu.max").trim_end(), "50000 100000");
    assert_eq!(read("cgroup.procs").lines().count(), 2, "init and program");
    assert_eq!(fs::read_to_string("/proc/self/cgroup").expect("groups"), own, "the host moved");
    end(&container);
    gone(&group);
}

/// What systemd does not know of, it takes controllers away from.
#[test]
fn limits_stay_when_systemd_starts_other_units() {
    let Some(fixture) = managed() else { return };
    let container = waiting(&fixture, Limits { cpus: Some(0.5), ..Limits::default() });
    let group = group(&container);
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).arg("--user").args(arguments).status();
        assert!(status.expect("it runs").success(), "{program} {arguments:?}");
    };
    for _ in 0..2 {
        run("systemd-run", &["--quiet", "--wait", "true"]);
        run("systemd-run", &["--quiet", "--scope", "true"]);
        run("systemctl", &["daemon-reload"]);
    }
    assert_eq!(fs::read_to_string(group.join("cpu.max")).expect("file"), "50000 100000\n");
    assert_eq!(fs::read_to_string(group.join("pids.max")).expect("file"), "4096\n");
    end(&container);
    gone(&group);
}

#[test]
fn memory_limit_is_in_force_and_oom_is_told() {
    let Some(fixture) = managed() else { return };
    let mut spec = probe(&fixture, &["allocate", "64"]);
    spec.limits.memory = Some(16 << 20);
    let exit = fixture.run(&spec).exit;
    assert_eq!((exit.outcome, exit.usage.oom_kills), (Outcome::OomKilled, Some(1)));
    assert!(exit.usage.memory_peak.is_some_and(|peak| peak <= 16 << 20), "{:?}", exit.usage);
    spec.limits.memory = Some(128 << 20);
    let exit = fixture.run(&spec).exit;
    assert!(exit.success(), "{exit:?}");
    assert!(exit.usage.memory_peak.is_some_and(|peak| peak >= 64 << 20), "{:?}", exit.usage);
}

#[test]
fn pids_are_limited_by_default() {
    let Some(fixture) = managed() else { return };
    let container = waiting(&fixture, Limits::default());
    let group = group(&container);
    assert_eq!(fs::read_to_string(group.join("pids.max")).expect("file"), "4096\n");
    end(&container);
    gone(&group);
}

#[test]
fn paused_container_goes_on_and_its_limits_change() {
    let Some(fixture) = managed() else { return };
    let container = waiting(&fixture, Limits { pids: Some(50), ..Limits::default() });
    let group = group(&container);
    container.pause().expect("pause");
    assert_eq!(container.info().expect("info").status, Status::Paused);
    container.unpause().expect("unpause");
    let change = Limits { memory: Some(32 << 20), pids: None, ..Limits::default() };
    container.update(&change).expect("update");
    assert_eq!(fs::read_to_string(group.join("memory.max")).expect("file"), "33554432\n");
    assert_eq!(fs::read_to_string(group.join("pids.max")).expect("file"), "50\n");
    end(&container);
    gone(&group);
}

#[test]
fn controller_that_is_not_delegated_names_the_command() {
    let Some(fixture) = managed() else { return };
    let mut spec = probe(&fixture, &["uid"]);
    spec.limits.cpuset = Some("0".into());
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::Unsupported, Stage::Cgroup, None));
    assert!(text.contains("user@"), "{text}");
    assert!(text.contains("was not given the controller cpuset; as root: mkdir -p"), "{text}");
}

#[test]
fn failed_start_leaves_no_scope() {
    let Some(fixture) = managed() else { return };
    let mut spec = probe(&fixture, &[]);
    spec.args = vec!["/absent".into()];
    let (kind, stage, errno, _) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::ProgramNotFound, Stage::Exec, Some(2)));
}

#[test]
fn stopped_scope_ends_its_container() {
    let Some(fixture) = managed() else { return };
    let container = fixture.start(&probe(&fixture, &["line"]));
    let group = group(&container);
    let unit = format!("libctr-{}.scope", container.id());
    let stop = Command::new("systemctl").args(["--user", "stop", &unit]).status();
    assert!(stop.expect("systemctl").success());
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert!(!exit.success(), "{exit:?}");
    gone(&group);
}

#[test]
fn many_containers_at_once_have_a_scope_each() {
    let Some(fixture) = managed() else { return };
    let limits = || Limits { pids: Some(20), ..Limits::default() };
    let begun = Instant::now();
    let containers: Vec<Container> = (0..8).map(|_| waiting(&fixture, limits())).collect();
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let groups: Vec<PathBuf> = containers.iter().map(group).collect();
    for group in &groups {
        assert_eq!(fs::read_to_string(group.join("pids.max")).expect("file"), "20\n");
    }
    containers.iter().for_each(end);
    groups.iter().for_each(|group| gone(group));
}

/// Runs the test `name` once more in a process of its own, which finds systemd
/// where `run` says.
fn elsewhere(name: &str, run: &Path) {
    let program = std::env::current_exe().expect("this program");
    let status = Command::new(program)
        .args(["--exact", name, "--nocapture"])
        .env("XDG_RUNTIME_DIR", run)
        .env("LIBCTR_TEST_ELSEWHERE", "1")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .status();
    assert!(status.expect("it runs").success());
}

fn is_elsewhere() -> bool {
    std::env::var_os("LIBCTR_TEST_ELSEWHERE").is_some()
}

/// A directory to be looked for systemd in.
fn run_directory() -> tempfile::TempDir {
    let run = tempfile::tempdir().expect("directory");
    fs::create_dir(run.path().join("systemd")).expect("directory");
    run
}

/// In the other process: how a limit is refused, and what runs without.
fn limited_and_not() -> (ErrorKind, Option<i32>, String) {
    let fixture = fixture_of_user(MANAGED).expect("checked before");
    let mut spec = probe(&fixture, &["uid"]);
    let begun = Instant::now();
    spec.limits.memory = Some(64 << 20);
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(stage, Stage::Cgroup);
    assert!(
        text.starts_with(
            "cgroup: limits.memory cannot be enforced: no control group is delegated to this \
             user, and systemd's user manager gives none: "
        ),
        "{text}"
    );
    let container = fixture.start(&probe(&fixture, &["uid"]));
    assert_eq!(container.info().expect("info").groups.v2, None);
    let output = container.output(b"", &Limits::default()).expect("output");
    assert!(output.exit.success() && output.exit.usage.memory_peak.is_none(), "{output:?}");
    (kind, errno, text)
}

#[test]
fn manager_that_is_absent_is_named_with_the_command() {
    if is_elsewhere() {
        let (kind, errno, text) = limited_and_not();
        assert_eq!((kind, errno), (ErrorKind::Denied, Some(libc::ENOENT)));
        let hint = "; start the manager, as root: loginctl enable-linger ";
        assert!(text.contains("connect(\"") && text.contains(hint), "{text}");
    } else if let Some(_fixture) = managed() {
        elsewhere("manager_that_is_absent_is_named_with_the_command", run_directory().path());
    }
}

#[test]
fn manager_that_says_nothing_is_a_timeout() {
    if is_elsewhere() {
        let (kind, errno, text) = limited_and_not();
        assert_eq!((kind, errno), (ErrorKind::Timeout, None));
        assert!(text.contains("systemd/private\"): no answer in time; start"), "{text}");
    } else if let Some(_fixture) = managed() {
        let run = run_directory();
        let _silent = UnixListener::bind(run.path().join("systemd/private")).expect("socket");
        elsewhere("manager_that_says_nothing_is_a_timeout", run.path());
    }
}

/// Says so when it is dropped, also by a test that fails.
struct OnEnd<'a>(&'a AtomicBool);

impl Drop for OnEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn manager_that_talks_nonsense_is_told() {
    if is_elsewhere() {
        let (kind, errno, text) = limited_and_not();
        assert_eq!((kind, errno), (ErrorKind::SetupFailed, None));
        assert!(text.contains("does not speak D-Bus: no line of an authentication"), "{text}");
    } else if let Some(_fixture) = managed() {
        let run = run_directory();
        let listener = UnixListener::bind(run.path().join("systemd/private")).expect("socket");
        listener.set_nonblocking(true).expect("fcntl");
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((mut client, _)) => {
                            client.write_all(b"HTTP/1.1 400\r\n").expect("write")
                        }
                        Err(_) => std::thread::sleep(Duration::from_millis(5)),
                    }
                }
            });
            let end = OnEnd(&over);
            elsewhere("manager_that_talks_nonsense_is_told", run.path());
            drop(end);
        });
    }
}

#[test]
fn message_bus_leads_to_the_manager_too() {
    if is_elsewhere() {
        let fixture = fixture_of_user(MANAGED).expect("checked before");
        let container = waiting(&fixture, Limits { pids: Some(7), ..Limits::default() });
        let group = group(&container);
        assert_eq!(fs::read_to_string(group.join("pids.max")).expect("file"), "7\n");
        end(&container);
        gone(&group);
    } else if let Some(_fixture) = managed() {
        let run = run_directory();
        // The bus begins with its first client, and systemd comes to it then.
        let status = ["--user", "--quiet", "status", "org.freedesktop.systemd1"];
        until("systemd is on the bus", || {
            Command::new("busctl").args(status).output().expect("busctl").status.success()
        });
        let bus = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").expect("set")).join("bus");
        symlink(bus, run.path().join("bus")).expect("link");
        elsewhere("message_bus_leads_to_the_manager_too", run.path());
    }
}

#[test]
fn group_that_is_delegated_already_needs_no_systemd() {
    let Some(fixture) = fixture_of_user(DELEGATED) else { return };
    let Some(delegated) = std::env::var_os("LIBCTR_VM_CGROUP").map(PathBuf::from) else {
        return not_here(DELEGATED, "LIBCTR_VM_CGROUP names no group");
    };
    let dir = Path::new("/sys/fs/cgroup").join(delegated.strip_prefix("/").expect("absolute"));
    if !fs::metadata(&dir).is_ok_and(|dir| dir.uid() == nix::unistd::geteuid().as_raw()) {
        return not_here(DELEGATED, "the group is somebody else's");
    }
    let limits = Limits { memory: Some(32 << 20), cpuset: Some("0".into()), ..Limits::default() };
    let container = waiting(&fixture, limits);
    let group = group(&container);
    assert_eq!(group, dir.join(format!("libctr-{}", container.id())));
    assert_eq!(fs::read_to_string(group.join("memory.max")).expect("file"), "33554432\n");
    end(&container);
    assert!(!group.exists());
}

#[test]
fn limit_on_cgroup_v1_is_refused_to_users() {
    let Some(fixture) = fixture_of_user(V1) else { return };
    if !Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
        return not_here(V1, "no memory controller is on cgroup v1");
    }
    let mut spec = probe(&fixture, &["uid"]);
    spec.limits.memory = Some(64 << 20);
    let refusal = fixture.refusal(&spec);
    let text = "cgroup: limits.memory cannot be enforced: access(\"/sys/fs/cgroup/memory\", W_OK): \
                EACCES (Permission denied); run as root, or boot with \
                systemd.unified_cgroup_hierarchy=1: groups of cgroup v1 are not delegated to users";
    let expected = (ErrorKind::Denied, Stage::Cgroup, Some(libc::EACCES), text.to_owned());
    assert_eq!(refusal, expected);
    assert!(fixture.run(&probe(&fixture, &["uid"])).exit.success());
}
