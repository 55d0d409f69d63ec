//! Groups that are made only to see whether they can be, and removed again.
//!
//! Host side. What is limited is a group without processes, so nothing on the
//! machine notices.

use std::path::{Path, PathBuf};

use super::{Controller, DeviceFilter, Groups, Hierarchies, Limits, Setup, Systemd, file};
use crate::error::Result;

/// Groups as a container's, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Trial {
    groups: Groups,
    filters_devices: bool,
    in_scope: bool,
}

impl Trial {
    /// Makes the groups of `id` with these limits. A scope of systemd's, which
    /// needs a process, is chosen and not made.
    ///
    /// # Errors
    /// Those of [`Setup::choose`] and [`Setup::create`].
    pub(crate) fn make(
        hierarchies: &Hierarchies,
        id: &str,
        limits: &Limits,
        systemd: Systemd<'_>,
    ) -> Result<Trial> {
        let setup = Setup::choose(hierarchies, id, limits, systemd)?;
        if setup.needs_helper() {
            let groups = Groups::default();
            return Ok(Trial { groups, filters_devices: false, in_scope: true });
        }
        let filters_devices = setup.create()?;
        Ok(Trial { groups: setup.groups, filters_devices, in_scope: false })
    }

    /// Removes what a trial of this `id` has left that could not end.
    pub(crate) fn forget(hierarchies: &Hierarchies, id: &str) {
        let all = Limits {
            cpus: Some(1.0),
            cpuset: Some("0".into()),
            io_weight: Some(100),
            devices: Some(DeviceFilter::default()),
            ..Limits::default()
        };
        let setup = Setup::choose(hierarchies, id, &all, None)
            .or_else(|_| Setup::choose(hierarchies, id, &Limits::default(), None));
        if let Ok(setup) = setup {
            let _ = setup.groups.remove();
        }
    }

    /// Whether it would be in a scope of systemd's.
    pub(crate) fn is_in_scope(&self) -> bool {
        self.in_scope
    }

    /// The v2 group.
    pub(crate) fn v2(&self) -> Option<&Path> {
        self.groups.v2.as_deref()
    }

    /// Where the group is that serves a controller.
    pub(crate) fn place(&self, controller: Controller) -> Option<PathBuf> {
        let group = self.groups.v1.get(&controller).or(self.groups.v2.as_ref())?;
        group.parent().map(Path::to_owned)
    }

    /// Whether it says which devices can be opened.
    pub(crate) fn filters_devices(&self) -> bool {
        self.filters_devices
    }

    /// Whether there are no groups at all.
    pub(crate) fn is_none(&self) -> bool {
        self.groups.is_none()
    }

    /// Ends all processes of the v2 group, of which there are none, with the
    /// one write that does so (Linux 5.14). False: there is no such file.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub(crate) fn kill_at_once(&self) -> Result<bool> {
        self.v2().map_or(Ok(false), |dir| file::write_if_there(dir, "cgroup.kill", "1"))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Err(error) = self.groups.remove() {
            log::warn!("the probe's control groups stay: {error}");
        }
    }
}
