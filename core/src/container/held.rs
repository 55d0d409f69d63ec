//! A process of a container, held so that its number can become nobody
//! else's.
//!
//! Host side. With `pidfd_open` (Linux 5.3) one descriptor does everything.
//! Without it the directory in /proc is what is signalled, and the end of a
//! helper is seen by its lock: only the helper has that open for writing, and
//! inotify(7) tells when the kernel closes it. pid 1 has nothing of the kind;
//! its end is looked for now and then, which only happens after a helper was
//! killed.
//!
//! Errors: stage `wait`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::error::{Error, Result, Stage};
use crate::sys::{self, SysResult};
use crate::wait;

/// Between two looks at a process.
const PAUSE: Duration = Duration::from_millis(5);

/// A process.
#[derive(Debug)]
pub(super) enum Held {
    /// A pidfd.
    Pidfd(OwnedFd),
    /// Its directory in /proc, and what becomes readable when it ends.
    Directory { directory: OwnedFd, end: Option<OwnedFd> },
}

impl Held {
    /// Opens a process. `lock` is what it has open for writing as long as it
    /// lives, and nobody else.
    pub(super) fn open(pid: i32, lock: Option<&Path>) -> SysResult<Held> {
        match sys::pidfd_open(pid) {
            Err(Errno::ENOSYS | Errno::EPERM) => {
                let directory = sys::process_directory(pid)?;
                let end = lock.map(closing).transpose()?;
                Ok(Held::Directory { directory, end })
            }
            other => other.map(Held::Pidfd),
        }
    }

    /// What becomes readable when it ends.
    pub(super) fn event(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Held::Pidfd(pidfd) => Some(pidfd.as_fd()),
            Held::Directory { end, .. } => end.as_ref().map(AsFd::as_fd),
        }
    }

    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Held::Pidfd(pidfd) => Some(pidfd.as_fd()),
            Held::Directory { .. } => None,
        }
    }

    /// Waits until it has ended. False: the time has passed first.
    pub(super) fn until_ended(&self, timeout: Option<Duration>) -> Result<bool> {
        if let Some(event) = self.event() {
            return wait::until_readable(event, timeout);
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let ended = sys::has_ended(self.as_fd());
            if ended.map_err(|errno| Error::sys(Stage::Wait, "read(/proc/<pid>/stat)", errno))? {
                return Ok(true);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            sleep(PAUSE);
        }
    }
}

/// For signals.
impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let (Held::Pidfd(fd) | Held::Directory { directory: fd, .. }) = self;
        fd.as_fd()
    }
}

/// Becomes readable when somebody closes the file who could write to it.
fn closing(path: &Path) -> SysResult<OwnedFd> {
    let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    watch.add_watch(path, AddWatchFlags::IN_CLOSE_WRITE)?;
    sys::high(watch.into())
}

#[cfg(test)]
mod tests {
    use super::{Held, closing};
    use crate::{sys, wait};
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    #[test]
    fn closing_of_a_writer_is_seen_and_that_of_a_reader_is_not() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let watch = closing(file.path()).expect("watch");
        let look = || wait::until_readable(watch.as_fd(), Some(Duration::ZERO)).expect("poll");
        drop(File::open(file.path()).expect("reader"));
        assert!(!look());
        drop(File::options().append(true).open(file.path()).expect("writer"));
        assert!(look() && look());
    }

    #[test]
    fn process_without_pidfd_is_waited_for() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        let pid = i32::try_from(child.id()).expect("a pid");
        let directory = sys::process_directory(pid).expect("directory");
        let held = Held::Directory { directory, end: None };
        assert!(held.event().is_none() && held.pidfd().is_none());
        assert!(!held.until_ended(Some(Duration::from_millis(6))).expect("look"));
        drop(child.stdin.take());
        assert!(held.until_ended(None).expect("look"));
        child.wait().expect("wait");
        assert!(held.until_ended(Some(Duration::ZERO)).expect("look"));
    }
}
