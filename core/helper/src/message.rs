//! What the program tells the host over the channel while a container starts,
//! and what the host may ask of a running program.
//!
//! A message is one packet of [`Message::SIZE`] bytes on a sequenced socket;
//! descriptors may travel with it. Decoding is total.

use crate::ability::Verdict;
use crate::fault::Fault;

/// One packet from the program to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The program was executed. The pidfd of pid 1 travels along, and after
    /// it the master end of the terminal if there is one.
    Started {
        /// pid 1 of the container as the host sees it.
        pid: i32,
    },
    /// The container could not be started; everything made is gone again.
    Failed(Fault),
    /// What was to be done beside running containers is done.
    Done,
    /// What became of one try of the probe.
    Tried {
        /// A number of [`crate::ability::Ability`].
        ability: u8,
        /// What became of it.
        verdict: Verdict,
    },
    /// The listener of the filter of system calls travels along; the program
    /// is not executed yet.
    Listener,
    /// A packet that this version does not know.
    Unknown,
}

impl Message {
    /// Bytes of one packet.
    pub const SIZE: usize = 12;

    /// The one packet from the host to the program: the groups are there
    /// ([`crate::plan::flag::AWAIT_GROUPS`]).
    pub const GO_ON: &[u8] = b"g";

    /// The wire form.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Message::SIZE] {
        let (kind, body) = match self {
            Message::Started { pid } => {
                let p = pid.to_le_bytes();
                (2, [p[0], p[1], p[2], p[3], 0, 0, 0, 0])
            }
            Message::Failed(fault) => (3, fault.to_bytes()),
            Message::Done => (4, [0; 8]),
            Message::Tried { ability, verdict } => {
                let [a, b, c, d, e, f] = verdict.to_bytes();
                (8, [ability, 0, a, b, c, d, e, f])
            }
            Message::Listener => (5, [0; 8]),
            Message::Unknown => (0, [0; 8]),
        };
        let [a, b, c, d, e, f, g, h] = body;
        [kind, 0, 0, 0, a, b, c, d, e, f, g, h]
    }

    /// Reads the wire form; never fails.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Message::SIZE]) -> Message {
        let [kind, _, _, _, a, b, c, d, e, f, g, h] = bytes;
        match kind {
            2 => Message::Started { pid: i32::from_le_bytes([a, b, c, d]) },
            3 => Message::Failed(Fault::from_bytes([a, b, c, d, e, f, g, h])),
            4 => Message::Done,
            8 => Message::Tried { ability: a, verdict: Verdict::from_bytes([c, d, e, f, g, h]) },
            5 => Message::Listener,
            _ => Message::Unknown,
        }
    }
}

/// What a host asks of a running helper: the value that travels with
/// [`Control::SIGNAL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// End the container; the outcome is `cancelled`.
    Cancel,
    /// The reader of the output saw more than the limit; end the container.
    OutputLimit,
    /// SIGKILL to everything. The caller's own kill is asked for in this way,
    /// so that it is not taken for the kernel's.
    Kill,
}

impl Control {
    /// The signal that carries a control value: one of the real-time signals,
    /// of which each is kept (signal(7)). Of two that are sent at once a
    /// standard signal would lose the second, be it the kill.
    pub const SIGNAL: i32 = 40;

    /// The value as it travels in the signal.
    #[must_use]
    pub const fn to_value(self) -> i32 {
        match self {
            Control::Cancel => 1,
            Control::OutputLimit => 2,
            Control::Kill => 3,
        }
    }

    /// Reads a value; an unknown one is `None`.
    #[must_use]
    pub const fn from_value(value: i32) -> Option<Control> {
        match value {
            1 => Some(Control::Cancel),
            2 => Some(Control::OutputLimit),
            3 => Some(Control::Kill),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Control, Message};
    use crate::ability::Verdict;
    use crate::fault::{Call, Fault, Step};

    #[test]
    fn messages_round_trip() {
        let fault = Fault { step: Step::User, call: Call::Setgroups, index: 9, errno: 1 };
        let started = Message::Started { pid: -7 };
        let tried = Message::Tried { ability: 3, verdict: Verdict::Killed(31) };
        let others = [Message::Failed(fault), Message::Done, Message::Listener, Message::Unknown];
        for message in others.into_iter().chain([started, tried]) {
            assert_eq!(Message::from_bytes(message.to_bytes()), message);
        }
        for kind in (6..=255u8).filter(|kind| *kind != 8).chain([0, 1]) {
            assert_eq!(
                Message::from_bytes([kind, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
                Message::Unknown
            );
        }
    }

    #[test]
    fn control_values_round_trip() {
        for control in [Control::Cancel, Control::OutputLimit, Control::Kill] {
            assert_eq!(Control::from_value(control.to_value()), Some(control));
        }
        assert_eq!(Control::from_value(0), None);
    }
}
