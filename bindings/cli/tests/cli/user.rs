//! A terminal with somebody in front of it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use libctr::container::resize_terminal;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};

use crate::bench::Bench;

/// A terminal with somebody in front of it.
#[derive(Debug)]
pub(crate) struct User {
    master: File,
    slave: OwnedFd,
    seen: String,
}

impl User {
    pub(crate) fn new(rows: u16, columns: u16) -> User {
        let pty = openpty(None, None).expect("terminal");
        resize_terminal(pty.master.as_fd(), rows, columns).expect("size");
        User { master: pty.master.into(), slave: pty.slave, seen: String::new() }
    }

    pub(crate) fn start(&self, bench: &Bench, options: &[&str], script: &str) -> Child {
        let arguments = [&["run", "--rm"], options, &["host", "sh", "-c", script]].concat();
        let mut command = bench.command(&arguments);
        command.stdin(self.stream()).stdout(self.stream()).stderr(self.stream());
        command.spawn().expect("ctrun")
    }

    /// A stream of a process that leads here.
    pub(crate) fn stream(&self) -> Stdio {
        self.slave.try_clone().expect("terminal").into()
    }

    /// Another size; nobody is told, as no process is controlled from here.
    pub(crate) fn resizes(&self, rows: u16, columns: u16) {
        resize_terminal(self.master.as_fd(), rows, columns).expect("size");
    }

    pub(crate) fn modes(&self) -> Termios {
        tcgetattr(&self.slave).expect("modes")
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("keys");
    }

    /// Reads until some text was shown; returns everything up to it.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> String {
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

    pub(crate) fn is_raw(&self) -> bool {
        !self.modes().local_flags.contains(LocalFlags::ICANON)
    }
}
