//! Escapes through terminals: letters typed into the caller's, its session
//! taken over, and a container's own terminal led astray.
//!
//! Known from CVE-2017-5226, 2025-52565.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio as Streams};

use libctr::spec::{Mount, RunSpec, Seccomp};
use libctr::{Container, RunOptions, Stdio};
use libctr_tests::{Fixture, as_root, fixture, skip, until};
use nix::pty::{OpenptyResult, openpty};

/// A terminal as the caller's: the controlling one of a session.
struct Session {
    _master: OwnedFd,
    slave: OwnedFd,
    leader: Option<Child>,
}

impl Session {
    /// Without a leader nobody has the terminal.
    fn new(with_leader: bool) -> Session {
        let OpenptyResult { master, slave } = openpty(None, None).expect("terminal");
        let copy = || slave.try_clone().expect("descriptor");
        let leader = with_leader.then(|| {
            let mut command = Command::new("setsid");
            command.args(["--ctty", "sleep", "60"]).stdin(Streams::from(copy()));
            command.spawn().expect("setsid")
        });
        if let Some(leader) = &leader {
            // The seventh word is the number of the controlling terminal.
            let stat = format!("/proc/{}/stat", leader.id());
            until("the session has its terminal", || {
                let text = fs::read_to_string(&stat).unwrap_or_default();
                text.split(' ').nth(6).is_some_and(|number| number != "0")
            });
        }
        Session { _master: master, slave, leader }
    }

    fn ask(&self, fixture: &Fixture, spec: &RunSpec) -> String {
        let options = RunOptions {
            stdin: Stdio::Fd(self.slave.try_clone().expect("descriptor")),
            stdout: Stdio::Pipe,
            ..RunOptions::default()
        };
        let container = fixture.runtime().run(spec, options).expect("start");
        let output = container.output(b"", &spec.limits).expect("output");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(leader) = &mut self.leader {
            let _ = leader.kill();
            let _ = leader.wait();
        }
    }
}

#[test]
fn terminal_of_the_caller_takes_no_input_and_is_not_taken_over() {
    let Some(fixture) = fixture() else { return };
    let session = Session::new(true);
    for init in [true, false] {
        let words = ["input", ",", "steal", "0", ",", "steal", "1", ",", "input"];
        let mut spec = fixture.probe(&words);
        spec.init = init;
        spec.security.seccomp = Seccomp::Unconfined;
        let answer = session.ask(&fixture, &spec);
        // EPERM, or EIO where the kernel has given it up (dev.tty.legacy_tiocsti).
        let lines: Vec<&str> = answer.lines().collect();
        assert!(matches!(lines[0], "error 1" | "error 5"), "{answer}");
        assert_eq!(lines[1..3], ["error 1", "error 1"], "{answer}");
        assert!(matches!(lines[3], "error 1" | "error 5"), "{answer}");
    }
}

#[test]
fn terminal_of_the_caller_takes_input_of_who_has_every_right() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let session = Session::new(true);
    let mut spec = fixture.probe(&["input", ",", "steal", "1"]);
    spec.security.seccomp = Seccomp::Unconfined;
    spec.security.capabilities.add.push("SYS_ADMIN".into());
    assert_eq!(session.ask(&fixture, &spec), "typed\nstolen");
}

#[test]
fn terminal_that_nobody_has_can_be_taken() {
    let Some(fixture) = fixture() else { return };
    // So the refusal above is for the session that has it.
    let session = Session::new(false);
    assert_eq!(session.ask(&fixture, &fixture.probe(&["steal", "0"])), "stolen");
}

/// What a program with a terminal says up to a line `end`.
fn with_terminal(fixture: &Fixture, spec: &RunSpec) -> (String, Container) {
    let container = fixture.runtime().run(spec, RunOptions::default()).expect("start");
    let mut terminal = File::from(container.take_terminal().expect("terminal"));
    let (mut text, mut chunk) = (String::new(), [0; 1024]);
    while !text.contains("end\r\n") {
        let length = terminal.read(&mut chunk).expect("read");
        text.push_str(&String::from_utf8_lossy(&chunk[..length]));
    }
    terminal.write_all(b"\n").expect("write");
    container.wait(None).expect("wait");
    (text.replace("\r\n", "\n"), container)
}

#[test]
fn console_is_the_containers_own_terminal_whatever_the_image_has_there() {
    let Some(fixture) = fixture() else { return };
    let victim = fixture.path().join("victim");
    fs::write(&victim, "victim").expect("file");
    let root = fixture.rootfs("root");
    fs::create_dir_all(root.join("dev/pts")).expect("directory");
    for name in ["console", "ptmx", "pts/ptmx", "pts/0", "tty"] {
        symlink(&victim, root.join("dev").join(name)).expect("link");
    }
    let words = ["stat", "/dev/console", ",", "stat", "/dev/pts/0", ",", "say", "end", ",", "line"];
    let mut spec = fixture.probe(&words);
    spec.mounts.clear();
    spec.rootfs = Some(root);
    spec.tty = true;
    let (text, _) = with_terminal(&fixture, &spec);
    // Both are the other end of the same terminal: devpts has major 136.
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("character 136:0 "), "{text}");
    assert_eq!(lines[0], lines[1], "{text}");
    assert_eq!(fs::read_to_string(&victim).expect("file"), "victim");
    // Without one there is no console at all.
    spec.tty = false;
    assert!(fixture.answer(&spec).starts_with("error 2\nerror 2\nend"));
}

#[test]
fn terminal_is_made_before_mounts_that_could_replace_it() {
    let Some(fixture) = fixture() else { return };
    let volume = fixture.directory("volume");
    let victim = fixture.path().join("victim");
    fs::write(&victim, "victim").expect("file");
    fs::create_dir(volume.join("pts")).expect("directory");
    symlink(&victim, volume.join("console")).expect("link");
    symlink(&victim, volume.join("pts/ptmx")).expect("link");
    for target in ["/dev", "/dev/pts"] {
        let words = ["terminal", ",", "say", "end", ",", "line"];
        let mut spec = fixture.probe(&words);
        spec.tty = true;
        spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&volume, target) });
        let options = RunOptions { terminal: Some((7, 9)), ..RunOptions::default() };
        let container = fixture.runtime().run(&spec, options).expect("start");
        let mut terminal = File::from(container.take_terminal().expect("terminal"));
        let mut text = String::new();
        let mut chunk = [0; 1024];
        while !text.contains("end\r\n") {
            let length = terminal.read(&mut chunk).expect("read");
            text.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
        assert_eq!(text, "0 7 9\r\n1 7 9\r\n2 7 9\r\nend\r\n", "{target}");
        terminal.write_all(b"\n").expect("write");
        container.wait(None).expect("wait");
        assert_eq!(fs::read_to_string(&victim).expect("file"), "victim");
    }
}

#[test]
fn terminals_of_the_host_are_not_seen() {
    let Some(fixture) = fixture() else { return };
    let _terminal = openpty(None, None).expect("terminal");
    let host = fs::read_dir("/dev/pts").map_or(0, Iterator::count);
    if host < 2 {
        return skip("this machine has no terminals in /dev/pts");
    }
    assert_eq!(fixture.ask(&["list", "/dev/pts"]), "ptmx");
}
