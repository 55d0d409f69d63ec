//! Layers as they should be; `hostile` has the others.

use super::{Unpacked, unpack};
use crate::error::{ErrorKind, Result};
use crate::image::dir::Dir;
use crate::image::limits::{Budget, Limits};
use crate::image::tar::Archive;
use crate::image::tests::forge::{Tar, root};
use crate::image::unpack::attributes::Ownership;
use crate::sys;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use tempfile::TempDir;

mod hostile;

/// A layer's directory beside a sacrificial one that nothing may change.
struct Tree {
    dir: TempDir,
    unpacked: Result<Unpacked<'static>>,
}

fn tree(tar: Tar) -> Tree {
    tree_within(tar, &Limits::default())
}

fn tree_within(tar: Tar, limits: &Limits) -> Tree {
    let dir = tempfile::tempdir().unwrap();
    for part in ["fs", "outside", "outside/etc"] {
        std::fs::create_dir(dir.path().join(part)).unwrap();
    }
    std::fs::write(dir.path().join("outside/etc/passwd"), "untouched").unwrap();
    let before = outside(&dir);
    let budget = Budget::new(limits, None, None);
    let fs = Dir::open(&dir.path().join("fs")).unwrap();
    let bytes = tar.end();
    let mut archive = Archive::new(&bytes[..], limits);
    let unpacked = unpack(&mut archive, &fs, Ownership::ROOT, &budget);
    assert_eq!(outside(&dir), before, "something outside of the layer changed");
    Tree { dir, unpacked }
}

fn outside(dir: &TempDir) -> Vec<String> {
    let mut found = Vec::new();
    for path in ["outside", "outside/etc", "outside/etc/passwd", "."] {
        let path = dir.path().join(path);
        let meta = path.symlink_metadata().unwrap();
        let names = std::fs::read_dir(&path).map_or(0, Iterator::count);
        found.push(format!("{path:?} {:o} {} {} {names}", meta.mode(), meta.uid(), meta.len()));
    }
    found
}

impl Tree {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("fs").join(name)
    }

    fn read(&self, name: &str) -> String {
        self.unpacked.as_ref().unwrap();
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn is_whiteout(&self, name: &str) -> bool {
        let meta = self.path(name).symlink_metadata().unwrap();
        meta.file_type().is_char_device() && meta.rdev() == 0
    }

    fn is_opaque(&self, name: &str) -> bool {
        let dir = Dir::open(&self.path(name)).unwrap();
        let mut value = [0; 2];
        sys::fgetxattr(dir.as_fd(), c"trusted.overlay.opaque", &mut value) == Ok(1)
            && value[0] == b'y'
    }

    fn refused(self, reason: &str) {
        let error = self.unpacked.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(reason), "{error} / {reason}");
    }
}

#[test]
fn whiteouts_take_overlay_form_whatever_their_position() {
    if !root() {
        return;
    }
    let found = tree(
        Tar::new()
            .file("a/.wh.gone", b"")
            .file("a/kept", b"")
            .file("b/kept", b"")
            .file("b/.wh..wh..opq", b"")
            .file("c/.wh..wh..opq", b"")
            .file("c/kept", b"")
            // What the same tar brings is never hidden by it.
            .file(".wh.first", b"")
            .file("first/x", b"")
            .file("second/x", b"")
            .file(".wh.second", b"")
            .file(".wh.third", b"")
            .file("third", b"new")
            .file("fourth", b"new")
            .file(".wh.fourth", b"")
            .file(".wh..wh.plnk", b""),
    );
    let unpacked = found.unpacked.as_ref().unwrap();
    let implicit: Vec<_> = unpacked.implicit.iter().map(|p| String::from_utf8_lossy(p)).collect();
    assert_eq!(implicit, ["a", "b", "c"]);
    assert!(found.is_whiteout("a/gone") && !found.is_opaque("a"));
    for opaque in ["b", "c", "first", "second"] {
        assert!(found.is_opaque(opaque), "{opaque}");
    }
    assert_eq!((found.read("third"), found.read("fourth")), ("new".into(), "new".into()));
    assert!(found.path("first/x").exists() && found.path("b/kept").exists());
    assert!(!found.path(".wh..wh.plnk").exists() && !found.path("b/.wh..wh..opq").exists());
}

#[test]
fn whiteouts_that_leave_their_place_are_refused() {
    if !root() {
        return;
    }
    for name in [".wh.", "a/.wh.", ".wh..", ".wh...", "a/.wh..", "a/.wh..."] {
        tree(Tar::new().dir("a").file(name, b"")).refused("a whiteout of");
    }
    tree(Tar::new().file(".wh.x/y", b"")).refused("below a whiteout");
    for name in ["link/.wh.passwd", "link/.wh..wh..opq"] {
        let tar = Tar::new().symlink("link", "../outside/etc").file(name, b"");
        tree(tar).refused("a path through a symbolic link");
    }
}

#[test]
fn attributes_are_set_whatever_the_order() {
    if !root() {
        return;
    }
    let cap = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let records: [(&str, &[u8]); 5] = [
        ("uid", b"1234"),
        ("gid", b"99"),
        ("mtime", b"5.000000007"),
        ("SCHILY.xattr.security.capability", &cap),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
    ];
    let found = tree(
        Tar::new()
            .entry(b'5', "ro", "", 0o500, b"")
            .pax(&records)
            .entry(b'0', "ro/suid", "", 0o4755, b"x")
            .pax(&[
                ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ])
            .entry(b'5', "sticky", "", 0o1777, b"")
            .pax(&[("mtime", b"-3.5")])
            .symlink("link", "nowhere")
            .file("sticky/x", b""),
    );
    found.unpacked.as_ref().unwrap();
    let meta = found.path("ro/suid").metadata().unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o4755, 1234, 99));
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (5, 7));
    let file = std::fs::File::open(found.path("ro/suid")).unwrap();
    let mut value = [0; 32];
    assert_eq!(sys::fgetxattr(file.as_fd(), c"security.capability", &mut value), Ok(20));
    assert!(sys::fgetxattr(file.as_fd(), c"trusted.overlay.redirect", &mut value).is_err());
    let meta = found.path("ro").metadata().unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o500, 1_000_000_000));
    let meta = found.path("sticky").metadata().unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o1777, 1_000_000_000));
    assert!(!found.is_opaque("sticky"), "an image cannot set overlay attributes");
    let meta = found.path("link").symlink_metadata().unwrap();
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (-4, 500_000_000));
}

#[test]
fn sparse_file_has_its_holes() {
    if !root() {
        return;
    }
    let records: [(&str, &[u8]); 3] = [
        ("GNU.sparse.size", b"10000000"),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.map", b"5000000,3"),
    ];
    let found = tree(Tar::new().pax(&records).file("s", b"abc"));
    let bytes = std::fs::read(found.path("s")).unwrap();
    assert_eq!((bytes.len(), &bytes[5_000_000..5_000_003]), (10_000_000, &b"abc"[..]));
    assert!(found.path("s").metadata().unwrap().blocks() < 1000);
}
