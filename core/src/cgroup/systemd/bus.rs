//! A connection to systemd or to a message bus: authentication, calls, signals.
//!
//! Host side, on the calling thread: it waits in `poll(2)` and nowhere else,
//! never longer than its [`Patience`]. What arrives is untrusted; see
//! `message`. Nothing but the calls of this module's user is ever sent.
//!
//! Errors: `NotFound` and `Denied` when nobody listens or lets us in,
//! `Timeout`, `Cancelled`, `SetupFailed` for what is no D-Bus; the kind of an
//! error that was answered follows from its name.
//!
//! Source: D-Bus Specification, "Authentication Protocol" and "Message Bus
//! Messages".

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, connect, getsockopt, recv, send, socket, sockopt,
};

use super::address::Address;
use super::message::{self, FIXED, Garbage, Message, Method, Values};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::{sys, wait};

/// As libraries do it (sd-bus): who we are is what the kernel says of the
/// socket, so that no user namespace in between matters.
const HANDSHAKE: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";

/// Signals that are kept while a call is answered.
const MOST_SIGNALS: usize = 64;

/// The longest line of an authentication, and of a peer's words in our text.
const LINE: usize = 512;

/// Until when to wait, and what ends the wait before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience<'a> {
    pub(super) until: Instant,
    pub(super) cancel: Option<BorrowedFd<'a>>,
}

impl Patience<'_> {
    /// Waits until the socket is ready for `events`.
    fn wait(&self, socket: BorrowedFd<'_>, events: PollFlags, what: &str) -> Result<()> {
        let mut fds = vec![PollFd::new(socket, events)];
        fds.extend(self.cancel.map(|cancel| PollFd::new(cancel, PollFlags::POLLIN)));
        loop {
            match nix::poll::poll(&mut fds, wait::patience(Some(self.until))) {
                Ok(_) if fds.get(1).is_some_and(|fd| fd.any().unwrap_or(false)) => {
                    return Err(cancelled());
                }
                Ok(_) if fds[0].any().unwrap_or(false) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => self.go_on(what)?,
                Err(errno) => {
                    return Err(Error::sys(Stage::Cgroup, format!("poll({what})"), errno));
                }
            }
        }
    }

    /// Waits a little before something is tried again.
    pub(super) fn pause(&self, what: &str) -> Result<()> {
        const A_LITTLE: Duration = Duration::from_millis(10);
        match self.cancel {
            Some(cancel) if wait::until_readable(cancel, Some(A_LITTLE))? => Err(cancelled()),
            Some(_) => self.go_on(what),
            None => {
                std::thread::sleep(A_LITTLE);
                self.go_on(what)
            }
        }
    }

    fn go_on(&self, what: &str) -> Result<()> {
        if Instant::now() < self.until {
            return Ok(());
        }
        let message = format!("{what}: no answer in time");
        Err(Error::new(Stage::Cgroup, ErrorKind::Timeout, message))
    }
}

fn cancelled() -> Error {
    Error::new(Stage::Launch, ErrorKind::Cancelled, "the start was cancelled")
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Bus<'a> {
    socket: OwnedFd,
    name: String,
    patience: Patience<'a>,
    serial: u32,
    /// What has arrived and was not read yet.
    arrived: Vec<u8>,
    /// Signals that arrived while a call was waited for; the oldest go first.
    signals: VecDeque<Message>,
}

impl<'a> Bus<'a> {
    /// Connects and says who we are.
    pub(super) fn open(address: &Address, patience: Patience<'a>) -> Result<Bus<'a>> {
        let name = address.shown();
        let failed =
            |call: &str, errno| Error::sys(Stage::Cgroup, format!("{call}({name})"), errno);
        let socket = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )
        .and_then(sys::high)
        .map_err(|errno| failed("socket", errno))?;
        let place = address.socket().map_err(|errno| failed("connect", errno))?;
        loop {
            match connect(socket.as_raw_fd(), &place) {
                Ok(()) => break,
                Err(Errno::EINTR) => {}
                // Nobody takes connections off its queue (connect(2)).
                Err(Errno::EAGAIN) => patience.pause(&format!("connect({name})"))?,
                Err(errno) => return Err(failed("connect", errno)),
            }
        }
        // A process id means something to those only who count as we do, and a
        // stranger is nobody to tell one.
        let peer = getsockopt(&socket, sockopt::PeerCredentials)
            .map_err(|errno| failed("getsockopt(SO_PEERCRED)", errno))?;
        let own = nix::unistd::geteuid().as_raw();
        if peer.pid() == 0 || peer.uid() != own {
            let message = match peer.pid() {
                0 => format!("connect({name}): it is of another pid namespace"),
                _ => format!("connect({name}): it belongs to user {}, not to {own}", peer.uid()),
            };
            return Err(Error::new(Stage::Cgroup, ErrorKind::Denied, message));
        }
        let (arrived, signals) = (Vec::new(), VecDeque::new());
        let mut bus = Bus { socket, name, patience, serial: 0, arrived, signals };
        bus.send(HANDSHAKE)?;
        bus.authenticate()?;
        Ok(bus)
    }

    /// The server's lines up to "OK"; everything after is messages.
    fn authenticate(&mut self) -> Result<()> {
        loop {
            let Some(end) = self.arrived.windows(2).position(|pair| pair == b"\r\n") else {
                if self.arrived.len() > LINE {
                    return Err(self.garbage(&Garbage("a line that does not end")));
                }
                self.receive()?;
                continue;
            };
            let line: Vec<u8> = self.arrived.drain(..end + 2).collect();
            let word = line.split(u8::is_ascii_whitespace).next().unwrap_or(&[]);
            match word {
                b"OK" => return Ok(()),
                b"DATA" => {}
                b"REJECTED" => {
                    let message = format!("AUTH EXTERNAL at {}: it was rejected", self.name);
                    return Err(Error::new(Stage::Cgroup, ErrorKind::Denied, message));
                }
                _ => return Err(self.garbage(&Garbage("no line of an authentication"))),
            }
        }
    }

    /// Calls a method and waits for what it returns.
    pub(super) fn call(&mut self, method: &Method, arguments: &Values) -> Result<Message> {
        self.serial += 1;
        let serial = self.serial;
        self.send(&method.call(serial, arguments))?;
        loop {
            let message = self.message()?;
            match message.kind {
                message::RETURN if message.reply_to == Some(serial) => return Ok(message),
                message::ERROR if message.reply_to == Some(serial) => {
                    return Err(refused(method, &message));
                }
                message::SIGNAL => {
                    if self.signals.len() == MOST_SIGNALS {
                        self.signals.pop_front();
                    }
                    self.signals.push_back(message);
                }
                _ => {}
            }
        }
    }

    /// The next signal.
    pub(super) fn signal(&mut self) -> Result<Message> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(signal);
        }
        loop {
            let message = self.message()?;
            if message.kind == message::SIGNAL {
                return Ok(message);
            }
        }
    }

    /// The error of bytes that are no message.
    pub(super) fn garbage(&self, garbage: &Garbage) -> Error {
        let message = format!("{} does not speak D-Bus: {}", self.name, garbage.0);
        Error::new(Stage::Cgroup, ErrorKind::SetupFailed, message)
    }

    fn message(&mut self) -> Result<Message> {
        loop {
            if let Some(fixed) = self.arrived.first_chunk::<FIXED>() {
                let length = Message::length(fixed).map_err(|garbage| self.garbage(&garbage))?;
                if self.arrived.len() >= length {
                    let bytes: Vec<u8> = self.arrived.drain(..length).collect();
                    return Message::parse(&bytes).map_err(|garbage| self.garbage(&garbage));
                }
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        let call = format!("recv({})", self.name);
        let length = loop {
            // Before every read, so that a peer which never stops is bounded too.
            self.patience.wait(self.socket.as_fd(), PollFlags::POLLIN, &call)?;
            self.patience.go_on(&call)?;
            match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                other => break other.map_err(|errno| Error::sys(Stage::Cgroup, &*call, errno))?,
            }
        };
        if length == 0 {
            return Err(Error::sys(Stage::Cgroup, call, Errno::ECONNRESET));
        }
        self.arrived.extend_from_slice(&bytes[..length]);
        Ok(())
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        let call = format!("send({})", self.name);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        while !bytes.is_empty() {
            self.patience.wait(self.socket.as_fd(), PollFlags::POLLOUT, &call)?;
            match send(self.socket.as_raw_fd(), bytes, flags) {
                Ok(length) => bytes = &bytes[length..],
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(Error::sys(Stage::Cgroup, call, errno)),
            }
        }
        Ok(())
    }
}

/// The error that a call was answered with.
fn refused(method: &Method, answer: &Message) -> Error {
    let name = answer.error.as_deref().unwrap_or("an error without a name");
    // Most carry a sentence for people.
    let text = answer.values("s").and_then(|mut values| values.string()).unwrap_or_default();
    let text: String = text.chars().take(LINE).collect();
    let kind = match name.rsplit('.').next() {
        Some("AccessDenied" | "AuthFailed" | "InteractiveAuthorizationRequired") => {
            ErrorKind::Denied
        }
        Some("ServiceUnknown" | "NameHasNoOwner" | "NoSuchUnit") => ErrorKind::NotFound,
        Some("UnitExists") => ErrorKind::AlreadyExists,
        Some("UnknownMethod" | "UnknownInterface" | "NotSupported") => ErrorKind::Unsupported,
        _ => ErrorKind::SetupFailed,
    };
    let message = format!("{}(): {name:?}, {text:?}", method.member);
    Error::new(Stage::Cgroup, kind, message)
}

#[cfg(test)]
mod tests;
