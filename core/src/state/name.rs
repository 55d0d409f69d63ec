//! Names of containers: symbolic links `<run>/names/<name>` to ids, so that
//! taking a name is one atomic call.

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Held, StateDir, io, is_id};
use crate::error::{Error, ErrorKind, Result, Stage};

fn link(run: &Path, name: &str) -> PathBuf {
    run.join("names").join(name)
}

/// One at a time: between finding a name stale and taking it nobody else may
/// do the same.
fn alone(run: &Path) -> Result<Held> {
    Held::alone(&run.join("names"))
}

/// Removes the names of containers that are no more.
pub(super) fn sweep(run: &Path) -> Result<()> {
    let names = run.join("names");
    let _alone = alone(run)?;
    for entry in fs::read_dir(&names).map_err(|error| io("opendir", &names, error))?.flatten() {
        let name = entry.file_name();
        // What cannot be looked at now may be somebody's.
        let owner = name.to_str().map_or(Ok(None), |name| owner(run, name));
        if matches!(owner, Ok(None)) {
            fs::remove_file(entry.path()).map_err(|error| io("unlink", &entry.path(), error))?;
        }
    }
    Ok(())
}

/// Gives the name to a container.
pub(super) fn claim(run: &Path, name: &str, id: &str) -> Result<()> {
    let link = link(run, name);
    let _alone = alone(run)?;
    match symlink(id, &link) {
        Err(error) if error.kind() == IoErrorKind::AlreadyExists => {}
        other => return other.map_err(|error| io("symlink", &link, error)),
    }
    if let Some(owner) = lookup(run, name) {
        let message = format!("the name {name:?} is taken by container {}", &owner[..12]);
        return Err(Error::new(Stage::State, ErrorKind::AlreadyExists, message)
            .with_hint("remove that container or choose another name"));
    }
    fs::remove_file(&link).map_err(|error| io("unlink", &link, error))?;
    symlink(id, &link).map_err(|error| io("symlink", &link, error))
}

/// The container that has the name. A link that leads to no container is
/// nobody's.
pub(super) fn lookup(run: &Path, name: &str) -> Option<String> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return None;
    }
    owner(run, name).ok().flatten()
}

fn owner(run: &Path, name: &str) -> std::io::Result<Option<String>> {
    let target = match fs::read_link(link(run, name)) {
        // A link that is gone, and what is no link (EINVAL), lead nowhere.
        Err(error) if matches!(error.kind(), IoErrorKind::NotFound | IoErrorKind::InvalidInput) => {
            return Ok(None);
        }
        other => other?,
    };
    let Some(id) = target.to_str().filter(|id| is_id(id)) else { return Ok(None) };
    // In this order: between the two looks it may get its final name.
    for path in [
        run.join("containers").join(format!(".new-{id}")),
        StateDir::of_id(run, id).path().to_owned(),
    ] {
        match fs::metadata(path) {
            Err(error) if error.kind() == IoErrorKind::NotFound => {}
            found => {
                if found?.is_dir() {
                    return Ok(Some(id.to_owned()));
                }
            }
        }
    }
    Ok(None)
}

/// Takes the name back, if it still is this container's.
pub(super) fn release(run: &Path, name: &str, id: &str) -> Result<()> {
    if fs::read_link(link(run, name)).is_ok_and(|owner| owner == Path::new(id)) {
        let link = link(run, name);
        match fs::remove_file(&link) {
            Err(error) if error.kind() != IoErrorKind::NotFound => {
                return Err(io("unlink", &link, error));
            }
            _ => {}
        }
    }
    Ok(())
}
