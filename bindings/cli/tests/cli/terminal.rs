//! `ctrun run -t`: the container's terminal and the user's.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use libctr::container::resize_terminal;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};

use crate::bench::{Bench, Ran, signal};

/// A terminal with somebody in front of it.
struct User {
    master: File,
    slave: OwnedFd,
    seen: String,
}

impl User {
    fn new(rows: u16, columns: u16) -> User {
        let pty = openpty(None, None).expect("terminal");
        resize_terminal(pty.master.as_fd(), rows, columns).expect("size");
        User { master: pty.master.into(), slave: pty.slave, seen: String::new() }
    }

    fn start(&self, bench: &Bench, options: &[&str], script: &str) -> Child {
        let arguments = [&["run", "--rm"], options, &["host", "sh", "-c", script]].concat();
        let stream = || Stdio::from(self.slave.try_clone().expect("terminal"));
        let mut command = bench.command(&arguments);
        command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().expect("ctrun")
    }

    fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("keys");
    }

    /// Reads until some text was shown; returns everything up to it.
    #[track_caller]
    fn sees(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                return self.seen.drain(..at + text.len()).collect();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{text:?} not in {:?}", self.seen);
            let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::from(100_u8)).expect("poll") > 0 {
                let mut bytes = [0; 4096];
                let n = self.master.read(&mut bytes).expect("terminal");
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        }
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.slave).expect("modes");
        !modes.local_flags.contains(LocalFlags::ICANON)
    }
}

#[test]
fn terminal_has_the_users_size_and_follows_it() {
    let Some(bench) = Bench::new() else { return };
    let mut user = User::new(33, 101);
    let script = "stty size; tty; trap 'stty size' WINCH; echo ready; \
                  while :; do read line && exit 3; done";
    let mut child = user.start(&bench, &["-it"], script);
    assert_eq!(user.sees("ready\r\n"), "33 101\r\n/dev/pts/0\r\nready\r\n");
    resize_terminal(user.master.as_fd(), 44, 120).expect("size");
    // It has no controlling terminal here, so nobody tells it but we.
    signal(&child, Signal::SIGWINCH);
    user.sees("44 120\r\n");
    user.types("x\r");
    assert_eq!(child.wait().expect("ctrun").code(), Some(3));
}

#[test]
fn keys_go_to_the_program_as_they_are() {
    let Some(bench) = Bench::new() else { return };
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
    let Some(bench) = Bench::new() else { return };
    for (options, number, code) in [
        (&["-it"][..], Signal::SIGTERM, 143),
        (&["-it"], Signal::SIGHUP, 129),
        (&["-it", "--timeout", "1"], Signal::SIGWINCH, 124),
    ] {
        let mut user = User::new(24, 80);
        let before = tcgetattr(&user.slave).expect("modes");
        let mut child = user.start(&bench, options, "echo ready; exec sleep 60");
        user.sees("ready\r\n");
        assert!(user.is_raw());
        signal(&child, number);
        assert_eq!(child.wait().expect("ctrun").code(), Some(code));
        assert_eq!(tcgetattr(&user.slave).expect("modes"), before);
    }
}

#[test]
fn start_that_fails_leaves_the_terminal_alone() {
    let Some(bench) = Bench::new() else { return };
    let mut user = User::new(24, 80);
    let mut child = user.start(&bench, &["-it", "-w", "/no/such"], "true");
    user.sees("ctrun: chdir: chdir(\"/no/such\"): ENOENT");
    assert_eq!(child.wait().expect("ctrun").code(), Some(125));
    assert!(!user.is_raw());
}

#[test]
fn long_output_and_input_pass_whole() {
    let Some(bench) = Bench::new() else { return };
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
    let Some(bench) = Bench::new() else { return };
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
    let Some(bench) = Bench::new() else { return };
    let script = "printf 123456789; sleep 60";
    let ran =
        bench.ctrun(&["run", "--rm", "-t", "--output-limit", "4", "host", "sh", "-c", script]);
    assert_eq!((ran.code, ran.out.as_str()), (137, "1234"));
}

#[test]
fn program_hears_that_its_terminal_is_not_seen_any_more() {
    let Some(bench) = Bench::new() else { return };
    let mut command = bench.command(&["run", "--rm", "-t", "host", "yes"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ctrun");
    drop(child.stdout.take());
    assert_eq!(Ran::from(child.wait_with_output().expect("ctrun")).bad(129), "");
}
