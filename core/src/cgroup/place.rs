//! Where a container's group can be made in one hierarchy.
//!
//! Host side; looks and makes nothing. The first choice is the top of the
//! mount (real root). An ordinary user, or a container that sees only its own
//! part, owns some group above the calling process at best: on v2 the nearest
//! ancestor, because a group with processes in it hands no controllers down
//! ("no internal processes", cgroup-v2.rst); on v1 the group itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::hierarchy::{Hierarchies, Mount};
use super::{Controller, file};
use crate::error::{Error, ErrorKind, Stage};

/// A group below which the container's group can be made.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    /// Controllers that the group has (v2 `cgroup.controllers`).
    offered: BTreeSet<Controller>,
    /// Those that it hands down already (v2 `cgroup.subtree_control`).
    enabled: BTreeSet<Controller>,
    /// What forbids to hand down more.
    obstacle: Option<Obstacle>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// `cgroup.subtree_control` may not be written.
    Closed(Errno),
    /// Processes live in the group itself, and it is not the real root.
    Processes,
}

/// No group can be made in a hierarchy: the directory tried first, and why.
#[derive(Debug)]
pub(super) struct Closed {
    dir: PathBuf,
    errno: Errno,
}

impl Closed {
    /// The refusal of a limit that needs this hierarchy.
    pub(super) fn refuse(&self, key: &str) -> Error {
        let call = format!("{key} cannot be enforced: access({:?}, W_OK)", self.dir);
        let hint = match self.errno {
            Errno::EROFS => format!("mount -o remount,rw {}", self.dir.display()),
            _ => "start the program in a group of its own: \
                  systemd-run --user --scope -p Delegate=yes PROGRAM"
                .to_owned(),
        };
        Error::sys(Stage::Cgroup, call, self.errno).with_kind(ErrorKind::Denied).with_hint(hint)
    }
}

impl Place {
    /// Whether a group made here has the controller, or can have it.
    pub(super) fn supplies(&self, controller: Controller) -> bool {
        self.is_enabled(controller)
            || (self.obstacle.is_none() && self.offered.contains(&controller))
    }

    pub(super) fn is_enabled(&self, controller: Controller) -> bool {
        self.enabled.contains(&controller)
    }

    /// The refusal of a limit whose controller this place does not supply.
    pub(super) fn refuse(&self, key: &str, controller: Controller) -> Error {
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

    /// Looks at one v2 group; the errno when no group can be made in it. What
    /// controllers it has is looked up only if any is needed: on a hybrid
    /// machine, where none is, that halves the time.
    fn look(dir: &Path, needs_controllers: bool) -> Result<Place, Errno> {
        eaccess(dir, AccessFlags::W_OK | AccessFlags::X_OK)?;
        // A process is moved only by who may write this file of the common
        // ancestor, which is this group or one above.
        eaccess(&dir.join("cgroup.procs"), AccessFlags::W_OK)?;
        let text = |name| {
            file::read_if_there(dir, name)
                .map_err(|error| error.errno().map_or(Errno::EIO, Errno::from_raw))
        };
        let kind = text("cgroup.type")?;
        if kind.as_deref().is_some_and(|kind| kind.trim_end() != "domain") {
            return Err(Errno::EOPNOTSUPP);
        }
        if !needs_controllers {
            let none = BTreeSet::new();
            return Ok(Place {
                dir: dir.to_owned(),
                offered: none.clone(),
                enabled: none,
                obstacle: None,
            });
        }
        let set = |text: Option<String>| -> BTreeSet<Controller> {
            let text = text.unwrap_or_default();
            let named = |name| Controller::ALL.into_iter().find(|c| c.v2_name() == name);
            text.split_whitespace().filter_map(named).collect()
        };
        let offered = set(text("cgroup.controllers")?);
        let enabled = set(text("cgroup.subtree_control")?);
        let obstacle = if offered == enabled {
            None
        } else if let Err(errno) = eaccess(&dir.join("cgroup.subtree_control"), AccessFlags::W_OK) {
            Some(Obstacle::Closed(errno))
        } else if kind.is_some() && text("cgroup.procs")?.is_none_or(|list| !list.is_empty()) {
            Some(Obstacle::Processes)
        } else {
            None
        };
        Ok(Place { dir: dir.to_owned(), offered, enabled, obstacle })
    }
}

/// The real root of a hierarchy is the only group without a type.
fn is_real_root(dir: &Path) -> bool {
    !file::exists(&dir.join("cgroup.type"))
}

/// The best place on v2: the first that supplies all of `wanted`, else the
/// first of those that supply most of it.
pub(super) fn v2(
    hierarchies: &Hierarchies,
    mount: &Mount,
    wanted: &BTreeSet<Controller>,
) -> Result<Place, Closed> {
    let mut closed = None;
    let mut best: Option<(usize, Place)> = None;
    let mut try_dir = |dir: &Path| match Place::look(dir, !wanted.is_empty()) {
        Ok(place) => {
            let supplied = wanted.iter().filter(|&&c| place.supplies(c)).count();
            if best.as_ref().is_none_or(|(most, _)| supplied > *most) {
                best = Some((supplied, place));
            }
            supplied == wanted.len()
        }
        Err(errno) => {
            closed.get_or_insert(Closed { dir: dir.to_owned(), errno });
            false
        }
    };
    if !try_dir(&mount.point) {
        let own = hierarchies.own().ok().and_then(|own| mount.locate(own.v2.as_deref()?));
        if let Some(own) = own {
            let above = own.ancestors().skip(1);
            let _ = above
                .take_while(|dir| *dir != mount.point && dir.starts_with(&mount.point))
                .any(&mut try_dir)
                || try_dir(&own);
        }
    }
    match (best, closed) {
        (Some((_, place)), _) => Ok(place),
        (None, Some(closed)) => Err(closed),
        (None, None) => Err(Closed { dir: mount.point.clone(), errno: Errno::ENOENT }),
    }
}

/// The place in a v1 hierarchy.
pub(super) fn v1(
    hierarchies: &Hierarchies,
    mount: &Mount,
    controller: Controller,
) -> Result<PathBuf, Closed> {
    let look = |dir: &Path| eaccess(dir, AccessFlags::W_OK | AccessFlags::X_OK);
    let Err(errno) = look(&mount.point) else {
        return Ok(mount.point.clone());
    };
    let own = hierarchies.own().ok().and_then(|own| mount.locate(own.v1.get(&controller)?));
    own.iter()
        .flat_map(|own| own.ancestors())
        .take_while(|dir| *dir != mount.point && dir.starts_with(&mount.point))
        .find(|dir| look(dir).is_ok())
        .map(Path::to_owned)
        .ok_or_else(|| Closed { dir: mount.point.clone(), errno })
}

/// The refusal of a limit whose controller no hierarchy has.
pub(super) fn refuse_unmounted(key: &str, controller: Controller, has_v2: bool) -> Error {
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
