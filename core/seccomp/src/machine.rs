//! Machines and the ways in which a program can call their kernel.

/// A processor that the library runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86_64: beside its own ABI it has x32 and that of i386.
    X86_64,
    /// aarch64: beside its own ABI it has that of arm.
    Aarch64,
}

impl Machine {
    /// The machine that this was compiled for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Machine = Machine::X86_64;
    /// The machine that this was compiled for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Machine = Machine::Aarch64;

    /// The ABI of its ordinary programs.
    #[must_use]
    pub const fn native(self) -> Abi {
        match self {
            Machine::X86_64 => Abi::X86_64,
            Machine::Aarch64 => Abi::Aarch64,
        }
    }

    /// All its ABIs, the native one first.
    #[must_use]
    pub const fn abis(self) -> &'static [Abi] {
        match self {
            Machine::X86_64 => &[Abi::X86_64, Abi::X32, Abi::I386],
            Machine::Aarch64 => &[Abi::Aarch64, Abi::Arm],
        }
    }
}

/// One set of system call numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// x86_64, `SCMP_ARCH_X86_64`.
    X86_64 = 0,
    /// The calls of x86_64 with 32-bit pointers: the same machine code with a
    /// bit in the number, `SCMP_ARCH_X32`.
    X32 = 1,
    /// i386, from 64-bit programs too (`int 0x80`), `SCMP_ARCH_X86`.
    I386 = 2,
    /// aarch64, `SCMP_ARCH_AARCH64`.
    Aarch64 = 3,
    /// 32-bit arm (EABI), `SCMP_ARCH_ARM`.
    Arm = 4,
}

impl Abi {
    /// The bit that every number of x32 has (`__X32_SYSCALL_BIT`).
    pub const X32_BIT: u32 = 0x4000_0000;

    /// What the kernel calls it: `AUDIT_ARCH_…` of linux/audit.h, the field
    /// `arch` of struct seccomp_data. x32 has that of x86_64.
    #[must_use]
    pub const fn audit(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => 0xc000_003e,
            Abi::I386 => 0x4000_0003,
            Abi::Aarch64 => 0xc000_00b7,
            Abi::Arm => 0x4000_0028,
        }
    }

    /// Whether its arguments have 64 bits. (Those of x32 have in fact, but
    /// libseccomp compares 32.)
    pub(crate) const fn is_wide(self) -> bool {
        matches!(self, Abi::X86_64 | Abi::Aarch64)
    }

    /// i386 has one call for all that sockets do and one for System V IPC;
    /// the first argument says which (net/socket.c, ipc/syscall.c). The name
    /// of that call and the argument's value.
    #[must_use]
    pub fn multiplexed(self, name: &str) -> Option<(&'static str, u64)> {
        const SOCKET: [&str; 20] = [
            "socket",
            "bind",
            "connect",
            "listen",
            "accept",
            "getsockname",
            "getpeername",
            "socketpair",
            "send",
            "recv",
            "sendto",
            "recvfrom",
            "shutdown",
            "setsockopt",
            "getsockopt",
            "sendmsg",
            "recvmsg",
            "accept4",
            "recvmmsg",
            "sendmmsg",
        ];
        const IPC: [(&str, u64); 12] = [
            ("semop", 1),
            ("semget", 2),
            ("semctl", 3),
            ("semtimedop", 4),
            ("msgsnd", 11),
            ("msgrcv", 12),
            ("msgget", 13),
            ("msgctl", 14),
            ("shmat", 21),
            ("shmdt", 22),
            ("shmget", 23),
            ("shmctl", 24),
        ];
        if self != Abi::I386 {
            return None;
        }
        let socket = (1..).zip(SOCKET).find(|(_, socket)| *socket == name);
        let ipc = || IPC.into_iter().find(|(ipc, _)| *ipc == name);
        socket.map(|(which, _)| ("socketcall", which)).or_else(|| Some(("ipc", ipc()?.1)))
    }
}
