//! The host's own root as the lower layer: what of it is hidden, and what
//! else has to be shown.

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{UpperDirectory, View};
use crate::error::Stage;
use crate::proc::mountinfo;

/// Directories of the host that a container does not see: users' data, run
/// time state, and file systems that come and go. They appear empty.
const HIDDEN: [&str; 14] = [
    "/root",
    "/home",
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/run",
    "/var/lib/libctr",
    "/var/mail",
    "/var/spool/mail",
    "/var/spool/cron",
    "/srv",
    "/mnt",
    "/media",
    "/lost+found",
];

/// File systems that are the container's own business, never the host's.
const KERNEL_FILE_SYSTEMS: [&str; 24] = [
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "tmpfs",
    "mqueue",
    "cgroup",
    "cgroup2",
    "securityfs",
    "debugfs",
    "tracefs",
    "configfs",
    "pstore",
    "bpf",
    "hugetlbfs",
    "autofs",
    "binfmt_misc",
    "fusectl",
    "efivarfs",
    "ramfs",
    "rpc_pipefs",
    "nfsd",
    "selinuxfs",
    "nsfs",
];

/// What to make in the upper layer, parents first, and which directories to
/// show through overlays of their own. `also` is hidden besides what always is,
/// and even if it is made only later.
pub(super) fn look(root: &Path, also: &[&Path]) -> (Vec<UpperDirectory>, Vec<View>) {
    let hidden = hidden(root, also);
    let mounts = mountinfo::read(Stage::Rootfs).unwrap_or_default();
    let views = submounts(&mounts).filter_map(|path| {
        let relative = path.strip_prefix("/").unwrap_or(&path);
        if hidden.iter().any(|(hidden, _)| relative.starts_with(hidden)) || !path.is_dir() {
            return None;
        }
        // A view covers what was prepared below its place.
        let inside = hidden.iter().filter_map(|(hidden, later)| {
            Some((hidden.strip_prefix(relative).ok()?.to_path_buf(), *later))
        });
        Some(View { prepared: prepare(&path, inside), path })
    });
    let views = views.collect();
    (prepare(root, hidden.into_iter()), views)
}

/// What is hidden, relative to the root, parents first; and whether even what
/// is made there only later.
pub(super) fn hidden(root: &Path, also: &[&Path]) -> Vec<(PathBuf, bool)> {
    let always = HIDDEN.iter().map(|path| (Path::new(path), false));
    let mut hidden: Vec<(PathBuf, bool)> = always
        .chain(also.iter().map(|path| (*path, true)))
        .map(|(path, later)| (real(root, path), later))
        .filter(|(path, _)| path != Path::new(""))
        .collect();
    // Parents first: what lies in a hidden directory is hidden with it.
    hidden.sort();
    hidden
}

/// Where a path of the host leads, relative to the root: the container has the
/// same symbolic links, and it is their ends that must be hidden. What does
/// not exist yet is taken as it is written.
fn real(root: &Path, path: &Path) -> PathBuf {
    let relative = path.strip_prefix("/").unwrap_or(path);
    for known in relative.ancestors() {
        if let Ok(found) = fs::canonicalize(root.join(known))
            && let (Ok(found), Ok(rest)) = (found.strip_prefix(root), relative.strip_prefix(known))
        {
            return if rest == Path::new("") { found.into() } else { found.join(rest) };
        }
    }
    relative.to_path_buf()
}

/// The directories of an upper layer over `root` that hide these paths.
pub(super) fn prepare(
    root: &Path,
    hidden: impl Iterator<Item = (PathBuf, bool)>,
) -> Vec<UpperDirectory> {
    let mut prepared = Vec::new();
    for (path, later) in hidden {
        hide(root, &path, later, &mut prepared);
    }
    prepared
}

/// Adds an opaque directory for `path`, and plain ones for its parents. Only
/// directories are hidden, and where it is wanted what may become one.
fn hide(root: &Path, path: &Path, later: bool, prepared: &mut Vec<UpperDirectory>) {
    // What lies in a hidden directory is hidden with it; to make it would show
    // its name.
    if prepared.iter().any(|known| known.opaque && path.starts_with(&known.path)) {
        return;
    }
    let mut ancestors: Vec<&Path> =
        path.ancestors().filter(|path| *path != Path::new("")).collect();
    ancestors.reverse();
    let mut wanted = Vec::new();
    for part in ancestors {
        let (mode, uid, gid) = match fs::symlink_metadata(root.join(part)) {
            Ok(found) if found.is_dir() => (found.mode() & 0o7777, found.uid(), found.gid()),
            Err(error) if later && error.kind() == IoErrorKind::NotFound => (0o755, 0, 0),
            _ => return,
        };
        if prepared.iter().any(|known| known.path == part) {
            continue;
        }
        wanted.push(UpperDirectory {
            path: part.to_path_buf(),
            mode,
            uid,
            gid,
            opaque: part == path,
        });
    }
    prepared.append(&mut wanted);
}

/// Mount points of disk file systems below `/`, in mount order
/// (proc_pid_mountinfo(5)).
fn submounts(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    mountinfo::entries(table).filter_map(|entry| {
        let kernel = KERNEL_FILE_SYSTEMS.iter().any(|kind| kind.as_bytes() == entry.kind);
        if entry.point == b"/" || kernel || entry.point.contains(&b'\\') {
            return None;
        }
        let point = entry.path()?;
        (!["/proc", "/sys", "/dev"].iter().any(|top| point.starts_with(top))).then_some(point)
    })
}

#[cfg(test)]
mod tests {
    use super::{look, submounts};
    use std::path::{Path, PathBuf};

    #[test]
    fn submounts_are_disks_below_the_root_only() {
        let mountinfo = b"\
22 1 254:0 / / rw - ext4 /dev/vda rw
23 22 0:5 / /proc rw - proc proc rw
24 22 8:1 / /usr rw - xfs /dev/sda1 rw
25 22 0:6 / /dev/shm rw - tmpfs tmpfs rw
26 23 8:2 / /proc/oddity rw - ext4 /dev/sda2 rw
27 22 8:3 / /with\\040space rw - ext4 /dev/sda3 rw
";
        let found: Vec<_> = submounts(mountinfo).collect();
        assert_eq!(found, [PathBuf::from("/usr")]);
    }

    #[test]
    fn hidden_directory_comes_after_its_parents_and_keeps_modes() {
        let root = tempfile::tempdir().expect("directory");
        std::fs::create_dir_all(root.path().join("var/tmp")).expect("directory");
        std::fs::create_dir_all(root.path().join("home")).expect("directory");
        let (prepared, _) = look(root.path(), &[Path::new("/home")]);
        let paths: Vec<_> = prepared
            .iter()
            .map(|dir| (dir.path.to_str().unwrap_or_default(), dir.opaque))
            .collect();
        assert_eq!(paths, [("home", true), ("var", false), ("var/tmp", true)]);
        assert!(prepared.iter().all(|dir| dir.mode == 0o755));
    }

    #[test]
    fn link_is_followed_and_what_is_made_later_is_hidden_too() {
        let root = tempfile::tempdir().expect("directory");
        std::fs::create_dir_all(root.path().join("disk/home/me")).expect("directory");
        std::os::unix::fs::symlink("disk/home", root.path().join("home")).expect("link");
        let also = [Path::new("/home/me/run"), Path::new("/opt/later/data")];
        let (prepared, _) = look(root.path(), &also);
        let paths: Vec<_> = prepared
            .iter()
            .map(|dir| (dir.path.to_str().unwrap_or_default(), dir.opaque))
            .collect();
        let opt = [("opt", false), ("opt/later", false), ("opt/later/data", true)];
        assert_eq!(paths[..2], [("disk", false), ("disk/home", true)]);
        assert_eq!(paths[2..], opt);
    }

    #[test]
    fn directory_in_a_hidden_one_is_not_made() {
        let root = tempfile::tempdir().expect("directory");
        std::fs::create_dir_all(root.path().join("home/me/run")).expect("directory");
        std::fs::create_dir_all(root.path().join("homes/run")).expect("directory");
        let (prepared, _) =
            look(root.path(), &[Path::new("/home/me/run"), Path::new("/homes/run")]);
        let paths: Vec<_> = prepared.iter().map(|dir| dir.path.to_str()).collect();
        assert_eq!(paths, [Some("home"), Some("homes"), Some("homes/run")]);
    }
}
