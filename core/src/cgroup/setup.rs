//! Choosing the groups of a container and making them.
//!
//! Host side, before any process of the container exists: what cannot be
//! enforced fails here. Few groups make a fast start (some 40 µs each), so
//! there are: memory and pids for their figures and the default limit of
//! processes; devices where that hierarchy is mounted; cpu, cpuset and blkio
//! when limited; on v2 one group for all that also kills, stops and counts
//! processor time; without v2, cpuacct and freezer for that.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::devices::{self, Wall};
use super::limits::setting::Setting;
use super::place::{self, Closed, Place, Systemd};
use super::systemd::Scope;
use super::{Controller, Groups, Hierarchies, Limits, file, v1, v2};
use crate::error::{Error, ErrorKind, Result, Stage};

/// The v2 file that hands controllers down.
const CONTROL: &str = "cgroup.subtree_control";

/// The groups of one container and what to write into them.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) groups: Groups,
    /// Controllers to enable on v2, each with the key that asks for it, and the
    /// group that hands them down.
    enable: Option<(PathBuf, Vec<Wanted>)>,
    settings: Vec<(PathBuf, Setting)>,
    devices: Option<Wall>,
    /// The scope in which the v2 group is, made with the helper in it.
    scope: Option<Scope>,
}

/// A controller, and the key of the document without which it would do
/// without.
type Wanted = (Controller, Option<&'static str>);

impl Setup {
    /// Decides where the container `id` goes. Makes nothing.
    ///
    /// Without any limit that was asked for, a machine without usable cgroups
    /// gives a setup without groups.
    ///
    /// # Errors
    /// `Unsupported` or `Denied` when a limit that was asked for cannot be
    /// enforced here; the hint is the command that changes it.
    /// `InvalidInput` for a limit that no machine could enforce.
    pub(crate) fn choose(
        hierarchies: &Hierarchies,
        id: &str,
        limits: &Limits,
        systemd: Systemd<'_>,
    ) -> Result<Setup> {
        let name = name(id)?;
        let asked = limits.asked();
        let mut controllers = BTreeSet::from([Controller::Memory, Controller::Pids]);
        controllers.extend(asked.keys());

        let wanted = controllers
            .iter()
            .copied()
            .filter(|controller| !hierarchies.v1.contains_key(controller))
            .collect();
        // Of a hybrid machine's v2 nothing is wanted that systemd could give.
        let systemd = systemd.filter(|_| hierarchies.v1.is_empty());
        let unified = hierarchies.v2.as_ref();
        let unified = unified
            .map(|mount| place::v2(hierarchies, mount, &wanted, &name, systemd))
            .transpose()?;
        let mut setup = Setup::default();
        if let Some(Ok(place)) = &unified {
            setup.groups.v2 = Some(place.group(&name));
            setup.scope = place.scope.clone();
        }
        for &controller in &controllers {
            match source(hierarchies, &unified, controller) {
                Ok(Source::V2(place)) => setup.use_v2(place, controller, &name, limits)?,
                Ok(Source::V1(dir)) => setup.use_v1(&dir, controller, &name, limits)?,
                Err(refusal) => {
                    if let Some(key) = asked.get(&controller) {
                        return Err(refusal.refuse(key, controller));
                    }
                }
            }
        }
        if setup.groups.v2.is_none() {
            // Nothing else counts the time of the whole tree.
            if limits.cpu_time
                && let Err(refusal) = source(hierarchies, &unified, Controller::Cpuacct)
            {
                return Err(refusal.refuse("limits.cpu_time", Controller::Cpuacct));
            }
            for controller in [Controller::Cpuacct, Controller::Freezer] {
                let mount = hierarchies.v1.get(&controller);
                if let Some(Ok(dir)) = mount.map(|mount| place::v1(hierarchies, mount, controller))
                {
                    setup.use_v1(&dir, controller, &name, limits)?;
                }
            }
        }
        if let Some(filter) = &limits.devices {
            let groups = &mut setup.groups;
            setup.devices = devices::choose(hierarchies, unified.as_ref(), groups, &name, filter)?;
        }
        Ok(setup)
    }

    fn use_v2(
        &mut self,
        place: &Place,
        controller: Controller,
        name: &str,
        limits: &Limits,
    ) -> Result<()> {
        if !place.is_enabled(controller) {
            let (_, list) =
                self.enable.get_or_insert_with(|| (place.parent().to_owned(), Vec::new()));
            list.push((controller, limits.asked().remove(&controller)));
        }
        let group = place.group(name);
        let mut settings = v2::settings(controller, limits, &place.dir)?;
        if controller == Controller::Memory && limits.memory.is_some() && limits.swap.is_none() {
            settings.push(v2::no_swap());
        }
        self.settings.extend(settings.into_iter().map(|setting| (group.clone(), setting)));
        Ok(())
    }

    fn use_v1(
        &mut self,
        dir: &Path,
        controller: Controller,
        name: &str,
        limits: &Limits,
    ) -> Result<()> {
        let group = dir.join(name);
        let settings = v1::first_settings(controller, limits, dir)?;
        self.settings.extend(settings.into_iter().map(|setting| (group.clone(), setting)));
        self.groups.v1.insert(controller, group);
        Ok(())
    }

    /// Whether the groups can be made only once the helper runs, and it has to
    /// wait for them: see [`Setup::create_around`].
    pub(crate) fn needs_helper(&self) -> bool {
        self.scope.is_some()
    }

    /// As [`Setup::create`], in a scope that systemd makes around the process
    /// `helper`. The scope is gone when that has ended.
    ///
    /// # Errors
    /// Also what systemd says, and `Cancelled` when `cancel` gets readable.
    pub(crate) fn create_around(&self, helper: i32, cancel: Option<BorrowedFd<'_>>) -> Result<()> {
        if let Some(scope) = &self.scope {
            scope.start(helper, cancel)?;
        }
        // A user may set no filter of devices, and has a namespace instead.
        self.create().map(drop)
    }

    /// Makes the groups and writes their limits. Whether devices are filtered:
    /// without, the container must not be able to make nodes.
    ///
    /// # Errors
    /// What the kernel refuses; everything made until then is removed again.
    /// `AlreadyExists` when there is a group of this id, which is left alone.
    pub(crate) fn create(&self) -> Result<bool> {
        let mut made = Vec::new();
        let result = self.make(&mut made);
        if result.is_err() {
            for dir in made.iter().rev() {
                // New groups hold no process; what cannot be removed is gone.
                if let Err(error) = std::fs::remove_dir(dir) {
                    log::warn!("cgroup: rmdir({dir:?}) after a failed start: {error}");
                }
            }
        }
        result
    }

    fn make<'a>(&'a self, made: &mut Vec<&'a Path>) -> Result<bool> {
        // Before the group exists, so that it is born with the control files.
        if let Some((dir, controllers)) = &self.enable {
            enable(dir, controllers)?;
        }
        for dir in self.groups.dirs() {
            file::make_dir(dir)?;
            made.push(dir);
        }
        self.settings.iter().try_for_each(|(dir, setting)| setting.apply(dir))?;
        self.devices.as_ref().map_or(Ok(false), Wall::set)
    }
}

/// Who serves a controller.
enum Source<'a> {
    V2(&'a Place),
    V1(PathBuf),
}

/// Why nobody does.
enum Refusal<'a> {
    NotSupplied(&'a Place),
    Closed(&'a Closed),
    ClosedV1(Closed),
    Unmounted { has_v2: bool },
}

impl Refusal<'_> {
    fn refuse(&self, key: &str, controller: Controller) -> Error {
        match self {
            Refusal::NotSupplied(place) => place.refuse(key, controller),
            Refusal::Closed(closed) => closed.refuse(key),
            Refusal::ClosedV1(closed) => closed.refuse_v1(key),
            Refusal::Unmounted { has_v2 } => place::refuse_unmounted(key, controller, *has_v2),
        }
    }
}

/// A controller belongs to one hierarchy at a time, so a v1 mount of it means
/// that v2 cannot have it.
fn source<'a>(
    hierarchies: &Hierarchies,
    unified: &'a Option<std::result::Result<Place, Closed>>,
    controller: Controller,
) -> std::result::Result<Source<'a>, Refusal<'a>> {
    if let Some(mount) = hierarchies.v1.get(&controller) {
        return place::v1(hierarchies, mount, controller)
            .map(Source::V1)
            .map_err(Refusal::ClosedV1);
    }
    match unified {
        Some(Ok(place)) if place.supplies(controller) => Ok(Source::V2(place)),
        // On a hybrid machine the v2 side is a bystander without controllers.
        Some(_) if !hierarchies.v1.is_empty() => Err(Refusal::Unmounted { has_v2: true }),
        Some(Ok(place)) => Err(Refusal::NotSupplied(place)),
        Some(Err(closed)) => Err(Refusal::Closed(closed)),
        None => Err(Refusal::Unmounted { has_v2: false }),
    }
}

/// The directory name. Ids are ours, but a path made of one must stay in place.
fn name(id: &str) -> Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.is_empty() || id.len() > 128 || !id.bytes().all(plain) {
        return Err(Error::new(
            Stage::Cgroup,
            ErrorKind::InvalidInput,
            format!("{id:?} cannot name a cgroup"),
        ));
    }
    Ok(format!("libctr-{id}"))
}

/// Hands controllers down to the groups in `dir`. They stay enabled: others
/// may have come to rely on them. If one fails, the others are still tried,
/// and it is an error only when it was asked for.
fn enable(dir: &Path, wanted: &[Wanted]) -> Result<()> {
    let word = |(controller, _): &Wanted| format!("+{}", controller.v2_name());
    let all: Vec<String> = wanted.iter().map(word).collect();
    if file::write(dir, CONTROL, &all.join(" ")).is_ok() {
        return Ok(());
    }
    for one in wanted {
        if let (Err(error), Some(key)) = (file::write(dir, CONTROL, &word(one)), one.1) {
            let errno = error.errno().map_or(Errno::UnknownErrno, Errno::from_raw);
            let call = format!("{key} cannot be enforced: {}", error.message());
            return Err(Error::sys(Stage::Cgroup, call, errno).with_kind(ErrorKind::Unsupported));
        }
    }
    Ok(())
}

/// See [`Groups::update`].
pub(super) fn update(groups: &Groups, limits: &Limits) -> Result<()> {
    for (controller, key) in limits.asked() {
        let (dir, settings) = match (groups.v1.get(&controller), &groups.v2) {
            (Some(dir), _) => (dir, v1::changes(controller, limits, dir)?),
            (None, Some(dir)) if is_given(dir, controller)? => {
                (dir, v2::settings(controller, limits, dir.parent().unwrap_or(dir))?)
            }
            _ => return Err(groupless(key, controller)),
        };
        settings.iter().try_for_each(|setting| setting.apply(dir))?;
    }
    Ok(())
}

fn groupless(key: &str, controller: Controller) -> Error {
    let name = controller.v1_name();
    Error::new(
        Stage::Cgroup,
        ErrorKind::Unsupported,
        format!("{key} cannot be changed: the container has no {name} group"),
    )
    .with_hint(format!("give {key} when the container is started"))
}

/// Whether the v2 group has the controller, now or after asking its parent.
fn is_given(dir: &Path, controller: Controller) -> Result<bool> {
    let listed = || {
        let text = file::read(dir, "cgroup.controllers")?;
        Ok(text.split_whitespace().any(|name| name == controller.v2_name()))
    };
    let word = format!("+{}", controller.v2_name());
    match dir.parent() {
        Some(parent) if !listed()? && file::write(parent, CONTROL, &word).is_err() => Ok(false),
        _ => listed(),
    }
}

#[cfg(test)]
mod tests;
