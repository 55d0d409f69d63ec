//! The words for each ability that the helper tries.

use libctr_helper::ability::Ability;

use crate::probe::State;

/// One ability in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) ability: Ability,
    /// The stable word.
    pub(super) name: &'static str,
    /// What is said when it works.
    pub(super) works: &'static str,
    /// The system call that it is about.
    pub(super) call: &'static str,
    /// The kernel that brought it.
    pub(super) since: Option<(u32, u32)>,
    /// What it is without.
    pub(super) without: State,
    /// What libctr cannot do then, or does instead.
    pub(super) consequence: &'static str,
    /// Tried with the ids and in the namespaces that a container has.
    pub(super) in_own: bool,
    /// Every start makes the call, with or without success.
    pub(super) is_used: bool,
    /// There may be nothing to try it on.
    pub(super) may_be_untried: bool,
}

const NOTHING: &str = "no container can be started";
const BUT_DEGRADED: &str = "no container can be started, but with degraded: allow";

const fn entry(
    ability: Ability,
    name: &'static str,
    call: &'static str,
    works: &'static str,
    consequence: &'static str,
) -> Entry {
    Entry {
        ability,
        name,
        works,
        call,
        since: None,
        without: State::Missing,
        consequence,
        in_own: true,
        is_used: true,
        may_be_untried: false,
    }
}

/// A system call for which there is an older one.
const fn newer(
    ability: Ability,
    name: &'static str,
    since: (u32, u32),
    works: &'static str,
    consequence: &'static str,
) -> Entry {
    let entry = entry(ability, name, name, works, consequence);
    Entry { since: Some(since), without: State::Degraded, in_own: false, ..entry }
}

/// Something without which containers do.
const fn extra(entry: Entry) -> Entry {
    Entry { without: State::Degraded, is_used: false, ..entry }
}

const fn of_host(entry: Entry) -> Entry {
    Entry { in_own: false, ..entry }
}

const fn may_be_untried(entry: Entry) -> Entry {
    Entry { may_be_untried: true, ..entry }
}

/// In the order in which a container needs them.
pub(super) static TABLE: [Entry; 25] = [
    newer(
        Ability::Clone3,
        "clone3",
        (5, 3),
        "new processes with namespaces in one call",
        "clone is used instead, and pid 1 enters its control group itself",
    ),
    newer(
        Ability::Openat2,
        "openat2",
        (5, 6),
        "paths of a container are resolved by the kernel",
        "paths are walked component by component, which is slower",
    ),
    Entry {
        call: "pidfd_open",
        ..newer(
            Ability::Pidfd,
            "pidfd",
            (5, 3),
            "processes have descriptors",
            "processes are watched through /proc",
        )
    },
    newer(
        Ability::CloseRange,
        "close_range",
        (5, 9),
        "descriptors are closed in one call",
        "descriptors are closed one by one",
    ),
    Entry {
        call: "fsopen",
        in_own: true,
        ..newer(
            Ability::MountApi,
            "mount_api",
            (5, 12),
            "mounts are made by descriptor",
            "mounts are made by path (mount(2)): fewer layers, and no ids of other users",
        )
    },
    extra(of_host(entry(
        Ability::User,
        "namespace.user",
        "clone",
        "user namespaces can be made and give rights",
        "security.user_namespace cannot be used, nor what ordinary users run",
    ))),
    entry(
        Ability::Pid,
        "namespace.pid",
        "clone",
        "processes of a container see only themselves",
        BUT_DEGRADED,
    ),
    entry(
        Ability::Mount,
        "namespace.mnt",
        "mount",
        "mounts of a container are its own",
        BUT_DEGRADED,
    ),
    entry(
        Ability::Ipc,
        "namespace.ipc",
        "clone",
        "shared memory is a container's own",
        BUT_DEGRADED,
    ),
    entry(Ability::Uts, "namespace.uts", "sethostname", "a host name of one's own", BUT_DEGRADED),
    entry(
        Ability::Net,
        "namespace.net",
        "clone",
        "a network of one's own",
        "only network: host can be run",
    ),
    entry(
        Ability::Cgroup,
        "namespace.cgroup",
        "unshare",
        "a view of control groups of one's own",
        BUT_DEGRADED,
    ),
    Entry {
        since: Some((5, 6)),
        ..extra(entry(
            Ability::Time,
            "namespace.time",
            "unshare",
            "clocks of one's own",
            "nothing: containers share the host's clocks by default",
        ))
    },
    entry(Ability::Proc, "mount.proc", "mount", "a /proc of one's own", BUT_DEGRADED),
    entry(
        Ability::Sysfs,
        "mount.sysfs",
        "mount",
        "a /sys of one's own",
        "only network: host can be run, with the host's /sys",
    ),
    entry(Ability::PivotRoot, "mount.pivot_root", "pivot_root", "a root of one's own", NOTHING),
    entry(
        Ability::Overlay,
        "overlay",
        "mount",
        "overlays can be mounted: copy-up, whiteouts, opaque directories",
        "images and directories are private copies of their layers; image: host cannot be run",
    ),
    extra(entry(
        Ability::OverlayUser,
        "overlay.user",
        "mount",
        "overlays with user. attributes, as ordinary users have them",
        "ordinary users have private copies of images",
    )),
    may_be_untried(extra(entry(
        Ability::OverlayOnData,
        "overlay.on_data_directory",
        "mount",
        "overlays can lie in the data directory",
        "writable: disk is a private copy of the layers, and refused for image: host",
    ))),
    may_be_untried(extra(of_host(Entry {
        since: Some((5, 12)),
        ..entry(
            Ability::Idmap,
            "idmap",
            "mount_setattr",
            "layers can be shown with other ids",
            "with security.user_namespace maps images are private copies, and binds show nobody",
        )
    }))),
    may_be_untried(of_host(newer(
        Ability::IntoGroup,
        "cgroup.into",
        (5, 7),
        "pid 1 is born in its control group",
        "pid 1 moves itself into its group, which can take 20 ms",
    ))),
    of_host(entry(
        Ability::Filter,
        "seccomp.filter",
        "seccomp",
        "system calls can be filtered",
        "containers need security.seccomp: unconfined",
    )),
    Entry {
        since: Some((5, 0)),
        ..extra(of_host(entry(
            Ability::Notify,
            "seccomp.notify",
            "seccomp",
            "calls can be passed to a listener",
            "seccomp profiles with SCMP_ACT_NOTIFY are refused",
        )))
    },
    Entry {
        since: Some((5, 13)),
        ..extra(of_host(entry(
            Ability::Landlock,
            "landlock",
            "landlock_create_ruleset",
            "",
            "there is no wall behind the mounts, and degraded: allow is refused",
        )))
    },
    extra(entry(
        Ability::Tun,
        "tun",
        "open",
        "network devices of one's own",
        "nothing yet: it is for network: nat, which this version has not",
    )),
];
