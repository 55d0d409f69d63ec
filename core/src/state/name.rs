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
        let owner = entry.file_name().to_str().and_then(|name| lookup(run, name));
        if owner.is_none() {
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
    let id = fs::read_link(link(run, name)).ok()?.into_os_string().into_string().ok()?;
    let new = run.join("containers").join(format!(".new-{id}"));
    // In this order: between the two looks it may get its final name.
    let exists = is_id(&id) && (new.is_dir() || StateDir::of_id(run, &id).path().is_dir());
    exists.then_some(id)
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
