//! The part of the plan that makes the caller's mounts.
//!
//! Host side, stage `filesystem`: sources are looked at here, targets are
//! resolved in the container. What it means: [`crate::spec::Mount`].

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libctr_helper::plan::{Kind, option, strict};
use nix::libc::{MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY};

use super::devices;
use super::filesystem::{Root, inside, plain};
use crate::error::{Error, Result, Stage};
use crate::helper::plan::Plan;
use crate::sandbox::UpperDirectory;
use crate::spec::{Mount, MountKind};

/// Writes one mount.
pub(super) fn write(plan: &mut Plan, root: &Root<'_>, index: usize, mount: &Mount) -> Result<()> {
    let source = || {
        mount.source.as_deref().ok_or_else(|| {
            Error::invalid(Stage::Filesystem, format!("mounts[{index}]: a source is missing"))
        })
    };
    match mount.kind {
        MountKind::Bind => {
            let source = source()?;
            let metadata = metadata(index, source)?;
            let mut flags = option::RECURSIVE | options(mount);
            if !metadata.is_dir() {
                flags |= option::FILE;
            }
            // Devices are for `devices` to give. But the null device is often
            // put over files, and hurts nobody.
            if !devices::is_harmless(&metadata) {
                flags |= option::NODEV;
            }
            plan.record(Kind::Bind, |body| {
                body.u32(flags).path(source).path(inside(&mount.target));
            });
        }
        MountKind::Tmpfs => {
            let mut data = format!("mode={:o}", mount.mode.unwrap_or(0o1777));
            if let Some(size) = mount.size {
                data.push_str(&format!(",size={size}"));
            }
            let bits = [
                (mount.is_read_only(), MS_RDONLY),
                (mount.is_nosuid(), MS_NOSUID),
                (mount.is_noexec(), MS_NOEXEC),
                (mount.is_in_kernel(), strict::KERNEL),
            ];
            let flags = set(MS_NODEV, bits);
            plan.record(Kind::Filesystem, |body| {
                body.u64(flags).string("tmpfs").path(inside(&mount.target)).string(data);
            });
        }
        MountKind::Overlay => {
            let source = source()?;
            if !metadata(index, source)?.is_dir() {
                let message = format!("mounts[{index}].source: {source:?} is no directory");
                return Err(Error::invalid(Stage::Filesystem, message));
            }
            let base = root.stage.join(format!("c{index}"));
            view(plan, root, &base, (source, &mount.target), &[], options(mount));
        }
    }
    Ok(())
}

/// The flags of a bind or an overlay.
fn options(mount: &Mount) -> u32 {
    let bits = [
        (mount.is_read_only(), option::READ_ONLY),
        (mount.is_nosuid(), option::NOSUID),
        (mount.is_noexec(), option::NOEXEC),
        (mount.is_in_kernel(), option::KERNEL),
    ];
    set(0, bits)
}

fn set<T: std::ops::BitOr<Output = T>>(start: T, bits: [(bool, T); 4]) -> T {
    bits.into_iter().filter(|(is, _)| *is).fold(start, |set, (_, bit)| set | bit)
}

fn metadata(index: usize, source: &Path) -> Result<Metadata> {
    fs::metadata(source).map_err(|error| {
        let call = format!("mounts[{index}].source: stat({source:?})");
        Error::io(Stage::Filesystem, call, error)
    })
}

/// A view of a directory of the host, shown at the target, whose changes stay
/// in `base`.
pub(super) fn view(
    plan: &mut Plan,
    root: &Root<'_>,
    base: &Path,
    (source, target): (&Path, &Path),
    prepared: &[UpperDirectory],
    flags: u32,
) {
    let (upper, work) = (base.join("u"), base.join("w"));
    root.directory(plan, base, &plain(0o700));
    // The view's top directory looks like the source's.
    let top = fs::metadata(source).map_or(plain(0o755), |metadata| {
        let mode = metadata.mode() & 0o7777;
        let (uid, gid) = root.owner(metadata.uid(), metadata.gid());
        UpperDirectory { path: PathBuf::new(), mode, uid, gid, opaque: false }
    });
    root.directory(plan, &upper, &top);
    root.directory(plan, &work, &plain(0o700));
    for made in prepared {
        root.directory(plan, &upper.join(&made.path), made);
    }
    plan.record(Kind::Overlay, |body| {
        body.u32(flags | root.overlay()).path(source).path(inside(target)).path(&upper).path(&work);
        // Where it can be mounted meanwhile, by a builder.
        body.path(&root.stage.join("m"));
    });
}
