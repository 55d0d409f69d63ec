//! What the fuzz target `mountinfo` calls.

use super::hierarchy::Hierarchies;

/// Reads the mount table and the groups of a process, as the kernel might
/// show them, and finds each group's directory: always below a mount point.
///
/// # Panics
/// If it is not.
pub fn hierarchies(mountinfo: &str, own: &str) {
    let found = Hierarchies::of(mountinfo, own);
    let own = found.own().unwrap();
    let v1 = found.v1.iter().filter_map(|(kind, mount)| Some((mount, own.v1.get(kind)?)));
    for (mount, group) in found.v2.iter().zip(&own.v2).chain(v1) {
        if let Some(directory) = mount.locate(group) {
            assert!(directory.starts_with(&mount.point), "{directory:?}");
            let below = directory.strip_prefix(&mount.point).unwrap();
            assert!(!below.components().any(|part| part == std::path::Component::ParentDir));
        }
    }
}
