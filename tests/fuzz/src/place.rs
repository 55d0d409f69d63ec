//! A file system of its own for everything that a target makes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// A small tmpfs that only this process sees, with a sacrificial directory
/// `outside` that nothing may change.
#[derive(Debug)]
pub struct Place {
    top: PathBuf,
    before: Vec<String>,
}

impl Place {
    /// # Panics
    /// Without the right to mount: a target that writes to the machine's own
    /// file systems would be worse.
    #[must_use]
    pub fn new() -> Place {
        // libFuzzer has one thread here.
        unshare(CloneFlags::CLONE_NEWNS).expect("unshare: needs root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let top = tempfile::tempdir().unwrap().keep();
        mount(Some("fuzz"), &top, Some("tmpfs"), MsFlags::empty(), Some("size=256m")).unwrap();
        let outside = top.join("outside");
        fs::create_dir_all(outside.join("etc")).unwrap();
        fs::write(outside.join("etc/passwd"), "untouched").unwrap();
        fs::write(outside.join("a"), "untouched").unwrap();
        let mut place = Place { top, before: Vec::new() };
        place.before = place.outside();
        place
    }

    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.top.join(name)
    }

    /// An empty directory.
    #[must_use]
    pub fn fresh(&self, name: &str) -> PathBuf {
        let path = self.top.join(name);
        remove(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    /// # Panics
    /// If anything outside of the directories `inside` is not as it was.
    pub fn check(&self, inside: &[&str]) {
        assert_eq!(self.outside(), self.before);
        for entry in fs::read_dir(&self.top).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(name == "outside" || inside.iter().any(|known| name == *known), "{name:?}");
        }
    }

    fn outside(&self) -> Vec<String> {
        list(&self.top.join("outside"), true)
    }

    /// Paths, sizes and kinds below a directory.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        list(&self.top.join(name), false)
    }
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

fn list(dir: &Path, whole: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(path) = pending.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let size = if meta.is_dir() { 0 } else { meta.len() };
        let mut line = format!("{path:?} {:o} {size}", meta.mode());
        if whole {
            let ids = (meta.uid(), meta.gid(), meta.nlink(), meta.ino());
            line += &format!(" {ids:?} {} {}", meta.mtime(), meta.mtime_nsec());
            line += &format!(" {} {}", meta.ctime(), meta.ctime_nsec());
        }
        found.push(line);
        if meta.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}
