//! Which keys of a RunSpec work for this caller.

use serde::Serialize;

use super::{Probe, State};

/// How much of a container this caller can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Containers, with limits of memory, processes and processor time.
    Full,
    /// Containers; one of those limits cannot be set.
    WithoutLimits,
    /// Only with `degraded: allow`: a process of the host behind Landlock.
    DegradedOnly,
    /// Nothing.
    Nothing,
}

/// One key of the document, and whether it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// The key, with its value where it is about one.
    pub key: &'static str,
    /// Whether it works.
    pub works: bool,
    /// The abilities that are missing for it.
    pub needs: Vec<&'static str>,
}

/// What of a RunSpec works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How much of a container there can be.
    pub level: Level,
    /// The keys.
    pub features: Vec<Feature>,
}

/// What every container needs; the calls among them have older ones, so they
/// are missing only where they end the process.
const ALWAYS: [&str; 15] = [
    "helper",
    "memfd.exec",
    "directory.run",
    "clone3",
    "openat2",
    "pidfd",
    "close_range",
    "mount_api",
    "namespace.pid",
    "namespace.mnt",
    "namespace.ipc",
    "namespace.uts",
    "namespace.cgroup",
    "mount.proc",
    "mount.pivot_root",
];

/// What a process needs that degrades.
const DEGRADED: [&str; 4] = ["helper", "memfd.exec", "directory.run", "clone3"];

pub(super) fn of(probe: &Probe) -> Summary {
    let is_missing =
        |name: &&&str| probe.finding(name).is_some_and(|found| found.state == State::Missing);
    let missing = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().filter(is_missing).copied().collect()
    };
    let mut always = ALWAYS.to_vec();
    if probe.has_users() {
        always.extend(["namespace.user", "namespace.user.mapped"]);
    }
    let feature = |key, needs: &[&'static str]| {
        let needs = missing(needs);
        Feature { key, works: needs.is_empty(), needs }
    };
    let with = |more: &[&'static str]| [&always, more].concat();
    let limit = |key, name| {
        let needs = [with(&[]), vec![name]].concat();
        feature(key, &needs)
    };
    let degraded = {
        // Everything but version 6 is a lower wall than is promised.
        let landlock = (!probe.has("landlock")).then_some("landlock");
        let needs: Vec<_> = missing(&DEGRADED).into_iter().chain(landlock).collect();
        Feature { key: "degraded: allow", works: needs.is_empty() && probe.has_users(), needs }
    };
    let root = [always.clone(), vec!["namespace.net", "mount.sysfs"]].concat();
    let of_root = |more: &[&'static str]| [&root, more].concat();
    let usual = feature("network: none", &root);
    let shared = match probe.has_users() {
        true => feature("network: host", &always),
        false => feature("network: host", &with(&["mount.sysfs"])),
    };
    let runs = usual.works || shared.works;
    let features = vec![
        feature("image: host", &with(&["overlay"])),
        feature("image", &with(&["directory.data"])),
        feature("rootfs", &always),
        feature("writable: disk", &with(&["directory.data"])),
        usual,
        shared,
        limit("limits.memory", "cgroup.memory"),
        limit("limits.pids", "cgroup.pids"),
        limit("limits.cpus", "cgroup.cpu"),
        limit("limits.cpuset", "cgroup.cpuset"),
        limit("limits.io", "cgroup.io"),
        feature("security.seccomp", &of_root(&["seccomp.filter"])),
        feature("security.user_namespace", &with(&["namespace.user", "namespace.user.mapped"])),
        degraded,
    ];
    let works = |key: &str| features.iter().any(|found| found.key == key && found.works);
    let limits = ["limits.memory", "limits.pids", "limits.cpus"];
    let level = match runs {
        true if limits.iter().all(|key| works(key)) => Level::Full,
        true => Level::WithoutLimits,
        false if works("degraded: allow") => Level::DegradedOnly,
        false => Level::Nothing,
    };
    Summary { level, features }
}

#[cfg(test)]
mod tests {
    use super::{Level, of};
    use crate::probe::{Finding, Probe};

    fn probe(users: bool, findings: Vec<Finding>) -> Probe {
        Probe { findings, kernel: String::new(), uid: 0, users }
    }

    fn without(ability: &'static str) -> Finding {
        Finding::missing(ability, "", "")
    }

    #[test]
    fn level_follows_from_what_is_missing() {
        let landlock = || Finding::ok("landlock", "version 7");
        let level = |users, findings| of(&probe(users, findings)).level;
        assert_eq!(level(false, vec![]), Level::Full);
        assert_eq!(level(false, vec![without("cgroup.cpuset")]), Level::Full);
        assert_eq!(level(false, vec![without("cgroup.memory")]), Level::WithoutLimits);
        assert_eq!(level(false, vec![without("namespace.pid")]), Level::Nothing);
        assert_eq!(level(true, vec![without("namespace.user"), landlock()]), Level::DegradedOnly);
        assert_eq!(level(true, vec![without("namespace.user")]), Level::Nothing);
        // Root does not use one.
        assert_eq!(level(false, vec![without("namespace.user")]), Level::Full);
        let everything = vec![without("helper"), landlock()];
        assert_eq!(level(true, everything), Level::Nothing);
    }

    #[test]
    fn key_that_does_not_work_names_the_ability() {
        let summary = of(&probe(false, vec![without("overlay"), without("cgroup.io")]));
        let bad: Vec<_> = summary.features.iter().filter(|found| !found.works).collect();
        let bad: Vec<_> = bad.iter().map(|found| (found.key, found.needs.clone())).collect();
        let expected = [
            ("image: host", vec!["overlay"]),
            ("limits.io", vec!["cgroup.io"]),
            ("degraded: allow", vec!["landlock"]),
        ];
        assert_eq!(bad, expected);
    }
}
