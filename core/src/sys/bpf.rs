//! `bpf(2)`: programs that decide about devices.
//!
//! # Safety
//! As in `sys.rs`: one raw system call with the addresses of live values.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::{SysResult, adopt, block_all_signals, restore_signals};

/// `bpf(2)`, BPF_PROG_LOAD: a program that decides about devices
/// (BPF_PROG_TYPE_CGROUP_DEVICE); each number is one instruction.
pub(crate) fn load_device_program(instructions: &[u64]) -> SysResult<OwnedFd> {
    const PROG_LOAD: libc::c_int = 5;
    const PROGRAM_TYPE: u64 = 15;
    let count = u32::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?;
    // Only what calls functions that are licensed for the GPL alone has to say
    // more.
    let license = c"Apache-2.0";
    // union bpf_attr (linux/bpf.h): prog_type, insn_cnt, insns, license,
    // log_level, log_size, log_buf, kern_version, prog_flags.
    let attributes: [u64; 6] = [
        PROGRAM_TYPE | u64::from(count) << 32,
        address(instructions.as_ptr())?,
        address(license.as_ptr())?,
        0,
        0,
        0,
    ];
    adopt(bpf(PROG_LOAD, &attributes)?)
}

/// `bpf(2)`, BPF_PROG_ATTACH: the program decides for the v2 group `group` and
/// all below it, together with those of the groups above. The group keeps it
/// until it is removed.
pub(crate) fn attach_device_program(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> SysResult<()> {
    const PROG_ATTACH: libc::c_int = 8;
    const ATTACH_TYPE: u64 = 6; // BPF_CGROUP_DEVICE
    const ALLOW_MULTI: u64 = 2; // BPF_F_ALLOW_MULTI
    let number = |fd: BorrowedFd<'_>| u64::from(fd.as_raw_fd().cast_unsigned());
    // union bpf_attr: target_fd, attach_bpf_fd, attach_type, attach_flags.
    let attributes = [number(group) | number(program) << 32, ATTACH_TYPE | ALLOW_MULTI << 32];
    bpf(PROG_ATTACH, &attributes).map(drop)
}

/// The kernel gives a verification up with EAGAIN when a signal waits, so none
/// is let through meanwhile.
fn bpf(command: libc::c_int, attributes: &[u64]) -> SysResult<libc::c_long> {
    let mask = block_all_signals();
    // SAFETY: the attributes live through the call and have this size, and so
    // does what their addresses point to.
    let r = unsafe {
        libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes))
    };
    let result = Errno::result(r);
    restore_signals(&mask);
    result
}

/// An address as the kernel's structures have it.
fn address<T>(pointer: *const T) -> SysResult<u64> {
    u64::try_from(pointer.expose_provenance()).map_err(|_| Errno::EFAULT)
}
