//! Further programs of a container: `<container>/exec/<exec id>/`.
//!
//! | file | written by | what |
//! |---|---|---|
//! | `lock` | – | held as long as the program has a helper |
//! | `exec.json` | host, before anything is made | [`ExecMeta`] |
//! | `status.json` | helper, at exec | process ids |
//! | `exit.json` | host empty, helper once | the exit record |
//!
//! The directory of an attached program is removed by its helper when the
//! program ends; whoever waits has the record open. That of a detached one
//! stays as long as the container. What a helper that was killed leaves, the
//! next opening removes, or marks as lost.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind as IoErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lock::{self, Held};
use super::{Pids, StateDir, create, high, io, is_id, remove_tree, reserved};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::wait::{self, Exit};

/// `exec.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExecMeta {
    pub(crate) id: String,
    /// argv, for people.
    pub(crate) command: Vec<String>,
    /// Nanoseconds since 1970.
    pub(crate) created_at_ns: u64,
    /// Whether it goes on without its host, and its record is kept.
    pub(crate) detached: bool,
}

/// The directory of one program.
#[derive(Clone, Debug)]
pub(crate) struct ExecDir {
    path: PathBuf,
}

/// A directory that has just been made, with the descriptors that the helper
/// inherits.
#[derive(Debug)]
pub(crate) struct CreatedExec {
    pub(crate) dir: ExecDir,
    pub(crate) lock: OwnedFd,
    pub(crate) exit: File,
    pub(crate) status: File,
}

impl ExecDir {
    /// Makes the directory of a new program.
    pub(crate) fn create(container: &StateDir, meta: &ExecMeta) -> Result<CreatedExec> {
        let above = container.path().join("exec");
        match DirBuilder::new().mode(0o700).create(&above) {
            Err(error) if error.kind() != IoErrorKind::AlreadyExists => {
                return Err(io("mkdir", &above, error));
            }
            _ => {}
        }
        let new = above.join(format!(".new-{}", meta.id));
        let dir = ExecDir { path: above.join(&meta.id) };
        let made = Self::fill(&new, meta).and_then(|files| {
            fs::rename(&new, &dir.path).map_err(|error| io("rename", &dir.path, error))?;
            Ok(files)
        });
        match made {
            Ok((lock, exit, status)) => Ok(CreatedExec { dir, lock, exit, status }),
            Err(error) => {
                let _ = fs::remove_dir_all(&new);
                Err(error)
            }
        }
    }

    fn fill(new: &Path, meta: &ExecMeta) -> Result<(OwnedFd, File, File)> {
        let lock = lock::make_locked(new)?;
        let json = serde_json::to_vec(meta).unwrap_or_default();
        let path = new.join("exec.json");
        create(&path)?.write_all(&json).map_err(|error| io("write", &path, error))?;
        Ok((lock, reserved(&new.join("exit.json"))?, reserved(&new.join("status.json"))?))
    }

    /// The directory of a program that was started before.
    pub(crate) fn of_id(container: &StateDir, id: &str) -> Result<ExecDir> {
        let dir = ExecDir { path: container.path().join("exec").join(id) };
        if is_id(id) && dir.path.is_dir() { Ok(dir) } else { Err(no_such(id)) }
    }

    /// Ids of all programs of a container that have a directory.
    pub(crate) fn ids(container: &StateDir) -> Result<Vec<String>> {
        let mut names = names(&container.path().join("exec"))?;
        names.retain(|name| is_id(name));
        names.sort();
        Ok(names)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn meta(&self) -> Result<ExecMeta> {
        let json = self.read("exec.json")?;
        serde_json::from_slice(&json).map_err(|error| {
            Error::invalid(Stage::State, format!("exec.json: {error}")).with_source(error)
        })
    }

    /// Process ids, once it was executed.
    pub(crate) fn pids(&self) -> Result<Option<Pids>> {
        Ok(serde_json::from_slice(&self.read("status.json")?).ok())
    }

    pub(crate) fn exit_file(&self) -> Result<File> {
        let path = self.path.join("exit.json");
        File::open(&path).and_then(high).map_err(|error| self.failed("open", &path, error))
    }

    pub(crate) fn has_helper(&self) -> Result<bool> {
        lock::is_held(&self.path)?.ok_or_else(|| self.gone())
    }

    /// Removes what is left of a program whose helper is gone.
    pub(crate) fn remove(&self) -> Result<()> {
        remove_tree(&self.path)
    }

    /// Marks one whose helper was killed, or removes it if nobody may ask.
    fn bury(&self) -> Result<()> {
        if self.has_helper()? {
            return Ok(());
        }
        if !self.meta()?.detached {
            return self.remove();
        }
        if wait::read(&self.exit_file()?)?.is_some() {
            return Ok(());
        }
        let lost = serde_json::to_vec(&Exit::lost()).unwrap_or_default();
        let path = self.path.join("exit.json");
        fs::write(&path, lost).map_err(|error| io("write", &path, error))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        fs::read(&path).map_err(|error| self.failed("read", &path, error))
    }

    fn failed(&self, call: &str, path: &Path, error: std::io::Error) -> Error {
        match error.kind() {
            IoErrorKind::NotFound => self.gone(),
            _ => io(call, path, error),
        }
    }

    fn gone(&self) -> Error {
        no_such(&self.path.file_name().unwrap_or_default().to_string_lossy())
    }
}

fn no_such(id: &str) -> Error {
    Error::new(Stage::State, ErrorKind::NotFound, format!("exec {id:?} does not exist"))
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| io("opendir", directory, error))?,
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Looks at every program of a container whose helper is gone.
pub(super) fn sweep(container: &StateDir) -> Result<()> {
    let above = container.path().join("exec");
    for name in names(&above)? {
        let dir = ExecDir { path: above.join(&name) };
        if is_id(&name) {
            // One that its helper is removing just now is nobody's problem.
            let _ = dir.bury();
        } else if name.starts_with(".new-") {
            // With this lock nobody is between making a directory and locking
            // it.
            let _alone = Held::alone(&above)?;
            if !lock::is_held(&dir.path)?.unwrap_or(false) {
                dir.remove()?;
            }
        }
    }
    Ok(())
}
