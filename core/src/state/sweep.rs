//! Removes what dead helpers and dead hosts have left.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{StateDir, ids, remove_tree};
use crate::error::Result;
use crate::wait::{self, Exit};

/// A directory without a lock is garbage after this time: its host died
/// between two system calls.
const HALF_MADE: Duration = Duration::from_secs(60);

/// Looks at every container that has no helper: groups, upper layer and
/// directory of one that should be gone are removed; one that is kept and has
/// no exit record is marked as lost.
pub(crate) fn sweep(run: &Path) -> Result<()> {
    for id in ids(run)? {
        // One that another process is removing just now is nobody's problem.
        let _ = look(run, &StateDir::of_id(run, &id));
    }
    half_made(run);
    Ok(())
}

fn look(run: &Path, dir: &StateDir) -> Result<()> {
    let Some(_lock) = dir.lock()? else { return Ok(()) };
    let meta = dir.meta()?;
    let record = wait::read(&dir.exit_file()?)?;
    if record.is_some() && !meta.removed {
        return Ok(());
    }
    // pid 1 has died with its helper; what shared no pid namespace is killed
    // with the groups.
    meta.groups.kill()?;
    meta.groups.remove()?;
    if meta.removed {
        return dir.remove(run, &meta);
    }
    let lost = serde_json::to_vec(&Exit::lost()).unwrap_or_default();
    let path = dir.path().join("exit.json");
    fs::write(&path, lost).map_err(|error| super::io("write", &path, error))
}

fn half_made(run: &Path) {
    let Ok(entries) = fs::read_dir(run.join("containers")) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let new = entry.file_name().to_string_lossy().starts_with(".new-");
        if !new {
            continue;
        }
        let old = entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|made| {
            SystemTime::now().duration_since(made).is_ok_and(|age| age > HALF_MADE)
        });
        let dead = match (StateDir { path: path.clone() }).lock() {
            Ok(lock) => lock.is_some(),
            Err(_) => old,
        };
        if dead {
            let _ = remove_tree(&path);
        }
    }
}
