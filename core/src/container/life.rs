//! The processes of a container: its helper and its pid 1.
//!
//! The host that starts a container has their descriptors from the start. A
//! handle that was opened by name finds them by `status.json`, which the
//! helper writes at exec; until then the container is there, its lock is held,
//! and it is neither running nor dead.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Container;
use super::held::Held;
use crate::error::{ErrorKind, Result};
use crate::state::StateDir;
use crate::wait;

/// Between two looks at a container that another process is starting.
const PAUSE: Duration = Duration::from_millis(1);

/// Descriptors of the processes.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// `None`: it has ended before.
    pub(super) helper: Option<Held>,
    /// pid 1 of the container.
    pub(super) init: Option<Held>,
    /// Its number.
    pub(super) pid: Option<i32>,
}

impl Life {
    /// Looks for the processes of a container. `None`: it is being started.
    pub(super) fn look(dir: &StateDir) -> Result<Option<Life>> {
        let Some(pids) = dir.pids()? else {
            // Without process ids it is being started as long as somebody
            // holds its lock.
            return Ok((!dir.has_helper()?).then(Life::default));
        };
        // Process ids are used again; but as long as the lock is held the
        // helper lives, and pid 1 is not reaped before the helper ends.
        let lock = dir.path().join("lock");
        let helper = Held::open(pids.helper, Some(&lock)).ok();
        let init = Held::open(pids.init, None).ok();
        let (helper, init) = if dir.has_helper()? { (helper, init) } else { (None, None) };
        Ok(Some(Life { helper, init, pid: Some(pids.init) }))
    }
}

impl Container {
    /// The processes. `None`: they are still being started, or the start has
    /// failed and everything is gone.
    pub(super) fn life(&self) -> Option<&Life> {
        self.begun(Some(Instant::now())).ok().flatten()
    }

    /// The processes, once they have been started. `None`: the time has
    /// passed first.
    pub(super) fn begun(&self, deadline: Option<Instant>) -> Result<Option<&Life>> {
        loop {
            if let Some(life) = self.life.get() {
                return Ok(Some(life));
            }
            let found = match Life::look(&self.dir) {
                // It was started, has ended and is removed since.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    wait::read(&self.exit)?.ok_or(error).map(|_| Some(Life::default()))?
                }
                other => other?,
            };
            if let Some(life) = found {
                return Ok(Some(self.life.get_or_init(|| life)));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
            sleep(PAUSE);
        }
    }
}
