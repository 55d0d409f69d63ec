//! Files, hard links and whiteouts of a layer.
//!
//! Stage `image`, host process, on worker threads.
//!
//! Errors: `image`, as [`unpack`](super).
//! Sources: image-spec `layer.md`, kernel `overlayfs.rst`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, mknodat};
use nix::unistd::linkat;

use super::attributes::Attributes;
use super::path::{WHITEOUT, clean, prefixes, split};
use super::{Unpacker, show, through_link};
use crate::error::Result;
use crate::image::dir::{beneath, kind, open_at};
use crate::image::tar::Entry;
use crate::image::{bad, unwrap_io};
use crate::tree::{is_whiteout, stat};

impl Unpacker<'_, '_> {
    /// A regular file with its data.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        name: &[u8],
        entry: &Entry,
        attributes: &Attributes,
        data: &mut dyn Read,
    ) -> Result<()> {
        self.budget.unpack(entry.size)?;
        self.bytes = self.bytes.saturating_add(entry.size);
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
        attributes.apply(file.as_fd()).map_err(|errno| self.fail("set attributes", path, errno))?;
        Ok(())
    }

    /// Attributes of what cannot be opened.
    pub(super) fn finish_node(
        &self,
        path: &[u8],
        name: &[u8],
        attributes: &Attributes,
        symlink: bool,
    ) -> Result<()> {
        let applied = attributes.apply_at(self.parent(), name, symlink);
        applied.map(drop).map_err(|errno| self.fail("set attributes", path, errno))
    }

    /// A hard link; one whose target is not here (yet) is put off.
    pub(super) fn hard_link(&mut self, path: &[u8], name: &[u8], target: &[u8]) -> Result<()> {
        let target = clean(target, &self.budget.limits)?;
        if target == path {
            return Ok(());
        }
        let (above, last) = split(&target);
        if last.is_empty() {
            return Err(bad(format!("the layer has {} as a hard link to its root", show(path))));
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
                prefixes(above).try_for_each(|prefix| self.check_parent(prefix).map(drop))?;
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
        self.make(path, name, |parent| linkat(&dir, last, parent, name, AtFlags::empty()))?;
        self.owners.link(path, &target);
        Ok(())
    }

    /// `.wh.HIDDEN` in `parent`. Entries of the same tar are never hidden: a
    /// directory of that name becomes opaque, anything else stays.
    pub(super) fn whiteout(&mut self, parent: &[u8], hidden: &[u8]) -> Result<()> {
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
