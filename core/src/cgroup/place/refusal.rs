//! Why a limit that was asked for cannot be enforced, and what changes that.
//!
//! Host side. The hint of each is one command.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::{Obstacle, Place, is_real_root};
use crate::cgroup::{Controller, systemd};
use crate::error::{Error, ErrorKind, Stage};

/// No group can be made in a hierarchy: the directory tried first, and why.
#[derive(Debug)]
pub(in crate::cgroup) struct Closed {
    pub(super) dir: PathBuf,
    pub(super) errno: Errno,
    /// Why systemd gives none either, where it was asked.
    pub(super) systemd: Option<Error>,
}

impl Closed {
    pub(super) fn new(dir: &Path, errno: Errno) -> Closed {
        Closed { dir: dir.to_owned(), errno, systemd: None }
    }

    /// The refusal of a limit that needs this hierarchy.
    pub(in crate::cgroup) fn refuse(&self, key: &str) -> Error {
        if let Some(systemd) = &self.systemd {
            return refuse_without_systemd(key, systemd);
        }
        let hint = match self.errno {
            Errno::EROFS => format!("mount -o remount,rw {}", self.dir.display()),
            _ => "start the program in a group of its own: \
                  systemd-run --user --scope -p Delegate=yes PROGRAM"
                .to_owned(),
        };
        self.denied(key).with_hint(hint)
    }

    /// As [`Closed::refuse`], of a v1 hierarchy: nobody delegates those.
    pub(in crate::cgroup) fn refuse_v1(&self, key: &str) -> Error {
        match self.errno {
            Errno::EROFS => self.refuse(key),
            _ => self.denied(key).with_hint(
                "run as root, or boot with systemd.unified_cgroup_hierarchy=1: \
                 groups of cgroup v1 are not delegated to users",
            ),
        }
    }

    fn denied(&self, key: &str) -> Error {
        let call = format!("{key} cannot be enforced: access({:?}, W_OK)", self.dir);
        Error::sys(Stage::Cgroup, call, self.errno).with_kind(ErrorKind::Denied)
    }
}

/// The refusal of a limit for an ordinary user to whom nobody delegates a
/// group: what systemd said, or did not say.
fn refuse_without_systemd(key: &str, systemd: &Error) -> Error {
    let absent = systemd::is_absent(systemd);
    let kind = if absent { ErrorKind::Denied } else { systemd.kind() };
    let message = format!(
        "{key} cannot be enforced: no control group is delegated to this user, and systemd's \
         user manager gives none: {}",
        systemd.message()
    );
    let error = Error::new(Stage::Cgroup, kind, message);
    let error = match systemd.errno() {
        Some(errno) => error.with_errno(Errno::from_raw(errno)),
        None => error,
    };
    let uid = geteuid();
    error.with_hint(match (absent, systemd::is_booted()) {
        (true, true) => format!("start the manager, as root: loginctl enable-linger {uid}"),
        (true, false) => format!(
            "there is no systemd; as root: cd /sys/fs/cgroup && mkdir -p user-{uid}/shell && \
             chown -R {uid} user-{uid} && echo +cpu +io +memory +pids > cgroup.subtree_control && \
             echo PID_OF_YOUR_SHELL > user-{uid}/shell/cgroup.procs"
        ),
        (false, _) => format!("start the manager anew, as root: systemctl restart user@{uid}"),
    })
}

impl Place {
    /// The refusal of a limit whose controller this place does not supply.
    pub(in crate::cgroup) fn refuse(&self, key: &str, controller: Controller) -> Error {
        let (dir, name) = (self.dir.display(), controller.v2_name());
        let (why, hint) = match self.obstacle {
            _ if !self.offered.contains(&controller) && !is_real_root(&self.dir) => (
                format!("{:?} was not given the controller {name}", self.dir),
                "as root: mkdir -p /etc/systemd/system/user@.service.d && printf \
                 '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > \
                 /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload; \
                 then log in again"
                    .to_owned(),
            ),
            _ if !self.offered.contains(&controller) => (
                format!("the kernel has no controller {name} in {:?}", self.dir),
                format!("boot without cgroup_disable={name}, with cgroup_enable={name}"),
            ),
            Some(Obstacle::Processes) => (
                format!("{:?} holds processes and so cannot hand down {name}", self.dir),
                format!(
                    "move them into a group of their own: mkdir {dir}/init && \
                     xargs -rn1 < {dir}/cgroup.procs > {dir}/init/cgroup.procs"
                ),
            ),
            Some(Obstacle::Closed(errno)) => {
                let file = self.dir.join("cgroup.subtree_control");
                return Error::sys(
                    Stage::Cgroup,
                    format!("{key} cannot be enforced: access({file:?}, W_OK)"),
                    errno,
                )
                .with_kind(ErrorKind::Denied)
                .with_hint(format!("as root: echo +{name} > {}", file.display()));
            }
            None => (format!("{:?} does not supply {name}", self.dir), String::new()),
        };
        Error::new(
            Stage::Cgroup,
            ErrorKind::Unsupported,
            format!("{key} cannot be enforced: {why}"),
        )
        .with_hint(hint)
    }
}

/// The refusal of a limit whose controller no hierarchy has.
pub(in crate::cgroup) fn refuse_unmounted(
    key: &str,
    controller: Controller,
    has_v2: bool,
) -> Error {
    let name = controller.v1_name();
    let hint = if has_v2 {
        format!(
            "mkdir -p /sys/fs/cgroup/{name} && mount -t cgroup -o {name} cgroup /sys/fs/cgroup/{name}"
        )
    } else {
        "mount -t cgroup2 none /sys/fs/cgroup".to_owned()
    };
    Error::new(
        Stage::Cgroup,
        ErrorKind::Unsupported,
        format!("{key} cannot be enforced: no mounted cgroup hierarchy has the controller {name}"),
    )
    .with_hint(hint)
}
