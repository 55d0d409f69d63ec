//! `ctrun run -t`: the container's terminal and the user's.

use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::bench::{Bench, Ran, signal};
use crate::user::User;

#[test]
fn terminal_has_the_users_size_and_follows_it() {
    let bench = Bench::new();
    let mut user = User::new(33, 101);
    let script = "stty size; tty; trap 'stty size' WINCH; echo ready; \
                  while :; do read line && exit 3; done";
    let mut child = user.start(&bench, &["-it"], script);
    assert_eq!(user.sees("ready\r\n"), "33 101\r\n/dev/pts/0\r\nready\r\n");
    user.resizes(44, 120);
    signal(&child, Signal::SIGWINCH);
    user.sees("44 120\r\n");
    user.types("x\r");
    assert_eq!(child.wait().expect("ctrun").code(), Some(3));
}

#[test]
fn keys_go_to_the_program_as_they_are() {
    let bench = Bench::new();
    let mut user = User::new(24, 80);
    let script = "trap 'echo interrupted; exit 6' INT; echo ready; while :; do sleep 0.02; done";
    let mut child = user.start(&bench, &["-it"], script);
    user.sees("ready\r\n");
    assert!(user.is_raw());
    user.types("\x03");
    user.sees("interrupted\r\n");
    assert_eq!(child.wait().expect("ctrun").code(), Some(6));
    assert!(!user.is_raw());
}

#[test]
fn terminal_is_put_back_on_each_way_out() {
    let bench = Bench::new();
    for (options, number, code) in [
        (&["-it"][..], Signal::SIGTERM, 143),
        (&["-it"], Signal::SIGHUP, 129),
        (&["-it", "--timeout", "1"], Signal::SIGWINCH, 124),
    ] {
        let mut user = User::new(24, 80);
        let before = user.modes();
        let mut child = user.start(&bench, options, "echo ready; exec sleep 60");
        user.sees("ready\r\n");
        assert!(user.is_raw());
        signal(&child, number);
        assert_eq!(child.wait().expect("ctrun").code(), Some(code));
        assert_eq!(user.modes(), before);
    }
}

#[test]
fn start_that_fails_leaves_the_terminal_alone() {
    let bench = Bench::new();
    let mut user = User::new(24, 80);
    let mut child = user.start(&bench, &["-it", "-w", "/no/such"], "true");
    user.sees("ctrun: chdir: chdir(\"/no/such\"): ENOENT");
    assert_eq!(child.wait().expect("ctrun").code(), Some(125));
    assert!(!user.is_raw());
}

#[test]
fn long_output_and_input_pass_whole() {
    let bench = Bench::new();
    let mut user = User::new(24, 80);
    let script = "stty raw -echo; echo ready; head -c 50000 | wc -c; seq 1 20000; echo end";
    let mut child = user.start(&bench, &["-it"], script);
    user.sees("ready\n");
    user.types(&"x".repeat(50_000));
    let text = user.sees("end\n");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0].trim(), lines[1], lines.len()), ("50000", "1", 20_002));
    assert_eq!(child.wait().expect("ctrun").code(), Some(0));
}

#[test]
fn terminal_without_input_needs_no_terminal_of_ours() {
    let bench = Bench::new();
    let script = "test -t 0 && test -t 1 && echo terminal";
    let ran = bench.ctrun(&["run", "--rm", "-t", "host", "sh", "-c", script]);
    assert_eq!(ran.good(), "terminal\r\n");
    let text = bench.ctrun(&["run", "--rm", "-it", "host", "true"]).bad(125);
    assert_eq!(
        text,
        "ctrun: spec: --tty: the input device is not a TTY\nhint: leave out --tty, or \
         --interactive\n"
    );
    let ran = bench.ctrun(&["run", "--rm", "host", "sh", "-c", "test -t 1 || echo none"]);
    assert_eq!(ran.good(), "none\n");
}

#[test]
fn terminal_output_is_limited_too() {
    let bench = Bench::new();
    let script = "printf 123456789; sleep 60";
    let ran =
        bench.ctrun(&["run", "--rm", "-t", "--output-limit", "4", "host", "sh", "-c", script]);
    assert_eq!((ran.code, ran.out.as_str()), (137, "1234"));
}

#[test]
fn program_hears_that_its_terminal_is_not_seen_any_more() {
    let bench = Bench::new();
    let mut command = bench.command(&["run", "--rm", "-t", "host", "yes"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ctrun");
    drop(child.stdout.take());
    assert_eq!(Ran::from(child.wait_with_output().expect("ctrun")).bad(129), "");
}
