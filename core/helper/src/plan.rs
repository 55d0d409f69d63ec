//! The plan: flat bytes that say everything the program has to do.
//!
//! The host writes them (`core/src/helper/plan.rs`), the program reads them
//! in place; nothing is left to look up, resolve or parse. A plan is
//!
//! ```text
//! magic u32 · version u32 · bytes u32 · records u32 · one u64 per Field · records
//! record: kind u16 · zero u16 · payload bytes u32 · payload · padding to 8
//! ```
//!
//! all little endian. A payload is made of `u32`s, `u64`s and strings that
//! end in NUL. Reading is total: what does not fit is `None`.

mod view;

#[allow(unused_imports, reason = "the program names fewer of them than the host")]
pub use view::{Body, Plan, Record, Records};

use crate::numbered::numbered;

/// First four bytes of a plan.
pub const MAGIC: u32 = 0x6374_7270;
/// The format's version: program and library are always built together, so
/// any other number is a defect.
pub const VERSION: u32 = 1;
/// Bytes before the first field.
pub const HEADER: usize = 16;

numbered! {
    /// A number that every plan has; [`Field::ABSENT`] where it is not set.
    Field: u16 {
        /// Bits of [`flag`].
        Flags = 0,
        /// Namespaces of pid 1, as `CLONE_NEW…` bits.
        CloneFlags = 1,
        /// Descriptor: the channel to the host.
        Channel = 2,
        /// Descriptor: the file of the exit record.
        Exit = 3,
        /// Descriptor: pidfd of the host, whose end ends the container, or with
        /// [`flag::LIFELINE_DIRECTORY`] its directory in /proc.
        Lifeline = 4,
        /// Descriptor: the program's standard input.
        Stdin = 5,
        /// Descriptor: the program's standard output.
        Stdout = 6,
        /// Descriptor: the program's standard error.
        Stderr = 7,
        /// Descriptor: read end of the pipe that carries standard output into the log.
        LogStdout = 8,
        /// Descriptor: read end of the pipe that carries standard error into the log.
        LogStderr = 9,
        /// Descriptor: the directory of the log.
        LogDirectory = 10,
        /// Bytes of log to keep.
        LogMax = 11,
        /// User id of the program.
        Uid = 12,
        /// Group id of the program.
        Gid = 13,
        /// File mode creation mask of the program.
        Umask = 14,
        /// Capability bounding set, one bit each.
        CapBounding = 15,
        /// Effective and permitted capabilities of the program.
        CapEffective = 16,
        /// Inheritable capabilities.
        CapInheritable = 17,
        /// Ambient capabilities.
        CapAmbient = 18,
        /// Nanoseconds from exec to the deadline.
        WallTime = 19,
        /// Nanoseconds of CPU time.
        CpuTime = 20,
        /// Nanoseconds between the stop signal and SIGKILL.
        Grace = 21,
        /// Signal that asks the program to end.
        StopSignal = 22,
        /// CLOCK_MONOTONIC when the host's call began, nanoseconds.
        Begun = 23,
        /// Rows of the terminal.
        Rows = 24,
        /// Columns of the terminal.
        Columns = 25,
        /// Processors of the machine (how fast CPU time can pass).
        Processors = 26,
        /// Descriptor: the file of the process ids.
        Status = 27,
        /// What there is to do: a number of [`job`]; absent means a container.
        Job = 28,
        /// Descriptor: the directory whose files get their owners.
        Tree = 29,
        /// Namespaces to be joined, as `CLONE_NEW…` bits.
        Join = 30,
        /// Descriptor: pidfd of pid 1 of the container that is joined.
        JoinInit = 31,
        /// Descriptor: pidfd of its program, for who may not look into pid 1.
        JoinProgram = 32,
    }
}

impl Field {
    /// Value of a field that is not set.
    pub const ABSENT: u64 = u64::MAX;
}

/// Bits of [`Field::Flags`].
pub mod flag {
    /// pid 1 stays as a tiny init and the program is its child.
    pub const INIT: u64 = 1;
    /// The program gets a pseudo-terminal.
    pub const TERMINAL: u64 = 1 << 1;
    /// The loopback interface is brought up.
    pub const LOOPBACK: u64 = 1 << 2;
    /// The root is made read-only once everything is in place.
    pub const READ_ONLY: u64 = 1 << 3;
    /// `no_new_privs` is set.
    pub const NO_NEW_PRIVS: u64 = 1 << 4;
    /// A cgroup namespace is made once pid 1 is in its groups.
    pub const CGROUP_NAMESPACE: u64 = 1 << 5;
    /// The program keeps its effective capabilities over the change of uid.
    pub const KEEP_CAPS: u64 = 1 << 6;
    /// A new session keyring is joined.
    pub const KEYRING: u64 = 1 << 7;
    /// The user namespace does not allow setgroups(2).
    pub const NO_SETGROUPS: u64 = 1 << 8;
    /// The user namespace has ids 0, which pid 1 takes while it sets up.
    pub const ROOT_IDS: u64 = 1 << 9;
    /// Sources are opened and mounted by root outside the user namespace, and
    /// shown with its ids.
    pub const BUILDER: u64 = 1 << 10;
    /// No namespaces: the program is a process of the host, which other walls
    /// keep in.
    pub const DEGRADED: u64 = 1 << 11;
    /// The filter of system calls has a listener, which goes to the host.
    pub const LISTENER: u64 = 1 << 12;
    /// CAP_SYS_ADMIN is kept up to execve: without `no_new_privs` the filter
    /// needs it.
    pub const FILTER_CAP: u64 = 1 << 13;
    /// The groups are made while the program waits for
    /// [`crate::message::Message::GO_ON`].
    pub const AWAIT_GROUPS: u64 = 1 << 14;
    /// The lifeline is a directory of /proc, to be looked at now and then.
    pub const LIFELINE_DIRECTORY: u64 = 1 << 15;
}

/// Values of [`Field::Job`].
pub mod job {
    /// The paths of [`super::Kind::Remove`] are removed from inside the user
    /// namespace.
    pub const REMOVE: u64 = 1;
    /// The files of [`super::Kind::Owner`] get their owners.
    pub const OWNERS: u64 = 2;
    /// Another program is executed in a container that runs.
    pub const EXEC: u64 = 3;
    /// What containers need is tried; the host gets a packet for each.
    pub const PROBE: u64 = 4;
}

/// When a [`Kind::Remove`] path is removed.
pub mod when {
    /// When the container ends, however it ends.
    pub const ALWAYS: u32 = 0;
    /// Only when it could not be started.
    pub const FAILED: u32 = 1;
}

/// cgroup v1 controllers that the program itself reads or writes.
pub mod controller {
    /// Any other: pid 1 is attached, nothing is read.
    pub const OTHER: u32 = 0;
    /// memory
    pub const MEMORY: u32 = 1;
    /// pids
    pub const PIDS: u32 = 2;
    /// cpuacct
    pub const CPUACCT: u32 = 3;
    /// freezer
    pub const FREEZER: u32 = 4;
    /// blkio
    pub const BLKIO: u32 = 5;
}

/// Bits of a bind's, overlay's, device's or directory's `flags`.
pub mod option {
    /// Everything below the mount is read-only, submounts too.
    pub const READ_ONLY: u32 = 1;
    /// Submounts of the source come along.
    pub const RECURSIVE: u32 = 1 << 1;
    /// The source is no directory.
    pub const FILE: u32 = 1 << 2;
    /// overlay: do not sync on unmount (throw-away containers).
    pub const VOLATILE: u32 = 1 << 3;
    /// overlay: `user.` instead of `trusted.` attributes.
    pub const USERXATTR: u32 = 1 << 4;
    /// upper directory: hides what lies below it.
    pub const OPAQUE: u32 = 1 << 5;
    /// device: the host's own node is bound, because none can be made.
    pub const BIND: u32 = 1 << 6;
    /// bind: device nodes in it cannot be opened.
    pub const NODEV: u32 = 1 << 7;
    /// bind, overlay: set-user-ID bits and file capabilities have no effect.
    pub const NOSUID: u32 = 1 << 8;
    /// bind, overlay: nothing in it can be executed.
    pub const NOEXEC: u32 = 1 << 9;
    /// bind, overlay: the target may lie in /proc or /sys.
    pub const KERNEL: u32 = 1 << 10;
    /// overlay: it is a part of the root, and read-only where that is.
    pub const PART: u32 = 1 << 11;
}

/// Bits of a file system's flags that are ours and not the kernel's.
pub mod strict {
    /// The target must not be a symbolic link.
    pub const NO_SYMLINKS: u64 = 1 << 63;
    /// The target may lie in /proc or /sys.
    pub const KERNEL: u64 = 1 << 62;
}

numbered! {
    /// What a record says. Payloads are given in order.
    Kind: u16 {
        /// The container's v2 group: path.
        GroupV2 = 1,
        /// One of its v1 groups: controller u32, path.
        GroupV1 = 2,
        /// Removed at the end: when u32, path.
        Remove = 3,
        /// Host name: name.
        Hostname = 10,
        /// A tmpfs of the host side on which the root is put together: path, mount data.
        Stage = 20,
        /// A directory of the upper layer: flags u32, mode u32, uid u32, gid u32, path.
        UpperDir = 21,
        /// The root is an overlay: flags u32, target, upper, work, count u32, lower paths, uppermost first.
        RootOverlay = 22,
        /// The root is this directory itself: path.
        RootBind = 23,
        /// A file system: `MS_…` flags u64, type, target, mount data.
        Filesystem = 24,
        /// A directory: mode u32, path.
        Directory = 25,
        /// A symbolic link: contents, path.
        Symlink = 27,
        /// A file with contents: mode u32, path, bytes u32, contents.
        File = 28,
        /// A bind: flags u32, source, target.
        Bind = 29,
        /// A copy-on-write view: flags u32, source, target, upper, work, and with
        /// [`flag::BUILDER`] a directory where the source can be mounted meanwhile.
        Overlay = 30,
        /// Hidden if it exists: path.
        Mask = 31,
        /// Read-only if it exists: path.
        ReadOnly = 32,
        /// A supplementary group: gid u32.
        Group = 40,
        /// The working directory: path.
        Cwd = 41,
        /// A resource limit: resource u32, soft u64, hard u64.
        Rlimit = 42,
        /// One argument: bytes.
        Argument = 50,
        /// One environment entry: `NAME=value`.
        Environment = 51,
        /// A path to try to execute, in order: path.
        Program = 52,
        /// A namespace to be joined, in order, where the kernel takes no pidfd:
        /// `CLONE_NEW…` bit u32, path as pid 1's, path as the program's.
        Namespace = 75,
        /// The filter of system calls: `SECCOMP_FILTER_FLAG_…` u32, number of
        /// instructions u32, instructions of eight bytes.
        Filter = 60,
        /// A device: flags u32, mode u32, uid u32, gid u32, major u32, minor u32, the host's path, path.
        Device = 65,
        /// An empty directory on which the probe may mount: path.
        Scratch = 80,
        /// An empty directory on the file system of the data directory: path.
        ScratchOnData = 81,
        /// A file of pid 1 in /proc that makes its user namespace: name, contents.
        IdMap = 90,
        /// A program that writes one of them: path, then its arguments after
        /// the process id.
        IdTool = 91,
        /// A set of Landlock rules: rights to files u64, to the network u64, and
        /// scopes u64 that it handles. The rules that follow are its own.
        Landlock = 93,
        /// A rule: rights u64, path inside the root.
        LandlockRule = 94,
        /// The program's terminal is made here, before the caller's mounts.
        Terminal = 95,
        /// Owner of a file below [`Field::Tree`]: uid u32, gid u32, mode u32
        /// (of a file that can be opened, else `u32::MAX`), path, bytes u32,
        /// `security.capability` (none if empty).
        Owner = 92,
    }
}
