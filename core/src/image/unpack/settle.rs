//! Gives a layer what it takes from the layers below it.
//!
//! Stage `image`, host process, bottom layer first, after all layers of the
//! image are unpacked. Two things depend on lower layers: directories that the
//! tar leaves out (made with plain attributes they would hide the mode, owner
//! and attributes of the lower ones), and hard links to files of lower layers
//! (the file is copied up, as a write in a container would do). A layer that
//! needed either belongs to this stack and is stored under its ChainID.
//!
//! Errors: `image`; a hard link whose target is nowhere is invalid input.
//! Sources: kernel `overlayfs.rst` (merged look-up),
//! image-spec `layer.md` (hard links).

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::linkat;

use super::path::{prefixes, split};
use super::{Unpacked, show};
use crate::error::{ErrorKind, Result};
use crate::image::bad;
use crate::image::dir::{Dir, beneath, failed, kind, open_at};
use crate::image::limits::Budget;
use crate::image::unpack::attributes::{Attributes, Owners, Ownership, allowed};
use crate::sys::SysResult;
use crate::tree::{duplicate, is_opaque, is_whiteout, stat};

/// What a look-up through the lower layers found.
struct Found {
    /// The directory that holds it, in its own layer.
    dir: OwnedFd,
    stat: FileStat,
}

/// Completes `layer` from `lower`, nearest first, and tells whether anything
/// was taken from there.
pub(crate) fn settle(
    layer: &Dir,
    unpacked: &mut Unpacked<'_>,
    lower: &[&Dir],
    ownership: Ownership<'_>,
    budget: &Budget<'_>,
) -> Result<bool> {
    if lower.is_empty() && unpacked.links.is_empty() {
        return Ok(false);
    }
    let owners = &mut unpacked.owners;
    for path in &unpacked.implicit {
        budget.check()?;
        inherit(layer, path, lower, ownership, owners)
            .map_err(|errno| failed("copy attributes", &layer.name(path), errno))?;
    }
    for (path, target) in &unpacked.links {
        budget.check()?;
        copy_up(layer, (path, target), lower, ownership, owners, budget)?;
    }
    Ok(!unpacked.implicit.is_empty() || !unpacked.links.is_empty())
}

/// Copies a lower directory's attributes to the directory `path` of `layer`.
fn inherit(
    layer: &Dir,
    path: &[u8],
    lower: &[&Dir],
    ownership: Ownership<'_>,
    owners: &mut Owners<'_>,
) -> SysResult<()> {
    let Some(found) = look_up(path, lower, ownership)? else {
        return Ok(());
    };
    if kind(&found.stat) != SFlag::S_IFDIR {
        return Ok(());
    }
    let mut attributes = Attributes::of(found.dir.as_fd(), split(path).1, &found.stat, allowed)?;
    owners.of_disk(&mut attributes);
    let owner = owners.take(path, &mut attributes, false);
    owners.set(path, owner);
    let fd = beneath(layer.as_fd(), path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    attributes.apply(fd.as_fd()).map(drop)
}

/// What an overlay of `lower` shows at `path`: the first layer that has it,
/// unless one above hides it by a whiteout, an opaque directory or a file.
fn look_up(path: &[u8], lower: &[&Dir], ownership: Ownership<'_>) -> SysResult<Option<Found>> {
    'layers: for layer in lower {
        let mut opaque = false;
        for prefix in prefixes(path) {
            let (above, name) = split(prefix);
            let dir = beneath(layer.as_fd(), above, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
            let Some(found) = stat(dir.as_fd(), name)? else {
                if opaque {
                    return Ok(None);
                }
                continue 'layers;
            };
            if is_whiteout(&found) {
                return Ok(None);
            }
            if prefix.len() == path.len() {
                return Ok(Some(Found { dir, stat: found }));
            }
            if kind(&found) != SFlag::S_IFDIR {
                return Ok(None);
            }
            opaque |= {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
                let fd = beneath(layer.as_fd(), prefix, flags)?;
                is_opaque(fd.as_fd(), ownership.marker.opaque())?
            };
        }
    }
    Ok(None)
}

/// Brings `target` up from a lower layer, unless an earlier link did, and
/// links `path` to it.
fn copy_up(
    layer: &Dir,
    (path, target): (&[u8], &[u8]),
    lower: &[&Dir],
    ownership: Ownership<'_>,
    owners: &mut Owners<'_>,
    budget: &Budget<'_>,
) -> Result<()> {
    let fail = |call: &str, path: &[u8], errno| {
        let error = failed(call, &layer.name(path), errno);
        match errno {
            Errno::EEXIST | Errno::EMLINK => error.with_kind(ErrorKind::InvalidInput),
            _ => error,
        }
    };
    let (parent, name) = split(path);
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let missing = || {
        bad(format!(
            "the layer has {} as a hard link to {}, which does not exist",
            show(path),
            show(target)
        ))
    };
    for prefix in prefixes(split(target).0) {
        let (above, name) = split(prefix);
        let dir = match beneath(layer.as_fd(), above, flags) {
            Err(Errno::ELOOP | Errno::ENOTDIR) => return Err(missing()),
            other => other.map_err(|errno| fail("openat2", above, errno))?,
        };
        match keep_times(&dir, || mkdirat(&dir, name, Mode::S_IRWXU)) {
            Ok(()) => {
                let made = inherit(layer, prefix, lower, ownership, owners);
                made.map_err(|e| fail("copy attributes", prefix, e))?;
            }
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(fail("mkdirat", prefix, errno)),
        }
    }
    let (above, last) = split(target);
    let from = match beneath(layer.as_fd(), above, flags) {
        Ok(fd) => fd,
        Err(Errno::ELOOP | Errno::ENOTDIR) => return Err(missing()),
        Err(errno) => return Err(fail("openat2", above, errno)),
    };
    let here = stat(from.as_fd(), last).map_err(|errno| fail("fstatat", target, errno))?;
    if here.is_none() {
        let found = look_up(target, lower, ownership).map_err(|e| fail("look up", target, e))?;
        let found = found.filter(|found| kind(&found.stat) != SFlag::S_IFDIR);
        let found = found.ok_or_else(missing)?;
        // It takes its place on disk once more.
        budget.unpack(u64::try_from(found.stat.st_size).unwrap_or(0))?;
        let regular = kind(&found.stat) == SFlag::S_IFREG;
        let mut owner = None;
        let change = |attributes: &mut Attributes| {
            owners.of_disk(attributes);
            owner = owners.take(target, attributes, regular);
        };
        keep_times(&from, || {
            let (dir, to) = (found.dir.as_fd(), from.as_fd());
            duplicate(dir, last, &found.stat, to, last, allowed, change)
        })
        .map_err(|errno| fail("copy up", target, errno))?;
        owners.set(target, owner);
    } else if here.is_some_and(|here| is_whiteout(&here)) {
        return Err(missing());
    }
    let to =
        beneath(layer.as_fd(), parent, flags).map_err(|errno| fail("openat2", parent, errno))?;
    keep_times(&to, || linkat(&from, last, &to, name, AtFlags::empty()))
        .map_err(|errno| fail("linkat", path, errno))?;
    owners.link(path, target);
    Ok(())
}

/// Runs `change` in a directory and puts its times back.
fn keep_times(dir: &OwnedFd, change: impl FnOnce() -> SysResult<()>) -> SysResult<()> {
    let readable = open_at(dir.as_fd(), ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    let before = fstat(&readable)?;
    change()?;
    let time = TimeSpec::new(before.st_mtime, before.st_mtime_nsec);
    futimens(&readable, &time, &time)
}
