//! Which cgroup hierarchies this machine has, where they are mounted, and in
//! which groups the calling thread is.
//!
//! Host side. Sources: proc_pid_mountinfo(5), cgroups(7) on `/proc/pid/cgroup`.
//! Lines that do not parse, or whose paths are not UTF-8, are no usable
//! hierarchy.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use nix::sys::stat::{major, minor, stat};
use once_cell::sync::OnceCell;

use crate::error::{Result, Stage};
use crate::proc;
use crate::proc::mountinfo::{self, Entry};

mod controller;

pub use controller::Controller;

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// The group that is visible there, `/` unless this is a container's view.
    root: PathBuf,
    /// Major and minor number, to tell a mount that another one hides.
    device: (u64, u64),
}

impl Mount {
    /// The directory of the group that `/proc/pid/cgroup` calls `group`, when
    /// it is visible below this mount.
    pub(super) fn locate(&self, group: &Path) -> Option<PathBuf> {
        let below = group.strip_prefix(&self.root).ok()?;
        let plain = below.components().all(|part| matches!(part, Component::Normal(_)));
        plain.then(|| self.point.join(below))
    }

    /// Whether the directory at the mount point belongs to this mount.
    fn is_visible(&self) -> bool {
        stat(&self.point)
            .is_ok_and(|found| (major(found.st_dev), minor(found.st_dev)) == self.device)
    }
}

/// The groups of the calling thread, as the kernel names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) v2: Option<PathBuf>,
    pub(super) v1: BTreeMap<Controller, PathBuf>,
}

impl Own {
    fn parse(text: &[u8]) -> Own {
        let mut own = Own::default();
        for line in text.split(|&byte| byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            // hierarchy-id:controller-list:path, and the path may hold colons
            let mut fields = line.splitn(3, ':');
            let (Some(id), Some(list), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if id == "0" && list.is_empty() {
                own.v2 = Some(path.into());
            }
            for controller in controllers(list) {
                own.v1.insert(controller, path.into());
            }
        }
        own
    }
}

/// The hierarchies that can be reached from here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    pub(super) v2: Option<Mount>,
    pub(super) v1: BTreeMap<Controller, Mount>,
    /// Fixed in tests; otherwise read when needed, because a long-lived host
    /// may be moved between two runs.
    own: Option<Own>,
}

impl Hierarchies {
    /// The hierarchies of this process, read once. A failure is not kept.
    pub(crate) fn get() -> Result<&'static Hierarchies> {
        static CACHE: OnceCell<Hierarchies> = OnceCell::new();
        CACHE.get_or_try_init(Hierarchies::discover)
    }

    /// Reads the mount table anew.
    pub(crate) fn discover() -> Result<Hierarchies> {
        let text = mountinfo::read(Stage::Cgroup)?;
        Ok(Hierarchies::parse(&text, Mount::is_visible))
    }

    /// Of several mounts of a hierarchy, one that shows its root is better
    /// than one that shows a part; else the first.
    fn parse(text: &[u8], is_visible: impl Fn(&Mount) -> bool) -> Hierarchies {
        let mut found = Hierarchies::default();
        let better = |new: &Mount, old: Option<&Mount>| match old {
            None => true,
            Some(old) => old.root != Path::new("/") && new.root == Path::new("/"),
        };
        for entry in mountinfo::entries(text) {
            // Most are other file systems; look before decoding anything.
            if !entry.kind.starts_with(b"cgroup") {
                continue;
            }
            let Some((mount, options)) = parse_mount(&entry) else { continue };
            match entry.kind {
                b"cgroup2" if better(&mount, found.v2.as_ref()) && is_visible(&mount) => {
                    found.v2 = Some(mount);
                }
                b"cgroup" => {
                    for controller in controllers(options) {
                        if better(&mount, found.v1.get(&controller)) && is_visible(&mount) {
                            found.v1.insert(controller, mount.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Whether any controller is in a v1 hierarchy.
    pub(crate) fn has_v1(&self) -> bool {
        !self.v1.is_empty()
    }

    /// The groups of the calling thread.
    pub(super) fn own(&self) -> Result<Cow<'_, Own>> {
        match &self.own {
            Some(own) => Ok(Cow::Borrowed(own)),
            None => proc::read("cgroup", Stage::Cgroup).map(|text| Cow::Owned(Own::parse(&text))),
        }
    }

    /// As the kernel would show them in these two texts.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of(mountinfo: &str, own: &str) -> Hierarchies {
        let mut found = Hierarchies::parse(mountinfo.as_bytes(), |_| true);
        found.own = Some(Own::parse(own.as_bytes()));
        found
    }
}

/// The known controllers in a comma-separated list.
fn controllers(list: &str) -> impl Iterator<Item = Controller> {
    list.split(',').filter_map(|name| {
        Controller::ALL.into_iter().find(|controller| controller.v1_name() == name)
    })
}

/// The mount of one entry, and its super options.
fn parse_mount<'t>(entry: &Entry<'t>) -> Option<(Mount, &'t str)> {
    let (major, minor) = std::str::from_utf8(entry.device).ok()?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let (root, point) = (path(entry.root)?, path(entry.point)?);
    let options = std::str::from_utf8(entry.options).ok()?;
    (root.is_absolute() && point.is_absolute()).then_some((Mount { point, root, device }, options))
}

/// A path in UTF-8.
fn path(field: &[u8]) -> Option<PathBuf> {
    mountinfo::unescape(field).filter(|path| path.to_str().is_some())
}

#[cfg(test)]
mod tests;
