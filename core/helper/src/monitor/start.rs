//! What pid 1 says while it sets up, and what the host is told of it.

use core::sync::atomic::Ordering;

use super::{Monitor, NONE, reap, record, tell};
use crate::fault::{Call, Fault, Step};
use crate::init::{at, descriptor};
use crate::message::Message;
use crate::plan::Field;
use crate::sys::{self, Fd, Packet};

impl Monitor {
    /// One packet of pid 1: its terminal, "execve is next", the listener of the
    /// filter, a fault of eight bytes, or the end of all packets, which means
    /// that the program was executed.
    pub(super) fn hear(&mut self, ended: bool) -> Result<(), Fault> {
        let mut bytes = [0_u8; 8];
        let packet = match sys::receive(self.setup.borrow(), &mut bytes) {
            // Nothing to hear yet, or, once pid 1 has ended, nothing more.
            Err(sys::Errno::EAGAIN) if !ended => return Ok(()),
            packet => packet.unwrap_or_default(),
        };
        match packet {
            Packet { fd: Some(listener), .. } if bytes.starts_with(b"n") => {
                tell(self.plan, Message::Listener, [Some(listener.borrow()), None]);
            }
            Packet { fd: Some(master), .. } => self.terminal = Some(master),
            // Its descriptor got lost: this process may have no more of them.
            Packet { length: 1, .. } if bytes.starts_with(b"t") => {
                return Err(at(Step::Filesystem, Call::Send, NONE)(sys::Errno::EMFILE));
            }
            Packet { length: 1, .. } if bytes.starts_with(b"n") => {
                return Err(at(Step::User, Call::Send, NONE)(sys::Errno::EMFILE));
            }
            Packet { length: 8, .. } => return Err(Fault::from_bytes(bytes)),
            Packet { length: 1, pid, .. } => self.program = pid,
            _ => match self.status.fault.load(Ordering::Acquire) {
                0 => return self.closed(),
                fault => return Err(Fault::from_bytes(fault.to_le_bytes())),
            },
        }
        Ok(())
    }

    /// pid 1 and the program have closed their end.
    fn closed(&mut self) -> Result<(), Fault> {
        // If it was killed while its root was put together, there is none.
        if self.program.is_none() {
            return Err(at(Step::Launch, Call::Died, NONE)(sys::Errno(0)));
        }
        self.executed();
        Ok(())
    }

    fn executed(&mut self) {
        // It has ended by itself, once everything was handed over.
        reap(self.builder.take());
        self.started = Some(sys::monotonic_ns());
        self.started_at = sys::realtime_ns();
        let program = self.program.unwrap_or(self.pid);
        let pids = [("helper", sys::getpid()), ("init", self.pid), ("program", program)];
        record::status(self.plan, pids, self.started_at);
        let fds = [Some(self.pidfd.borrow()), self.terminal.as_ref().map(Fd::borrow)];
        tell(self.plan, Message::Started { pid: self.pid }, fds);
        // The terminal is the host's alone, or the log's.
        self.log.take_terminal(self.terminal.take());
        if let Some(channel) = descriptor(self.plan, Field::Channel) {
            drop(Fd::adopt(channel.0));
        }
    }
}
