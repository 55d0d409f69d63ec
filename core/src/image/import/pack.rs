//! Packs a directory as a tar, for importing it as a layer.
//!
//! Stage `image`, host process. The same tree gives the same bytes: names
//! sorted, times as they are, no names of owners. What a ustar header cannot
//! hold (long names, nanoseconds, attributes) goes into pax records. Symbolic
//! links are never followed; sockets have no form in a tar and are left out.
//!
//! Errors: `image`, with call, path and errno; a file that shrinks while it is
//! read is invalid input.
//! Sources: POSIX pax, tar(5), image-spec `layer.md`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, major, minor};
use tar::{Builder, EntryType, Header};

use crate::error::Result;
use crate::image::dir::{Dir, failed, kind, open_at};
use crate::image::limits::{Budget, exceeded};
use crate::image::unpack::attributes::{Attributes, allowed};
use crate::image::{bad, unwrap_io};

struct Packer<'a, W: Write> {
    archive: Builder<W>,
    budget: &'a Budget<'a>,
    root: &'a Dir,
    /// Files with several names, by device and inode, and their first name.
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// Writes everything below `root` to `writer`, the root's own entry first.
pub(crate) fn pack<W: Write>(root: &Dir, writer: W, budget: &Budget<'_>) -> Result<W> {
    let mut packer = Packer { archive: Builder::new(writer), budget, root, links: HashMap::new() };
    let stat = fstat(root).map_err(|errno| failed("fstat", root.path(), errno))?;
    packer.entry(root.as_fd(), b".", b"./", &stat)?;
    packer.below(root.as_fd(), b"", 1)?;
    packer.archive.into_inner().map_err(|error| unwrap_io("write", error))
}

impl<W: Write> Packer<'_, W> {
    fn below(&mut self, dir: BorrowedFd<'_>, path: &[u8], depth: usize) -> Result<()> {
        if depth > self.budget.limits.depth {
            return Err(exceeded("directories that are too deep", self.budget.limits.depth));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let fd =
            open_at(dir, ".", flags, Mode::empty()).map_err(|e| self.fail("openat", path, e))?;
        let here = Dir::from_fd(fd, self.root.name(path));
        for name in here.names()? {
            self.budget.check()?;
            let Some(stat) = here.stat(&name)? else {
                continue;
            };
            let path = [path, &name].concat();
            self.budget.entry()?;
            match kind(&stat) {
                SFlag::S_IFSOCK => {
                    log::warn!("image: the socket {:?} is left out", self.root.name(&path))
                }
                SFlag::S_IFDIR => {
                    let path = [&path[..], b"/"].concat();
                    self.entry(here.as_fd(), &name, &path, &stat)?;
                    let fd = self.open(here.as_fd(), &name, &path, flags)?;
                    self.below(fd.as_fd(), &path, depth + 1)?;
                }
                _ => self.entry(here.as_fd(), &name, &path, &stat)?,
            }
        }
        Ok(())
    }

    /// One entry with its records and data.
    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        stat: &FileStat,
    ) -> Result<()> {
        let attributes = Attributes::of(dir, name, stat, allowed)
            .map_err(|e| self.fail("read attributes", path, e))?;
        let mut header = Header::new_ustar();
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        let mut target = Vec::new();
        let mut data: Option<(File, u64)> = None;
        let first = (stat.st_nlink > 1 && kind(stat) != SFlag::S_IFDIR)
            .then(|| self.links.get(&(stat.st_dev, stat.st_ino)).cloned());
        header.set_entry_type(match (first, kind(stat)) {
            (Some(Some(first)), _) => {
                target = first;
                EntryType::Link
            }
            (_, SFlag::S_IFREG) => {
                let fd = self.open(dir, name, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
                data = Some((File::from(fd), u64::try_from(stat.st_size).unwrap_or(0)));
                EntryType::Regular
            }
            (_, SFlag::S_IFDIR) => EntryType::Directory,
            (_, SFlag::S_IFLNK) => {
                target = readlinkat(dir, name)
                    .map_err(|e| self.fail("readlinkat", path, e))?
                    .as_bytes()
                    .to_vec();
                EntryType::Symlink
            }
            (_, SFlag::S_IFIFO) => EntryType::Fifo,
            (_, SFlag::S_IFBLK) => EntryType::Block,
            _ => EntryType::Char,
        });
        if kind(stat) != SFlag::S_IFDIR && stat.st_nlink > 1 {
            self.links.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.to_vec());
        }
        let size = data.as_ref().map_or(0, |(_, size)| *size);
        self.budget.stage(size)?;
        header.set_size(size);
        header.set_mode(attributes.mode);
        header.set_uid(u64::from(attributes.uid));
        header.set_gid(u64::from(attributes.gid));
        let time = attributes.mtime;
        header.set_mtime(u64::try_from(time.seconds).unwrap_or(0));
        if time.nanoseconds != 0 || time.seconds < 0 {
            records.push(("mtime".to_owned(), pax_time(time.seconds, time.nanoseconds)));
        }
        if matches!(kind(stat), SFlag::S_IFCHR | SFlag::S_IFBLK) && target.is_empty() {
            let number =
                |n: u64| u32::try_from(n).map_err(|_| bad("a device number that is too large"));
            let set = header.set_device_major(number(major(stat.st_rdev))?);
            set.and(header.set_device_minor(number(minor(stat.st_rdev))?))
                .map_err(|e| unwrap_io("tar", e))?;
        }
        if let Some(ustar) = header.as_ustar_mut() {
            name_field(&mut ustar.name, path, "path", &mut records);
            name_field(&mut ustar.linkname, &target, "linkpath", &mut records);
        }
        if kind(stat) != SFlag::S_IFLNK || !attributes.xattrs.is_empty() {
            for (name, value) in &attributes.xattrs {
                let name = String::from_utf8_lossy(name.to_bytes()).into_owned();
                records.push((format!("SCHILY.xattr.{name}"), value.clone()));
            }
        }
        header.set_cksum();
        let write = |error| unwrap_io("write", error);
        if !records.is_empty() {
            let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            self.archive.append_pax_extensions(records).map_err(write)?;
        }
        match data {
            None => self.archive.append(&header, std::io::empty()).map_err(write),
            Some((file, size)) => {
                let mut file = Counted { file: file.take(size), read: 0 };
                self.archive.append(&header, &mut file).map_err(write)?;
                if file.read == size {
                    return Ok(());
                }
                Err(bad(format!("{:?} changed while it was read", self.root.name(path))))
            }
        }
    }

    fn open(&self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8], flags: OFlag) -> Result<OwnedFd> {
        open_at(dir, name, flags, Mode::empty()).map_err(|errno| self.fail("openat", path, errno))
    }

    fn fail(&self, call: &str, path: &[u8], errno: nix::errno::Errno) -> crate::Error {
        failed(call, &self.root.name(path), errno)
    }
}

struct Counted<R> {
    file: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read += u64::try_from(n).unwrap_or(u64::MAX);
        Ok(n)
    }
}

/// A name in its field, or cut there and whole in a record.
fn name_field(field: &mut [u8; 100], name: &[u8], key: &str, records: &mut Vec<(String, Vec<u8>)>) {
    let n = name.len().min(field.len());
    field[..n].copy_from_slice(&name[..n]);
    if name.len() > field.len() {
        records.push((key.to_owned(), name.to_vec()));
    }
}

/// Seconds with a fraction, as pax writes times; before 1970 both parts count
/// backwards.
fn pax_time(seconds: i64, nanoseconds: i64) -> Vec<u8> {
    let text = match (seconds < 0, nanoseconds) {
        (true, 1..) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
        (_, 0) => seconds.to_string(),
        _ => format!("{seconds}.{nanoseconds:09}"),
    };
    text.into_bytes()
}
