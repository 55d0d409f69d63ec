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
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::symlinkat;

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::bad;
use crate::image::compression::CHUNK;
use crate::image::dir::{Dir, beneath, failed};
use crate::image::limits::Budget;
use crate::image::tar::{Archive, Entry, Kind};
use crate::sys::{SysResult, fsetxattr};
use crate::tree::{is_whiteout, stat};
use crate::userns::job::Owner;

pub(crate) mod attributes;
mod node;
mod parent;
mod path;
pub(crate) mod settle;

use attributes::{Attributes, Owners, Ownership, allowed, xattr_name};
use path::{WHITEOUT, clean, split};

/// What an unpacked layer still needs to know about the layers below it, and
/// what it amounts to.
#[derive(Debug)]
pub(crate) struct Unpacked<'a> {
    /// Directories that the tar leaves out, parents first.
    pub(crate) implicit: Vec<Vec<u8>>,
    /// Hard links (path, target) whose target is not in this layer.
    pub(crate) links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Who gets which file once the tree is complete.
    pub(crate) owners: Owners<'a>,
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
        Folder { attributes: None, opaque: fresh, fresh }
    }
}

struct Unpacker<'a, 'u> {
    root: &'a Dir,
    ownership: Ownership<'u>,
    owners: Owners<'u>,
    budget: &'a Budget<'a>,
    root_directory: Option<Attributes>,
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
pub(crate) fn unpack<'a, R: Read>(
    tar: &mut Archive<'_, R>,
    root: &Dir,
    ownership: Ownership<'a>,
    budget: &Budget<'_>,
) -> Result<Unpacked<'a>> {
    let mut unpacker = Unpacker {
        root,
        ownership,
        owners: ownership.owners(),
        root_directory: None,
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

impl<'u> Unpacker<'_, 'u> {
    fn entry(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<()> {
        let path = clean(&entry.path, &self.budget.limits)?;
        let (parent, name) = split(&path);
        if path.is_empty() {
            return self.root_entry(entry);
        }
        if parent.split(|byte| *byte == b'/').any(|name| name.starts_with(WHITEOUT)) {
            return Err(bad(format!("the layer has {} below a whiteout", show(&path))));
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.whiteout(parent, hidden);
        }
        let mut attributes = self.attributes(entry)?;
        if entry.kind != Kind::Hardlink && !self.ownership.has(attributes.uid, attributes.gid) {
            self.budget.notes.owner();
        }
        self.enter(parent)?;
        let owner = self.owners.take(&path, &mut attributes, entry.kind == Kind::File);
        if owner.is_some() || matches!(entry.kind, Kind::Directory | Kind::Hardlink) {
            self.keep(&path, entry)?;
        }
        match entry.kind {
            Kind::Character | Kind::Block if !self.ownership.has_devices() => {
                self.budget.notes.device();
                return self.clear(&path, name);
            }
            Kind::Hardlink => return self.hard_link(&path, name, &entry.link),
            _ => {}
        }
        let made = match entry.kind {
            Kind::Directory => self.directory(&path, name, attributes),
            Kind::Hardlink => Ok(()),
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
        };
        made.map(|()| self.owners.set(&path, owner))
    }

    /// Counts what is remembered of an entry until the layer is complete.
    fn keep(&self, path: &[u8], entry: &Entry) -> Result<()> {
        let xattrs = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + 96);
        self.budget.keep(&[path.len(), entry.link.len(), xattrs.sum()])
    }

    fn attributes(&self, entry: &Entry) -> Result<Attributes> {
        let (uid, gid) = self.ownership.map(entry.uid, entry.gid)?;
        let mut xattrs = Vec::new();
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| !name.is_empty()) {
            // Four numbers of 32 bits, and an id (struct vfs_ns_cap_data).
            if name == b"security.capability" && value.len() > 24 {
                return Err(bad(format!(
                    "the layer has {} with capabilities of {} bytes",
                    show(&entry.path),
                    value.len()
                )));
            }
            if allowed(name) {
                xattrs.push((xattr_name(name)?, value.clone()));
            } else {
                log::warn!("image: attribute {} of {} is left out", show(name), show(&entry.path));
            }
        }
        Ok(Attributes { mode: entry.mode, uid, gid, mtime: entry.mtime, xattrs })
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
        self.keep(b"", entry)?;
        let mut attributes = self.attributes(entry)?;
        self.root_directory = Some(attributes.clone());
        let owner = self.owners.take(b"", &mut attributes, false);
        self.owners.set(b".", owner.map(|owner| Owner { path: b".".to_vec(), ..owner }));
        if let Some(root) = self.folders.get_mut(&[][..]) {
            root.attributes = Some(attributes);
        }
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
        let folder = Folder { attributes: Some(attributes), opaque: fresh, fresh };
        self.folders.insert(path.to_vec(), folder);
        Ok(())
    }

    /// Hard links to what came later, then all directories, leaves first.
    fn finish(mut self) -> Result<Unpacked<'u>> {
        for (path, target) in std::mem::take(&mut self.links) {
            let (parent, name) = split(&path);
            self.enter(parent)?;
            self.hard_link(&path, name, &target)?;
        }
        let mut done = Unpacked {
            links: std::mem::take(&mut self.links).into_iter().collect(),
            entries: self.entries,
            bytes: self.bytes,
            implicit: Vec::new(),
            root: self.root_directory.take(),
            owners: self.ownership.owners(),
        };
        for (path, folder) in self.folders.iter().rev() {
            self.finish_folder(path, folder)
                .map_err(|errno| self.fail("set attributes", path, errno))?;
            if folder.attributes.is_none() && !path.is_empty() && !self.hides(path) {
                done.implicit.push(path.clone());
            }
        }
        done.implicit.reverse();
        std::mem::swap(&mut done.owners, &mut self.owners);
        Ok(done)
    }

    /// Whether this layer itself hides what lower layers have at `path`.
    fn hides(&self, path: &[u8]) -> bool {
        let fresh = self.folders.get(path).is_some_and(|folder| folder.fresh);
        let mut above = path::prefixes(split(path).0).chain([&[][..]]);
        fresh || above.any(|dir| self.folders.get(dir).is_some_and(|folder| folder.opaque))
    }

    fn finish_folder(&self, path: &[u8], folder: &Folder) -> SysResult<()> {
        let fd = beneath(self.root.as_fd(), path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        if folder.opaque {
            fsetxattr(fd.as_fd(), self.ownership.marker.opaque(), b"y")?;
        }
        let mut implicit = Attributes::implicit();
        // It is root's, which every namespace's maker is.
        let _nobody_else = self.owners.take(path, &mut implicit, false);
        folder.attributes.as_ref().unwrap_or(&implicit).apply(fd.as_fd())?;
        Ok(())
    }

    fn fail(&self, call: &str, path: &[u8], errno: Errno) -> Error {
        let error = failed(call, &self.root.name(path), errno);
        match errno {
            Errno::ENAMETOOLONG | Errno::EINVAL | Errno::EMLINK | Errno::E2BIG | Errno::ERANGE => {
                error.with_kind(ErrorKind::InvalidInput)
            }
            Errno::EEXIST | Errno::ENOENT | Errno::ENOTDIR => {
                error.with_kind(ErrorKind::InvalidInput)
            }
            _ => error,
        }
    }
}

fn show(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

fn through_link(path: &[u8]) -> Error {
    Error::new(
        Stage::Image,
        ErrorKind::InvalidInput,
        format!("the layer has a path through a symbolic link of its own: {}", show(path)),
    )
    .with_errno(Errno::ELOOP)
}

#[cfg(test)]
mod tests;
