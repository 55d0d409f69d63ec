//! Reading one file of the container before its root is mounted.
//!
//! Stage `user`, host side. A path inside the container → the bytes that the
//! mounted root would show there. The layers are hostile: links are read as
//! text and start again at the container's root, so neither a link nor `..`
//! can name anything outside, and a link may lead from one layer to another;
//! only regular files of a bounded size are opened (CVE-2024-9676). Source:
//! path_resolution(7).

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use super::lower::{Entry, kind, look_up};
use crate::{Error, ErrorKind, Result, Stage, sys};

/// The longest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Links on the way, as many as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A file's bytes and the layer that it was found in.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) layer: PathBuf,
}

/// Reads the regular file at `path`, relative to the container's root.
/// `lowers` are directories of the host, topmost first. `None` if there is no
/// such file.
pub(super) fn read(lowers: &[PathBuf], path: &str) -> Result<Option<Found>> {
    let Some(entry) = locate(lowers, path)? else {
        return Ok(None);
    };
    let layer = lowers[entry.layer].clone();
    // Checked before opening, as opening a device or a FIFO has effects, and
    // after, as only the open file is certain.
    regular(entry.kind, path, &layer)?;
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let call = || format!("openat({:?}, O_RDONLY|O_NOFOLLOW|O_NONBLOCK)", layer.join(path));
    let file = open_again(&entry, flags)
        .and_then(sys::high)
        .map_err(|errno| Error::sys(Stage::User, call(), errno))?;
    regular(kind(&stat(file.as_fd(), &layer, path)?), path, &layer)?;

    let mut bytes = Vec::new();
    File::from(file)
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(Stage::User, format!("read({:?})", layer.join(path)), error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(Error::invalid(
            Stage::User,
            format!("{path:?} in {layer:?} has more than {MAX_BYTES} bytes"),
        ));
    }
    Ok(Some(Found { bytes, layer }))
}

/// Opens the file that was looked at, and no other that a running container has
/// put into its place meanwhile. Without /proc only its name leads there.
fn open_again(entry: &Entry, flags: OFlag) -> sys::SysResult<OwnedFd> {
    let path = format!("/proc/self/fd/{}", entry.itself.as_raw_fd());
    match open(path.as_str(), flags & !OFlag::O_NOFOLLOW, Mode::empty()) {
        Err(Errno::ENOENT) => openat(&entry.parent, entry.name.as_os_str(), flags, Mode::empty()),
        other => other,
    }
}

/// Walks `path` through the merged view.
fn locate(lowers: &[PathBuf], path: &str) -> Result<Option<Entry>> {
    let mut pending: VecDeque<OsString> = VecDeque::new();
    prepend(&mut pending, Path::new(path));
    let mut here: Vec<OsString> = Vec::new();
    let mut links = 0;
    let mut entry = None;
    while let Some(name) = pending.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        here.push(name);
        let Some(next) = look_up(lowers, &here)? else {
            return Ok(None);
        };
        match next.kind {
            SFlag::S_IFLNK => {
                links += 1;
                let call = || {
                    format!(
                        "readlinkat({:?})",
                        lowers[next.layer].join(here.iter().collect::<PathBuf>())
                    )
                };
                if links > MAX_LINKS {
                    return Err(Error::sys(Stage::User, call(), Errno::ELOOP)
                        .with_kind(ErrorKind::InvalidInput));
                }
                let target = readlinkat(&next.itself, "")
                    .map_err(|errno| Error::sys(Stage::User, call(), errno))?;
                here.pop();
                if Path::new(&target).is_absolute() {
                    here.clear();
                }
                prepend(&mut pending, Path::new(&target));
                entry = None;
            }
            SFlag::S_IFDIR => entry = Some(next),
            _ if pending.is_empty() => return Ok(Some(next)),
            // Something below what is not a directory.
            _ => return Ok(None),
        }
    }
    Ok(entry)
}

fn prepend(pending: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => pending.push_front(name.to_owned()),
            Component::ParentDir => pending.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

fn stat(fd: BorrowedFd<'_>, layer: &Path, path: &str) -> Result<FileStat> {
    fstat(fd)
        .map_err(|errno| Error::sys(Stage::User, format!("fstat({:?})", layer.join(path)), errno))
}

fn regular(kind: SFlag, path: &str, layer: &Path) -> Result<()> {
    let what = match kind {
        SFlag::S_IFREG => return Ok(()),
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFIFO => "a FIFO",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFCHR | SFlag::S_IFBLK => "a device",
        _ => "a special file",
    };
    Err(Error::invalid(
        Stage::User,
        format!("{path:?} in {layer:?} is {what}, expected a regular file"),
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, create_dir_all, write};
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use nix::errno::Errno;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::super::lower::tests::layers;
    use super::read;
    use crate::{ErrorKind, Stage};

    struct Layers(tempfile::TempDir, Vec<PathBuf>);

    impl Layers {
        fn new(count: usize) -> Layers {
            let (top, layers) = layers(count);
            Layers(top, layers)
        }

        fn at(&self, layer: usize, path: &str) -> PathBuf {
            self.1[layer].join(path)
        }

        fn text(&self) -> Option<String> {
            let found = read(&self.1, "etc/passwd").unwrap();
            found.map(|found| String::from_utf8(found.bytes).unwrap())
        }

        fn refusal(&self) -> (ErrorKind, Stage, String) {
            let error = read(&self.1, "etc/passwd").unwrap_err();
            let top = self.0.path().to_str().unwrap();
            (error.kind(), error.stage(), error.to_string().replace(top, "TOP"))
        }
    }

    #[test]
    fn bytes_come_with_their_layer() {
        let layers = Layers::new(2);
        assert_eq!(layers.text(), None);
        write(layers.at(1, "etc/passwd"), "bottom").unwrap();
        let found = read(&layers.1, "etc/passwd").unwrap().unwrap();
        assert_eq!((found.bytes.as_slice(), &found.layer), (&b"bottom"[..], &layers.1[1]));
    }

    #[test]
    fn links_stay_inside_and_cross_layers() {
        let layers = Layers::new(2);
        let secret = layers.0.path().join("secret");
        write(&secret, "outside").unwrap();
        let link = layers.at(0, "etc/passwd");
        for target in [
            secret.to_str().unwrap(),
            "../../secret",
            "../../../../../../../../secret",
            "/proc/self/root/secret",
        ] {
            symlink(target, &link).unwrap();
            assert_eq!(layers.text(), None, "{target}");
            fs::remove_file(&link).unwrap();
        }
        create_dir_all(layers.at(1, "usr/lib")).unwrap();
        write(layers.at(1, "usr/lib/passwd"), "inside").unwrap();
        for target in ["/usr/lib/passwd", "../usr/lib/passwd", "../../../usr/./lib/../lib/passwd"] {
            symlink(target, &link).unwrap();
            assert_eq!(layers.text().unwrap(), "inside", "{target}");
            fs::remove_file(&link).unwrap();
        }
        symlink("passwd", &link).unwrap();
        let (kind, stage, text) = layers.refusal();
        assert_eq!((kind, stage), (ErrorKind::InvalidInput, Stage::User));
        assert!(text.starts_with("user: readlinkat(\"TOP/0/etc/passwd\"): ELOOP"), "{text}");
    }

    #[test]
    fn only_regular_files_are_opened() {
        let layers = Layers::new(1);
        let path = layers.at(0, "etc/passwd");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let expected = "user: \"etc/passwd\" in \"TOP/0\" is a FIFO, expected a regular file";
        assert_eq!(layers.refusal(), (ErrorKind::InvalidInput, Stage::User, expected.to_owned()));
        fs::remove_file(&path).unwrap();
        create_dir_all(&path).unwrap();
        assert!(layers.refusal().2.contains("is a directory"));
        fs::remove_dir(&path).unwrap();
        symlink("/", &path).unwrap();
        assert_eq!(layers.text(), None);
        fs::remove_file(&path).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(layers.refusal().2.contains("is a socket"));
    }

    #[test]
    fn a_large_file_is_refused_in_bounded_memory() {
        let layers = Layers::new(1);
        let file = fs::File::create(layers.at(0, "etc/passwd")).unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(layers.text().unwrap().len(), 1 << 20);
        file.set_len(1 << 30).unwrap();
        let (kind, _, text) = layers.refusal();
        assert_eq!(kind, ErrorKind::InvalidInput);
        assert_eq!(text, "user: \"etc/passwd\" in \"TOP/0\" has more than 1048576 bytes");
    }

    #[test]
    fn a_missing_layer_is_an_error() {
        let error = read(&["/nonexistent/layer".into()], "etc/passwd").unwrap_err();
        assert_eq!((error.kind(), error.stage()), (ErrorKind::NotFound, Stage::User));
        assert_eq!(error.errno(), Some(Errno::ENOENT as i32));
        assert_eq!(error.message(), "open(\"/nonexistent/layer\", O_PATH|O_DIRECTORY)");
    }
}
