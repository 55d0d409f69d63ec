//! What differs between processors: how a system call is made, the numbers of
//! the calls (from the kernel's syscall tables), the first instructions.

use core::arch::{asm, global_asm};

/// Makes system call `n`.
///
/// # Safety
/// Whatever the call does with its arguments must be sound.
#[inline(always)]
pub(super) unsafe fn syscall(n: usize, a: [usize; 6]) -> isize {
    let ret: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel's calling convention; rcx and r11 are clobbered.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") n => ret,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5],
            out("rcx") _, out("r11") _,
            options(nostack)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel's calling convention.
    unsafe {
        asm!(
            "svc 0",
            in("x8") n,
            inlateout("x0") a[0] => ret,
            in("x1") a[1], in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5],
            options(nostack)
        );
    }
    ret
}

/// Ends the process by an instruction that no processor has (SIGILL).
pub(super) fn trap() -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: nothing of the program goes on.
    unsafe {
        asm!("ud2", options(noreturn, nomem, nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: nothing of the program goes on.
    unsafe {
        asm!("udf #0", options(noreturn, nomem, nostack));
    }
}

// The kernel enters with the argument vector on the stack (psABI, "process
// initialization"); hand its address to Rust on an aligned stack.
#[cfg(all(target_arch = "x86_64", not(any(test, clippy))))]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    start = sym super::start::start
);
#[cfg(all(target_arch = "aarch64", not(any(test, clippy))))]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x0, sp",
    "and sp, x0, #-16",
    "bl {start}",
    start = sym super::start::start
);

macro_rules! numbers {
    ($($name:ident $x86_64:literal $aarch64:literal,)*) => {
        /// Numbers of the system calls used here.
        pub(super) mod nr {
            $(
                #[cfg(target_arch = "x86_64")]
                pub(in super::super) const $name: usize = $x86_64;
                #[cfg(target_arch = "aarch64")]
                pub(in super::super) const $name: usize = $aarch64;
            )*

            #[cfg(test)]
            pub(super) fn all() -> impl Iterator<Item = (&'static str, usize)> {
                [$((stringify!($name), $name),)*].into_iter()
            }
        }

        #[cfg(test)]
        fn expected() -> impl Iterator<Item = libc::c_long> {
            [$(numbers!(@libc $name),)*].into_iter()
        }
    };
    (@libc READ) => { libc::SYS_read };
    (@libc WRITE) => { libc::SYS_write };
    (@libc CLOSE) => { libc::SYS_close };
    (@libc MMAP) => { libc::SYS_mmap };
    (@libc RT_SIGACTION) => { libc::SYS_rt_sigaction };
    (@libc RT_SIGPROCMASK) => { libc::SYS_rt_sigprocmask };
    (@libc IOCTL) => { libc::SYS_ioctl };
    (@libc PWRITE64) => { libc::SYS_pwrite64 };
    (@libc FTRUNCATE) => { libc::SYS_ftruncate };
    (@libc GETPID) => { libc::SYS_getpid };
    (@libc SOCKET) => { libc::SYS_socket };
    (@libc RECVMSG) => { libc::SYS_recvmsg };
    (@libc SOCKETPAIR) => { libc::SYS_socketpair };
    (@libc SETSOCKOPT) => { libc::SYS_setsockopt };
    (@libc SENDMSG) => { libc::SYS_sendmsg };
    (@libc CLONE) => { libc::SYS_clone };
    (@libc EXECVE) => { libc::SYS_execve };
    (@libc WAIT4) => { libc::SYS_wait4 };
    (@libc KILL) => { libc::SYS_kill };
    (@libc FCNTL) => { libc::SYS_fcntl };
    (@libc GETCWD) => { libc::SYS_getcwd };
    (@libc CHDIR) => { libc::SYS_chdir };
    (@libc FCHDIR) => { libc::SYS_fchdir };
    (@libc FCHMOD) => { libc::SYS_fchmod };
    (@libc FCHOWN) => { libc::SYS_fchown };
    (@libc FCHOWNAT) => { libc::SYS_fchownat };
    (@libc UMASK) => { libc::SYS_umask };
    (@libc SETSID) => { libc::SYS_setsid };
    (@libc SETGROUPS) => { libc::SYS_setgroups };
    (@libc SETRESUID) => { libc::SYS_setresuid };
    (@libc SETRESGID) => { libc::SYS_setresgid };
    (@libc CAPSET) => { libc::SYS_capset };
    (@libc RT_SIGTIMEDWAIT) => { libc::SYS_rt_sigtimedwait };
    (@libc GETCWD) => { libc::SYS_getcwd };
    (@libc CHROOT) => { libc::SYS_chroot };
    (@libc FSTATFS) => { libc::SYS_fstatfs };
    (@libc PIVOT_ROOT) => { libc::SYS_pivot_root };
    (@libc PRCTL) => { libc::SYS_prctl };
    (@libc MOUNT) => { libc::SYS_mount };
    (@libc UMOUNT2) => { libc::SYS_umount2 };
    (@libc SETHOSTNAME) => { libc::SYS_sethostname };
    (@libc FSETXATTR) => { libc::SYS_fsetxattr };
    (@libc GETDENTS64) => { libc::SYS_getdents64 };
    (@libc CLOCK_GETTIME) => { libc::SYS_clock_gettime };
    (@libc EXIT_GROUP) => { libc::SYS_exit_group };
    (@libc KEYCTL) => { libc::SYS_keyctl };
    (@libc OPENAT) => { libc::SYS_openat };
    (@libc MKDIRAT) => { libc::SYS_mkdirat };
    (@libc MKNODAT) => { libc::SYS_mknodat };
    (@libc UNLINKAT) => { libc::SYS_unlinkat };
    (@libc RENAMEAT) => { libc::SYS_renameat };
    (@libc SYMLINKAT) => { libc::SYS_symlinkat };
    (@libc READLINKAT) => { libc::SYS_readlinkat };
    (@libc PPOLL) => { libc::SYS_ppoll };
    (@libc UNSHARE) => { libc::SYS_unshare };
    (@libc SIGNALFD4) => { libc::SYS_signalfd4 };
    (@libc DUP3) => { libc::SYS_dup3 };
    (@libc PRLIMIT64) => { libc::SYS_prlimit64 };
    (@libc SECCOMP) => { libc::SYS_seccomp };
    (@libc STATX) => { libc::SYS_statx };
    (@libc SETNS) => { libc::SYS_setns };
    (@libc PIDFD_OPEN) => { libc::SYS_pidfd_open };
    (@libc PIDFD_SEND_SIGNAL) => { libc::SYS_pidfd_send_signal };
    (@libc OPEN_TREE) => { libc::SYS_open_tree };
    (@libc MOVE_MOUNT) => { libc::SYS_move_mount };
    (@libc FSOPEN) => { libc::SYS_fsopen };
    (@libc FSCONFIG) => { libc::SYS_fsconfig };
    (@libc FSMOUNT) => { libc::SYS_fsmount };
    (@libc CLONE3) => { libc::SYS_clone3 };
    (@libc CLOSE_RANGE) => { libc::SYS_close_range };
    (@libc OPENAT2) => { libc::SYS_openat2 };
    (@libc MOUNT_SETATTR) => { libc::SYS_mount_setattr };
    (@libc LANDLOCK_CREATE_RULESET) => { libc::SYS_landlock_create_ruleset };
    (@libc LANDLOCK_ADD_RULE) => { libc::SYS_landlock_add_rule };
    (@libc LANDLOCK_RESTRICT_SELF) => { libc::SYS_landlock_restrict_self };
}

numbers! {
    READ 0 63,
    WRITE 1 64,
    CLOSE 3 57,
    MMAP 9 222,
    RT_SIGACTION 13 134,
    RT_SIGPROCMASK 14 135,
    IOCTL 16 29,
    PWRITE64 18 68,
    FTRUNCATE 77 46,
    GETPID 39 172,
    SOCKET 41 198,
    SENDMSG 46 211,
    RECVMSG 47 212,
    SOCKETPAIR 53 199,
    SETSOCKOPT 54 208,
    CLONE 56 220,
    EXECVE 59 221,
    WAIT4 61 260,
    KILL 62 129,
    FCNTL 72 25,
    GETCWD 79 17,
    CHDIR 80 49,
    FCHDIR 81 50,
    FCHMOD 91 52,
    FCHOWN 93 55,
    FCHOWNAT 260 54,
    UMASK 95 166,
    SETSID 112 157,
    SETGROUPS 116 159,
    SETRESUID 117 147,
    SETRESGID 119 149,
    CAPSET 126 91,
    RT_SIGTIMEDWAIT 128 137,
    FSTATFS 138 44,
    PIVOT_ROOT 155 41,
    PRCTL 157 167,
    CHROOT 161 51,
    MOUNT 165 40,
    UMOUNT2 166 39,
    SETHOSTNAME 170 161,
    FSETXATTR 190 7,
    GETDENTS64 217 61,
    CLOCK_GETTIME 228 113,
    EXIT_GROUP 231 94,
    KEYCTL 250 219,
    OPENAT 257 56,
    MKDIRAT 258 34,
    MKNODAT 259 33,
    UNLINKAT 263 35,
    RENAMEAT 264 38,
    SYMLINKAT 266 36,
    READLINKAT 267 78,
    PPOLL 271 73,
    UNSHARE 272 97,
    SIGNALFD4 289 74,
    DUP3 292 24,
    PRLIMIT64 302 261,
    SECCOMP 317 277,
    STATX 332 291,
    SETNS 308 268,
    PIDFD_SEND_SIGNAL 424 424,
    OPEN_TREE 428 428,
    MOVE_MOUNT 429 429,
    FSOPEN 430 430,
    FSCONFIG 431 431,
    FSMOUNT 432 432,
    PIDFD_OPEN 434 434,
    CLONE3 435 435,
    CLOSE_RANGE 436 436,
    OPENAT2 437 437,
    MOUNT_SETATTR 442 442,
    LANDLOCK_CREATE_RULESET 444 444,
    LANDLOCK_ADD_RULE 445 445,
    LANDLOCK_RESTRICT_SELF 446 446,
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_those_of_crate_libc() {
        for ((name, ours), libc) in super::nr::all().zip(super::expected()) {
            assert_eq!(libc::c_long::try_from(ours), Ok(libc), "{name}");
        }
    }
}
