//! Removes what dead helpers and dead hosts have left.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Held, StateDir, exec, ids, io, name, remove_tree};
use crate::error::{Error, ErrorKind, Result};
use crate::wait::{self, Exit};

/// Looks at every container that has no helper: groups, upper layer and
/// directory of one that should be gone are removed; one that is kept and has
/// no exit record is marked as lost.
pub(crate) fn sweep(run: &Path) -> Result<()> {
    for id in ids(run)? {
        // One that another process is removing just now is nobody's problem.
        let _ = bury(run, &StateDir::of_id(run, &id));
    }
    // Whoever else opens the directory now does the same.
    let _ = half_made(run);
    let _ = name::sweep(run);
    Ok(())
}

/// Removes what is left of one container, if it has no helper.
pub(crate) fn bury(run: &Path, dir: &StateDir) -> Result<()> {
    // Its removal was begun and not finished: of the files any may be gone by
    // then, and the directory is removed last.
    let begun = |error: Error| match error.kind() {
        ErrorKind::NotFound => remove_tree(dir.path()),
        _ => Err(error),
    };
    match dir.has_helper() {
        Ok(false) => {}
        Ok(true) => return exec::sweep(dir),
        Err(error) => return begun(error),
    }
    // One at a time, and whoever comes second need not wait; the container's
    // own lock says something else.
    let Some(_alone) = Held::if_free(dir.path())? else { return Ok(()) };
    let files = dir.meta().and_then(|meta| Ok((meta, dir.exit_file()?)));
    let (meta, record) = match files {
        Ok((meta, exit)) => (meta, wait::read(&exit)?),
        Err(error) => return begun(error),
    };
    // pid 1 has died with its helper; what shared no pid namespace is killed
    // with the groups. They may be there after the record was written.
    if !meta.groups.is_none() {
        meta.groups.kill()?;
        meta.groups.remove()?;
    }
    exec::sweep(dir)?;
    if meta.removed {
        return dir.remove(run, &meta);
    }
    if record.is_some() {
        return Ok(());
    }
    let lost = serde_json::to_vec(&Exit::lost()).unwrap_or_default();
    let path = dir.path().join("exit.json");
    fs::write(&path, lost).map_err(|error| io("write", &path, error))
}

/// Removes directories whose makers have died before they had a final name.
fn half_made(run: &Path) -> Result<()> {
    let path = run.join("containers");
    let mut found = Vec::new();
    {
        // With this lock nobody is between making a directory and locking it.
        let _alone = Held::alone(&path)?;
        for entry in fs::read_dir(&path).map_err(|error| io("opendir", &path, error))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".new-") {
                found.push(StateDir { path: entry.path() });
            }
        }
    }
    for dir in found {
        if is_abandoned(&dir) {
            remove_tree(&dir.path)?;
        }
    }
    Ok(())
}

/// Whether nobody goes on with a directory. Its maker gives it a name within
/// milliseconds; of one that was killed another thread's helper may be left,
/// with copies of all its descriptors until it executes.
fn is_abandoned(dir: &StateDir) -> bool {
    for _ in 0..100 {
        match dir.has_helper() {
            Ok(false) => return true,
            Ok(true) => std::thread::sleep(Duration::from_millis(1)),
            // Without a lock, or without anything by now.
            Err(_) => return dir.path.exists(),
        }
    }
    false
}
