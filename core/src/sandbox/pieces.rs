//! The host's own root for an ordinary user: put together from parts.
//!
//! In a user namespace no overlay can have a directory as its lower layer
//! below which something is mounted (fs/namespace.c, `has_locked_children`),
//! and below `/` there always is. So the root is a directory in memory;
//! directories without mounts are shown through overlays of their own, those
//! with mounts are taken apart in the same way.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::host::{hidden, prepare};
use super::{Piece, View};
use crate::error::Stage;
use crate::proc::mountinfo;

/// What the container has of its own.
const OWN: [&str; 6] = ["proc", "sys", "dev", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// A directory that would come apart into more than this is shown read-only
/// as a whole.
const ENTRIES_MAX: usize = 1024;

struct Taker<'a> {
    root: &'a Path,
    /// Relative, parents first.
    hidden: Vec<(PathBuf, bool)>,
    /// Relative.
    mounts: Vec<PathBuf>,
    pieces: Vec<Piece>,
}

/// Takes `root` apart; `also` is hidden besides what always is.
pub(super) fn take(root: &Path, also: &[&Path]) -> Vec<Piece> {
    let table = mountinfo::read(Stage::Rootfs).unwrap_or_default();
    take_with(root, also, mount_points(&table))
}

fn take_with(root: &Path, also: &[&Path], mounts: Vec<PathBuf>) -> Vec<Piece> {
    let mut taker = Taker { root, hidden: hidden(root, also), mounts, pieces: Vec::new() };
    taker.directory(Path::new(""));
    taker.pieces
}

/// The files and directories of the host that a container of the host sees:
/// where something below one is hidden, its parts.
pub(super) fn visible(root: &Path) -> Vec<PathBuf> {
    let mut visible = Vec::new();
    let hidden = hidden(root, &[]);
    let kernel = ["proc", "sys", "dev"].map(Path::new);
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(root.join(&directory)).into_iter().flatten().flatten();
        for path in entries.map(|entry| directory.join(entry.file_name())) {
            let below = hidden.iter().any(|(other, _)| other.starts_with(&path));
            let is_hidden = hidden.iter().any(|(other, _)| *other == path);
            let found = fs::symlink_metadata(root.join(&path));
            match found.map(|found| found.file_type()) {
                _ if is_hidden || kernel.contains(&path.as_path()) => {}
                Ok(kind) if kind.is_dir() && below => open.push(path),
                Ok(kind) if kind.is_dir() || kind.is_file() => visible.push(root.join(path)),
                _ => {}
            }
        }
    }
    visible.sort();
    visible
}

/// All mount points but `/`, relative to it.
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    let points = mountinfo::entries(table).filter_map(|entry| entry.path());
    let relative = points.filter_map(|point| point.strip_prefix("/").map(Path::to_path_buf).ok());
    relative.filter(|point| point != Path::new("")).collect()
}

impl Taker<'_> {
    /// What is in a directory.
    fn directory(&mut self, directory: &Path) {
        let Ok(entries) = fs::read_dir(self.root.join(directory)) else { return };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            let path = directory.join(name);
            if !OWN.iter().any(|own| path == Path::new(own)) {
                self.entry(path);
            }
        }
    }

    fn entry(&mut self, path: PathBuf) {
        let place = self.root.join(&path);
        let Ok(found) = fs::symlink_metadata(&place) else { return };
        let kind = found.file_type();
        if kind.is_symlink() {
            if let Ok(contents) = fs::read_link(&place) {
                self.pieces.push(Piece::Link { path, contents });
            }
        } else if kind.is_file() {
            self.pieces.push(Piece::File(place));
        } else if kind.is_dir() {
            let mode = found.mode() & 0o7777;
            let below = |other: &Path| other.starts_with(&path) && other != path;
            if self.hidden.iter().any(|(hidden, _)| *hidden == path) {
                self.pieces.push(Piece::Directory { path, mode });
            } else if !self.mounts.iter().any(|mount| below(mount)) {
                let inside = self.hidden.iter().filter_map(|(hidden, later)| {
                    Some((hidden.strip_prefix(&path).ok()?.to_path_buf(), *later))
                });
                let prepared = prepare(&place, inside);
                self.pieces.push(Piece::View(View { path: place, prepared }));
            } else if fs::read_dir(&place).map_or(0, Iterator::count) > ENTRIES_MAX {
                self.pieces.push(Piece::Tree(place));
            } else {
                self.pieces.push(Piece::Directory { path: path.clone(), mode });
                self.directory(&path);
            }
        }
        // Sockets, FIFOs and devices of the host are none of the container's.
    }
}

#[cfg(test)]
mod tests {
    use super::{mount_points, take_with};
    use crate::sandbox::{Piece, View};
    use std::path::{Path, PathBuf};

    #[test]
    fn mount_points_are_relative_and_unescaped() {
        let mountinfo = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                         27 22 8:3 / /with\\040space rw - ext4 /dev/sda3 rw\n";
        assert_eq!(mount_points(mountinfo), [PathBuf::from("with space")]);
    }

    #[test]
    fn directory_with_a_mount_is_taken_apart_and_others_are_views() {
        let root = tempfile::tempdir().expect("directory");
        let at = |name: &str| root.path().join(name);
        for name in ["usr/bin", "var/lib/disk", "var/log", "home/me", "proc"] {
            std::fs::create_dir_all(at(name)).expect("directory");
        }
        std::os::unix::fs::symlink("usr/bin", at("bin")).expect("link");
        std::fs::write(at("note"), "").expect("file");
        let pieces = take_with(root.path(), &[Path::new("/usr/bin")], vec!["var/lib/disk".into()]);
        let names: Vec<String> = pieces.iter().map(name).collect();
        assert_eq!(
            names,
            [
                "link bin",
                "directory home",
                "file note",
                "view usr (hides bin)",
                "directory var",
                "directory var/lib",
                "view disk",
                "view log"
            ]
        );
    }

    fn name(piece: &Piece) -> String {
        let last =
            |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match piece {
            Piece::Directory { path, .. } => format!("directory {}", path.display()),
            Piece::Link { path, .. } => format!("link {}", path.display()),
            Piece::File(path) => format!("file {}", last(path)),
            Piece::Tree(path) => format!("tree {}", last(path)),
            Piece::View(View { path, prepared }) if prepared.is_empty() => {
                format!("view {}", last(path))
            }
            Piece::View(View { path, prepared }) => {
                let hidden: Vec<_> =
                    prepared.iter().map(|made| made.path.display().to_string()).collect();
                format!("view {} (hides {})", last(path), hidden.join(" "))
            }
        }
    }
}
