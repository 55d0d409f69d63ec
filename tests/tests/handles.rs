//! Step `state`: one container through several handles, and at odd moments.

use std::thread;
use std::time::Duration;

use libctr::{ErrorKind, Outcome, Stage, Status};
use libctr_tests::{Fixture, PATIENCE, fixture, until};

const SIGKILL: i32 = 9;

#[test]
fn kept_container_tells_its_end_again_to_other_handles() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["line", ",", "exit", "9"]);
    spec.remove = Some(false);
    spec.name = Some("kept".into());
    let container = fixture.start(&spec);
    let early = fixture.reopen().container("kept").expect("open");
    assert_eq!(early.id(), container.id());
    assert_eq!(early.info().expect("info").status, Status::Running);
    assert_eq!(early.wait(Some(Duration::ZERO)).expect("wait"), None);
    drop(container.take_stream(0));
    let exit = early.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!((exit.outcome, exit.code), (Outcome::Exited, Some(9)));
    assert_eq!(container.wait(None).expect("wait"), Some(exit.clone()));

    for name in ["kept", container.id(), &container.id()[..12]] {
        let late = fixture.reopen().container(name).expect("open");
        assert_eq!(late.wait(None).expect("wait"), Some(exit.clone()));
        let info = late.info().expect("info");
        assert_eq!((info.status, info.pid, info.exit), (Status::Exited, None, Some(exit.clone())));
        assert!(late.event_fd().is_none());
    }
    container.remove(false).expect("remove");
    let error = fixture.runtime().container("kept").expect_err("gone");
    assert_eq!(
        (error.kind(), error.stage(), error.errno()),
        (ErrorKind::NotFound, Stage::State, None)
    );
    assert_eq!(error.to_string(), "state: container \"kept\" does not exist");
}

#[test]
fn removed_container_still_tells_its_end() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&fixture.probe(&["line", ",", "exit", "1"]));
    let other = fixture.runtime().container(container.id()).expect("open");
    drop(container.take_stream(0));
    let exit = container.wait(None).expect("wait").expect("end");
    assert!(!container.directory().exists());
    assert_eq!(other.wait(None).expect("wait"), Some(exit));
    for error in [
        other.kill(15).expect_err("gone"),
        other.pause().expect_err("gone"),
        other.stats().expect_err("gone"),
        other.cancel().expect_err("gone"),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    other.remove(false).expect("what is gone is removed");
}

#[test]
fn container_in_its_start_is_never_taken_for_a_dead_one() {
    let Some(fixture) = fixture() else { return };
    let done = std::sync::atomic::AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut looks = 0_u32;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for info in fixture.runtime().list().expect("list") {
                    looks += 1;
                    let outcome = info.exit.as_ref().map(|exit| exit.outcome);
                    assert!(matches!(outcome, None | Some(Outcome::Exited)), "{info:?}");
                }
            }
            looks
        });
        // The watcher ends before anything can fail the test.
        let runs = 0..libctr_tests::runs(100);
        let ended = runs.map(|_| fixture.try_start(&fixture.probe(&["uid"]))).map(|started| {
            started.and_then(|container| container.output(b"", &libctr::spec::Limits::default()))
        });
        let ended: Vec<_> = ended.collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for output in ended {
            let output = output.expect("a run");
            assert!(output.exit.success(), "{:?}", output.exit);
        }
        watch.join().expect("thread")
    });
    assert!(looks > 0);
}

#[test]
fn log_held_open_from_outside_does_not_hold_the_end_up() {
    let Some(fixture) = fixture() else { return };
    let options = libctr::RunOptions { stdout: libctr::Stdio::Log, ..Default::default() };
    let mut spec = fixture.probe(&["say", "logged", ",", "forever"]);
    spec.init = false;
    spec.remove = Some(false);
    let container = fixture.runtime().run(&spec, options).expect("start");
    let log = container.directory().join("log");
    until("the line is in the log", || std::fs::metadata(&log).is_ok_and(|file| file.len() > 0));
    let pid = container.info().expect("info").pid.expect("pid");
    let held = std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/fd/1"));
    let held = held.expect("the other end of the log");
    container.kill(SIGKILL).expect("kill");
    let exit = container.wait(Some(PATIENCE)).expect("wait");
    assert_eq!(exit.map(|exit| exit.outcome), Some(Outcome::Signaled));
    drop(held);
    container.remove(false).expect("remove");
}

#[test]
fn stop_signal_of_the_kernel_reaches_the_program_and_not_its_init() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&fixture.probe(&["forever"]));
    let status = container.directory().join("status.json");
    let pids: serde_json::Value =
        serde_json::from_slice(&std::fs::read(status).expect("status.json")).expect("JSON");
    let state = |name: &str| {
        let path = format!("/proc/{}/stat", pids[name]);
        let text = std::fs::read_to_string(path).expect("stat");
        text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    };
    container.kill(libc::SIGSTOP).expect("stop");
    until("the program is stopped", || state("program") == Some('T'));
    assert_ne!(state("init"), Some('T'));
    container.kill(libc::SIGCONT).expect("go on");
    until("it goes on", || state("program") != Some('T'));
    container.kill(libc::SIGSTOP).expect("stop");
    let exit = container.stop(Duration::ZERO).expect("end");
    assert_eq!((exit.outcome, exit.signal), (Outcome::Signaled, Some(libc::SIGKILL)));
}

#[test]
fn oci_document_says_what_was_executed() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["forever"]);
    spec.read_only = true;
    spec.user = Some("33:77".into());
    spec.limits.memory = Some(64 << 20);
    spec.limits.nofile = Some(99);
    let container = fixture.start(&spec);
    let config = container.info().expect("info").config.expect("a document");
    let at = |pointer: &str| config.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/process/args"), serde_json::json!(["/probe", "forever"]));
    let user = at("/process/user");
    assert_eq!((&user["uid"], &user["gid"]), (&33.into(), &77.into()));
    assert_eq!(at("/process/capabilities/effective"), serde_json::json!([]));
    assert_eq!(at("/root"), serde_json::json!({"path": "/", "readonly": true}));
    assert_eq!(at("/linux/resources/memory/limit"), serde_json::json!(67_108_864));
    let mounts = at("/mounts");
    let mounts = mounts.as_array().expect("a list");
    let probe = mounts.iter().find(|mount| mount["destination"] == "/probe").expect("the probe");
    assert_eq!((&probe["type"], &probe["options"][1]), (&"bind".into(), &"ro".into()));
    let limits = at("/process/rlimits");
    assert!(
        limits.to_string().contains(r#"{"hard":99,"soft":99,"type":"RLIMIT_NOFILE"}"#),
        "{limits}"
    );
    drop(container.stop(Duration::ZERO));
}

#[test]
fn damaged_container_does_not_hide_the_others() {
    let Some(fixture) = fixture() else { return };
    let kept = |name: &str| {
        let mut spec = fixture.probe(&["uid"]);
        (spec.remove, spec.name) = (Some(false), Some(name.into()));
        let container = fixture.start(&spec);
        assert!(container.wait(None).expect("wait").is_some_and(|exit| exit.success()));
        container
    };
    let (damaged, whole) = (kept("damaged"), kept("whole"));
    std::fs::write(damaged.directory().join("meta.json"), "{").expect("meta.json");
    let names: Vec<_> =
        fixture.runtime().list().expect("list").into_iter().map(|i| i.name).collect();
    assert_eq!(names, [Some("whole".to_owned())]);
    let error = fixture.runtime().container(damaged.id()).expect_err("damaged");
    assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::State));
    whole.remove(false).expect("remove");
    damaged.remove(false).expect("remove");
}
