//! Whose ids a container has: the user namespace of a run, and what an
//! ordinary user may map into one.
//!
//! Stage `user`, host side; looks and decides, the helper makes the namespace
//! (`core/helper/src/userns.rs`).
//!
//! | who calls | `auto` | ids |
//! |---|---|---|
//! | root of the host | the host's | all |
//! | root of a user namespace | one of its own | all that it has itself |
//! | a user with subordinate ids | one of its own | 0 is the user, 1… are the subordinate ids, through newuidmap(1) |
//! | a user without | one of its own | one: whom the program runs as is the user |
//!
//! Errors: `Denied` and `Unsupported` name what is missing, `InvalidInput`
//! an id that the map does not have.
//! Sources: user_namespaces(7), subuid(5), newuidmap(1).

pub(crate) mod job;
pub(crate) mod owners;
pub(crate) mod subordinate;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libctr_helper::plan::{Field, Kind, flag};
use nix::unistd::{getegid, geteuid};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::helper::plan::Plan;
use crate::spec::{IdMap, UserNamespace};
use crate::sys;

/// CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN (linux/capability.h).
const SETGID: u64 = 1 << 6;
const SETUID: u64 = 1 << 7;
const SYS_ADMIN: u64 = 1 << 21;

/// What gives a user more ids than his own.
pub(crate) const ADD_IDS: &str =
    "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER";

/// A user namespace to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Users {
    uids: Vec<IdMap>,
    gids: Vec<IdMap>,
    writer: Writer,
}

/// Who writes the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Writer {
    /// The helper: it has the right to every id. It keeps the host's rights
    /// for the mounts of the root if those are the real root's.
    Root { builder: bool },
    /// The helper, one id of each kind, without supplementary groups.
    Single,
    /// newuidmap(1) and newgidmap(1).
    Tools([PathBuf; 2]),
}

/// Whether the calling thread is root of the whole machine: then mounts,
/// devices and owners need no user namespace.
pub(crate) fn is_host_root() -> bool {
    geteuid().is_root() && in_initial_namespace() && has(SYS_ADMIN)
}

/// The initial user namespace has a fixed inode (PROC_USER_INIT_INO,
/// include/linux/proc_ns.h).
fn in_initial_namespace() -> bool {
    const INITIAL: u64 = 0xefff_fffd;
    // Without /proc nothing can be said, and nothing could be mapped either.
    fs::metadata("/proc/thread-self/ns/user").map_or(true, |found| found.ino() == INITIAL)
}

fn has(capabilities: u64) -> bool {
    sys::effective_capabilities().is_ok_and(|effective| effective & capabilities == capabilities)
}

impl Users {
    /// The namespace that a run gets; `None` is the host's.
    ///
    /// # Errors
    /// `Denied` where the host's is asked for and the caller is not root.
    pub(crate) fn choose(wanted: &UserNamespace, uid: u32, gid: u32) -> Result<Option<Users>> {
        let root = is_host_root();
        match wanted {
            UserNamespace::Auto if root => Ok(None),
            UserNamespace::Host if root => Ok(None),
            UserNamespace::Host => Err(Error::new(
                Stage::User,
                ErrorKind::Denied,
                "security.user_namespace: \"host\" needs root with CAP_SYS_ADMIN",
            )
            .with_hint("leave it at \"auto\", or run as root")),
            UserNamespace::Auto => Users::own(uid, gid).map(Some),
            UserNamespace::Map { uid_maps, gid_maps } => {
                Users::explicit(uid_maps, gid_maps, root).map(Some)
            }
        }
    }

    /// The namespace for work on an ordinary user's own files: 0 is the user.
    /// `None`: root of the host needs none.
    pub(crate) fn of_files() -> Result<Option<Users>> {
        if is_host_root() { Ok(None) } else { Users::own(0, 0).map(Some) }
    }

    /// What the caller may map by default.
    fn own(uid: u32, gid: u32) -> Result<Users> {
        let (euid, egid) = (geteuid().as_raw(), getegid().as_raw());
        if has(SETUID | SETGID) {
            let (uids, gids) = (present("uid_map")?, present("gid_map")?);
            return Ok(Users { uids, gids, writer: Writer::Root { builder: false } });
        }
        let ranges = (subordinate::ranges("/etc/subuid")?, subordinate::ranges("/etc/subgid")?);
        if let ((uids @ [_, ..], gids @ [_, ..]), Some(tools)) =
            ((&ranges.0[..], &ranges.1[..]), subordinate::tools())
        {
            let uids = subordinate::map(euid, uids);
            let gids = subordinate::map(egid, gids);
            return Ok(Users { uids, gids, writer: Writer::Tools(tools) });
        }
        let one = |container, host| vec![IdMap { container, host, size: 1 }];
        Ok(Users { uids: one(uid, euid), gids: one(gid, egid), writer: Writer::Single })
    }

    fn explicit(uids: &[IdMap], gids: &[IdMap], root: bool) -> Result<Users> {
        let (euid, egid) = (geteuid().as_raw(), getegid().as_raw());
        let is_self = |maps: &[IdMap], id| matches!(maps, [one] if one.host == id && one.size == 1);
        let writer = if has(SETUID | SETGID) {
            Writer::Root { builder: root }
        } else if is_self(uids, euid) && is_self(gids, egid) {
            Writer::Single
        } else {
            // The container's own files are the caller's.
            for (what, maps, own) in [("user", uids, euid), ("group", gids, egid)] {
                if inside(maps, own).is_none() {
                    let message = format!(
                        "security.user_namespace: the maps do not have the caller's own {what} {own}"
                    );
                    return Err(Error::invalid(Stage::User, message)
                        .with_hint("map it to any id of the container"));
                }
            }
            Writer::Tools(subordinate::tools().ok_or_else(|| {
                let message = "security.user_namespace: these maps need newuidmap and newgidmap, \
                     which are not installed";
                Error::new(Stage::User, ErrorKind::Unsupported, message)
                    .with_hint("as root: apt install uidmap, or dnf install shadow-utils")
            })?)
        };
        Ok(Users { uids: uids.to_vec(), gids: gids.to_vec(), writer })
    }

    /// The namespace that the process `pid` lives in.
    ///
    /// # Errors
    /// Stage `user` if /proc does not say it.
    pub(crate) fn of_process(pid: i32) -> Result<Users> {
        let directory = Path::new("/proc").join(pid.to_string());
        let path = directory.join("setgroups");
        let setgroups = fs::read_to_string(&path)
            .map_err(|error| Error::io(Stage::User, format!("read({path:?})"), error))?;
        let writer = match setgroups.trim_end() {
            "deny" => Writer::Single,
            _ => Writer::Root { builder: false },
        };
        let uids = ranges(&directory.join("uid_map"))?;
        Ok(Users { uids, gids: ranges(&directory.join("gid_map"))?, writer })
    }

    /// Whether mounts are made by the host's root and shown with other ids.
    pub(crate) fn has_builder(&self) -> bool {
        self.writer == Writer::Root { builder: true }
    }

    /// Whether all ids but one are missing, for want of subordinate ids.
    pub(crate) fn is_single(&self) -> bool {
        self.writer == Writer::Single
    }

    /// Whether the helper itself has the right to every id of it.
    pub(crate) fn is_written_by_root(&self) -> bool {
        matches!(self.writer, Writer::Root { .. })
    }

    /// How many users there are in it.
    pub(crate) fn count(&self) -> u64 {
        self.uids.iter().map(|map| u64::from(map.size)).sum()
    }

    /// Whether programs can be in groups beside their first.
    pub(crate) fn has_groups(&self) -> bool {
        // A namespace inherits the refusal of the one it is made in.
        let denied = || fs::read_to_string("/proc/thread-self/setgroups");
        !self.is_single() && !denied().is_ok_and(|text| text.trim_end() == "deny")
    }

    /// The host's id of a user of the container.
    pub(crate) fn host_uid(&self, uid: u32) -> Option<u32> {
        outside(&self.uids, uid)
    }

    /// The host's id of a group of the container.
    pub(crate) fn host_gid(&self, gid: u32) -> Option<u32> {
        outside(&self.gids, gid)
    }

    /// The container's id of a user of the host.
    pub(crate) fn container_uid(&self, uid: u32) -> Option<u32> {
        inside(&self.uids, uid)
    }

    /// The container's id of a group of the host.
    pub(crate) fn container_gid(&self, gid: u32) -> Option<u32> {
        inside(&self.gids, gid)
    }

    /// Refuses a program's ids that do not exist in the namespace, and groups
    /// that were asked for where there can be none.
    ///
    /// # Errors
    /// `InvalidInput` with the id, and what would map it.
    pub(crate) fn check(&self, uid: u32, gid: u32, groups: bool) -> Result<()> {
        let hint = match self.writer {
            Writer::Single => ADD_IDS,
            Writer::Tools(_) => {
                "add a range with it to security.user_namespace; as root: usermod --add-subuids \
                 FIRST-LAST --add-subgids FIRST-LAST USER gives the user more ids"
            }
            Writer::Root { .. } => "add a range with it to security.user_namespace",
        };
        if groups && self.is_single() {
            let message = "groups: without subordinate ids a container has one group only";
            return Err(Error::new(Stage::User, ErrorKind::Unsupported, message).with_hint(hint));
        }
        if groups && !self.has_groups() {
            let message = "groups: setgroups is denied in the user namespace of the caller";
            return Err(Error::new(Stage::User, ErrorKind::Unsupported, message)
                .with_hint("map its groups with newgidmap, as unshare --map-groups does"));
        }
        let missing = |what: &str, id| {
            let message = format!("{what} {id} is not mapped into the container's user namespace");
            Err(Error::invalid(Stage::User, message).with_hint(hint))
        };
        match (self.host_uid(uid), self.host_gid(gid)) {
            (None, _) => missing("user", uid),
            (_, None) => missing("group", gid),
            _ => Ok(()),
        }
    }

    /// Writes what must be known of the namespace to live in it.
    pub(crate) fn write_ids(&self, plan: &mut Plan) {
        plan.flag(flag::NO_SETGROUPS, !self.has_groups());
        let root = self.host_uid(0).is_some() && self.host_gid(0).is_some();
        plan.flag(flag::ROOT_IDS, root);
    }

    /// Writes what makes the namespace.
    pub(crate) fn write(&self, plan: &mut Plan) {
        self.write_ids(plan);
        plan.flag(flag::BUILDER, self.has_builder());
        let maps = [("uid_map", &self.uids), ("gid_map", &self.gids)];
        match &self.writer {
            Writer::Root { .. } => {}
            // Without this nobody but root may map groups: to drop one could
            // open what is closed to its members (CVE-2014-8989).
            Writer::Single => plan.record(Kind::IdMap, |body| {
                body.string("setgroups").string("deny");
            }),
            Writer::Tools(tools) => {
                for (tool, (_, map)) in tools.iter().zip(maps) {
                    plan.record(Kind::IdTool, |body| {
                        body.path(tool);
                        for number in map.iter().flat_map(numbers) {
                            body.string(number.to_string());
                        }
                    });
                }
                return;
            }
        }
        for (name, map) in maps {
            let lines: Vec<String> = map.iter().map(line).collect();
            plan.record(Kind::IdMap, |body| {
                body.string(name).string(lines.concat());
            });
        }
    }

    /// Writes a plan of work inside the namespace.
    pub(crate) fn write_job(&self, plan: &mut Plan, job: u64) {
        plan.set(Field::Job, job);
        self.write(plan);
    }
}

fn numbers(map: &IdMap) -> [u32; 3] {
    [map.container, map.host, map.size]
}

fn line(map: &IdMap) -> String {
    format!("{} {} {}\n", map.container, map.host, map.size)
}

fn outside(maps: &[IdMap], id: u32) -> Option<u32> {
    maps.iter().find_map(|map| {
        let offset = id.checked_sub(map.container).filter(|offset| *offset < map.size)?;
        map.host.checked_add(offset)
    })
}

fn inside(maps: &[IdMap], id: u32) -> Option<u32> {
    maps.iter().find_map(|map| {
        let offset = id.checked_sub(map.host).filter(|offset| *offset < map.size)?;
        map.container.checked_add(offset)
    })
}

/// The ids of the caller's own user namespace, mapped as they are.
fn present(name: &str) -> Result<Vec<IdMap>> {
    let mut maps = ranges(&Path::new("/proc/self").join(name))?;
    for map in &mut maps {
        map.host = map.container;
    }
    Ok(maps)
}

/// The map of a user namespace, as the reader's own one sees its other side.
fn ranges(path: &Path) -> Result<Vec<IdMap>> {
    let text = fs::read_to_string(path)
        .map_err(|error| Error::io(Stage::User, format!("read({path:?})"), error))?;
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        let (container, host, size) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(IdMap { container, host, size })
    };
    Ok(text.lines().filter_map(range).collect())
}

#[cfg(test)]
mod tests {
    use super::{IdMap, Users, Writer, inside, outside};
    use crate::error::{ErrorKind, Stage};

    fn users(writer: Writer, maps: &[(u32, u32, u32)]) -> Users {
        let maps: Vec<_> =
            maps.iter().map(|&(container, host, size)| IdMap { container, host, size }).collect();
        Users { uids: maps.clone(), gids: maps, writer }
    }

    #[test]
    fn ids_are_found_both_ways() {
        let users = users(Writer::Single, &[(0, 1000, 1), (1, 100_000, 65_536)]);
        for (container, host) in [(0, 1000), (1, 100_000), (65_536, 165_535)] {
            assert_eq!(outside(&users.uids, container), Some(host));
            assert_eq!(inside(&users.uids, host), Some(container));
        }
        assert_eq!(outside(&users.uids, 65_537), None);
        assert_eq!(inside(&users.uids, 0), None);
        assert_eq!(inside(&users.uids, 165_536), None);
    }

    #[test]
    fn unmapped_id_is_refused_with_what_would_map_it() {
        let single = users(Writer::Single, &[(0, 1000, 1)]);
        assert!(single.check(0, 0, false).is_ok());
        let error = single.check(33, 0, false).expect_err("not mapped");
        assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::User));
        let text = "user 33 is not mapped into the container's user namespace";
        assert_eq!(error.message(), text);
        assert!(error.hint().is_some_and(|hint| hint.contains("--add-subuids")));
        let error = single.check(0, 33, false).expect_err("not mapped");
        assert!(error.message().starts_with("group 33 "));
    }
}
