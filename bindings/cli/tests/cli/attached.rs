//! An attached container belongs to its `ctrun`: signals, and its end.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::bench::{Bench, Ran, appears, groups, is_root, signal, until};

/// Says which signals came, on its output and in a file; ends with TERM.
const LISTENER: &str = "say() { echo $1; echo $1 >> /mnt/said; }; trap 'say int' INT; \
                        trap 'say usr1' USR1; trap 'say hup' HUP; trap 'say term; exit 5' TERM; \
                        say ready; while :; do sleep 0.02; done";

#[test]
fn signals_are_passed_on() {
    let bench = Bench::new();
    let (said, file) = (bench.path("said"), bench.path("cid"));
    fs::write(&said, "").expect("file");
    let volume = format!("{}:/mnt/said", said.display());
    let options = ["--rm", "-v", &volume, "--cidfile", file.to_str().expect("path")];
    let child = bench.attached(&options, LISTENER);
    // Before that a signal would take the start back.
    appears(&file);
    let hears = |word: &str| {
        until(word, || fs::read_to_string(&said).is_ok_and(|said| said.ends_with(word)));
    };
    hears("ready\n");
    for (number, word) in [
        (Signal::SIGINT, "int\n"),
        (Signal::SIGUSR1, "usr1\n"),
        (Signal::SIGHUP, "hup\n"),
        (Signal::SIGTERM, "term\n"),
    ] {
        signal(&child, number);
        hears(word);
    }
    let ran = Ran::from(child.wait_with_output().expect("ctrun"));
    assert_eq!((ran.code, ran.out.as_str()), (5, "ready\nint\nusr1\nhup\nterm\n"));
    assert_eq!(ran.err, "");
}

#[test]
fn signal_that_the_program_dies_of_is_the_code() {
    let bench = Bench::new();
    let file = bench.path("cid");
    let child =
        bench.attached(&["--rm", "--cidfile", file.to_str().expect("path")], "exec sleep 60");
    appears(&file);
    signal(&child, Signal::SIGQUIT);
    let ran = Ran::from(child.wait_with_output().expect("ctrun"));
    assert_eq!(ran.bad(131), "");
}

#[test]
fn container_ends_with_a_ctrun_that_is_killed() {
    let bench = Bench::new();
    let file = bench.path("cid");
    let options = ["--rm", "--name", "mine", "--cidfile", file.to_str().expect("path")];
    let mut child = bench.attached(&options, "sleep 600 & sleep 601");
    let id = appears(&file);
    // An ordinary user may have no place for any.
    assert!(!groups(&id).is_empty() || !is_root());
    assert_eq!(bench.ctrun(&["ps", "-q", "--no-trunc"]).good(), format!("{id}\n"));
    signal(&child, Signal::SIGKILL);
    child.wait().expect("ctrun");
    until("the groups are gone", || groups(&id).is_empty());
    until("the state is gone", || !bench.path(&format!("run/containers/{id}")).exists());
    assert_eq!(bench.ctrun(&["ps", "-aq"]).good(), "");
    // The name is free again.
    assert_eq!(bench.ctrun(&["run", "--rm", "--name", "mine", "host", "true"]).good(), "");
}

#[test]
fn kept_container_of_a_ctrun_that_is_killed_has_a_record() {
    let bench = Bench::new();
    let file = bench.path("cid");
    let mut child = bench.attached(&["--cidfile", file.to_str().expect("path")], "sleep 600");
    let id = appears(&file);
    signal(&child, Signal::SIGKILL);
    child.wait().expect("ctrun");
    assert_eq!(bench.ctrun(&["wait", &id]).good(), "137\n");
    let info = &bench.ctrun(&["inspect", &id]).json()[0];
    assert_eq!(info["exit"]["outcome"], "cancelled");
    until("the groups are gone", || groups(&id).is_empty());
}

#[test]
fn reader_that_goes_away_does_not_hold_the_container() {
    let bench = Bench::new();
    for options in [&["--rm"][..], &["--rm", "--output-limit", "1g"]] {
        let arguments = [&["run"], options, &["host", "yes"]].concat();
        let mut command = bench.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("ctrun");
        drop(child.stdout.take());
        let ran = Ran::from(child.wait_with_output().expect("ctrun"));
        // The program sees the broken pipe itself.
        assert!(ran.code == 141 || ran.code == 1, "{ran:?}");
        assert!(!ran.err.contains("ctrun"), "{ran:?}");
    }
}

#[test]
fn start_that_is_interrupted_leaves_nothing() {
    let bench = Bench::new();
    for ms in (0..60).step_by(3) {
        let mut child = bench.attached(&["--rm"], "exec sleep 600");
        std::thread::sleep(std::time::Duration::from_millis(ms));
        signal(&child, Signal::SIGTERM);
        let status = child.wait().expect("ctrun");
        // Before ctrun takes signals itself, one just ends it.
        assert!(status.code() == Some(143) || status.signal() == Some(15), "{ms} ms: {status:?}");
    }
    let is_empty = |path: &str| {
        fs::read_dir(bench.path(path)).is_ok_and(|mut entries| entries.next().is_none())
    };
    until("the state is gone", || is_empty("run/containers"));
}
