//! Control files: open, read and write with errors that name the call.
//!
//! Host side. A control file is named by its group's directory and a constant;
//! cgroup file systems have no symbolic links, so joining the two is safe.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Error, Result, Stage};
use crate::sys;

/// More than any control file, also `cgroup.procs` of a million processes.
const MOST: u64 = 16 << 20;

/// A descriptor of a group itself. (bpf(2) takes no O_PATH.)
pub(super) fn open_dir(dir: &Path) -> Result<OwnedFd> {
    open(OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY), dir).map(OwnedFd::from)
}

pub(super) fn open_for_writing(dir: &Path, name: &str) -> Result<File> {
    open(OpenOptions::new().write(true), &dir.join(name))
}

pub(super) fn open_for_reading(dir: &Path, name: &str) -> Result<File> {
    open(OpenOptions::new().read(true), &dir.join(name))
}

/// Opens close-on-exec (the standard library's default) and above 2, so that
/// a host that prints with its standard output closed prints into no limit.
fn open(options: &OpenOptions, path: &Path) -> Result<File> {
    let file = options
        .open(path)
        .map_err(|error| Error::io(Stage::Cgroup, format!("open({path:?})"), error))?;
    sys::high(file.into())
        .map(File::from)
        .map_err(|errno| Error::sys(Stage::Cgroup, format!("dup of {path:?}"), errno))
}

/// The whole file. Bytes that are not UTF-8 are replaced: no control file has
/// them where this crate looks.
pub(super) fn read(dir: &Path, name: &str) -> Result<String> {
    let mut file = open_for_reading(dir, name)?;
    read_open(&mut file, &dir.join(name))
}

/// What is left to read of an open file, at most 16 MiB.
pub(super) fn read_open(file: &mut File, path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    file.take(MOST)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(Stage::Cgroup, format!("read({path:?})"), error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The file, or None where this kernel has no such file, the group is gone
/// (ENODEV: while the file was open) or the file does not work in this kind of
/// group (EOPNOTSUPP: `cgroup.procs` of a threaded one).
pub(super) fn read_if_there(dir: &Path, name: &str) -> Result<Option<String>> {
    match read(dir, name) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error means that the file or its group is not there.
pub(super) fn is_gone(error: &Error) -> bool {
    [Errno::ENOENT, Errno::ENODEV, Errno::EOPNOTSUPP]
        .iter()
        .any(|errno| error.errno() == Some(*errno as i32))
}

/// Writes `value` in one call, as control files want it.
pub(super) fn write(dir: &Path, name: &str, value: &str) -> Result<()> {
    let mut file = open_for_writing(dir, name)?;
    loop {
        return match file.write(value.as_bytes()) {
            Err(error) if error.kind() == IoKind::Interrupted => continue,
            Err(error) => Err(Error::io(
                Stage::Cgroup,
                format!("write({:?}, {value:?})", dir.join(name)),
                error,
            )),
            Ok(_) => Ok(()),
        };
    }
}

/// Writes `value` if the file exists; whether it does.
pub(super) fn write_if_there(dir: &Path, name: &str, value: &str) -> Result<bool> {
    match write(dir, name, value) {
        Ok(()) => Ok(true),
        Err(error) if error.errno() == Some(Errno::ENOENT as i32) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The value of `key` in a file of `key value` lines.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    })
}

/// Whether a group or file exists. Anything but a clear "no" is a yes, so that
/// nothing is forgotten because of a passing error.
pub(super) fn exists(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() != IoKind::NotFound,
    }
}

/// `mkdir` of a group, for everybody to read.
pub(super) fn make_dir(dir: &Path) -> Result<()> {
    std::fs::create_dir(dir)
        .map_err(|error| Error::io(Stage::Cgroup, format!("mkdir({dir:?})"), error))
}

#[cfg(test)]
mod tests {
    use super::{keyed, read, read_if_there, write, write_if_there};
    use crate::error::{ErrorKind, Stage};

    #[test]
    fn a_missing_file_names_the_call() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(dir.path(), "memory.max").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.stage(), Stage::Cgroup);
        assert_eq!(error.errno(), Some(libc::ENOENT));
        assert_eq!(error.message(), format!("open({:?})", dir.path().join("memory.max")));
        assert_eq!(read_if_there(dir.path(), "memory.max").unwrap(), None);
        assert!(!write_if_there(dir.path(), "memory.max", "1").unwrap());
        assert!(!dir.path().join("memory.max").exists());
    }

    #[test]
    fn a_refused_write_names_value_and_errno() {
        let error = write("/dev".as_ref(), "full", "1").unwrap_err();
        assert_eq!(error.message(), r#"write("/dev/full", "1")"#);
        assert_eq!(error.errno(), Some(libc::ENOSPC));
    }

    #[test]
    fn keyed_finds_only_whole_keys() {
        let text = "usage_usec 12\nuser_usec x\nsystem_usec 18446744073709551616\n";
        assert_eq!(keyed(text, "usage_usec"), Some(12));
        assert_eq!(keyed(text, "usage"), None);
        assert_eq!(keyed(text, "user_usec"), None);
        assert_eq!(keyed(text, "system_usec"), None);
        assert_eq!(keyed("", "usage_usec"), None);
    }
}
