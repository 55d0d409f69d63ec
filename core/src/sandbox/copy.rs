//! A private copy of the root: what an overlay of the lower directories would
//! show, made of files of its own. For places where no overlay can be mounted.
//!
//! Stage `rootfs`, host side, before the helper exists. One pass over all
//! lower directories at once, uppermost first in every directory: the first
//! that has a name decides what it is. A whiteout (character device 0/0) ends
//! the name, an opaque directory hides what is below it, a directory over
//! something else hides that, and the reverse. Nothing is copied to be
//! replaced later.
//!
//! Layers may be hostile. Each lower directory is mounted apart, so that what
//! is mounted below it is not seen, as an overlay does not see it; the walk
//! ([`Cursor`]) follows no link and needs no recursion, and one descriptor for
//! each lower directory, however deep it is.
//!
//! The rest of overlayfs's attributes (`redirect`, `metacopy`) need a second
//! layer to speak about: images cannot bring them, and a root that is one
//! directory has none.
//!
//! Errors: `rootfs`, with path and errno; what was made is the caller's to
//! remove.
//! Sources: kernel `overlayfs.rst`, open_tree(2).

mod cursor;
mod lower;

use std::collections::{BTreeMap, HashMap, btree_map};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc::{dev_t, ino_t};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};
use nix::unistd::linkat;

use super::UpperDirectory;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::sys::{self, SysResult};
use crate::tree::{self, Attributes, duplicate, is_whiteout, kind};
use crate::userns::Users;
use crate::userns::owners::Owners;
use cursor::Cursor;
use lower::{Entered, Lower, keep};

/// Deeper than any path can name. A lower directory that shows the copy while
/// it is made ends here.
const DEPTH: usize = 2048;

/// Makes the directory `root` in the empty directory `base` as a copy of
/// `lowers`, uppermost first, and tells its path. `top` says what the root
/// directory itself is like. `check` is asked before each file whether to go
/// on.
pub(crate) fn copy(
    lowers: &[PathBuf],
    base: &Path,
    top: &UpperDirectory,
    users: Option<&Users>,
    check: &dyn Fn() -> Result<()>,
) -> Result<PathBuf> {
    let mut copier = Copier::open(lowers, base, users)?;
    copier.begin(top)?;
    while let Some(level) = copier.levels.last_mut() {
        check()?;
        match level.names.next() {
            Some((name, layer)) => copier.entry(&name, layer)?,
            None => copier.leave()?,
        }
    }
    copier.owners.give(copier.target.as_fd())?;
    tree::remove_tree(copier.base.as_fd(), b"links")
        .map_err(|e| fail("remove", &base.join("links"), e))?;
    Ok(base.join("root"))
}

fn fail(call: &str, path: &Path, errno: Errno) -> Error {
    let error = Error::sys(Stage::Rootfs, format!("private copy: {call}({path:?})"), errno);
    match errno {
        Errno::ENOSPC | Errno::EDQUOT => error
            .with_hint("where no overlay can be mounted, each container needs room for its root"),
        Errno::ESTALE => error.with_hint("it changed while it was copied"),
        Errno::ENOSYS if call == "open_tree" => error
            .with_hint("before Linux 5.2 nothing may be mounted below a directory to be copied"),
        _ => error,
    }
}

/// A directory that is being copied.
struct Level {
    /// The lower directories that have it, uppermost first.
    layers: Vec<usize>,
    /// What is in it, and the uppermost of them that has it.
    names: btree_map::IntoIter<Vec<u8>, usize>,
    /// What the directory gets when all is in it.
    attributes: Attributes,
}

struct Copier<'a> {
    owners: Owners<'a>,
    lowers: Vec<Lower>,
    target: Cursor,
    base: OwnedFd,
    /// A directory in which each file with several links has one more, named
    /// by a number, for as long as the copy is being made.
    links: OwnedFd,
    linked: HashMap<(usize, dev_t, ino_t), String>,
    levels: Vec<Level>,
    /// Names from the root to the current directory, for messages.
    path: PathBuf,
}

impl<'a> Copier<'a> {
    fn open(lowers: &[PathBuf], base: &Path, users: Option<&'a Users>) -> Result<Copier<'a>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let here = openat(nix::fcntl::AT_FDCWD, base, flags, Mode::empty())
            .and_then(sys::high)
            .map_err(|errno| fail("open", base, errno))?;
        let make = |name: &str| {
            mkdirat(&here, name, Mode::S_IRWXU)
                .and_then(|()| tree::open_at(here.as_fd(), name, flags, Mode::empty()))
                .map_err(|errno| fail("mkdirat", &base.join(name), errno))
        };
        let (target, links) = (make("root")?, make("links")?);
        let lowers: Vec<Lower> =
            lowers.iter().map(|path| Lower::open(path)).collect::<Result<_>>()?;
        for lower in &lowers {
            let inside = lower.cursor.contains(here.as_fd());
            if inside.map_err(|errno| fail("openat", base, errno))? {
                let text = format!("private copy: {:?} contains the copy, {base:?}", lower.path);
                return Err(Error::invalid(Stage::Rootfs, text)
                    .with_hint("use a data directory outside the root"));
            }
        }
        let target = Cursor::new(target);
        let (linked, levels, path) = (HashMap::new(), Vec::new(), PathBuf::new());
        let owners = Owners::new(users);
        Ok(Copier { owners, lowers, target, base: here, links, linked, levels, path })
    }

    /// The root directory: an overlay shows that of its upper layer, and all
    /// layers below it.
    fn begin(&mut self, top: &UpperDirectory) -> Result<()> {
        let mut mtime = tree::Time::default();
        if let Some(lower) = self.lowers.first() {
            let stat = fstat(lower.cursor.as_fd()).map_err(|e| fail("fstat", &lower.path, e))?;
            mtime = tree::Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec };
        }
        let UpperDirectory { mode, uid, gid, .. } = *top;
        let mut attributes = Attributes { mode, uid, gid, mtime, xattrs: Vec::new() };
        let owner = self.owners.take(b".", &mut attributes, false);
        self.owners.set(b".", owner);
        self.push((0..self.lowers.len()).collect(), attributes)
    }

    /// Begins with the current directory, which `layers` have.
    fn push(&mut self, layers: Vec<usize>, attributes: Attributes) -> Result<()> {
        let mut names = BTreeMap::new();
        for layer in &layers {
            let found = tree::names(self.lowers[*layer].cursor.as_fd());
            for name in found.map_err(|errno| self.fail("getdents64", *layer, b"", errno))? {
                names.entry(name).or_insert(*layer);
            }
        }
        self.levels.push(Level { layers, names: names.into_iter(), attributes });
        Ok(())
    }

    /// One name, as the uppermost layer that has it says.
    fn entry(&mut self, name: &[u8], layer: usize) -> Result<()> {
        let from = self.lowers[layer].cursor.as_fd();
        match tree::stat(from, name).map_err(|e| self.fail("fstatat", layer, name, e))? {
            None => Ok(()),
            Some(found) if is_whiteout(&found) => Ok(()),
            Some(found) if kind(&found) == SFlag::S_IFDIR => self.enter(name, layer),
            Some(found) => {
                self.leaf(name, layer, &found).map_err(|e| self.fail("copy", layer, name, e))
            }
        }
    }

    /// Goes down in all layers that have this directory, until one hides the
    /// rest.
    fn enter(&mut self, name: &[u8], first: usize) -> Result<()> {
        if self.levels.len() >= DEPTH {
            let text = format!("private copy: more than {DEPTH} directories deep");
            return Err(Error::new(Stage::Rootfs, ErrorKind::InvalidInput, text));
        }
        let candidates = self.levels.last().map_or(&[][..], |level| &level.layers).to_vec();
        let (mut layers, mut attributes) = (Vec::new(), None);
        for layer in candidates.into_iter().filter(|layer| *layer >= first) {
            let entered = self.lowers[layer].enter(name);
            match entered.map_err(|errno| self.fail("openat", layer, name, errno))? {
                Entered::Absent => continue,
                Entered::Hidden => break,
                Entered::Directory { attributes: its, opaque } => {
                    attributes.get_or_insert(its);
                    layers.push(layer);
                    if opaque {
                        break;
                    }
                }
            }
        }
        // It has been replaced since it was looked at.
        let mut attributes =
            attributes.ok_or_else(|| self.fail("openat", first, name, Errno::ESTALE))?;
        self.owners.of_disk(&mut attributes);
        mkdirat(&self.target, name, Mode::S_IRWXU)
            .and_then(|()| self.target.enter(name))
            .map_err(|errno| self.fail("mkdirat", first, name, errno))?;
        self.path.push(OsStr::from_bytes(name));
        let path = self.path.as_os_str().as_bytes();
        let owner = self.owners.take(path, &mut attributes, false);
        self.owners.set(path, owner);
        self.push(layers, attributes)
    }

    /// Finishes the current directory and goes up.
    fn leave(&mut self) -> Result<()> {
        let Some(level) = self.levels.pop() else { return Ok(()) };
        let applied = level.attributes.apply(self.target.as_fd());
        let first = level.layers.first().copied().unwrap_or_default();
        applied.map_err(|errno| self.fail("set attributes", first, b"", errno))?;
        if self.levels.is_empty() {
            return Ok(());
        }
        self.target.leave().map_err(|errno| self.fail("openat", first, b"..", errno))?;
        for layer in level.layers {
            let left = self.lowers[layer].cursor.leave();
            left.map_err(|errno| self.fail("openat", layer, b"..", errno))?;
        }
        self.path.pop();
        Ok(())
    }

    /// A file, link or device; one that was copied under another name of the
    /// same layer becomes a link to that copy.
    fn leaf(&mut self, name: &[u8], layer: usize, found: &FileStat) -> SysResult<()> {
        let (from, to) = (self.lowers[layer].cursor.as_fd(), self.target.as_fd());
        let path = self.path.join(OsStr::from_bytes(name));
        let path = path.as_os_str().as_bytes();
        let mut owner = None;
        let change = |attributes: &mut Attributes| {
            self.owners.of_disk(attributes);
            owner = self.owners.take(path, attributes, kind(found) == SFlag::S_IFREG);
        };
        if found.st_nlink < 2 {
            duplicate(from, name, found, to, name, keep, change)?;
            self.owners.set(path, owner);
            return Ok(());
        }
        let key = (layer, found.st_dev, found.st_ino);
        if let Some(first) = self.linked.get(&key) {
            return linkat(&self.links, first.as_str(), to, name, AtFlags::empty());
        }
        duplicate(from, name, found, to, name, keep, change)?;
        self.owners.set(path, owner);
        let number = self.linked.len().to_string();
        linkat(to, name, &self.links, number.as_str(), AtFlags::empty())?;
        self.linked.insert(key, number);
        Ok(())
    }

    fn fail(&self, call: &str, layer: usize, name: &[u8], errno: Errno) -> Error {
        let path = self.lowers.get(layer).map_or(Path::new("/"), |lower| &lower.path);
        fail(call, &path.join(&self.path).join(OsStr::from_bytes(name)), errno)
    }
}

#[cfg(test)]
mod tests;
