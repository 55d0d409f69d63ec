//! `ctrun exec`: another program in a container that runs.

use std::fs;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::bench::{Bench, Ran, signal, until};
use crate::user::User;

/// A container that runs until it is removed.
fn running(bench: &Bench, options: &[&str]) {
    bench.detached(&[&["--name", "one"], options].concat(), "exec sleep 300");
}

fn end(bench: &Bench) {
    bench.ctrun(&["rm", "-f", "one"]).good();
}

#[test]
fn program_runs_with_what_the_container_has_and_options_change() {
    let bench = Bench::new();
    running(&bench, &["-e", "KEPT=1", "-e", "OTHER=2", "-w", "/usr", "--hostname", "box"]);
    let script = "echo $(hostname) $PWD $KEPT $OTHER $NEW $HOME; id -u";
    let ran = bench.ctrun(&["exec", "one", "sh", "-c", script]);
    assert_eq!(ran.good(), "box /usr 1 2 /root\n0\n");
    let file = bench.path("variables");
    fs::write(&file, "# comment\nNEW=3\nOTHER=4\n").expect("file");
    let ran = bench.ctrun(&[
        "exec",
        "-u",
        "1234:5",
        "-w",
        "/tmp",
        "-e",
        "OTHER=5",
        "--env-file",
        file.to_str().expect("path"),
        "one",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(ran.good(), "box /tmp 1 5 3 /\n1234\n");
    end(&bench);
}

#[test]
fn words_after_the_program_are_its_own() {
    let bench = Bench::new();
    running(&bench, &[]);
    let ran = bench.ctrun(&["exec", "one", "echo", "-n", "-u", "--", "--help"]);
    assert_eq!(ran.good(), "-u -- --help");
    let text = bench.ctrun(&["exec", "one"]).bad(125);
    assert!(text.contains("<COMMAND>"), "{text}");
    end(&bench);
}

#[test]
fn code_is_the_programs() {
    let bench = Bench::new();
    running(&bench, &[]);
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143)] {
        assert_eq!(bench.ctrun(&["exec", "one", "sh", "-c", script]).bad(code), "", "{script}");
    }
    let text = bench.ctrun(&["exec", "one", "/no/such"]).bad(127);
    assert!(text.starts_with("ctrun: executable file not found: exec: execve("), "{text}");
    let text = bench.ctrun(&["exec", "one", "/etc/passwd"]).bad(126);
    assert!(text.starts_with("ctrun: permission denied: exec: execve("), "{text}");
    let text = bench.ctrun(&["exec", "--timeout", "0.2s", "one", "sleep", "60"]).bad(124);
    assert_eq!(text, "ctrun: killed: out of time (--timeout)\n");
    let ran =
        bench.ctrun(&["exec", "--output-limit", "4", "one", "sh", "-c", "printf 123456; sleep 60"]);
    assert_eq!((ran.code, ran.out.as_str()), (137, "1234"));
    end(&bench);
}

#[test]
fn container_that_cannot_take_it_is_told() {
    let bench = Bench::new();
    let text = bench.ctrun(&["exec", "one", "true"]).bad(125);
    assert_eq!(text, "ctrun: state: container \"one\" does not exist\n");
    running(&bench, &[]);
    if bench.ctrun(&["pause", "one"]).code == 0 {
        let text = bench.ctrun(&["exec", "one", "true"]).bad(125);
        assert!(text.ends_with(" is paused\nhint: unpause it first\n"), "{text}");
        bench.ctrun(&["unpause", "one"]).good();
    }
    for user in ["1:", ":2", "4294967295", "nosuchuser", " 1"] {
        let text = bench.ctrun(&["exec", "-u", user, "one", "true"]).bad(125);
        assert!(text.starts_with("ctrun: user: "), "{user:?}: {text}");
    }
    bench.ctrun(&["kill", "one"]).good();
    until("it has ended", || bench.ctrun(&["exec", "one", "true"]).err.ends_with(" not running\n"));
    end(&bench);
}

#[test]
fn input_is_given_when_asked_for() {
    let bench = Bench::new();
    running(&bench, &[]);
    assert_eq!(
        bench.feed("from outside\n", &["exec", "-i", "one", "cat"]).good(),
        "from outside\n"
    );
    assert_eq!(bench.feed("from outside\n", &["exec", "one", "cat"]).good(), "");
    end(&bench);
}

#[test]
fn detached_program_goes_on_without_ctrun_and_ends_with_the_container() {
    let bench = Bench::new();
    running(&bench, &[]);
    for options in [&["-d"][..], &["-dt"]] {
        let id = bench.ctrun(&[&["exec"], options, &["one", "sleep", "77"]].concat()).good();
        assert_eq!(id.trim().len(), 32);
    }
    let text = bench.ctrun(&["exec", "-di", "--output-limit", "1", "one", "true"]).bad(125);
    assert!(text.starts_with("ctrun: spec: --output-limit: cannot be combined"), "{text}");
    let count = || {
        let ran = bench.ctrun(&["exec", "one", "sh", "-c", "cat /proc/[0-9]*/cmdline"]);
        ran.out.matches("sleep\0 77\0").count() + ran.out.matches("sleep\x0077\0").count()
    };
    assert_eq!(count(), 2);
    end(&bench);
}

#[test]
fn signals_reach_the_program_and_not_the_container() {
    let bench = Bench::new();
    running(&bench, &[]);
    // Until ctrun has heard that it was executed, a signal takes the start back.
    let script = "trap 'exit 9' TERM; sleep 1; echo ready; while :; do sleep 0.02; done";
    let mut command = bench.command(&["exec", "one", "sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ctrun");
    let mut ready = [0; 6];
    let out = child.stdout.as_mut().expect("pipe");
    std::io::Read::read_exact(out, &mut ready).expect("ready");
    signal(&child, Signal::SIGTERM);
    assert_eq!(Ran::from(child.wait_with_output().expect("ctrun")).bad(9), "");
    assert_eq!(bench.ctrun(&["exec", "one", "echo", "there"]).good(), "there\n");
    end(&bench);
}

#[test]
fn terminal_has_the_users_size_and_follows_it() {
    let bench = Bench::new();
    running(&bench, &[]);
    let mut user = User::new(33, 101);
    let script = "stty size; tty; echo $TERM; trap 'stty size' WINCH; echo ready; \
                  while :; do read line && exit 3; done";
    let mut command = bench.command(&["exec", "-it", "one", "sh", "-c", script]);
    command.stdin(user.stream()).stdout(user.stream()).stderr(user.stream());
    let mut child = command.spawn().expect("ctrun");
    assert_eq!(user.sees("ready\r\n"), "33 101\r\n/dev/pts/0\r\nxterm\r\nready\r\n");
    assert!(user.is_raw());
    user.resizes(44, 120);
    signal(&child, Signal::SIGWINCH);
    user.sees("44 120\r\n");
    user.types("x\r");
    assert_eq!(child.wait().expect("ctrun").code(), Some(3));
    assert!(!user.is_raw());
    let text = bench.ctrun(&["exec", "-it", "one", "true"]).bad(125);
    assert!(text.starts_with("ctrun: spec: --tty: the input device is not a TTY"), "{text}");
    end(&bench);
}
