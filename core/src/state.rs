//! One container's directory on disk, and finding containers by it.
//!
//! Stage `state`, host side. `<run>/containers/<id>/`:
//!
//! | file | written by | what |
//! |---|---|---|
//! | `lock` | – | its `flock` is held, exclusively, as long as the container has a helper; all others only share it |
//! | `meta.json` | host, before anything is made | [`Meta`] |
//! | `config.json` | host, before the start | the plan as an OCI runtime document |
//! | `status.json` | helper, at exec | process ids of helper and pid 1 |
//! | `exit.json` | host empty, helper once | the exit record |
//! | `exec/` | host, helpers of their own | further programs, each with a directory like this one ([`exec`]) |
//! | `log`, `log.1` | helper | output of a container that nobody reads from |
//!
//! What will be made is recorded before it is made, so whatever a crash
//! leaves, the next opening of the state directory finds and removes
//! ([`sweep`]). A directory appears under its final name with its lock held.

mod exec;
mod lock;
mod meta;
mod name;
mod sweep;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind as IoErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use lock::Held;
pub use meta::RootMount;

pub(crate) use exec::{ExecDir, ExecMeta};
pub(crate) use meta::{ExecBasis, Meta, Pids};
pub(crate) use sweep::{bury, sweep};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::sys;
use crate::userns::job;

/// The directory of one container.
#[derive(Clone, Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
}

/// A directory that has just been made, with the descriptors that the helper
/// inherits.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) dir: StateDir,
    /// Holds the lock.
    pub(crate) lock: OwnedFd,
    /// The empty file of the exit record.
    pub(crate) exit: File,
    /// The empty file of the process ids.
    pub(crate) status: File,
}

fn io(call: &str, path: &Path, error: std::io::Error) -> Error {
    Error::io(Stage::State, format!("{call}({path:?})"), error)
}

impl StateDir {
    /// Makes the directory of a new container and claims its name.
    pub(crate) fn create(run: &Path, meta: &Meta) -> Result<Created> {
        let containers = run.join("containers");
        let new = containers.join(format!(".new-{}", meta.id));
        let dir = StateDir { path: containers.join(&meta.id) };
        let made = Self::fill(&new, meta);
        let (lock, exit, status) = match made {
            Ok(files) => files,
            Err(error) => {
                let _ = fs::remove_dir_all(&new);
                return Err(error);
            }
        };
        let claimed = meta.name.as_ref().map_or(Ok(()), |name| name::claim(run, name, &meta.id));
        let renamed = claimed.and_then(|()| {
            fs::rename(&new, &dir.path).map_err(|error| io("rename", &dir.path, error))
        });
        if let Err(error) = renamed {
            let _ = fs::remove_dir_all(&new);
            return Err(error);
        }
        Ok(Created { dir, lock, exit, status })
    }

    fn fill(new: &Path, meta: &Meta) -> Result<(OwnedFd, File, File)> {
        let lock = lock::make_locked(new)?;
        let mut file = create(&new.join("meta.json"))?;
        file.write_all(&meta.to_json()?)
            .map_err(|error| io("write", &new.join("meta.json"), error))?;
        Ok((lock, reserved(&new.join("exit.json"))?, reserved(&new.join("status.json"))?))
    }

    /// The directory of a container that is there already.
    pub(crate) fn of_id(run: &Path, id: &str) -> StateDir {
        StateDir { path: run.join("containers").join(id) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a file.
    pub(crate) fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        create(&path)?.write_all(contents).map_err(|error| io("write", &path, error))
    }

    /// The OCI runtime document, if there is one.
    pub(crate) fn config(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&fs::read(self.path.join("config.json")).ok()?).ok()
    }

    /// What was recorded when it was made.
    pub(crate) fn meta(&self) -> Result<Meta> {
        let path = self.path.join("meta.json");
        let json = fs::read(&path).map_err(|error| match error.kind() {
            IoErrorKind::NotFound => no_such(&self.path),
            _ => io("read", &path, error),
        })?;
        Meta::from_json(&json)
    }

    /// Process ids of a container that was started.
    pub(crate) fn pids(&self) -> Result<Option<Pids>> {
        let path = self.path.join("status.json");
        let json = fs::read(&path).map_err(|error| match error.kind() {
            IoErrorKind::NotFound => no_such(&self.path),
            _ => io("read", &path, error),
        })?;
        Ok(serde_json::from_slice(&json).ok())
    }

    /// The file of the exit record.
    pub(crate) fn exit_file(&self) -> Result<File> {
        let path = self.path.join("exit.json");
        File::open(&path).and_then(high).map_err(|error| match error.kind() {
            IoErrorKind::NotFound => no_such(&self.path),
            _ => io("open", &path, error),
        })
    }

    /// Whether the container has a helper, or is being made just now.
    pub(crate) fn has_helper(&self) -> Result<bool> {
        lock::is_held(&self.path)?.ok_or_else(|| no_such(&self.path))
    }

    /// Removes all of a container without processes. The directory goes last:
    /// without it nobody would find what is left.
    pub(crate) fn remove(&self, run: &Path, meta: &Meta) -> Result<()> {
        meta.groups.remove()?;
        if let Some(upper) = &meta.upper {
            remove_tree(upper)?;
        }
        if let Some(name) = &meta.name {
            name::release(run, name, &meta.id)?;
        }
        remove_tree(&self.path)
    }
}

fn create(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(high)
        .map_err(|error| io("open", path, error))
}

/// The file behind a number above those of the standard streams, which a host
/// may have closed: it would otherwise write its messages into ours, and the
/// helper puts its own files into those places.
fn high(file: File) -> std::io::Result<File> {
    Ok(sys::high(file.into()).map(File::from)?)
}

/// Most bytes of a file that the helper writes.
const RECORD: i64 = 1024;

/// An empty file whose space is taken: what the helper writes into it must not
/// depend on what is free when the container ends.
fn reserved(path: &Path) -> Result<File> {
    let file = create(path)?;
    loop {
        match fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, RECORD) {
            // Not every file system can.
            Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => return Ok(file),
            // tmpfs gives up at any signal (mm/shmem.c, shmem_fallocate).
            Err(Errno::EINTR) => {}
            Err(errno) => {
                return Err(Error::sys(Stage::State, format!("fallocate({path:?})"), errno));
            }
        }
    }
}

/// Removes a directory and all below it, as deep as its program has made it;
/// absence is no error.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let parent = match File::open(parent) {
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| io("open", parent, error))?,
    };
    job::remove_tree(parent.as_fd(), name.as_bytes(), path, |errno| {
        Error::sys(Stage::State, format!("rmtree({path:?})"), errno)
    })
}

fn no_such(what: &Path) -> Error {
    let name = what.file_name().unwrap_or(what.as_os_str());
    Error::new(Stage::State, ErrorKind::NotFound, format!("container {name:?} does not exist"))
}

/// Makes the directories of a run directory.
pub(crate) fn prepare(run: &Path) -> Result<()> {
    for path in [run.join("containers"), run.join("names")] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| io("mkdir", &path, error))?;
    }
    Ok(())
}

/// Ids of all containers of a run directory.
pub(crate) fn ids(run: &Path) -> Result<Vec<String>> {
    let path = run.join("containers");
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| io("opendir", &path, error))?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io("readdir", &path, error))?;
        if let Ok(id) = entry.file_name().into_string()
            && is_id(&id)
        {
            ids.push(id);
        }
    }
    ids.sort();
    Ok(ids)
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Finds a container by name, id, or the beginning of an id that only it has.
pub(crate) fn find(run: &Path, text: &str) -> Result<StateDir> {
    if is_id(text) && StateDir::of_id(run, text).path.is_dir() {
        return Ok(StateDir::of_id(run, text));
    }
    if let Some(id) = name::lookup(run, text) {
        return Ok(StateDir::of_id(run, &id));
    }
    let hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut matches = Vec::new();
    if hex {
        matches = ids(run)?;
        matches.retain(|id| id.starts_with(text));
    }
    match matches.as_slice() {
        [id] => Ok(StateDir::of_id(run, id)),
        [] => Err(no_such(Path::new(text))),
        several => Err(Error::invalid(
            Stage::State,
            format!("container {text:?}: {} ids begin with it", several.len()),
        )),
    }
}

/// A new id: 128 random bits in hexadecimal digits.
pub(crate) fn new_id() -> Result<String> {
    let mut bytes = [0_u8; 16];
    sys::getrandom(&mut bytes)
        .map_err(|errno| Error::sys(Stage::State, "getrandom(16 bytes)", errno))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::{StateDir, remove_tree, sys};
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    #[test]
    fn one_that_looks_is_not_taken_for_a_helper() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("lock");
        fs::write(&path, "").expect("lock");
        let dir = StateDir { path: directory.path().to_owned() };
        let other = File::open(&path).expect("open");
        other.try_lock_shared().expect("free");
        assert!(!dir.has_helper().expect("look"));
        drop(other);
        let helper = File::open(&path).expect("open");
        assert!(sys::try_lock(helper.as_fd()).expect("flock"));
        assert!(dir.has_helper().expect("look"));
    }

    #[test]
    fn tree_of_any_depth_is_removed_and_absence_is_no_error() {
        let directory = tempfile::tempdir().expect("directory");
        let top = directory.path().join("upper");
        fs::create_dir(&top).expect("directory");
        // Far deeper than any path, stack or descriptor table.
        let mut at = File::open(&top).expect("directory").into();
        for _ in 0..1_500 {
            mkdirat(&at, "d", Mode::S_IRWXU).expect("directory");
            at = openat(&at, "d", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).expect("open");
        }
        remove_tree(&top).expect("removed");
        assert!(!top.exists());
        remove_tree(&top).expect("absent");
        remove_tree(&top.join("below")).expect("absent");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("file");
        let error = remove_tree(&file.join("below")).expect_err("below a file");
        let text = format!("state: rmtree({:?}): ENOTDIR (Not a directory)", file.join("below"));
        assert_eq!(error.to_string(), text);
        assert_eq!((error.kind(), error.errno()), (crate::ErrorKind::SetupFailed, Some(20)));
    }
}
