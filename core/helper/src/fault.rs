//! Eight bytes that say which step of a launch failed.
//!
//! Written once by the program, read once by the host, which still owns the
//! plan and renders the sentence. Decoding is total: an unknown number is an
//! `Unknown`, never a guess.

/// The step of the pipeline, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// A number that this version does not know.
    Unknown = 0,
    /// Reading the plan, cloning pid 1.
    Launch = 1,
    /// Putting pid 1 into its control groups.
    Cgroup = 2,
    /// Host name, interfaces.
    Network = 3,
    /// The root and what is mounted in it.
    Filesystem = 4,
    /// Ids, capabilities, no_new_privs, seccomp.
    User = 5,
    /// The working directory.
    Chdir = 6,
    /// Standard streams, limits, execve.
    Exec = 7,
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal,)*) => {
        /// The system call that failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Call {
            /// A number that this version does not know.
            Unknown = 0,
            $(#[doc = $text] $name = $number,)*
        }

        impl Call {
            /// The call's name, as in its manual page.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Call::Unknown => "unknown call",
                    $(Call::$name => $text,)*
                }
            }

            pub(crate) const fn from_number(number: u8) -> Call {
                match number {
                    $($number => Call::$name,)*
                    _ => Call::Unknown,
                }
            }
        }
    };
}

calls! {
    Mmap = 1 "mmap",
    Socketpair = 2 "socketpair",
    Clone = 3 "clone3",
    Open = 4 "openat",
    Write = 5 "write",
    Read = 6 "read",
    Unshare = 7 "unshare",
    Sethostname = 8 "sethostname",
    Socket = 9 "socket",
    Ioctl = 10 "ioctl",
    Mount = 11 "mount",
    Fsopen = 12 "fsopen",
    Fsconfig = 13 "fsconfig",
    Fsmount = 14 "fsmount",
    MoveMount = 15 "move_mount",
    OpenTree = 16 "open_tree",
    MountSetattr = 17 "mount_setattr",
    Umount = 18 "umount2",
    PivotRoot = 19 "pivot_root",
    Chdir = 20 "chdir",
    Mkdir = 21 "mkdirat",
    Mknod = 22 "mknodat",
    Symlink = 23 "symlinkat",
    Unlink = 24 "unlinkat",
    Fchmod = 25 "fchmod",
    Fchown = 26 "fchown",
    Setxattr = 27 "fsetxattr",
    Openat2 = 28 "openat2",
    Fstat = 29 "fstat",
    Setgroups = 30 "setgroups",
    Setresgid = 31 "setresgid",
    Setresuid = 32 "setresuid",
    Capset = 33 "capset",
    Prctl = 34 "prctl",
    Keyctl = 35 "keyctl",
    Dup = 36 "dup3",
    Setsid = 37 "setsid",
    Prlimit = 38 "prlimit64",
    Execve = 39 "execve",
    Send = 40 "sendmsg",
    Poll = 41 "ppoll",
    Signalfd = 42 "signalfd4",
    Plan = 43 "plan",
    Died = 44 "wait4",
    Fork = 45 "clone",
    Setsockopt = 46 "setsockopt",
    Close = 47 "close",
    IdTool = 48 "newuidmap",
    Recv = 49 "recvmsg",
    Landlock = 50 "landlock",
    Fchownat = 51 "fchownat",
    Seccomp = 52 "seccomp",
    Chroot = 53 "chroot",
    Setns = 54 "setns",
    PidfdOpen = 55 "pidfd_open",
    Fcntl = 56 "fcntl",
}

impl Step {
    const fn from_number(number: u8) -> Step {
        match number {
            1 => Step::Launch,
            2 => Step::Cgroup,
            3 => Step::Network,
            4 => Step::Filesystem,
            5 => Step::User,
            6 => Step::Chdir,
            7 => Step::Exec,
            _ => Step::Unknown,
        }
    }
}

/// What failed: step, call, which record of the plan, errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The step of the pipeline.
    pub step: Step,
    /// The system call.
    pub call: Call,
    /// The record of the plan that was being executed; [`Fault::NO_RECORD`]
    /// where the call belongs to no record.
    pub index: u16,
    /// The kernel's errno.
    pub errno: i32,
}

impl Fault {
    /// The index of a call that belongs to no record.
    pub const NO_RECORD: u16 = u16::MAX;

    /// The fault of a plan that does not say what it should: `EINVAL`.
    #[must_use]
    pub const fn broken_plan(step: Step, index: u16) -> Fault {
        Fault { step, call: Call::Plan, index, errno: 22 }
    }

    /// The wire form: step, call, index, errno, little endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        let i = self.index.to_le_bytes();
        let e = self.errno.to_le_bytes();
        [self.step as u8, self.call as u8, i[0], i[1], e[0], e[1], e[2], e[3]]
    }

    /// Reads the wire form; never fails.
    #[must_use]
    pub const fn from_bytes(b: [u8; 8]) -> Fault {
        Fault {
            step: Step::from_number(b[0]),
            call: Call::from_number(b[1]),
            index: u16::from_le_bytes([b[2], b[3]]),
            errno: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Fault, Step};

    #[test]
    fn eight_bytes_round_trip_for_every_number() {
        for step in 0..=255u8 {
            for call in 0..=255u8 {
                let fault = Fault::from_bytes([step, call, 0x34, 0x12, 0xfe, 0xff, 0xff, 0xff]);
                assert_eq!(fault.index, 0x1234);
                assert_eq!(fault.errno, -2);
                assert_eq!(Fault::from_bytes(fault.to_bytes()), fault);
                let known = fault.step != Step::Unknown;
                assert_eq!(known, (1..=7).contains(&step), "step {step}");
                assert_eq!(fault.call != Call::Unknown, (1..=56).contains(&call), "call {call}");
            }
        }
    }

    #[test]
    fn wire_form_is_pinned() {
        let fault = Fault { step: Step::Exec, call: Call::Execve, index: 3, errno: 13 };
        assert_eq!(fault.to_bytes(), [7, 39, 3, 0, 13, 0, 0, 0]);
    }
}
