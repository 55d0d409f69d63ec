//! Where a container's group can be made in one hierarchy.
//!
//! Host side; looks and makes nothing. The first choice is the top of the
//! mount (real root). An ordinary user, or a container that sees only its own
//! part, owns some group above the calling process at best: on v2 the nearest
//! ancestor, because a group with processes in it hands no controllers down
//! ("no internal processes", cgroup-v2.rst); on v1 the group itself. Where v2
//! has none, systemd's user manager may give one: see `systemd`.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::hierarchy::{Hierarchies, Mount};
use super::systemd::{Manager, Scope};
use super::{Controller, file};
use crate::error::{self, Error, ErrorKind, Stage};
use crate::sys;

mod refusal;

pub(super) use refusal::{Closed, refuse_unmounted};

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
    /// The scope that is still to be made, somewhere below the group.
    pub(super) scope: Option<Scope>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// `cgroup.subtree_control` may not be written.
    Closed(Errno),
    /// Processes live in the group itself, and it is not the real root.
    Processes,
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

    /// The container's group.
    pub(super) fn group(&self, name: &str) -> PathBuf {
        self.scope.as_ref().map_or_else(|| self.dir.join(name), Scope::container)
    }

    /// The group that hands controllers down to it.
    pub(super) fn parent(&self) -> &Path {
        self.scope.as_ref().map_or(&self.dir, |scope| &scope.dir)
    }

    /// How many of the controllers it supplies.
    fn supply(&self, wanted: &BTreeSet<Controller>) -> usize {
        wanted.iter().filter(|&&controller| self.supplies(controller)).count()
    }

    /// A scope of systemd's below its manager's group, if that can be had.
    fn in_scope(mount: &Mount, manager: &Manager, name: &str) -> error::Result<Place> {
        let unseen = || {
            let message = format!("its group {:?} is not mounted here", manager.group);
            Error::new(Stage::Cgroup, ErrorKind::Unsupported, message)
        };
        let dir = mount.locate(&manager.group).ok_or_else(unseen)?;
        let look = Place::look(&dir, true);
        let place = look
            .map_err(|errno| Error::sys(Stage::Cgroup, format!("access({dir:?}, W_OK)"), errno))?;
        let scope = Some(manager.scope(&dir, name));
        // The manager hands down what it has, whatever it does so far; the
        // scope hands down nothing yet.
        Ok(Place { enabled: BTreeSet::new(), obstacle: None, scope, ..place })
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
                scope: None,
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
        Ok(Place { dir: dir.to_owned(), offered, enabled, obstacle, scope: None })
    }
}

/// The real root of a hierarchy is the only group without a type.
fn is_real_root(dir: &Path) -> bool {
    !file::exists(&dir.join("cgroup.type"))
}

/// Whether systemd deals out the controllers of a group as it likes: of its
/// slices, and of its manager's own group, which is the one with `init.scope`.
/// From a group that it does not know it takes them away again, and the limits
/// with them (seen with systemd 252 in `app.slice`, when the next unit began).
fn is_systemds(dir: &Path) -> bool {
    dir.extension().is_some_and(|end| end == "slice") || file::exists(&dir.join("init.scope"))
}

/// Whether the calling process' own group is not just one of systemd's units:
/// those that it delegates have a mark (systemd 251).
fn is_ours(own: &Path) -> bool {
    let is_delegated = || {
        let mut mark = [0; 1];
        let path = CString::new(own.as_os_str().as_bytes()).unwrap_or_default();
        sys::lgetxattr(&path, c"user.delegate", &mut mark) == Ok(1) && mark == *b"1"
    };
    !own.parent().is_some_and(is_systemds) || is_delegated()
}

/// The best place on v2: the first that supplies all of `wanted`, else the
/// first of those that supply most of it.
fn own(
    hierarchies: &Hierarchies,
    mount: &Mount,
    wanted: &BTreeSet<Controller>,
) -> Result<Place, Closed> {
    let mut closed = None;
    let mut best: Option<(usize, Place)> = None;
    let mut try_dir = |dir: &Path| match Place::look(dir, !wanted.is_empty()) {
        Ok(place) => {
            let supplied = place.supply(wanted);
            if best.as_ref().is_none_or(|(most, _)| supplied > *most) {
                best = Some((supplied, place));
            }
            supplied == wanted.len()
        }
        Err(errno) => {
            closed.get_or_insert(Closed::new(dir, errno));
            false
        }
    };
    if !try_dir(&mount.point) {
        let own = hierarchies.own().ok().and_then(|own| mount.locate(own.v2.as_deref()?));
        if let Some(own) = own {
            let above = own.ancestors().skip(1);
            let _ = above
                .take_while(|dir| *dir != mount.point && dir.starts_with(&mount.point))
                .filter(|dir| !is_systemds(dir))
                .any(&mut try_dir)
                || (is_ours(&own) && try_dir(&own));
        }
    }
    match (best, closed) {
        (Some((_, place)), _) => Ok(place),
        (None, Some(closed)) => Err(closed),
        (None, None) => Err(Closed::new(&mount.point, Errno::ENOENT)),
    }
}

/// How to ask for systemd's user manager; `None` where it is not to be asked.
pub(crate) type Systemd<'a> = Option<&'a dyn Fn() -> error::Result<Manager>>;

/// The place on v2 for the group `name`: one that exists, if it supplies all
/// of `wanted`; else a scope of systemd's if that supplies more.
///
/// # Errors
/// Outer: the caller has cancelled. Inner: there is no place.
pub(super) fn v2(
    hierarchies: &Hierarchies,
    mount: &Mount,
    wanted: &BTreeSet<Controller>,
    name: &str,
    systemd: Systemd<'_>,
) -> error::Result<Result<Place, Closed>> {
    let own = own(hierarchies, mount, wanted);
    let most = own.as_ref().map_or(0, |place| place.supply(wanted));
    let Some(find) = systemd.filter(|_| most < wanted.len()) else { return Ok(own) };
    let scope = find().and_then(|manager| Place::in_scope(mount, &manager, name));
    match (scope, own) {
        (Ok(scope), Ok(own)) if scope.supply(wanted) <= most => Ok(Ok(own)),
        (Ok(scope), _) => Ok(Ok(scope)),
        (Err(error), _) if error.kind() == ErrorKind::Cancelled => Err(error),
        (Err(_), Ok(own)) => Ok(Ok(own)),
        (Err(error), Err(closed)) => Ok(Err(Closed { systemd: Some(error), ..closed })),
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
        .ok_or_else(|| Closed::new(&mount.point, errno))
}
