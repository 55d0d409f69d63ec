//! Settings of the kernel that explain why something has failed, and the
//! command that changes each. Read only for that: what works was tried.

use std::fs;

/// A sysctl that forbids something while it has a certain value.
struct Setting {
    path: &'static str,
    forbids: &'static str,
    says: &'static str,
    fix: &'static str,
}

/// Sources: user_namespaces(7), namespaces(7); Debian's and Ubuntu's kernels.
const USER_NAMESPACES: [Setting; 3] = [
    Setting {
        path: "/proc/sys/user/max_user_namespaces",
        forbids: "0",
        says: "user.max_user_namespaces is 0",
        fix: "as root: sysctl -w user.max_user_namespaces=15000",
    },
    Setting {
        path: "/proc/sys/kernel/unprivileged_userns_clone",
        forbids: "0",
        says: "kernel.unprivileged_userns_clone is 0",
        fix: "as root: sysctl -w kernel.unprivileged_userns_clone=1",
    },
    Setting {
        path: "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        forbids: "1",
        says: "AppArmor restricts user namespaces of ordinary users",
        fix: "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    },
];

/// The value of a sysctl, where there is one.
pub(super) fn value(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// What forbids user namespaces, and the command that allows them.
pub(super) fn forbids_users() -> Option<(&'static str, &'static str)> {
    USER_NAMESPACES
        .iter()
        .find(|setting| value(setting.path).as_deref() == Some(setting.forbids))
        .map(|setting| (setting.says, setting.fix))
}

/// Whether AppArmor lets only programs with a profile have user namespaces
/// (Ubuntu 23.10 and later).
pub(super) fn apparmor() -> Option<(&'static str, &'static str)> {
    let setting = &USER_NAMESPACES[2];
    (value(setting.path).as_deref() == Some(setting.forbids)).then_some((setting.says, setting.fix))
}
