//! Finding a path in the lower layers, as the mounted overlay would.
//!
//! Stage `user`, host side. A layer hides those below with whiteouts and
//! opaque directories. Every component is one `openat` that follows nothing,
//! so no layer can point outside. `xwhiteouts` (Linux 6.7, made by composefs)
//! are not known here. Source: overlayfs.rst of the kernel, "whiteouts and
//! opaque directories".

use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use crate::{Error, Result, Stage, sys};

/// What a path names in the merged view: enough to open it for reading.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) layer: usize,
    pub(super) parent: OwnedFd,
    pub(super) name: OsString,
    pub(super) itself: OwnedFd,
    pub(super) kind: SFlag,
}

/// Finds a path without links in the topmost layer that has it.
///
/// Layers are walked from their roots each time, so that an image of 500
/// layers needs no more descriptors of the host than one of a single layer.
pub(super) fn look_up(lowers: &[PathBuf], path: &[OsString]) -> Result<Option<Entry>> {
    let Some((last, parents)) = path.split_last() else {
        return Ok(None);
    };
    'layers: for (layer, lower) in lowers.iter().enumerate() {
        let failed = |errno| {
            let full = lower.join(path.iter().collect::<PathBuf>());
            Error::sys(Stage::User, format!("openat({full:?}, O_PATH|O_NOFOLLOW)"), errno)
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory =
            open(lower, flags, Mode::empty()).and_then(sys::high).map_err(|errno| {
                Error::sys(Stage::User, format!("open({lower:?}, O_PATH|O_DIRECTORY)"), errno)
            })?;
        let mut hides_below = false;
        for name in parents {
            let Some(next) = step(directory.as_fd(), name).map_err(failed)? else {
                if hides_below {
                    return Ok(None);
                }
                continue 'layers;
            };
            // A whiteout, or something that is not a directory here.
            if kind(&fstat(&next).map_err(failed)?) != SFlag::S_IFDIR {
                return Ok(None);
            }
            hides_below |= layer + 1 < lowers.len() && is_opaque(next.as_fd()).map_err(failed)?;
            directory = next;
        }
        match step(directory.as_fd(), last).map_err(failed)? {
            Some(itself) => {
                let stat = fstat(&itself).map_err(failed)?;
                let kind = kind(&stat);
                let whiteout = kind == SFlag::S_IFCHR && stat.st_rdev == 0;
                let entry = Entry { layer, parent: directory, name: last.clone(), itself, kind };
                return Ok((!whiteout).then_some(entry));
            }
            None if hides_below => return Ok(None),
            None => {}
        }
    }
    Ok(None)
}

/// One component, without following it; `None` if it does not exist.
fn step(directory: BorrowedFd<'_>, name: &OsString) -> sys::SysResult<Option<OwnedFd>> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(directory, name.as_os_str(), flags, Mode::empty()) {
        Ok(fd) => sys::high(fd).map(Some),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether a directory hides those of the layers below. Which of the two
/// attributes counts depends on how the overlay will be mounted; a layer is
/// unpacked for one way and carries one.
fn is_opaque(directory: BorrowedFd<'_>) -> sys::SysResult<bool> {
    const NAMES: [&CStr; 2] = [c"trusted.overlay.opaque", c"user.overlay.opaque"];
    // Attributes cannot be read through an O_PATH descriptor.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = sys::high(openat(directory, ".", flags, Mode::empty())?)?;
    for name in NAMES {
        let mut value = [0; 8];
        match sys::fgetxattr(directory.as_fd(), name, &mut value) {
            Ok(length) if value[..length] == *b"y" => return Ok(true),
            Ok(_) | Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::ERANGE) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(false)
}

pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

#[cfg(test)]
pub(super) mod tests {
    use std::ffi::OsString;
    use std::fs::{self, File, create_dir_all, write};
    use std::path::PathBuf;

    use nix::errno::Errno;
    use nix::sys::stat::{Mode, SFlag, mknod};
    use tempfile::TempDir;

    use super::look_up;
    use crate::sys::fsetxattr;
    use std::os::fd::AsFd;

    /// Layers top first, each with an `etc` directory.
    pub(in crate::process) fn layers(count: usize) -> (TempDir, Vec<PathBuf>) {
        let top = tempfile::tempdir().unwrap();
        let layers: Vec<_> = (0..count).map(|layer| top.path().join(layer.to_string())).collect();
        layers.iter().for_each(|layer| create_dir_all(layer.join("etc")).unwrap());
        (top, layers)
    }

    /// The layer that the merged view takes `etc/passwd` from.
    fn found(layers: &[PathBuf]) -> Option<usize> {
        let path: [OsString; 2] = ["etc".into(), "passwd".into()];
        look_up(layers, &path).unwrap().map(|entry| entry.layer)
    }

    #[test]
    fn topmost_layer_wins_and_absent_is_none() {
        let (_top, layers) = layers(3);
        assert_eq!(found(&layers), None);
        write(layers[2].join("etc/passwd"), "").unwrap();
        assert_eq!(found(&layers), Some(2));
        fs::remove_dir(layers[0].join("etc")).unwrap();
        write(layers[1].join("etc/passwd"), "").unwrap();
        assert_eq!(found(&layers), Some(1));
    }

    #[test]
    fn whiteout_and_file_hide_what_is_below() {
        // Whiteouts may be made without privilege since Linux 5.8.
        let whiteout = |path: PathBuf| mknod(&path, SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
        let (_top, layers) = layers(2);
        write(layers[1].join("etc/passwd"), "").unwrap();
        whiteout(layers[0].join("etc/passwd"));
        assert_eq!(found(&layers), None);

        fs::remove_dir_all(layers[0].join("etc")).unwrap();
        assert_eq!(found(&layers), Some(1));
        whiteout(layers[0].join("etc"));
        assert_eq!(found(&layers), None);
        fs::remove_file(layers[0].join("etc")).unwrap();
        write(layers[0].join("etc"), "a file").unwrap();
        assert_eq!(found(&layers), None);
    }

    #[test]
    fn opaque_directory_hides_the_layers_below() {
        let mut tried = 0;
        for name in [c"trusted.overlay.opaque", c"user.overlay.opaque"] {
            let (_top, layers) = layers(2);
            write(layers[1].join("etc/passwd"), "").unwrap();
            let etc = File::open(layers[0].join("etc")).unwrap();
            match fsetxattr(etc.as_fd(), name, b"x") {
                // The first needs root, the second Linux 6.6 on a tmpfs.
                Err(Errno::EPERM | Errno::EOPNOTSUPP) => continue,
                result => result.unwrap(),
            }
            tried += 1;
            assert_eq!(found(&layers), Some(1));
            fsetxattr(etc.as_fd(), name, b"y").unwrap();
            assert_eq!(found(&layers), None);
            write(layers[0].join("etc/passwd"), "").unwrap();
            assert_eq!(found(&layers), Some(0));
        }
        assert_ne!(tried, 0, "no attribute could be set");
    }
}
