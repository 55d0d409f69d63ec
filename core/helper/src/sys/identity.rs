//! Who a process is: ids, capabilities, names, limits.

use core::ffi::CStr;

use super::{Result, address, call, signed};

pub(crate) fn sethostname(name: &CStr) -> Result<()> {
    call!(SETHOSTNAME, super::text(name), name.count_bytes()).map(drop)
}

pub(crate) fn setgroups(groups: &[u32]) -> Result<()> {
    call!(SETGROUPS, groups.len(), address(groups)).map(drop)
}

pub(crate) fn setresgid(gid: u32) -> Result<()> {
    call!(SETRESGID, gid as usize, gid as usize, gid as usize).map(drop)
}

pub(crate) fn setresuid(uid: u32) -> Result<()> {
    call!(SETRESUID, uid as usize, uid as usize, uid as usize).map(drop)
}

pub(crate) fn umask(mask: u32) {
    let _ = call!(UMASK, mask as usize);
}

/// capset(2), version 3.
pub(crate) fn capset(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let low = |set: u64| (set & 0xffff_ffff) as u32;
    let high = |set: u64| (set >> 32) as u32;
    let data: [u32; 6] = [
        low(effective),
        low(permitted),
        low(inheritable),
        high(effective),
        high(permitted),
        high(inheritable),
    ];
    call!(CAPSET, address(&header), address(&data)).map(drop)
}

fn prctl(option: usize, a: usize, b: usize) -> Result<usize> {
    call!(PRCTL, option, a, b, 0, 0)
}

pub(crate) fn bounding_drop(capability: u32) -> Result<()> {
    const PR_CAPBSET_DROP: usize = 24;
    prctl(PR_CAPBSET_DROP, capability as usize, 0).map(drop)
}

pub(crate) fn ambient_clear() -> Result<()> {
    const PR_CAP_AMBIENT: usize = 47;
    const CLEAR_ALL: usize = 4;
    prctl(PR_CAP_AMBIENT, CLEAR_ALL, 0).map(drop)
}

pub(crate) fn ambient_raise(capability: u32) -> Result<()> {
    const PR_CAP_AMBIENT: usize = 47;
    const RAISE: usize = 2;
    prctl(PR_CAP_AMBIENT, RAISE, capability as usize).map(drop)
}

/// Whether permitted capabilities survive the change from uid 0.
pub(crate) fn keep_caps(keep: bool) -> Result<()> {
    const PR_SET_KEEPCAPS: usize = 8;
    prctl(PR_SET_KEEPCAPS, usize::from(keep), 0).map(drop)
}

pub(crate) fn no_new_privs() -> Result<()> {
    const PR_SET_NO_NEW_PRIVS: usize = 38;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Whether a filter of system calls is around this process already
/// (PR_GET_SECCOMP).
pub(crate) fn is_filtered() -> bool {
    const PR_GET_SECCOMP: usize = 21;
    const FILTER: usize = 2;
    prctl(PR_GET_SECCOMP, 0, 0) == Ok(FILTER)
}

/// Filters this process's system calls from now on (seccomp(2)). `program`:
/// instructions of eight bytes. With `SECCOMP_FILTER_FLAG_NEW_LISTENER` the
/// result is a descriptor.
pub(crate) fn filter_system_calls(flags: u32, program: &[u8]) -> Result<usize> {
    const SET_MODE_FILTER: usize = 1;
    // struct sock_fprog: the length is 16 bits wide, little endian.
    let whole = [program.len() / 8, address(program)];
    call!(SECCOMP, SET_MODE_FILTER, flags as usize, address(&whole))
}

/// Nobody may trace this process or read its memory.
pub(crate) fn not_dumpable() -> Result<()> {
    set_dumpable(false)
}

/// prctl(2), PR_SET_DUMPABLE. Files in /proc of a process that is not dumpable
/// belong to root.
pub(crate) fn set_dumpable(yes: bool) -> Result<()> {
    const PR_SET_DUMPABLE: usize = 4;
    prctl(PR_SET_DUMPABLE, usize::from(yes), 0).map(drop)
}

/// This process gets SIGKILL when its parent ends. The parent is always the
/// single-threaded program, so "parent thread" and "parent" are the same.
pub(crate) fn die_with_parent() -> Result<()> {
    const PR_SET_PDEATHSIG: usize = 1;
    const SIGKILL: usize = 9;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0).map(drop)
}

/// Processes below this one that lose their parents become its children.
pub(crate) fn adopt_orphans() -> Result<()> {
    const PR_SET_CHILD_SUBREAPER: usize = 36;
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0).map(drop)
}

pub(crate) fn set_name(name: &CStr) {
    const PR_SET_NAME: usize = 15;
    let _ = prctl(PR_SET_NAME, super::text(name), 0);
}

/// A new, empty session keyring, so that the host's keys are out of reach
/// (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
pub(crate) fn new_keyring() -> Result<()> {
    const JOIN_SESSION_KEYRING: usize = 1;
    call!(KEYCTL, JOIN_SESSION_KEYRING, 0, 0, 0, 0).map(drop)
}

pub(crate) fn setrlimit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = [soft, hard];
    call!(PRLIMIT64, 0, resource as usize, address(&limit), 0).map(drop)
}

pub(crate) fn setsid() -> Result<()> {
    call!(SETSID).map(drop)
}

pub(crate) fn unshare(namespaces: u64) -> Result<()> {
    call!(UNSHARE, super::wide(namespaces)).map(drop)
}

/// kill(2).
pub(crate) fn kill(pid: i32, signal: i32) -> Result<()> {
    call!(KILL, signed(pid), signed(signal)).map(drop)
}
