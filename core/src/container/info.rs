//! What management commands show of a container.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::Container;
use crate::error::Result;
pub use crate::state::RootMount;
use crate::wait::Exit;

/// Whether a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// Being started.
    Created,
    /// Its program runs.
    Running,
    /// All its processes are stopped.
    Paused,
    /// It has ended.
    Exited,
}

/// A container as `ps` and `inspect` show it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Info {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Its name, if one was given.
    pub name: Option<String>,
    /// The image as the caller named it, `host`, or a directory.
    pub image: String,
    /// Digest of the image's configuration.
    pub image_id: Option<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Nanoseconds since 1970.
    pub created_at_ns: u64,
    /// Nanoseconds since 1970, once the program was executed.
    pub started_at_ns: Option<u64>,
    /// Whether it runs.
    pub status: Status,
    /// pid 1 as the host sees it, while it runs.
    pub pid: Option<i32>,
    /// How it ended, once it has.
    pub exit: Option<Exit>,
    /// Host name inside.
    pub hostname: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it goes on without its host.
    pub detached: bool,
    /// Whether it is removed when it ends.
    pub removed: bool,
    /// How its root is put together: `overlay` or `copy`.
    pub root: RootMount,
    /// Its control groups.
    pub groups: crate::cgroup::Groups,
    /// The document it was run with, without defaults.
    pub spec: serde_json::Value,
    /// What became of it: the OCI runtime document of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<serde_json::Value>,
}

impl Container {
    /// What is known of it now.
    ///
    /// # Errors
    /// Stage `state` if its directory cannot be read.
    pub fn info(&self) -> Result<Info> {
        let exit = self.wait(Some(Duration::ZERO))?;
        let started = match &exit {
            Some(exit) => exit.started_at_ns,
            None => self.dir.pids()?.map(|pids| pids.started_at_ns),
        };
        let status = match (&exit, started) {
            (Some(_), _) => Status::Exited,
            (None, None) => Status::Created,
            (None, Some(_)) if self.is_paused().unwrap_or(false) => Status::Paused,
            (None, Some(_)) => Status::Running,
        };
        let meta = &self.meta;
        Ok(Info {
            id: meta.id.clone(),
            name: meta.name.clone(),
            image: meta.image.clone(),
            image_id: meta.image_id.clone(),
            command: meta.command.clone(),
            created_at_ns: meta.created_at_ns,
            started_at_ns: started,
            status,
            pid: self.life().and_then(|life| life.pid).filter(|_| exit.is_none()),
            exit,
            hostname: meta.hostname.clone(),
            labels: meta.labels.clone(),
            detached: meta.detached,
            removed: meta.removed,
            root: meta.root,
            groups: meta.groups.clone(),
            spec: meta.spec.clone(),
            config: self.dir.config(),
        })
    }
}
