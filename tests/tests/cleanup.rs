//! Nothing stays behind: not of a host that is killed, not of a helper that
//! is killed, not of a start that fails, not on a full file system.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use libctr::spec::{RunSpec, Writable};
use libctr::{ErrorKind, Outcome, Runtime, RuntimeOptions, Stage, Status};
use libctr_tests::{Fixture, PATIENCE, as_root, fixture, in_vm, runs, until};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Starts the host program on the fixture's directories.
fn host(fixture: &Fixture, mode: &str, spec: &RunSpec) -> Child {
    let directory = |name| fixture.path().join(name);
    Command::new(env!("CARGO_BIN_EXE_host"))
        .args([directory("run"), directory("data")])
        .args([mode, &spec.to_json().expect("document")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("host program")
}

/// The id that a host prints once its container runs.
fn id(host: &mut Child) -> String {
    let mut line = String::new();
    let out = host.stdout.take().expect("pipe");
    BufReader::new(out).read_line(&mut line).expect("line");
    line.trim().to_owned()
}

/// SIGKILL; the host must not have ended by itself before.
fn murder(mut host: Child) {
    host.kill().expect("kill");
    let output = host.wait_with_output().expect("wait");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.signal(), &*complaint), (Some(9), ""));
}

fn gone(fixture: &Fixture) {
    // A helper that a killed host was about to start shows itself a little
    // later.
    let none = || fixture.processes().is_empty();
    until("every process is gone", || {
        none() && {
            sleep(Duration::from_millis(50));
            none()
        }
    });
}

#[test]
fn host_killed_at_any_moment_leaves_nothing() {
    let Some(fixture) = fixture() else { return };
    let disk = Some(Writable::Disk);
    let plain = fixture.probe(&["daemon", ",", "sleep", "3"]);
    let kinds = [
        RunSpec { name: Some("same".into()), ..fixture.probe(&["forever"]) },
        RunSpec { writable: disk, ..plain.clone() },
        plain,
    ];
    for number in 0..runs(90) {
        // With one name for all threads most starts fail: a kind of its own.
        let spec = &kinds[if number % 9 == 0 { 0 } else { 1 + usize::from(number % 2 == 0) }];
        let mode = if spec.name.is_some() { "hold" } else { "loop" };
        let host = host(&fixture, mode, spec);
        let moment = Duration::from_micros(u64::from(number) * 777);
        sleep(if in_vm() { moment * 10 } else { moment });
        murder(host);
        gone(&fixture);
        drop(fixture.reopen());
        fixture.assert_clean();
    }
}

#[test]
fn attached_container_ends_with_its_host() {
    let Some(fixture) = fixture() else { return };
    for mode in ["hold", "leave"] {
        let spec = RunSpec {
            remove: Some(false),
            ..fixture.probe(&["daemon", ",", "ignore", "15", ",", "forever"])
        };
        let mut host = host(&fixture, mode, &spec);
        let id = id(&mut host);
        let container = (mode == "hold").then(|| fixture.runtime().container(&id).expect("open"));
        match mode {
            "hold" => murder(host),
            _ => assert!(host.wait_with_output().expect("wait").status.success()),
        }
        gone(&fixture);
        // Without a sweep: its helper was there until the end.
        let again = fixture.runtime().container(&id).expect("open");
        let exit = again.wait(Some(PATIENCE)).expect("wait").expect("end");
        assert_eq!((exit.outcome, exit.signal), (Outcome::Cancelled, Some(9)));
        if let Some(container) = &container {
            assert_eq!(container.wait(Some(PATIENCE)).expect("wait"), Some(exit));
        }
        drop(container);
        again.remove(false).expect("remove");
        drop(again);
        fixture.assert_clean();
    }
}

#[test]
fn detached_container_goes_on_without_its_host() {
    let Some(fixture) = fixture() else { return };
    for mode in ["hold", "leave"] {
        let spec =
            RunSpec { detach: true, name: Some("alone".into()), ..fixture.probe(&["forever"]) };
        let mut host = host(&fixture, mode, &spec);
        let id = id(&mut host);
        match mode {
            "hold" => murder(host),
            _ => assert!(host.wait_with_output().expect("wait").status.success()),
        }
        let container = fixture.reopen().container("alone").expect("open");
        assert_eq!(
            (container.id(), container.info().expect("info").status),
            (&*id, Status::Running)
        );
        assert_eq!(container.wait(Some(Duration::from_millis(100))).expect("wait"), None);
        container.kill(15).expect("kill");
        let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
        assert_eq!((exit.outcome, exit.signal), (Outcome::Signaled, Some(15)));
        assert_eq!(fixture.runtime().list().expect("list").len(), 1);
        container.remove(false).expect("remove");
        drop(container);
        fixture.assert_clean();
    }
}

/// The process id of a container's helper.
fn helper(directory: &Path) -> i32 {
    let text = fs::read_to_string(directory.join("status.json")).expect("status");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    i32::try_from(json["helper"].as_i64().expect("number")).expect("process id")
}

#[test]
fn helper_that_was_stopped_obeys() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&fixture.probe(&["forever"]));
    kill(Pid::from_raw(helper(container.directory())), Signal::SIGSTOP).expect("stop");
    container.kill(9).expect("kill");
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!((exit.outcome, exit.signal), (Outcome::Signaled, Some(9)));
}

#[test]
fn helper_killed_means_lost_and_nothing_runs_on() {
    let Some(fixture) = fixture() else { return };
    for (init, remove) in [(true, true), (false, true), (true, false)] {
        let spec = RunSpec {
            init,
            remove: Some(remove),
            name: Some("orphan".into()),
            writable: Some(Writable::Disk),
            ..fixture.probe(&["daemon", ",", "fork", "5", ",", "forever"])
        };
        let container = fixture.start(&spec);
        kill(Pid::from_raw(helper(container.directory())), Signal::SIGKILL).expect("kill");
        let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
        assert_eq!((exit.outcome, exit.code, exit.signal), (Outcome::Lost, None, None));
        assert_eq!(fixture.processes(), Vec::<String>::new());
        let again = fixture.reopen();
        match remove {
            true => {
                let error = again.container("orphan").expect_err("gone");
                assert_eq!(error.kind(), ErrorKind::NotFound);
            }
            false => {
                let kept = again.container("orphan").expect("open");
                assert_eq!(kept.wait(None).expect("wait"), Some(exit));
                kept.remove(false).expect("remove");
            }
        }
        drop((container, again));
        fixture.assert_clean();
    }
}

#[test]
fn helper_killed_at_any_moment_of_a_start_leaves_nothing() {
    // Only root sees from a helper's files whose it is.
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let spec = fixture.probe(&["forever"]);
    for number in 0..runs(60) {
        let done = std::sync::atomic::AtomicBool::new(false);
        let end = std::time::Instant::now() + PATIENCE;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Its name appears right after its exec.
                let mut killed = false;
                while !killed
                    && !done.load(std::sync::atomic::Ordering::Relaxed)
                    && std::time::Instant::now() < end
                {
                    for process in fixture.processes() {
                        let (pid, arguments) = process.split_once(' ').expect("pid");
                        if arguments.starts_with("libctr ") {
                            sleep(Duration::from_micros(u64::from(number) * 150));
                            let pid = pid.parse().expect("number");
                            killed = kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok();
                        }
                    }
                }
            });
            match fixture.try_start(&spec) {
                Ok(container) => {
                    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
                    assert_eq!(exit.outcome, Outcome::Lost);
                }
                Err(error) => {
                    let found = (error.kind(), error.stage(), error.errno());
                    assert_eq!(found, (ErrorKind::SetupFailed, Stage::Launch, None), "{error}");
                    assert_eq!(
                        error.to_string(),
                        "launch: the helper ended before the container was started; \
                         was it killed? is memory short?"
                    );
                }
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        gone(&fixture);
        drop(fixture.reopen());
        fixture.assert_clean();
    }
}

#[test]
fn name_is_taken_until_its_container_is_gone() {
    let Some(fixture) = fixture() else { return };
    let spec = RunSpec { name: Some("one".into()), ..fixture.probe(&["line"]) };
    let first = fixture.start(&spec);
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::AlreadyExists, Stage::State, None));
    let owner = &first.id()[..12];
    assert_eq!(
        text,
        format!(
            "state: the name \"one\" is taken by container {owner}; \
             remove that container or choose another name"
        )
    );
    assert_eq!(first.wait(Some(Duration::ZERO)).expect("wait"), None);
    assert_eq!(fixture.runtime().list().expect("list").len(), 1);
    drop(first.take_stream(0));
    assert!(first.wait(Some(PATIENCE)).expect("wait").expect("end").success());
    assert!(fixture.run(&spec).exit.success());
}

/// A small file system in memory; unmounted when dropped.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(path: &'a Path, options: &str) -> Small<'a> {
        let none: Option<&str> = None;
        mount(Some("libctr-small"), path, Some("tmpfs"), MsFlags::empty(), Some(options))
            .unwrap_or_else(|errno| panic!("mount({path:?}, {none:?}): {errno}"));
        Small(path)
    }

    /// Takes every byte that is left, and files as far as given.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("full")).expect("file");
        while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|written| written > 0) {}
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        umount2(self.0, MntFlags::MNT_DETACH).expect("umount");
    }
}

#[test]
fn full_state_directory_refuses_the_start_and_nothing_is_left() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let small = fixture.directory("small");
    // So many files are there once a runtime is opened; each number more lets
    // the start go one step further.
    let mut refused = 0;
    for files in 0..12 {
        let space = Small::mount(&small, "size=256k,nr_inodes=64");
        let options = RuntimeOptions {
            run: Some(small.join("run")),
            data: Some(fixture.path().join("data")),
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::open(&options).expect("runtime");
        for number in 0.. {
            if fs::File::create(small.join(format!("file{number}"))).is_err() {
                break;
            }
        }
        for number in 0..files {
            fs::remove_file(small.join(format!("file{number}"))).expect("file");
        }
        let spec = RunSpec { name: Some("small".into()), ..fixture.probe(&["exit", "3"]) };
        match runtime.run(&spec, libctr::RunOptions::default()) {
            Ok(container) => {
                let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
                assert_eq!((exit.outcome, exit.code), (Outcome::Exited, Some(3)));
            }
            Err(error) => {
                refused += 1;
                let found = (error.kind(), error.stage(), error.errno());
                assert_eq!(found, (ErrorKind::SetupFailed, Stage::State, Some(libc::ENOSPC)));
                let text = error.to_string();
                assert!(text.ends_with(": ENOSPC (No space left on device)"), "{text}");
            }
        }
        for place in ["run/containers", "run/names"] {
            assert_eq!(fs::read_dir(small.join(place)).expect("directory").count(), 0, "{files}");
        }
        drop(space);
        fixture.assert_clean();
    }
    assert!((4..10).contains(&refused), "{refused}");
}

#[test]
fn record_is_written_on_a_file_system_that_has_become_full() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let small = fixture.directory("small");
    let space = Small::mount(&small, "size=1m");
    let options = RuntimeOptions {
        run: Some(small.join("run")),
        data: Some(fixture.path().join("data")),
        ..RuntimeOptions::default()
    };
    let runtime = Runtime::open(&options).expect("runtime");
    let spec = RunSpec { remove: Some(false), ..fixture.probe(&["echo", ",", "exit", "3"]) };
    let stdio = || libctr::RunOptions { stdin: libctr::Stdio::Pipe, ..Default::default() };
    let container = runtime.run(&spec, stdio()).expect("start");
    space.fill();
    drop(container.take_stream(0));
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!((exit.outcome, exit.code), (Outcome::Exited, Some(3)));
    let again = runtime.container(container.id()).expect("open");
    assert_eq!(again.wait(None).expect("wait"), Some(exit));
    again.remove(false).expect("remove");
    drop((container, again, runtime, space));
}

#[test]
fn full_data_directory_refuses_the_start_and_nothing_is_left() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let data = fixture.directory("data");
    let spec = RunSpec { writable: Some(Writable::Disk), ..fixture.probe(&["exit", "3"]) };
    // Room for `upper` alone, then for the container's directory in it too.
    for (inodes, expected, call) in
        [(2, Stage::Rootfs, "rootfs: mkdir(\""), (3, Stage::Filesystem, "filesystem: mkdirat(\"")]
    {
        let space = Small::mount(&data, &format!("nr_inodes={inodes}"));
        fs::create_dir(data.join("upper")).expect("directory");
        let (kind, stage, errno, text) = fixture.refusal(&spec);
        assert_eq!((kind, stage, errno), (ErrorKind::SetupFailed, expected, Some(libc::ENOSPC)));
        assert!(text.starts_with(call), "{text}");
        assert!(text.ends_with(": ENOSPC (No space left on device)"), "{text}");
        assert_eq!(fs::read_dir(data.join("upper")).expect("directory").count(), 0);
        drop(space);
        fixture.assert_clean();
    }
}
