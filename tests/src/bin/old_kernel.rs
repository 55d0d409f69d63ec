//! Runs a program on what looks like an older kernel, or like one behind an
//! outer seccomp profile: a filter that everything inherits answers for the
//! named system calls.
//!
//! ```text
//! old_kernel NAME[=ERRNO][,…] PROGRAM [ARGUMENT…]
//! ```
//!
//! A name is one of [`GROUPS`] (`all` for all of them together) or one of the
//! calls in them; ERRNO is `ENOSYS` (what a kernel without the call says, the
//! default), `EPERM` (what a profile says) or `EINVAL`. The program finds the
//! calls in `LIBCTR_OLD_KERNEL`, for tests that expect something else there.
//!
//! Sources: seccomp(2), Documentation/userspace-api/seccomp_filter.rst.

#![allow(unsafe_code, reason = "one system call that has no wrapper")]

use std::env;
use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{c_long, sock_filter};

/// System calls that came together, and how they are called together.
const GROUPS: [(&str, &[(&str, c_long)]); 8] = [
    ("clone3", &[("clone3", libc::SYS_clone3)]),
    ("openat2", &[("openat2", libc::SYS_openat2)]),
    (
        "mount",
        &[
            ("open_tree", libc::SYS_open_tree),
            ("move_mount", libc::SYS_move_mount),
            ("fsopen", libc::SYS_fsopen),
            ("fsconfig", libc::SYS_fsconfig),
            ("fsmount", libc::SYS_fsmount),
            ("fspick", libc::SYS_fspick),
            ("mount_setattr", libc::SYS_mount_setattr),
        ],
    ),
    ("mount_setattr", &[("mount_setattr", libc::SYS_mount_setattr)]),
    ("pidfd_open", &[("pidfd_open", libc::SYS_pidfd_open)]),
    ("close_range", &[("close_range", libc::SYS_close_range)]),
    (
        "landlock",
        &[
            ("landlock_create_ruleset", libc::SYS_landlock_create_ruleset),
            ("landlock_add_rule", libc::SYS_landlock_add_rule),
            ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
        ],
    ),
    ("pivot_root", &[("pivot_root", libc::SYS_pivot_root)]),
];

/// In no old kernel: there to show what is said when it fails.
const NOT_IN_ALL: [&str; 1] = ["pivot_root"];

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let [calls, program, arguments @ ..] = words.as_slice() else {
        return Err("old_kernel NAME[=ERRNO][,…] PROGRAM [ARGUMENT…]".into());
    };
    let mut missing = Vec::new();
    let mut names = Vec::new();
    for word in calls.to_str().ok_or("calls in ASCII")?.split(',') {
        let (name, errno) = word.split_once('=').unwrap_or((word, "ENOSYS"));
        let errno = match errno {
            "ENOSYS" => libc::ENOSYS,
            "EPERM" => libc::EPERM,
            "EINVAL" => libc::EINVAL,
            _ => return Err(format!("{word}: ENOSYS, EPERM or EINVAL").into()),
        };
        let before = missing.len();
        for (call, number) in calls_of(name) {
            missing.push((u32::try_from(number)?, u32::try_from(errno)?));
            names.push(call);
        }
        if missing.len() == before {
            return Err(format!("{word}: no such call").into());
        }
    }
    install(&filter(&missing))?;
    let names = names.join(",");
    Err(Command::new(program).args(arguments).env("LIBCTR_OLD_KERNEL", names).exec().into())
}

/// The calls of a name.
fn calls_of(name: &str) -> Vec<(&'static str, c_long)> {
    let is_meant = |group: &str, call: &str| match name {
        "all" => !NOT_IN_ALL.contains(&group),
        _ => name == group || name == call,
    };
    let mut found = Vec::new();
    for (group, calls) in GROUPS {
        found.extend(calls.iter().filter(|(call, _)| is_meant(group, call)));
    }
    found
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// What is not of this architecture, or not named, is allowed.
fn filter(missing: &[(u32, u32)]) -> Vec<sock_filter> {
    const LOAD: u16 = 0x20;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    // Of struct seccomp_data: the number is its first word, then the architecture.
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let mut filter = vec![
        step(LOAD, 0, 0, 4),
        step(IF_EQUAL, 1, 0, ARCHITECTURE),
        step(RETURN, 0, 0, ALLOW),
        step(LOAD, 0, 0, 0),
    ];
    for &(number, errno) in missing {
        filter.push(step(IF_EQUAL, 0, 1, number));
        filter.push(step(RETURN, 0, 0, ERRNO | errno));
    }
    filter.push(step(RETURN, 0, 0, ALLOW));
    filter
}

/// Without `no_new_privs`, which would change what is tested; so it needs
/// CAP_SYS_ADMIN.
fn install(filter: &[sock_filter]) -> Result<(), Box<dyn Error>> {
    const SET_MODE_FILTER: c_long = 1;
    let program =
        libc::sock_fprog { len: u16::try_from(filter.len())?, filter: filter.as_ptr().cast_mut() };
    let address: *const libc::sock_fprog = &raw const program;
    // SAFETY: the program and its instructions live through the call, which
    // only reads them.
    let r = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, address) };
    match r {
        0 => Ok(()),
        _ => Err(format!("seccomp: {}", std::io::Error::last_os_error()).into()),
    }
}
