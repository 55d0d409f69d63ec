//! Unpacks one layer's tar into a directory of its own, in overlay form.
//!
//! Stage `image`, host process, on worker threads: layers are independent of
//! each other here. What a layer takes from the layers below it (the metadata
//! of directories that its tar does not mention, hard links to files that it
//! does not have) is written down in [`Unpacked`] and added by [`settle`].
//!
//! The tar is hostile input. Every parent directory is opened from the layer's
//! root by `openat2(BENEATH | NO_SYMLINKS | NO_MAGICLINKS)`, everything that is
//! made is new (`O_EXCL`, `mknodat`, …), and every call acts on one last
//! component that is not followed. Directories stay 0700 until all is in
//! place and get their owner, mode and times at the end, from the leaves up.
//!
//! Overlay form: `.wh.X` becomes the character device 0/0 named X; a
//! directory with `.wh..wh..opq` gets the opaque attribute. Whiteouts speak
//! about lower layers only, wherever they stand in the tar.
//!
//! Errors: `image`; what the tar does wrong is invalid input, the rest carries
//! call and errno.
//! Sources: image-spec `layer.md`, kernel `overlayfs.rst`, openat2(2).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, makedev, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::attributes::{Attributes, Ownership, allowed, xattr_name};
use super::compression::CHUNK;
use super::dir::{Dir, beneath, failed, kind, open_at};
use super::limits::Budget;
use super::tar::{Archive, Entry, Kind};
use super::{bad, unwrap_io};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::sys::SysResult;

mod path;
pub(crate) mod settle;

use path::{WHITEOUT, clean, inside, split};

/// What an unpacked layer still needs to know about the layers below it, and
/// what it amounts to.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    /// Directories that the tar leaves out, parents first.
    pub(crate) implicit: Vec<Vec<u8>>,
    /// Hard links (path, target) whose target is not in this layer.
    pub(crate) links: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the tar says about the root directory, if it says anything.
    pub(crate) root: Option<Attributes>,
    pub(crate) entries: u64,
    /// Bytes of all files.
    pub(crate) bytes: u64,
}

/// A directory of the layer, until its attributes are applied.
struct Folder {
    /// `None`: the tar has entries below it but none for itself.
    attributes: Option<Attributes>,
    opaque: bool,
    /// It replaces what a whiteout of the same tar removed, so that nothing
    /// of it can come from below.
    fresh: bool,
}

impl Folder {
    fn implicit(fresh: bool) -> Folder {
        Folder {
            attributes: None,
            opaque: fresh,
            fresh,
        }
    }
}

struct Unpacker<'a> {
    root: &'a Dir,
    ownership: Ownership,
    budget: &'a Budget<'a>,
    /// Every directory of the layer by clean path; parents sort before what
    /// is below them.
    folders: BTreeMap<Vec<u8>, Folder>,
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The directory that the last entry was in: most entries share it.
    parent: Option<(Vec<u8>, OwnedFd)>,
    buffer: Vec<u8>,
    entries: u64,
    bytes: u64,
}

/// Unpacks `tar` into the empty directory `root`. Does not read beyond the
/// end of the archive: the caller drains the stream for its digest.
pub(crate) fn unpack<R: Read>(
    tar: &mut Archive<'_, R>,
    root: &Dir,
    ownership: Ownership,
    budget: &Budget<'_>,
) -> Result<Unpacked> {
    let mut unpacker = Unpacker {
        root,
        ownership,
        budget,
        folders: BTreeMap::from([(Vec::new(), Folder::implicit(false))]),
        links: BTreeMap::new(),
        parent: None,
        buffer: vec![0; CHUNK],
        entries: 0,
        bytes: 0,
    };
    while let Some(entry) = tar.next()? {
        budget.check()?;
        budget.entry()?;
        unpacker.entries += 1;
        unpacker.entry(&entry, tar)?;
    }
    unpacker.finish()
}

impl Unpacker<'_> {
    fn entry(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<()> {
        let path = clean(&entry.path, &self.budget.limits)?;
        let (parent, name) = split(&path);
        if path.is_empty() {
            return self.root_entry(entry);
        }
        if parent
            .split(|byte| *byte == b'/')
            .any(|name| name.starts_with(WHITEOUT))
        {
            return Err(bad(format!(
                "the layer has {} below a whiteout",
                show(&path)
            )));
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.whiteout(parent, hidden);
        }
        let attributes = self.attributes(entry)?;
        self.enter(parent)?;
        match entry.kind {
            Kind::Directory => self.directory(&path, name, attributes),
            Kind::Hardlink => self.hard_link(&path, name, &entry.link),
            Kind::File => self.file(&path, name, entry, &attributes, data),
            Kind::Symlink => {
                let target = entry.link.as_slice();
                self.make(&path, name, |dir| symlinkat(target, dir, name))?;
                self.finish_node(&path, name, &attributes, true)
            }
            Kind::Fifo | Kind::Character | Kind::Block => {
                let (major, minor) = entry.device;
                let device = makedev(u64::from(major), u64::from(minor));
                let mode = Mode::S_IRUSR | Mode::S_IWUSR;
                let kind = match entry.kind {
                    Kind::Fifo => SFlag::S_IFIFO,
                    Kind::Block => SFlag::S_IFBLK,
                    _ => SFlag::S_IFCHR,
                };
                self.make(&path, name, |dir| mknodat(dir, name, kind, mode, device))?;
                self.finish_node(&path, name, &attributes, false)
            }
        }
    }

    fn attributes(&self, entry: &Entry) -> Result<Attributes> {
        let (uid, gid) = self.ownership.map(entry.uid, entry.gid)?;
        let mut xattrs = Vec::new();
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| !name.is_empty()) {
            if allowed(name) {
                xattrs.push((xattr_name(name)?, value.clone()));
            } else {
                log::warn!(
                    "image: attribute {} of {} is left out",
                    show(name),
                    show(&entry.path)
                );
            }
        }
        Ok(Attributes {
            mode: entry.mode,
            uid,
            gid,
            mtime: entry.mtime,
            xattrs,
        })
    }

    /// `./`: describes the root, and can be nothing but a directory.
    fn root_entry(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            let kind = entry.kind;
            return Err(bad(format!(
                "the layer replaces its root directory ({kind:?} {})",
                show(&entry.path)
            )));
        }
        let attributes = Some(self.attributes(entry)?);
        if let Some(root) = self.folders.get_mut(&[][..]) {
            root.attributes = attributes;
        }
        Ok(())
    }

    /// Makes `path` the current directory, with all directories above it.
    fn enter(&mut self, path: &[u8]) -> Result<()> {
        if self
            .parent
            .as_ref()
            .is_some_and(|(current, _)| current == path)
        {
            return Ok(());
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let fd = match beneath(self.root.as_fd(), path, flags) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {
                for prefix in path::prefixes(path) {
                    self.make_parent(prefix)?;
                }
                beneath(self.root.as_fd(), path, flags)
            }
            other => other,
        };
        let fd = fd.map_err(|errno| match errno {
            Errno::ELOOP => through_link(path),
            errno => failed("openat2", &self.root.name(path), errno),
        })?;
        self.parent = Some((path.to_vec(), fd));
        Ok(())
    }

    /// One directory that has entries below it; a whiteout of the same name
    /// makes it a fresh one.
    fn make_parent(&mut self, path: &[u8]) -> Result<()> {
        if self.folders.contains_key(path) {
            return Ok(());
        }
        let (dir, name, found) = self.check_parent(path)?;
        let fresh = found.is_some();
        if fresh {
            unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir)
                .map_err(|errno| self.fail("unlinkat", path, errno))?;
        }
        mkdirat(&dir, name, Mode::S_IRWXU).map_err(|errno| self.fail("mkdirat", path, errno))?;
        self.links.remove(path);
        self.folders.insert(path.to_vec(), Folder::implicit(fresh));
        Ok(())
    }

    /// What stands where a directory is wanted; anything but a directory or a
    /// whiteout is an error.
    fn check_parent<'p>(&self, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8], Option<FileStat>)> {
        let (above, name) = split(path);
        let dir = beneath(self.root.as_fd(), above, OFlag::O_PATH | OFlag::O_DIRECTORY)
            .map_err(|errno| failed("openat2", &self.root.name(above), errno))?;
        let found = stat(dir.as_fd(), name).map_err(|errno| self.fail("fstatat", path, errno))?;
        match found {
            Some(found) if kind(&found) == SFlag::S_IFLNK => Err(through_link(path)),
            Some(found) if kind(&found) != SFlag::S_IFDIR && !is_whiteout(&found) => {
                Err(bad(format!(
                    "the layer has entries below {}, which is no directory",
                    show(path)
                )))
            }
            found => Ok((dir, name, found)),
        }
    }

    fn parent(&self) -> BorrowedFd<'_> {
        // `enter` comes before everything that asks for it.
        self.parent
            .as_ref()
            .map_or(self.root.as_fd(), |(_, fd)| fd.as_fd())
    }

    /// Makes `name` with `call`; what the tar put there before goes away.
    fn make<T>(
        &mut self,
        path: &[u8],
        name: &[u8],
        call: impl Fn(BorrowedFd<'_>) -> SysResult<T>,
    ) -> Result<T> {
        self.links.remove(path);
        let made = match call(self.parent()) {
            Err(Errno::EEXIST) => {
                self.clear(path, name)?;
                call(self.parent())
            }
            other => other,
        };
        made.map_err(|errno| self.fail("create", path, errno))
    }

    /// Removes what an earlier entry made at `path`.
    fn clear(&mut self, path: &[u8], name: &[u8]) -> Result<()> {
        let removed = Dir::from_fd(
            self.parent()
                .try_clone_to_owned()
                .map_err(|e| unwrap_io("dup", e))?,
            self.root.name(split(path).0),
        );
        removed.remove_tree(name)?;
        self.folders.retain(|folder, _| !inside(folder, path));
        self.links.retain(|link, _| !inside(link, path));
        Ok(())
    }

    fn directory(&mut self, path: &[u8], name: &[u8], attributes: Attributes) -> Result<()> {
        if let Some(folder) = self.folders.get_mut(path) {
            folder.attributes = Some(attributes);
            return Ok(());
        }
        let found = stat(self.parent(), name).map_err(|errno| self.fail("fstatat", path, errno))?;
        let fresh = found.is_some_and(|found| is_whiteout(&found));
        self.make(path, name, |dir| mkdirat(dir, name, Mode::S_IRWXU))?;
        let folder = Folder {
            attributes: Some(attributes),
            opaque: fresh,
            fresh,
        };
        self.folders.insert(path.to_vec(), folder);
        Ok(())
    }

    fn file(
        &mut self,
        path: &[u8],
        name: &[u8],
        entry: &Entry,
        attributes: &Attributes,
        data: &mut dyn Read,
    ) -> Result<()> {
        self.budget.unpack(entry.size)?;
        self.bytes += entry.size;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = File::from(self.make(path, name, |dir| open_at(dir, name, flags, mode))?);
        let written = match &entry.sparse {
            None => copy(data, &mut file, entry.size, &mut self.buffer),
            Some(segments) => segments
                .iter()
                .try_for_each(|segment| {
                    file.seek(SeekFrom::Start(segment.offset))?;
                    copy(data, &mut file, segment.length, &mut self.buffer)
                })
                .and_then(|()| file.set_len(entry.size)),
        };
        written.map_err(|error| unwrap_io(&format!("write({:?})", self.root.name(path)), error))?;
        attributes
            .apply(file.as_fd())
            .map_err(|errno| self.fail("set attributes", path, errno))?;
        Ok(())
    }

    fn finish_node(
        &self,
        path: &[u8],
        name: &[u8],
        attributes: &Attributes,
        symlink: bool,
    ) -> Result<()> {
        let applied = attributes.apply_at(self.parent(), name, symlink);
        applied
            .map(drop)
            .map_err(|errno| self.fail("set attributes", path, errno))
    }

    fn hard_link(&mut self, path: &[u8], name: &[u8], target: &[u8]) -> Result<()> {
        let target = clean(target, &self.budget.limits)?;
        if target == path {
            return Ok(());
        }
        let (above, last) = split(&target);
        if last.is_empty() {
            return Err(bad(format!(
                "the layer has {} as a hard link to its root",
                show(path)
            )));
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let found = match beneath(self.root.as_fd(), above, flags) {
            Ok(dir) => {
                let found = stat(dir.as_fd(), last);
                found
                    .map_err(|errno| self.fail("fstatat", &target, errno))?
                    .map(|found| (dir, found))
            }
            Err(Errno::ENOENT) => None,
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                path::prefixes(above).try_for_each(|prefix| self.check_parent(prefix).map(drop))?;
                return Err(through_link(above));
            }
            Err(errno) => return Err(self.fail("openat2", above, errno)),
        };
        let Some((dir, found)) = found else {
            // It may come later in this tar, or be in a lower layer.
            self.clear(path, name)?;
            self.links.insert(path.to_vec(), target);
            return Ok(());
        };
        if kind(&found) == SFlag::S_IFDIR || is_whiteout(&found) {
            return Err(bad(format!(
                "the layer has {} as a hard link to {}, which is no file",
                show(path),
                show(&target)
            )));
        }
        self.make(path, name, |parent| {
            linkat(&dir, last, parent, name, AtFlags::empty())
        })
    }

    /// `.wh.HIDDEN` in `parent`. Entries of the same tar are never hidden: a
    /// directory of that name becomes opaque, anything else stays.
    fn whiteout(&mut self, parent: &[u8], hidden: &[u8]) -> Result<()> {
        if hidden == b".wh..opq" {
            self.enter(parent)?;
            if let Some(folder) = self.folders.get_mut(parent) {
                folder.opaque = true;
            }
            return Ok(());
        }
        if hidden.starts_with(WHITEOUT) {
            // Bookkeeping of the aufs file system (`.wh..wh.plnk`, …), which
            // old image builders packed by mistake; nobody unpacks it.
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(bad(format!(
                "the layer has a whiteout of {} in {}",
                show(hidden),
                show(parent)
            )));
        }
        self.enter(parent)?;
        let mut path = parent.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(hidden);
        match mknodat(self.parent(), hidden, SFlag::S_IFCHR, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            Err(Errno::EEXIST) => {
                if let Some(folder) = self.folders.get_mut(&path) {
                    (folder.opaque, folder.fresh) = (true, true);
                }
                Ok(())
            }
            Err(errno) => Err(self.fail("mknodat", &path, errno)),
        }
    }

    /// Hard links to what came later, then all directories, leaves first.
    fn finish(mut self) -> Result<Unpacked> {
        for (path, target) in std::mem::take(&mut self.links) {
            let (parent, name) = split(&path);
            self.enter(parent)?;
            self.hard_link(&path, name, &target)?;
        }
        let mut done = Unpacked {
            links: std::mem::take(&mut self.links).into_iter().collect(),
            entries: self.entries,
            bytes: self.bytes,
            ..Unpacked::default()
        };
        for (path, folder) in self.folders.iter().rev() {
            self.finish_folder(path, folder)
                .map_err(|errno| self.fail("set attributes", path, errno))?;
            if folder.attributes.is_none() && !path.is_empty() && !self.hides(path) {
                done.implicit.push(path.clone());
            }
        }
        done.implicit.reverse();
        done.root = self
            .folders
            .remove(&[][..])
            .and_then(|root| root.attributes);
        Ok(done)
    }

    /// Whether this layer itself hides what lower layers have at `path`.
    fn hides(&self, path: &[u8]) -> bool {
        let fresh = self.folders.get(path).is_some_and(|folder| folder.fresh);
        let mut above = path::prefixes(split(path).0).chain([&[][..]]);
        fresh || above.any(|dir| self.folders.get(dir).is_some_and(|folder| folder.opaque))
    }

    fn finish_folder(&self, path: &[u8], folder: &Folder) -> SysResult<()> {
        let fd = beneath(
            self.root.as_fd(),
            path,
            OFlag::O_RDONLY | OFlag::O_DIRECTORY,
        )?;
        if folder.opaque {
            crate::sys::fsetxattr(fd.as_fd(), self.ownership.marker.opaque(), b"y")?;
        }
        folder
            .attributes
            .as_ref()
            .unwrap_or(&Attributes::implicit())
            .apply(fd.as_fd())?;
        Ok(())
    }

    fn fail(&self, call: &str, path: &[u8], errno: Errno) -> Error {
        let error = failed(call, &self.root.name(path), errno);
        match errno {
            Errno::ENAMETOOLONG | Errno::EINVAL | Errno::EMLINK => {
                error.with_kind(ErrorKind::InvalidInput)
            }
            Errno::EEXIST | Errno::ENOENT | Errno::ENOTDIR => {
                error.with_kind(ErrorKind::InvalidInput)
            }
            _ => error,
        }
    }
}

/// `fstatat` without following; `None` where there is nothing.
fn stat(dir: BorrowedFd<'_>, name: &[u8]) -> SysResult<Option<FileStat>> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A whiteout in overlay form.
fn is_whiteout(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFCHR && stat.st_rdev == 0
}

fn copy(from: &mut dyn Read, to: &mut File, mut n: u64, buffer: &mut [u8]) -> std::io::Result<()> {
    while n > 0 {
        let want = usize::try_from(n).unwrap_or(usize::MAX).min(buffer.len());
        let read = from.read(&mut buffer[..want])?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&buffer[..read])?;
        n -= u64::try_from(read).unwrap_or(u64::MAX);
    }
    Ok(())
}

fn show(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

fn through_link(path: &[u8]) -> Error {
    Error::new(
        Stage::Image,
        ErrorKind::InvalidInput,
        format!(
            "the layer has a path through a symbolic link of its own: {}",
            show(path)
        ),
    )
    .with_errno(Errno::ELOOP)
}

#[cfg(test)]
mod tests;
