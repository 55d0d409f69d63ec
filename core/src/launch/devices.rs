//! The container's devices: looked up on the host, as nodes for the helper and
//! as rules for the control group.
//!
//! Numbers, mode and owner are those of the host's node at this moment. A
//! directory stands for all devices below it, as with Docker; symbolic links
//! in it are passed over. Errors: stage `filesystem`, with the key.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use libctr_helper::plan::{Kind, option};
use nix::libc;

use super::filesystem::inside;
use super::security;
use crate::cgroup::{self, DeviceFilter, DeviceKind, DeviceRule};
use crate::error::{Error, Result, Stage};
use crate::helper::plan::Plan;
use crate::spec::{DeviceAccess, RunSpec};

/// Default devices (OCI runtime specification, config-linux.md), but for the
/// link `ptmx`.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("dev/null", 1, 3),
    ("dev/zero", 1, 5),
    ("dev/full", 1, 7),
    ("dev/random", 1, 8),
    ("dev/urandom", 1, 9),
    ("dev/tty", 5, 0),
];

/// What the container's `/dev` has of its own.
const RESERVED: [&str; 8] = [
    "dev/fd",
    "dev/stdin",
    "dev/stdout",
    "dev/stderr",
    "dev/ptmx",
    "dev/pts",
    "dev/shm",
    "dev/mqueue",
];

/// Bounds of one directory.
const MOST_ENTRIES: usize = 10_000;
const MOST_LEVELS: usize = 16;

/// All devices of a container.
#[derive(Debug)]
pub(super) struct Devices {
    /// By the path inside, relative to the root.
    nodes: BTreeMap<PathBuf, Node>,
    /// The container has a user namespace of its own, where no nodes can be
    /// made: the host's are shown.
    bound: bool,
    pub(super) filter: DeviceFilter,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    /// On the host.
    path: PathBuf,
    /// Type and permissions.
    mode: u32,
    uid: u32,
    gid: u32,
    number: cgroup::Device,
}

impl Node {
    fn of(path: PathBuf, metadata: &Metadata) -> Node {
        Node {
            path,
            mode: metadata.mode() & (libc::S_IFMT | 0o777),
            uid: metadata.uid(),
            gid: metadata.gid(),
            number: number(metadata),
        }
    }

    /// Whether every container may read and write it.
    fn is_default(&self) -> bool {
        is_default(self.mode & libc::S_IFMT == libc::S_IFCHR, self.number)
    }

    fn rule(&self, access: DeviceAccess) -> DeviceRule {
        let block = self.mode & libc::S_IFMT == libc::S_IFBLK;
        DeviceRule {
            kind: if block { DeviceKind::Block } else { DeviceKind::Character },
            major: Some(self.number.major),
            minor: Some(self.number.minor),
            access: cgroup::DeviceAccess::new(access.read, access.write, access.mknod),
        }
    }
}

/// Major and minor number of a device.
fn number(metadata: &Metadata) -> cgroup::Device {
    let part = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let device = metadata.rdev();
    cgroup::Device {
        major: part(nix::sys::stat::major(device)),
        minor: part(nix::sys::stat::minor(device)),
    }
}

fn is_device(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
}

/// Whether this is a device that every container has.
pub(super) fn is_harmless(metadata: &Metadata) -> bool {
    is_default(metadata.file_type().is_char_device(), number(metadata))
}

fn is_default(character: bool, number: cgroup::Device) -> bool {
    let known =
        |(_, major, minor): &(_, u32, u32)| (*major, *minor) == (number.major, number.minor);
    character && DEFAULT.iter().any(known)
}

/// Looks all devices up. One of the caller's takes the place of a default one.
/// `own_users`: whether the container has a user namespace of its own.
pub(super) fn resolve(spec: &RunSpec, own_users: bool) -> Result<Devices> {
    let mut nodes = BTreeMap::new();
    for (target, major, minor) in DEFAULT {
        let path = Path::new("/").join(target);
        let number = cgroup::Device { major, minor };
        let node = Node { path, mode: libc::S_IFCHR | 0o666, uid: 0, gid: 0, number };
        nodes.insert(PathBuf::from(target), node);
    }
    // In a user namespace no capability makes nodes, nor a mount that has any.
    let asked = if own_users { None } else { security::needs_filter(spec) };
    let mut filter = DeviceFilter { rules: Vec::new(), asked };
    for (index, device) in spec.devices.iter().enumerate() {
        let key = format!("devices[{index}]");
        let access = device.access;
        for (target, node) in find(&key, &device.path, inside(device.target()))? {
            // Without a filter a node can be read and written.
            let restricts = !(access.read && access.write || node.is_default());
            if restricts && filter.asked.is_none() {
                filter.asked = Some(format!("{key}.access (\"{access}\")"));
            }
            filter.rules.push(node.rule(access));
            nodes.insert(target, node);
        }
    }
    Ok(Devices { nodes, bound: own_users, filter })
}

/// The device at a path, or those below it, by their paths inside.
fn find(key: &str, path: &Path, target: &Path) -> Result<Vec<(PathBuf, Node)>> {
    let metadata = fs::metadata(path).map_err(|error| {
        Error::io(Stage::Filesystem, format!("{key}.path: stat({path:?})"), error)
    })?;
    let invalid = |text: String| Err(Error::invalid(Stage::Filesystem, text));
    if is_device(&metadata) {
        if is_reserved(target) {
            return invalid(format!("{key}: /{} is the container's own", target.display()));
        }
        return Ok(vec![(target.to_owned(), Node::of(path.to_owned(), &metadata))]);
    }
    if !metadata.is_dir() {
        return invalid(format!("{key}.path: {path:?} is no device"));
    }
    let mut found = Vec::new();
    below(key, path, target, MOST_LEVELS, &mut 0, &mut found)?;
    match found.is_empty() {
        true => invalid(format!("{key}.path: no device in {path:?}")),
        false => Ok(found),
    }
}

fn is_reserved(target: &Path) -> bool {
    RESERVED.iter().any(|reserved| target.starts_with(reserved))
}

fn below(
    key: &str,
    path: &Path,
    target: &Path,
    levels: usize,
    entries: &mut usize,
    found: &mut Vec<(PathBuf, Node)>,
) -> Result<()> {
    let failed = |call: &str, path: &Path| {
        let call = format!("{key}.path: {call}({path:?})");
        move |error| Error::io(Stage::Filesystem, call, error)
    };
    for entry in fs::read_dir(path).map_err(failed("readdir", path))? {
        let entry = entry.map_err(failed("readdir", path))?;
        *entries += 1;
        let (path, target) = (entry.path(), target.join(entry.file_name()));
        let metadata = entry.metadata().map_err(failed("lstat", &path))?;
        if *entries > MOST_ENTRIES || (metadata.is_dir() && levels == 0) {
            let bounds = format!("{MOST_ENTRIES} entries or {MOST_LEVELS} levels");
            let text = format!("{key}.path: more than {bounds} at {path:?}");
            return Err(Error::invalid(Stage::Filesystem, text));
        }
        if is_reserved(&target) {
            // Such as the host's own terminals.
        } else if metadata.is_dir() {
            below(key, &path, &target, levels.saturating_sub(1), entries, found)?;
        } else if is_device(&metadata) {
            found.push((target, Node::of(path, &metadata)));
        }
    }
    Ok(())
}

/// Writes the nodes, and the links of a fresh `/dev`.
pub(super) fn write(plan: &mut Plan, devices: &Devices) {
    let flags = if devices.bound { option::BIND } else { 0 };
    for (target, node) in &devices.nodes {
        plan.record(Kind::Device, |body| {
            body.u32(flags).u32(node.mode).u32(node.uid).u32(node.gid);
            body.u32(node.number.major).u32(node.number.minor).path(&node.path).path(target);
        });
    }
    let links = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    ];
    for (contents, name) in links {
        plan.record(Kind::Symlink, |body| {
            body.string(contents).string(format!("dev/{name}"));
        });
    }
}

#[cfg(test)]
mod tests;
