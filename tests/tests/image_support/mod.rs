//! What the image tests share: fixtures, tools, listings of trees.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libctr::image::{LoadOptions, Source, Store, Summary};
use libctr_tests::skip;
use tempfile::TempDir;

/// A file or directory of the fixtures, or a printed skip.
pub(crate) fn fixture(name: &str) -> Option<PathBuf> {
    let Some(images) = std::env::var_os("LIBCTR_TEST_IMAGES") else {
        skip("LIBCTR_TEST_IMAGES does not name the directory of the image fixtures");
        return None;
    };
    let path = Path::new(&images).join(name);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("the fixture {} is missing", path.display()));
    None
}

/// Whether a program is installed and answers; otherwise a printed skip.
pub(crate) fn tool(name: &str) -> bool {
    let found = Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_ok() {
        return true;
    }
    skip(&format!("{name} is not installed"));
    false
}

/// A store in a temporary directory.
pub(crate) struct Scratch {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Scratch { dir, store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn load(&self, source: impl Into<PathBuf>) -> Vec<Summary> {
        self.store.load(Source::Path(source.into()), &LoadOptions::default()).unwrap()
    }

    /// Every file of the store by path and size, but for the locks.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.path("store"), &mut found);
        found.retain(|path| !path.ends_with("index.lock 0"));
        found.sort();
        found
    }
}

fn walk(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        found.push(format!("{} {}", path.display(), if meta.is_dir() { 0 } else { meta.len() }));
        if meta.is_dir() {
            walk(&path, found);
        }
    }
}

/// Runs a program; its output, or a panic with what it said.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}

/// Lists a tree, one line for each entry: path, type, mode, owner, device,
/// links, time, target, attributes, content. Directories have no link count
/// in common between file systems.
const LIST: &str = r#"
import hashlib, os, stat, sys
top = os.fsencode(sys.argv[1])
def show(path):
    s = os.lstat(path)
    kind = stat.S_IFMT(s.st_mode)
    what = [oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns]
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        what.append(s.st_rdev)
    if kind != stat.S_IFDIR:
        what.append(s.st_nlink)
    if kind == stat.S_IFLNK:
        what.append(os.readlink(path))
    if kind == stat.S_IFREG:
        what.append(hashlib.sha256(open(path, 'rb').read()).hexdigest())
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if not name.startswith('trusted.overlay.'):
            what.append((name, os.getxattr(path, name, follow_symlinks=False)))
    print(os.path.relpath(path, top), *what)
show(top)
for here, dirs, files in os.walk(top):
    dirs.sort()
    for name in sorted(dirs + files):
        show(os.path.join(here, name))
"#;

/// The listing of a plain directory.
pub(crate) fn list(dir: &Path) -> Vec<String> {
    lines(run("python3", [OsStr::new("-c"), OsStr::new(LIST), dir.as_os_str()]))
}

/// The listing of what an overlay of the layers shows, bottom layer first.
/// The mount lives in a mount namespace of its own.
pub(crate) fn list_merged(layers: &[PathBuf], merged: &Path) -> Vec<String> {
    std::fs::create_dir_all(merged).unwrap();
    let empty = merged.with_extension("empty");
    std::fs::create_dir_all(&empty).unwrap();
    // A read-only overlay wants two layers.
    let mut lower: Vec<String> =
        layers.iter().rev().map(|path| path.display().to_string()).collect();
    lower.push(empty.display().to_string());
    let script =
        r#"mount -t overlay overlay -o "ro,lowerdir=$1" "$2" && exec python3 -c "$3" "$2""#;
    let lower = lower.join(":");
    let merged = merged.as_os_str();
    let args = [
        OsStr::new("-m"),
        OsStr::new("sh"),
        OsStr::new("-c"),
        OsStr::new(script),
        OsStr::new("sh"),
        OsStr::new(&lower),
        merged,
        OsStr::new(LIST),
    ];
    lines(run("unshare", args))
}

fn lines(text: String) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The lines that only one of two listings has.
pub(crate) fn difference(ours: &[String], theirs: &[String]) -> Vec<String> {
    let only = |mark: &str, a: &[String], b: &[String]| {
        let other: std::collections::HashSet<&String> = b.iter().collect();
        let lines = a.iter().filter(|line| !other.contains(line));
        lines.map(|line| format!("{mark} {line}")).collect::<Vec<_>>()
    };
    [only("ours  ", ours, theirs), only("theirs", theirs, ours)].concat()
}
