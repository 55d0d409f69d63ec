//! Everything that a program can see of a tree.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{FileStat, SFlag};

use crate::tree::{Attributes, Time, kind, names, stat};

/// One file of a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    kind: SFlag,
    device: u64,
    attributes: Attributes,
    /// Contents of a file, target of a link.
    contents: Vec<u8>,
    /// The first name of the same file.
    same_as: PathBuf,
}

/// The tree below `root`, by path; the root itself has no name and, as its
/// time differs, no time.
pub(super) fn shown(root: &Path) -> BTreeMap<PathBuf, Shown> {
    let mut found = BTreeMap::new();
    let mut first = HashMap::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let at = root.join(&path);
        let dir = File::open(&at).expect("directory");
        if path.as_os_str().is_empty() {
            let here = stat(dir.as_fd(), b".").expect("stat").expect("the root");
            let mut own = look(&dir, b".", &here, &at, path.clone());
            own.attributes.mtime = Time::default();
            found.insert(path.clone(), own);
        }
        for name in names(dir.as_fd()).expect("names") {
            // A directory of one layer only is listed as it is, whiteouts too.
            let Some(entry) = stat(dir.as_fd(), &name).expect("stat") else { continue };
            let below = path.join(OsStr::from_bytes(&name));
            let same = first.entry((entry.st_dev, entry.st_ino)).or_insert_with(|| below.clone());
            let same = if kind(&entry) == SFlag::S_IFDIR { below.clone() } else { same.clone() };
            found.insert(below.clone(), look(&dir, &name, &entry, &root.join(&below), same));
            if kind(&entry) == SFlag::S_IFDIR {
                todo.push(below);
            }
        }
    }
    found
}

fn look(dir: &File, name: &[u8], entry: &FileStat, path: &Path, same_as: PathBuf) -> Shown {
    let kind = kind(entry);
    let shown = |name: &[u8]| !name.starts_with(b"trusted.overlay.") && name != b"security.selinux";
    let contents = match kind {
        SFlag::S_IFREG => fs::read(path).expect("file"),
        SFlag::S_IFLNK => fs::read_link(path).expect("link").into_os_string().into_vec(),
        _ => Vec::new(),
    };
    let device = if matches!(kind, SFlag::S_IFCHR | SFlag::S_IFBLK) { entry.st_rdev } else { 0 };
    let attributes = Attributes::of(dir.as_fd(), name, entry, shown).expect("attributes");
    Shown { kind, device, attributes, contents, same_as }
}
