//! What a machine may or may not let a container do, each of which the program
//! can try (`core/helper/src/probe.rs`), and what became of the try.

use crate::fault::Call;
use crate::numbered::numbered;

numbered! {
    /// One thing that is tried, in the order in which it is.
    Ability: u8 {
        /// clone3(2).
        Clone3 = 1,
        /// clone3(2) into a v2 group.
        IntoGroup = 2,
        /// openat2(2).
        Openat2 = 3,
        /// pidfd_open(2).
        Pidfd = 4,
        /// close_range(2).
        CloseRange = 5,
        /// A user namespace with one id, and rights in it.
        User = 6,
        /// A user namespace with all ids that the caller can have.
        UserMapped = 7,
        /// A pid namespace.
        Pid = 8,
        /// A mount namespace.
        Mount = 9,
        /// An IPC namespace.
        Ipc = 10,
        /// A UTS namespace, and a host name in it.
        Uts = 11,
        /// A network namespace.
        Net = 12,
        /// A cgroup namespace.
        Cgroup = 13,
        /// A time namespace.
        Time = 14,
        /// fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).
        MountApi = 15,
        /// A new proc file system.
        Proc = 16,
        /// A new sysfs.
        Sysfs = 17,
        /// pivot_root(2).
        PivotRoot = 18,
        /// An overlay in memory, as this caller's containers have it.
        Overlay = 19,
        /// The same with `user.` attributes, as an ordinary user's have it.
        OverlayUser = 20,
        /// A mount of the data directory with other ids.
        Idmap = 21,
        /// An overlay whose layers lie in the data directory.
        OverlayOnData = 22,
        /// A filter of system calls.
        Filter = 23,
        /// A filter that asks a listener.
        Notify = 24,
        /// Landlock; the answer is its version.
        Landlock = 25,
        /// A network device of one's own.
        Tun = 26,
    }
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works; a number where there is more to say.
    Works(u32),
    /// A call was refused.
    Refused {
        /// Which; [`Call::Unknown`] is the one that the ability is about.
        call: Call,
        /// The kernel's errno.
        errno: i32,
    },
    /// No call failed, but what came of it is not what it should be.
    Wrong(u32),
    /// A signal ended the process that tried it.
    Killed(i32),
    /// There was no end of it.
    Hung,
    /// There was nothing to try it on.
    Untried,
}

impl Verdict {
    /// The wire form.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 6] {
        let (how, call, number) = match self {
            Verdict::Works(number) => (1, Call::Unknown, number.to_le_bytes()),
            Verdict::Refused { call, errno } => (2, call, errno.to_le_bytes()),
            Verdict::Wrong(number) => (3, Call::Unknown, number.to_le_bytes()),
            Verdict::Killed(signal) => (4, Call::Unknown, signal.to_le_bytes()),
            Verdict::Hung => (5, Call::Unknown, [0; 4]),
            Verdict::Untried => (0, Call::Unknown, [0; 4]),
        };
        let [a, b, c, d] = number;
        [how, call as u8, a, b, c, d]
    }

    /// Reads the wire form; what is unknown was not tried.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 6]) -> Verdict {
        let [how, call, number @ ..] = bytes;
        match how {
            1 => Verdict::Works(u32::from_le_bytes(number)),
            2 => Verdict::Refused {
                call: Call::from_number(call),
                errno: i32::from_le_bytes(number),
            },
            3 => Verdict::Wrong(u32::from_le_bytes(number)),
            4 => Verdict::Killed(i32::from_le_bytes(number)),
            5 => Verdict::Hung,
            _ => Verdict::Untried,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;
    use crate::fault::Call;

    #[test]
    fn verdicts_round_trip_and_unknown_ones_are_untried() {
        let refused = Verdict::Refused { call: Call::Mount, errno: 1 };
        let killed = Verdict::Killed(31);
        for verdict in [Verdict::Works(7), refused, Verdict::Wrong(2), killed, Verdict::Hung] {
            assert_eq!(Verdict::from_bytes(verdict.to_bytes()), verdict);
        }
        for how in (6..=255).chain([0]) {
            assert_eq!(Verdict::from_bytes([how, 1, 2, 3, 4, 5]), Verdict::Untried);
        }
    }
}
