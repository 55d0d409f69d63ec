//! The part of the plan that puts the container's root together.
//!
//! Order matters and is the order of the records: stage → upper layer →
//! overlay → kernel file systems and devices → the container's own files →
//! the caller's mounts → masks.

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use libctr_helper::plan::{Kind, option, strict};
use nix::libc::{MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_STRICTATIME};

use super::devices::{self, Devices};
use super::mounts;
use crate::error::{Error, Result, Stage};
use crate::helper::plan::Plan;
use crate::image::RootDirectory;
use crate::sandbox::{Piece, Sandbox, Upper, UpperDirectory, View};
use crate::spec::{Network, RunSpec};
use crate::userns::Users;

/// Paths of the kernel's file systems that a container does not see, as
/// container engines have them.
const MASKED: [&str; 12] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kallsyms",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/firmware",
];

/// Masked as well, but deeper.
const MASKED_DEVICES: [&str; 2] = ["sys/devices/virtual/powercap", "proc/config.gz"];

/// Paths that a container sees and cannot write: those of container engines,
/// and two more that root could write where the kernel has them.
const READ_ONLY: [&str; 7] = [
    "proc/bus",
    "proc/dynamic_debug",
    "proc/fs",
    "proc/irq",
    "proc/mtrr",
    "proc/sys",
    "proc/sysrq-trigger",
];

/// What the root is put together from.
pub(super) struct Root<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) upper: &'a Upper,
    /// The container's user namespace, if it has one of its own.
    pub(super) users: Option<&'a Users>,
    pub(super) devices: &'a Devices,
    /// Mode and owner of `/`.
    pub(super) top: RootDirectory,
    /// A directory of the host onto which the stage can be mounted.
    pub(super) stage: &'a Path,
    pub(super) hostname: &'a str,
    /// Whether the v2 hierarchy has all controllers.
    pub(super) unified: bool,
    /// Whether the container is thrown away at its end.
    pub(super) volatile: bool,
}

/// Writes all records of the file system.
pub(super) fn write(plan: &mut Plan, spec: &RunSpec, root: &Root<'_>) -> Result<()> {
    base(plan, spec, root);
    kernel(plan, root, spec.network == Network::Host);
    devices::write(plan, root.devices);
    if spec.tty {
        plan.record(Kind::Terminal, |_| {});
    }
    files(plan, spec, root)?;
    for (index, view) in root.sandbox.views.iter().enumerate() {
        let View { path, prepared } = view;
        let base = root.stage.join(format!("v{index}"));
        mounts::view(plan, root, &base, (path, path), prepared, part(spec, path));
    }
    for (index, mount) in spec.mounts.iter().enumerate() {
        mounts::write(plan, root, index, mount)?;
    }
    for path in MASKED.iter().chain(&MASKED_DEVICES) {
        plan.record(Kind::Mask, |body| {
            body.string(path);
        });
    }
    for path in READ_ONLY {
        plan.record(Kind::ReadOnly, |body| {
            body.string(path);
        });
    }
    Ok(())
}

impl Root<'_> {
    /// A directory on the stage or on disk, where an upper layer lies. Its
    /// owner is one of the container's; whoever makes it may have other
    /// numbers for the same.
    pub(super) fn directory(&self, plan: &mut Plan, path: &Path, made: &UpperDirectory) {
        let (uid, gid) = match self.users {
            None => (made.uid, made.gid),
            Some(users) => {
                let ids = (users.host_uid(made.uid), users.host_gid(made.gid));
                match (ids, users.has_builder()) {
                    ((Some(uid), Some(gid)), true) => (uid, gid),
                    ((Some(_), Some(_)), false) => (made.uid, made.gid),
                    // Nobody there: it stays with its maker.
                    _ => (0, 0),
                }
            }
        };
        let marker = match self.is_trusted() {
            true => 0,
            false => option::USERXATTR,
        };
        plan.record(Kind::UpperDir, |body| {
            let flags = if made.opaque { option::OPAQUE } else { 0 };
            body.u32(flags | marker).u32(made.mode).u32(uid).u32(gid).path(path);
        });
    }

    /// Whether overlays are mounted with the rights of the host's root.
    fn is_trusted(&self) -> bool {
        self.users.is_none_or(Users::has_builder)
    }

    /// Flags of an overlay.
    pub(super) fn overlay(&self) -> u32 {
        if self.is_trusted() { 0 } else { option::USERXATTR }
    }

    /// The owner of a directory of the host, as the container has it.
    pub(super) fn owner(&self, uid: u32, gid: u32) -> (u32, u32) {
        match self.users {
            Some(users) if !users.has_builder() => {
                (users.container_uid(uid).unwrap_or(0), users.container_gid(gid).unwrap_or(0))
            }
            _ => (uid, gid),
        }
    }
}

pub(super) fn plain(mode: u32) -> UpperDirectory {
    UpperDirectory { path: PathBuf::new(), mode, uid: 0, gid: 0, opaque: false }
}

/// The root directory itself, as an image or its lack says.
pub(super) fn top(top: RootDirectory) -> UpperDirectory {
    let RootDirectory { mode, uid, gid, .. } = top;
    UpperDirectory { path: PathBuf::new(), mode, uid, gid, opaque: false }
}

fn base(plan: &mut Plan, spec: &RunSpec, root: &Root<'_>) {
    // Copy-on-write views lie there in any case.
    plan.record(Kind::Stage, |body| {
        body.path(root.stage).string(stage(spec.limits.memory));
    });
    match root.upper {
        _ if root.sandbox.pieces.is_some() => pieces(plan, spec, root),
        Upper::Memory => overlay(plan, root, &root.stage.join("u"), &root.stage.join("w")),
        Upper::Disk(path) => overlay(plan, root, &path.join("fs"), &path.join("work")),
        // Nothing is mounted there.
        Upper::Nowhere(_) => {}
        Upper::Copy(path) => plan.record(Kind::RootBind, |body| {
            body.path(&path.join("root"));
        }),
    }
}

/// Options of the tmpfs that holds what is written to a root in memory. With a
/// memory limit a program that fills it shall see a full disk rather than be
/// killed: an eighth of the limit is left for its processes. Files are bounded
/// as the kernel does it, one for each page; without a limit by the machine's
/// memory (tmpfs(5)).
fn stage(memory: Option<u64>) -> String {
    const PAGE: u64 = 4096;
    let Some(limit) = memory else { return "mode=0700".into() };
    let size = (limit - limit / 8).max(PAGE);
    format!("mode=0700,size={size},nr_inodes={}", (size / PAGE).max(1024))
}

fn overlay(plan: &mut Plan, root: &Root<'_>, upper: &Path, work: &Path) {
    let target = root.stage.join("m");
    root.directory(plan, &target, &plain(0o755));
    root.directory(plan, upper, &top(root.top));
    root.directory(plan, work, &plain(0o700));
    for made in &root.sandbox.prepared {
        root.directory(plan, &upper.join(&made.path), made);
    }
    let on_disk = matches!(root.upper, Upper::Disk(_));
    let volatile = if root.volatile && on_disk { option::VOLATILE } else { 0 };
    plan.record(Kind::RootOverlay, |body| {
        let flags = volatile | root.overlay();
        let count = u32::try_from(root.sandbox.lowers.len()).unwrap_or(u32::MAX);
        body.u32(flags).path(&target).path(upper).path(work).u32(count);
        for lower in &root.sandbox.lowers {
            body.path(lower);
        }
    });
}

/// A root of parts of the host's own.
fn pieces(plan: &mut Plan, spec: &RunSpec, root: &Root<'_>) {
    let place = match root.upper {
        Upper::Disk(path) => path,
        _ => root.stage,
    };
    let target = place.join("m");
    root.directory(plan, &target, &top(root.top));
    plan.record(Kind::RootBind, |body| {
        body.path(&target);
    });
    let pieces = root.sandbox.pieces.iter().flatten();
    for (index, piece) in pieces.enumerate() {
        match piece {
            Piece::Directory { path, mode } => plan.record(Kind::Directory, |body| {
                body.u32(*mode).path(path);
            }),
            Piece::Link { path, contents } => plan.record(Kind::Symlink, |body| {
                body.path(contents).path(path);
            }),
            Piece::File(path) | Piece::Tree(path) => plan.record(Kind::Bind, |body| {
                let kind = match piece {
                    Piece::File(_) => option::FILE,
                    _ => option::RECURSIVE,
                };
                let flags = kind | option::READ_ONLY | option::NODEV;
                body.u32(flags).path(path).path(inside(path));
            }),
            Piece::View(View { path, prepared }) => {
                let base = place.join(format!("p{index}"));
                mounts::view(plan, root, &base, (path, path), prepared, part(spec, path));
            }
        }
    }
}

/// A file system at a path that an image must not redirect.
fn mount(plan: &mut Plan, kind: &str, target: &str, flags: u64, data: &str) {
    plan.record(Kind::Filesystem, |body| {
        body.u64(flags | strict::NO_SYMLINKS).string(kind).string(target).string(data);
    });
}

fn kernel(plan: &mut Plan, root: &Root<'_>, shares_network: bool) {
    let quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    mount(plan, "proc", "proc", quiet, "");
    mount(plan, "tmpfs", "dev", MS_NOSUID | MS_NOEXEC | MS_STRICTATIME, "mode=755,size=65536k");
    // Group 5 is tty everywhere, but not everybody has it.
    let terminals = match root.users.is_none_or(|users| users.host_gid(5).is_some()) {
        true => "newinstance,ptmxmode=0666,mode=0620,gid=5",
        false => "newinstance,ptmxmode=0666,mode=0620",
    };
    mount(plan, "devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, terminals);
    mount(plan, "tmpfs", "dev/shm", quiet, "mode=1777,size=65536k");
    mount(plan, "mqueue", "dev/mqueue", quiet, "");
    // It shows network devices, and so only who owns their namespace mounts it.
    if shares_network && root.users.is_some() {
        plan.record(Kind::Bind, |body| {
            body.u32(option::RECURSIVE | option::READ_ONLY | option::NODEV)
                .string("/sys")
                .string("sys");
        });
        mount(plan, "tmpfs", "sys/fs/cgroup", quiet | MS_RDONLY, "nr_blocks=1,nr_inodes=1");
        return;
    }
    mount(plan, "sysfs", "sys", quiet | MS_RDONLY, "");
    if root.unified {
        mount(plan, "cgroup2", "sys/fs/cgroup", quiet | MS_RDONLY, "");
    }
}

/// `/etc/hostname`, `/etc/hosts`, `/etc/resolv.conf` in the upper layer.
fn files(plan: &mut Plan, spec: &RunSpec, root: &Root<'_>) -> Result<()> {
    let mut file = |name: &str, contents: &str| {
        plan.record(Kind::File, |body| {
            body.u32(0o644).string(format!("etc/{name}")).contents(contents.as_bytes());
        });
    };
    file("hostname", &format!("{}\n", root.hostname));

    let shares_host = spec.network == Network::Host;
    let mut hosts = match shares_host {
        true => host_file("/etc/hosts")?,
        false => String::from(
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
        ),
    };
    hosts.push_str(&format!("127.0.1.1\t{}\n", root.hostname));
    for (name, address) in &spec.hosts {
        hosts.push_str(&format!("{address}\t{name}\n"));
    }
    file("hosts", &hosts);

    let mut resolver = String::new();
    for address in &spec.dns {
        resolver.push_str(&format!("nameserver {address}\n"));
    }
    if spec.dns.is_empty() && shares_host {
        resolver = host_file("/etc/resolv.conf")?;
    }
    file("resolv.conf", &resolver);
    Ok(())
}

/// A small file of the host; empty where there is none.
fn host_file(path: &str) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == IoErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::io(Stage::Network, format!("read({path:?})"), error)),
    }
}

/// Relative to the root: what the helper resolves has no meaning outside it.
pub(super) fn inside(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// The flag of a view that belongs to the root and is as read-only as that;
/// what a mount of the caller's covers belongs to him.
fn part(spec: &RunSpec, path: &Path) -> u32 {
    match spec.mounts.iter().any(|mount| path.starts_with(&mount.target)) {
        true => 0,
        false => option::PART,
    }
}
