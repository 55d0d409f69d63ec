//! The default profile of the container engines (moby/profiles,
//! `seccomp/default.json`, as of 2026), for the ABIs of the library's machines.
//!
//! It lists what is allowed. What is not allowed fails with EPERM, and with
//! ENOSYS where programs and C libraries shall fall back to an older call:
//! calls that came after this library, and clone3, whose flags lie in memory
//! where no filter sees them. Some calls come with a capability.
//!
//! Three things differ from the engines. Calls by a foreign ABI (x32, i386,
//! arm) kill the process, where the engines filter them as well. The families
//! of socket that are refused are told by the lower 32 bits of the argument,
//! which is what the kernel looks at, and fail with EAFNOSUPPORT as on a
//! kernel without them. And ptrace is allowed without asking for a kernel of
//! 4.8 (where it cannot get round a filter): no older one runs libctr.

use crate::profile::{Action, Argument, Compare, Profile, Rule};

/// Which capabilities change the profile, one bit each (linux/capability.h).
pub const CAPABILITIES: u64 = {
    let mut bits = 0;
    let mut index = 0;
    while index < WITH_CAPABILITY.len() {
        bits |= 1 << WITH_CAPABILITY[index].0;
        index += 1;
    }
    bits
};

/// Those of them that the engines give a program of uid 0: SYS_CHROOT. The
/// profile for these is compiled when the library is built.
pub const USUAL: u64 = 1 << 18;

/// The profile for a program with this bounding set.
#[must_use]
pub fn profile(bounding: u64) -> Profile {
    let has = |capability: u32| bounding & (1 << capability) != 0;
    let with = WITH_CAPABILITY.iter().filter(|(capability, _)| has(*capability));
    let lists = std::iter::once(ALWAYS).chain(with.map(|(_, names)| *names));
    let names = lists.flat_map(str::split_ascii_whitespace);
    let mut rules: Vec<Rule> = names.map(|name| allow(name, Vec::new())).collect();
    rules.extend(personalities());
    rules.extend(sockets());
    if !has(SYS_ADMIN) {
        rules.push(allow("clone", vec![condition(Compare::MaskedEqual, NAMESPACES, 0)]));
        rules.push(refuse("clone3", ENOSYS, Vec::new()));
    }
    Profile {
        default: Action::Errno(EPERM),
        foreign: Action::KillProcess,
        unknown: Some(Action::Errno(ENOSYS)),
        abis: Vec::new(),
        rules,
    }
}

const EPERM: u16 = 1;
const ENOSYS: u16 = 38;
const EAFNOSUPPORT: u16 = 97;

fn allow(name: &str, arguments: Vec<Argument>) -> Rule {
    Rule { name: name.to_owned(), action: Action::Allow, arguments }
}

fn refuse(name: &str, errno: u16, arguments: Vec<Argument>) -> Rule {
    Rule { name: name.to_owned(), action: Action::Errno(errno), arguments }
}

/// A condition on the first argument.
fn condition(compare: Compare, value: u64, value_two: u64) -> Argument {
    Argument { index: 0, compare, value, value_two }
}

/// The flags of clone that make namespaces: `CLONE_NEW…` for mount, cgroup,
/// uts, ipc, user, pid and net.
const NAMESPACES: u64 = 0x7e02_0000;

/// Linux, BSD and the two with a 32-bit address layout; and "which is it?".
fn personalities() -> impl Iterator<Item = Rule> {
    let known = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
    let equal = |value| vec![condition(Compare::Equal, value, 0)];
    known.into_iter().map(move |value| allow("personality", equal(value)))
}

/// All families of socket but AF_ALG, the kernel's own cryptography, and
/// AF_VSOCK, which is not kept apart by network namespaces.
fn sockets() -> impl Iterator<Item = Rule> {
    const AF_ALG: u64 = 38;
    const AF_VSOCK: u64 = 40;
    let family = |value| vec![condition(Compare::MaskedEqual, 0xffff_ffff, value)];
    let refused = [AF_ALG, AF_VSOCK].map(|value| refuse("socket", EAFNOSUPPORT, family(value)));
    // Always true, and asked after those: see `order.rs`.
    let other = allow("socket", vec![condition(Compare::GreaterOrEqual, 0, 0)]);
    refused.into_iter().chain([other])
}

const SYS_ADMIN: u32 = 21;

/// Calls that come with a capability. The kernel asks for it as well; without
/// it they would be of no use but to somebody who looks for a hole.
const WITH_CAPABILITY: [(u32, &str); 14] = [
    (2, "open_by_handle_at"),                       // DAC_READ_SEARCH
    (16, "delete_module finit_module init_module"), // SYS_MODULE
    (17, "ioperm iopl"),                            // SYS_RAWIO
    (18, "chroot"),                                 // SYS_CHROOT
    (
        19, // SYS_PTRACE
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    (20, "acct"), // SYS_PACCT
    (
        SYS_ADMIN,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
        open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog
        umount umount2 unshare",
    ),
    (22, "reboot"),                                                    // SYS_BOOT
    (23, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"), // SYS_NICE
    (25, "clock_settime clock_settime64 settimeofday stime"),          // SYS_TIME
    (26, "vhangup"),                                                   // SYS_TTY_CONFIG
    (34, "syslog"),                                                    // SYSLOG
    (38, "perf_event_open"),                                           // PERFMON
    (39, "bpf"),                                                       // BPF
];

/// Calls that every program may make, for the ABIs that have them.
const ALWAYS: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown
    chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod
    fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr
    flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
    ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat
    get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
    getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit
    getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr
    getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
    io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl
    ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
    listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat
    mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget
    msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat
    _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
    pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
    process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64
    pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
    restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget
    semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto
    set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32
    setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
    setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt
    setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd
    signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64
    statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write
    writev
    arch_prctl modify_ldt
    arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2
";
