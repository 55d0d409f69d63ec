//! Looks at what the kernel offers, through the files in which it says so:
//! proc(5), namespaces(7), cgroups(7), seccomp(2).

use std::fs;
use std::path::Path;

use nix::sys::utsname::uname;
use nix::unistd::geteuid;
use serde::Serialize;

/// One thing that may or may not be there.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Feature {
    /// A dotted word, stable between versions.
    pub(super) name: String,
    pub(super) available: bool,
    /// For people.
    pub(super) detail: String,
}

fn feature(name: impl Into<String>, available: bool, detail: impl Into<String>) -> Feature {
    Feature { name: name.into(), available, detail: detail.into() }
}

/// Everything, in the order in which a container needs it.
pub(super) fn look() -> Vec<Feature> {
    let mut features = Vec::new();
    features.push(kernel());
    features.push(feature("privileges.root", geteuid().is_root(), format!("user {}", geteuid())));
    features.extend(NAMESPACES.iter().map(|name| namespace(name)));
    let filesystems = text("/proc/filesystems");
    features.extend(["overlay", "tmpfs"].map(|name| filesystem(&filesystems, name)));
    features.extend(controllers(&text("/proc/self/cgroup"), &text("/proc/self/mounts")));
    features.push(seccomp());
    features.extend(build());
    features
}

const NAMESPACES: [&str; 8] = ["pid", "mnt", "ipc", "uts", "net", "cgroup", "user", "time"];

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn kernel() -> Feature {
    match uname() {
        Ok(name) => {
            let part = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
            feature("kernel", true, format!("{} {}", part(name.release()), part(name.machine())))
        }
        Err(errno) => feature("kernel", false, format!("uname(): {errno}")),
    }
}

fn namespace(name: &str) -> Feature {
    let exists = Path::new("/proc/self/ns").join(name).exists();
    let most =
        if name == "user" { text("/proc/sys/user/max_user_namespaces") } else { String::new() };
    let detail = match most.trim() {
        "" => String::new(),
        most => format!("at most {most}"),
    };
    feature(format!("namespace.{name}"), exists && most.trim() != "0", detail)
}

fn filesystem(list: &str, name: &str) -> Feature {
    let found = list.lines().any(|line| line.split_whitespace().next_back() == Some(name));
    let detail = if found { "" } else { "not loaded; it may be a module" };
    feature(format!("filesystem.{name}"), found, detail)
}

/// Which hierarchy has which controller.
fn controllers(own: &str, mounts: &str) -> Vec<Feature> {
    // Controllers that are not mounted as v1 stand in no line with a list.
    let v1: Vec<&str> = own
        .lines()
        .filter_map(|line| line.split(':').nth(1))
        .flat_map(|list| list.split(','))
        .collect();
    let unified = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let point = words.next()?;
        (words.next() == Some("cgroup2")).then_some(point)
    });
    let v2 = unified.map(|point| text(&format!("{point}/cgroup.controllers"))).unwrap_or_default();
    let mut features = vec![
        feature("cgroup.v1", v1.iter().any(|name| !name.is_empty()), ""),
        feature("cgroup.v2", unified.is_some(), unified.unwrap_or_default()),
    ];
    for (name, old) in [
        ("memory", "memory"),
        ("pids", "pids"),
        ("cpu", "cpu"),
        ("cpuset", "cpuset"),
        ("io", "blkio"),
        ("freezer", "freezer"),
    ] {
        let in_v1 = v1.contains(&old);
        // Freezing is part of v2 itself.
        let in_v2 = v2.split_whitespace().any(|found| found == name)
            || name == "freezer" && unified.is_some();
        let detail = match (in_v1, in_v2) {
            (true, true) => "v1, v2",
            (true, false) => "v1",
            (false, true) => "v2",
            (false, false) => "",
        };
        features.push(feature(format!("cgroup.{name}"), in_v1 || in_v2, detail));
    }
    features
}

fn seccomp() -> Feature {
    let actions = text("/proc/sys/kernel/seccomp/actions_avail");
    feature("seccomp.filter", actions.contains("errno"), actions.trim())
}

/// What this version of the library has; its tests try each.
fn build() -> Vec<Feature> {
    let missing = "not in this version";
    vec![
        feature(
            "build.image.load",
            true,
            "oci and docker archives, oci layouts, root file systems",
        ),
        feature("build.image.pull", false, missing),
        feature("build.network.nat", false, missing),
        feature("build.rootless", false, missing),
        feature("build.seccomp", true, "the engines' default profile, OCI profiles"),
    ]
}

#[cfg(test)]
mod tests {
    use super::{controllers, filesystem};

    fn of<'a>(features: &'a [super::Feature], name: &str) -> (bool, &'a str) {
        let found = features.iter().find(|feature| feature.name == name).unwrap();
        (found.available, &found.detail)
    }

    #[test]
    fn hybrid_machine_has_both() {
        let own = "3:cpu,cpuacct:/\n2:memory:/a:b\n1:name=systemd:/\n0::/\n";
        let features = controllers(own, "cgroup2 /no/such/place cgroup2 rw 0 0\n");
        assert_eq!(of(&features, "cgroup.v1"), (true, ""));
        assert_eq!(of(&features, "cgroup.v2"), (true, "/no/such/place"));
        assert_eq!(of(&features, "cgroup.memory"), (true, "v1"));
        assert_eq!(of(&features, "cgroup.cpu"), (true, "v1"));
        assert_eq!(of(&features, "cgroup.pids"), (false, ""));
        assert_eq!(of(&features, "cgroup.freezer"), (true, "v2"));
    }

    #[test]
    fn machine_without_groups_has_nothing() {
        assert!(controllers("", "").iter().all(|feature| !feature.available));
        assert!(controllers("0::/\n", "").iter().all(|feature| !feature.available));
    }

    #[test]
    fn filesystem_is_a_whole_word() {
        let list = "nodev\ttmpfs\n\text4\nnodev\toverlay\n";
        assert!(filesystem(list, "overlay").available);
        assert!(!filesystem(list, "over").available);
    }
}
