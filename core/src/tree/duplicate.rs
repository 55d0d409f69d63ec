//! Copies one file, link, device, FIFO or socket with all that it has.
//!
//! Host process. Data is shared with the original where the file system can
//! (ioctl_ficlone(2)), copied inside the kernel where that works
//! (copy_file_range(2)), else read and written; holes stay holes.
//!
//! Errors: the errno; callers name the paths.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mknodat};
use nix::unistd::{Whence, lseek, symlinkat};

use super::{Attributes, kind, open_at};
use crate::sys::{self, SysResult};

/// Makes `new` in `to`, where nothing of that name may be, a copy of `name` in
/// `from`, which is no directory. `keep` chooses the extended attributes,
/// `change` has the last word on all attributes.
pub(crate) fn duplicate(
    from: BorrowedFd<'_>,
    name: &[u8],
    stat: &FileStat,
    to: BorrowedFd<'_>,
    new: &[u8],
    keep: fn(&[u8]) -> bool,
    change: impl FnOnce(&mut Attributes),
) -> SysResult<()> {
    let mut attributes = Attributes::of(from, name, stat, keep)?;
    change(&mut attributes);
    let private = Mode::S_IRUSR | Mode::S_IWUSR;
    match kind(stat) {
        SFlag::S_IFREG => {
            // Something else may stand there by now: a FIFO must not block.
            let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
            let source = open_at(from, name, flags, Mode::empty())?;
            let found = fstat(&source)?;
            if kind(&found) != SFlag::S_IFREG {
                return Err(Errno::ESTALE);
            }
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY;
            let made = File::from(open_at(to, new, flags, private)?);
            data(&File::from(source), &made, found.st_size).map_err(errno)?;
            attributes.apply(made.as_fd()).map(drop)
        }
        SFlag::S_IFLNK => {
            let target = readlinkat(from, name)?;
            symlinkat(target.as_bytes(), to, new)?;
            attributes.apply_at(to, new, true).map(drop)
        }
        SFlag::S_IFDIR => Err(Errno::EISDIR),
        special => {
            mknodat(to, new, special, private, stat.st_rdev)?;
            attributes.apply_at(to, new, false).map(drop)
        }
    }
}

/// Fills the empty file `to` with the `size` bytes of `from`.
fn data(from: &File, to: &File, size: i64) -> io::Result<()> {
    if sys::ficlone(to.as_fd(), from.as_fd()).is_ok() {
        return Ok(());
    }
    let (mut from, mut to) = (from, to);
    let mut end = 0;
    while end < size {
        let start = match lseek(from, end, Whence::SeekData) {
            Ok(start) => start,
            // No data up to the end.
            Err(Errno::ENXIO) => break,
            // The file system knows no holes.
            Err(_) => end,
        };
        end = lseek(from, start, Whence::SeekHole).unwrap_or(size).max(start.saturating_add(1));
        let start = u64::try_from(start).unwrap_or(0);
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        let length = u64::try_from(end).unwrap_or(0).saturating_sub(start);
        io::copy(&mut from.take(length), &mut to)?;
    }
    to.set_len(u64::try_from(size).unwrap_or(0))
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::{data, duplicate};
    use crate::tree::stat;
    use nix::errno::Errno;
    use nix::sys::stat::{Mode, SFlag};
    use std::fs::{self, File};
    use std::io::{Seek, SeekFrom, Write};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

    const MEBIBYTE: u64 = 1 << 20;

    #[test]
    fn data_and_holes_of_a_sparse_file_stay() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(b"begin", 0).unwrap();
        from.write_all_at(&[7; 100_000], 64 * MEBIBYTE).unwrap();
        from.set_len(256 * MEBIBYTE).unwrap();
        data(&from, &to, 256 << 20).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 256 * MEBIBYTE);
        assert!(to.metadata().unwrap().blocks() * 512 < MEBIBYTE, "{:?}", to.metadata());
        let mut found = [0; 5];
        to.read_exact_at(&mut found, 0).unwrap();
        assert_eq!(&found, b"begin");
        let mut found = vec![0; 100_002];
        to.read_exact_at(&mut found, 64 * MEBIBYTE - 1).unwrap();
        assert_eq!((found[0], found[1], found[100_000], found[100_001]), (0, 7, 7, 0));
    }

    #[test]
    fn data_comes_whole_from_another_file_system_and_from_any_offset() {
        let other = nix::sys::memfd::memfd_create(c"data", nix::sys::memfd::MFdFlags::empty());
        let mut from = File::from(other.unwrap());
        let text: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        from.write_all(&text).unwrap();
        from.seek(SeekFrom::Start(12)).unwrap();
        let to = tempfile::NamedTempFile::new().unwrap();
        data(&from, to.as_file(), 300_000).unwrap();
        assert_eq!(fs::read(to.path()).unwrap(), text);
        data(&tempfile::tempfile().unwrap(), &tempfile::tempfile().unwrap(), 0).unwrap();
    }

    #[test]
    fn duplicate_keeps_type_mode_and_time_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o4711)).unwrap();
        symlink("nowhere", at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), Mode::from_bits_truncate(0o604)).unwrap();
        let open = File::open(dir.path()).unwrap();
        let copy = |name: &str, new: &str| {
            let found = stat(open.as_fd(), name.as_bytes()).unwrap().unwrap();
            let (from, to) = (name.as_bytes(), new.as_bytes());
            duplicate(open.as_fd(), from, &found, open.as_fd(), to, |_| true, |_| ())
        };
        for name in ["file", "link", "fifo"] {
            let new = format!("new {name}");
            copy(name, &new).unwrap();
            let (old, new) = (at(name).symlink_metadata(), at(&new).symlink_metadata());
            let (old, new) = (old.unwrap(), new.unwrap());
            assert_eq!(old.mode(), new.mode(), "{name}");
            let time = (old.mtime(), old.mtime_nsec());
            assert_eq!(time, (new.mtime(), new.mtime_nsec()), "{name}");
            assert_ne!(old.ino(), new.ino());
            assert_eq!(copy(name, "link"), Err(Errno::EEXIST), "{name}");
        }
        assert_eq!(fs::read(at("new file")).unwrap(), b"text");
        assert_eq!(fs::read_link(at("new link")).unwrap().as_os_str(), "nowhere");
        fs::create_dir(at("dir")).unwrap();
        assert_eq!(copy("dir", "new dir"), Err(Errno::EISDIR));
        let kind = at("new fifo").metadata().unwrap().mode() & SFlag::S_IFMT.bits();
        assert_eq!(kind, SFlag::S_IFIFO.bits());
    }
}
