//! The helper program as something that can be executed.
//!
//! A sealed memory file, made once and kept: the program can then neither be
//! overwritten nor be told apart by a path. Where memory files cannot be
//! executed (`vm.memfd_noexec`, some security modules), an unlinked file in
//! the state directory takes its place, or, where that is mounted `noexec`,
//! in the data directory. A path given by the caller comes before all.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::{Error, Result, Stage};
use crate::sys;

/// The program, and which file it is: a host that closes descriptors it does
/// not know may have put another file behind the number.
#[derive(Debug)]
struct Program {
    fd: Arc<OwnedFd>,
    identity: (u64, u64),
}

static PROGRAM: Mutex<Option<Program>> = Mutex::new(None);

/// The program in a sealed memory file.
pub(crate) fn sealed() -> Result<Arc<OwnedFd>> {
    let mut program = PROGRAM.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(known) = &*program {
        if identity(&known.fd) == Some(known.identity) {
            return Ok(Arc::clone(&known.fd));
        }
        // The number is somebody else's by now: it is not ours to close.
        if let Some(lost) = program.take().and_then(|known| Arc::into_inner(known.fd)) {
            std::mem::forget(lost);
        }
    }
    let fd = Arc::new(memory_file(c"libctr-helper", libctr_helper::IMAGE, true)?);
    let identity = identity(&fd).unwrap_or_default();
    *program = Some(Program { fd: Arc::clone(&fd), identity });
    Ok(fd)
}

fn identity(fd: &OwnedFd) -> Option<(u64, u64)> {
    let stat = nix::sys::stat::fstat(fd.as_fd()).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// A sealed memory file with these contents; close-on-exec.
pub(crate) fn memory_file(name: &CStr, contents: &[u8], executable: bool) -> Result<OwnedFd> {
    let failed = |call: &str, errno| Error::sys(Stage::Launch, format!("{call}({name:?})"), errno);
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let wanted =
        MFdFlags::from_bits_retain(if executable { libc::MFD_EXEC } else { libc::MFD_NOEXEC_SEAL });
    let fd = match memfd_create(name, flags | wanted) {
        // Before Linux 6.3 neither flag was known.
        Err(Errno::EINVAL) => memfd_create(name, flags),
        other => other,
    };
    let fd = fd.and_then(sys::high).map_err(|errno| failed("memfd_create", errno))?;
    let mut file = File::from(fd);
    file.write_all(contents)
        .map_err(|error| Error::io(Stage::Launch, format!("write({name:?})"), error))?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))
        .map_err(|errno| failed("fcntl(F_ADD_SEALS)", errno))?;
    Ok(file.into())
}

/// The program at a path that the caller has given.
pub(crate) fn at(path: &Path) -> Result<OwnedFd> {
    let file = File::open(path)
        .map_err(|error| Error::io(Stage::Launch, format!("open({path:?}) (helper)"), error))?;
    sys::high(file.into())
        .map_err(|errno| Error::sys(Stage::Launch, "fcntl(F_DUPFD_CLOEXEC)", errno))
}

/// The program in a file of `directory` that has no name any more.
pub(crate) fn unlinked(directory: &Path) -> Result<OwnedFd> {
    let path = directory.join("helper");
    let failed = |call: &str, error| Error::io(Stage::Launch, format!("{call}({path:?})"), error);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o500)
        .open(&path)
        .map_err(|error| failed("open", error))?;
    let written = file.write_all(libctr_helper::IMAGE).map_err(|error| failed("write", error));
    // Opened again for reading only: a file that is open for writing cannot
    // be executed (ETXTBSY).
    let reading = written.and_then(|()| File::open(&path).map_err(|error| failed("open", error)));
    fs::remove_file(&path).map_err(|error| failed("unlink", error))?;
    drop(file);
    let fd = OwnedFd::from(reading?);
    sys::high(fd).map_err(|errno| Error::sys(Stage::Launch, "fcntl(F_DUPFD_CLOEXEC)", errno))
}

#[cfg(test)]
mod tests {
    use super::{memory_file, sealed};
    use std::os::fd::AsRawFd;

    #[test]
    fn sealed_program_is_made_once_and_again_after_its_number_was_taken() {
        let first = sealed().expect("first").as_raw_fd();
        assert_eq!(sealed().expect("second").as_raw_fd(), first);
    }

    #[test]
    fn memory_file_cannot_be_written_any_more() {
        let fd = memory_file(c"test", b"text", false).expect("memory file");
        assert_eq!(nix::unistd::write(&fd, b"more"), Err(nix::errno::Errno::EPERM));
    }
}
