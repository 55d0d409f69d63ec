//! System calls as they are, without the older ones that take their place
//! elsewhere: to find out whether the kernel has them.

use super::{BorrowedFd, Errno, Fd, Result, SIGCHLD, address, address_mut, call, signed, text, wide};

pub(crate) const CLONE_NEWUTS: u64 = 0x0400_0000;
pub(crate) const CLONE_NEWIPC: u64 = 0x0800_0000;
pub(crate) const CLONE_NEWPID: u64 = 0x2000_0000;
pub(crate) const CLONE_NEWNET: u64 = 0x4000_0000;
pub(crate) const CLONE_NEWTIME: u64 = 0x80;

/// clone(2), which no kernel lacks: a fork with new namespaces. `None` in the
/// child.
pub(crate) fn fork(namespaces: u64) -> Result<Option<i32>> {
    child(call!(CLONE, wide(namespaces) | signed(SIGCHLD), 0, 0, 0, 0)?)
}

/// clone3(2): a fork, into a v2 group where one is given. `None` in the child.
pub(crate) fn fork3(group: Option<BorrowedFd>) -> Result<Option<i32>> {
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    let flags = if group.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let group = group.map_or(0, |group| u64::from(group.0.cast_unsigned()));
    let signal = u64::from(SIGCHLD.cast_unsigned());
    // struct clone_args, see `clone`.
    let arguments: [u64; 11] = [flags, 0, 0, 0, signal, 0, 0, 0, 0, 0, group];
    child(call!(CLONE3, address(&arguments), size_of_val(&arguments))?)
}

fn child(pid: usize) -> Result<Option<i32>> {
    match i32::try_from(pid) {
        Ok(0) => Ok(None),
        Ok(pid) => Ok(Some(pid)),
        Err(_) => Err(Errno::EINVAL),
    }
}

/// openat2(2) of the root directory.
pub(crate) fn openat2_root() -> Result<Fd> {
    const IN_ROOT: u64 = 0x10;
    let how: [u64; 3] = [(super::O_PATH | super::O_DIRECTORY) as u64, 0, IN_ROOT];
    Fd::made(call!(OPENAT2, Fd::CWD.raw(), text(c"/"), address(&how), size_of_val(&how))?)
}

/// close_range(2) of a descriptor that nobody has.
pub(crate) fn close_range_nothing() -> Result<()> {
    call!(CLOSE_RANGE, u32::MAX as usize, u32::MAX as usize, 0).map(drop)
}

/// The version of Landlock (landlock_create_ruleset(2)).
pub(crate) fn landlock_version() -> Result<u32> {
    const VERSION: usize = 1;
    let version = call!(LANDLOCK_CREATE_RULESET, 0, 0, VERSION)?;
    u32::try_from(version).map_err(|_| Errno::EINVAL)
}

/// A filter under which getpid(2) fails and all else works: each instruction
/// is code u16, two jumps u8, a number u32 (struct sock_filter).
pub(crate) fn filter_without_getpid() -> [u8; 32] {
    const LOAD: u64 = 0x20;
    const IF_EQUAL: u64 = 0x15 | 1 << 24;
    const RETURN: u64 = 0x06;
    const ERRNO_ENOTTY: u64 = 0x0005_0019;
    const ALLOW: u64 = 0x7fff_0000;
    let getpid = super::arch::nr::GETPID as u64;
    let program =
        [LOAD, IF_EQUAL | getpid << 32, RETURN | ERRNO_ENOTTY << 32, RETURN | ALLOW << 32];
    let mut bytes = [0; 32];
    for (to, instruction) in bytes.chunks_exact_mut(8).zip(program) {
        super::copy(to, &instruction.to_le_bytes());
    }
    bytes
}

/// Makes a network device of the tun driver, which goes with the descriptor.
pub(crate) fn tun(file: BorrowedFd) -> Result<()> {
    const TUNSETIFF: usize = 0x4004_54ca;
    const TUN_NO_PI: u64 = 0x1001;
    // struct ifreq: a name of 16 bytes that the kernel chooses, flags u16.
    let mut request = [0, 0, TUN_NO_PI, 0, 0];
    call!(IOCTL, file.raw(), TUNSETIFF, address_mut(&mut request)).map(drop)
}
