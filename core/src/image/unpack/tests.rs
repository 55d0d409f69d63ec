use super::{Unpacked, unpack};
use crate::error::{ErrorKind, Result};
use crate::image::attributes::Ownership;
use crate::image::dir::Dir;
use crate::image::forge::{Tar, root};
use crate::image::limits::{Budget, Limits};
use crate::image::tar::Archive;
use crate::sys;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use tempfile::TempDir;

/// A layer's directory beside a sacrificial one that nothing may change.
struct Tree {
    dir: TempDir,
    unpacked: Result<Unpacked>,
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
    assert_eq!(
        outside(&dir),
        before,
        "something outside of the layer changed"
    );
    Tree { dir, unpacked }
}

fn outside(dir: &TempDir) -> Vec<String> {
    let mut found = Vec::new();
    for path in ["outside", "outside/etc", "outside/etc/passwd", "."] {
        let path = dir.path().join(path);
        let meta = path.symlink_metadata().unwrap();
        let names = std::fs::read_dir(&path).map_or(0, Iterator::count);
        found.push(format!(
            "{path:?} {:o} {} {} {names}",
            meta.mode(),
            meta.uid(),
            meta.len()
        ));
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
    let implicit: Vec<_> = unpacked
        .implicit
        .iter()
        .map(|p| String::from_utf8_lossy(p))
        .collect();
    assert_eq!(implicit, ["a", "b", "c"]);
    assert!(found.is_whiteout("a/gone") && !found.is_opaque("a"));
    for opaque in ["b", "c", "first", "second"] {
        assert!(found.is_opaque(opaque), "{opaque}");
    }
    assert_eq!(
        (found.read("third"), found.read("fourth")),
        ("new".into(), "new".into())
    );
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
fn breakouts_change_nothing_outside() {
    if !root() {
        return;
    }
    let link = "a path through a symbolic link of its own";
    let up = "with \"..\" in it";
    for (name, tar, reason) in [
        (
            "up and out",
            Tar::new().file("../outside/etc/passwd", b"x"),
            up,
        ),
        (
            "down and out",
            Tar::new().dir("a").file("a/../../outside/etc/passwd", b"x"),
            up,
        ),
        ("up only", Tar::new().dir(".."), up),
        (
            "below a relative link",
            Tar::new().symlink("l", "../outside").file("l/new", b"x"),
            link,
        ),
        (
            "below an absolute link",
            Tar::new().symlink("l", "/etc").dir("l/new"),
            link,
        ),
        (
            "below a link to the link",
            Tar::new()
                .symlink("a", "../outside")
                .symlink("b", "a")
                .file("b/etc/passwd", b"x"),
            link,
        ),
        (
            "below a deep link",
            Tar::new()
                .dir("d")
                .symlink("d/l", "../../outside")
                .file("d/l/etc/passwd", b"x"),
            link,
        ),
        (
            "hard link up",
            Tar::new().hardlink("h", "../outside/etc/passwd"),
            up,
        ),
        (
            "hard link through a link",
            Tar::new()
                .symlink("l", "../outside/etc")
                .hardlink("h", "l/passwd"),
            link,
        ),
        (
            "hard link to a directory",
            Tar::new().dir("d").hardlink("h", "d"),
            "which is no file",
        ),
        (
            "hard link to the root",
            Tar::new().dir("d").hardlink("h", "/"),
            "a hard link to its root",
        ),
        (
            "hard link to a whiteout",
            Tar::new().file(".wh.x", b"").hardlink("h", "x"),
            "which is no file",
        ),
        (
            "root as a link",
            Tar::new()
                .symlink(".", "../outside")
                .file("etc/passwd", b"x"),
            "replaces its root",
        ),
        (
            "root as a link, by slash",
            Tar::new().symlink("/", "/etc"),
            "replaces its root",
        ),
        (
            "root as a file",
            Tar::new().file("./", b"").file(".", b"x"),
            "replaces its root",
        ),
        (
            "root as a hard link",
            Tar::new().hardlink("./.", "x"),
            "replaces its root",
        ),
        (
            "below a file",
            Tar::new().file("f", b"").file("f/x", b""),
            "which is no directory",
        ),
        (
            "below a FIFO",
            Tar::new().entry(b'6', "p", "", 0o600, b"").file("p/x", b""),
            "which is no directory",
        ),
        ("empty link target", Tar::new().symlink("l", ""), "create"),
        (
            "owner that means nobody's",
            Tar::new().pax(&[("uid", b"4294967295")]).file("x", b""),
            "out of range",
        ),
        (
            "owner too large",
            Tar::new().pax(&[("gid", b"99999999999")]).file("x", b""),
            "out of range",
        ),
    ] {
        let error = tree(tar).unpacked.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        assert!(error.to_string().contains(reason), "{name}: {error}");
    }
}

#[test]
fn odd_but_safe_archives_stay_inside() {
    if !root() {
        return;
    }
    // Absolute names start at the layer's root.
    let found = tree(
        Tar::new()
            .dir("etc")
            .file("/etc/passwd", b"inside")
            .symlink("l", "/etc/passwd")
            .hardlink("h", "/etc/passwd")
            .hardlink("hl", "/l"),
    );
    assert_eq!(found.read("etc/passwd"), "inside");
    assert_eq!(
        found.path("h").metadata().unwrap().ino(),
        found.path("etc/passwd").metadata().unwrap().ino()
    );
    // A hard link to a symbolic link is the link's, not its target's.
    assert!(found.path("hl").symlink_metadata().unwrap().is_symlink());
    // A link, then a file of the same name: the link is replaced, not followed.
    let found = tree(
        Tar::new()
            .symlink("l", "../outside/etc/passwd")
            .file("l", b"inside"),
    );
    assert_eq!(found.read("l"), "inside");
    assert!(found.path("l").symlink_metadata().unwrap().is_file());
    // The same with a directory, a device and a FIFO in between.
    let found = tree(
        Tar::new()
            .symlink("l", "../outside")
            .dir("l")
            .file("l/x/y", b"")
            .entry(b'6', "l", "", 0o600, b"")
            .entry(b'5', "l", "", 0o700, b"")
            .file("l/etc", b"inside"),
    );
    assert_eq!(found.read("l/etc"), "inside");
    assert!(!found.path("l/x").exists());
    // A hard link to what comes later, and one to itself.
    let found = tree(
        Tar::new()
            .hardlink("early", "late")
            .file("late", b"x")
            .hardlink("late", "late"),
    );
    assert_eq!(found.path("early").metadata().unwrap().nlink(), 2);
    // A device in the place of a link to a device.
    let found = tree(
        Tar::new()
            .symlink("null", "/dev/null")
            .file("null", b"data"),
    );
    assert_eq!(found.read("null"), "data");
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
    assert_eq!(
        (meta.mode() & 0o7777, meta.uid(), meta.gid()),
        (0o4755, 1234, 99)
    );
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (5, 7));
    let file = std::fs::File::open(found.path("ro/suid")).unwrap();
    let mut value = [0; 32];
    assert_eq!(
        sys::fgetxattr(file.as_fd(), c"security.capability", &mut value),
        Ok(20)
    );
    assert!(sys::fgetxattr(file.as_fd(), c"trusted.overlay.redirect", &mut value).is_err());
    let meta = found.path("ro").metadata().unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o500, 1_000_000_000));
    let meta = found.path("sticky").metadata().unwrap();
    assert_eq!(
        (meta.mode() & 0o7777, meta.mtime()),
        (0o1777, 1_000_000_000)
    );
    assert!(
        !found.is_opaque("sticky"),
        "an image cannot set overlay attributes"
    );
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
    assert_eq!(
        (bytes.len(), &bytes[5_000_000..5_000_003]),
        (10_000_000, &b"abc"[..])
    );
    assert!(found.path("s").metadata().unwrap().blocks() < 1000);
}

#[test]
fn limits_are_held() {
    if !root() {
        return;
    }
    let small = Limits {
        bytes: 100,
        entries: 3,
        depth: 5,
        path: 40,
        ..Limits::default()
    };
    let refused = |tar: Tar, reason: &str| tree_within(tar, &small).refused(reason);
    refused(
        Tar::new().file("x", &[0; 101]),
        "too many bytes when unpacked: the limit is 100",
    );
    refused(
        Tar::new().file("x", &[0; 60]).file("y", &[0; 60]),
        "too many bytes when unpacked",
    );
    let hole: [(&str, &[u8]); 3] = [
        ("GNU.sparse.size", b"9223372036854775807"),
        ("GNU.sparse.numblocks", b"0"),
        ("GNU.sparse.offset", b"0"),
    ];
    assert!(
        tree_within(Tar::new().pax(&hole).file("x", b""), &small)
            .unpacked
            .is_err()
    );
    refused(
        Tar::new().dir("a").dir("b").dir("c").dir("d"),
        "too many entries: the limit is 3",
    );
    refused(
        Tar::new().dir("1/2/3/4/5/6"),
        "directories that are too deep: the limit is 5",
    );
    refused(
        Tar::new().dir(&"x".repeat(41)),
        "a path that is too long: the limit is 40",
    );
    tree(Tar::new().pax(&[("path", &[b'x'; 256])]).file("x", b""))
        .refused("a name of more than 255 bytes");
    let deep = Tar::new()
        .pax(&[("path", "d/".repeat(2000).as_bytes())])
        .dir("x");
    tree(deep).refused("directories that are too deep: the limit is 256");
}

#[test]
fn deep_tree_is_removed_without_recursion() {
    if !root() {
        return;
    }
    let limits = Limits {
        depth: 2000,
        ..Limits::default()
    };
    let mut tar = Tar::new();
    for n in 0..3 {
        let path = format!("top/{n}/{}", "d/".repeat(1500));
        tar = tar.pax(&[("path", path.as_bytes())]).dir("x");
    }
    let found = tree_within(tar.entry(b'0', "top", "", 0o644, b"now a file"), &limits);
    assert_eq!(found.read("top"), "now a file");
}
