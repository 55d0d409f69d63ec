//! Layers that try to get out of their directory, or to fill the disk.

use super::{tree, tree_within};
use crate::error::ErrorKind;
use crate::image::limits::Limits;
use crate::image::tests::forge::{Tar, root};
use std::os::unix::fs::MetadataExt;

#[test]
fn breakouts_change_nothing_outside() {
    if !root() {
        return;
    }
    let link = "a path through a symbolic link of its own";
    let up = "with \"..\" in it";
    for (name, tar, reason) in [
        ("up and out", Tar::new().file("../outside/etc/passwd", b"x"), up),
        ("down and out", Tar::new().dir("a").file("a/../../outside/etc/passwd", b"x"), up),
        ("up only", Tar::new().dir(".."), up),
        ("below a relative link", Tar::new().symlink("l", "../outside").file("l/new", b"x"), link),
        ("below an absolute link", Tar::new().symlink("l", "/etc").dir("l/new"), link),
        (
            "below a link to the link",
            Tar::new().symlink("a", "../outside").symlink("b", "a").file("b/etc/passwd", b"x"),
            link,
        ),
        (
            "below a deep link",
            Tar::new().dir("d").symlink("d/l", "../../outside").file("d/l/etc/passwd", b"x"),
            link,
        ),
        ("hard link up", Tar::new().hardlink("h", "../outside/etc/passwd"), up),
        (
            "hard link through a link",
            Tar::new().symlink("l", "../outside/etc").hardlink("h", "l/passwd"),
            link,
        ),
        ("hard link to a directory", Tar::new().dir("d").hardlink("h", "d"), "which is no file"),
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
            Tar::new().symlink(".", "../outside").file("etc/passwd", b"x"),
            "replaces its root",
        ),
        ("root as a link, by slash", Tar::new().symlink("/", "/etc"), "replaces its root"),
        ("root as a file", Tar::new().file("./", b"").file(".", b"x"), "replaces its root"),
        ("root as a hard link", Tar::new().hardlink("./.", "x"), "replaces its root"),
        ("below a file", Tar::new().file("f", b"").file("f/x", b""), "which is no directory"),
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
    let found = tree(Tar::new().symlink("l", "../outside/etc/passwd").file("l", b"inside"));
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
    let found =
        tree(Tar::new().hardlink("early", "late").file("late", b"x").hardlink("late", "late"));
    assert_eq!(found.path("early").metadata().unwrap().nlink(), 2);
    // A device in the place of a link to a device.
    let found = tree(Tar::new().symlink("null", "/dev/null").file("null", b"data"));
    assert_eq!(found.read("null"), "data");
}

#[test]
fn limits_are_held() {
    if !root() {
        return;
    }
    let small = Limits { bytes: 100, entries: 3, depth: 5, path: 40, ..Limits::default() };
    let refused = |tar: Tar, reason: &str| tree_within(tar, &small).refused(reason);
    refused(Tar::new().file("x", &[0; 101]), "too many bytes when unpacked: the limit is 100");
    refused(Tar::new().file("x", &[0; 60]).file("y", &[0; 60]), "too many bytes when unpacked");
    let hole: [(&str, &[u8]); 3] = [
        ("GNU.sparse.size", b"9223372036854775807"),
        ("GNU.sparse.numblocks", b"0"),
        ("GNU.sparse.offset", b"0"),
    ];
    assert!(tree_within(Tar::new().pax(&hole).file("x", b""), &small).unpacked.is_err());
    refused(Tar::new().dir("a").dir("b").dir("c").dir("d"), "too many entries: the limit is 3");
    refused(Tar::new().dir("1/2/3/4/5/6"), "directories that are too deep: the limit is 5");
    refused(Tar::new().dir(&"x".repeat(41)), "a path that is too long: the limit is 40");
    tree(Tar::new().pax(&[("path", &[b'x'; 256])]).file("x", b""))
        .refused("a name of more than 255 bytes");
    let deep = Tar::new().pax(&[("path", "d/".repeat(2000).as_bytes())]).dir("x");
    tree(deep).refused("directories that are too deep: the limit is 256");
}

#[test]
fn deep_tree_is_removed_without_recursion() {
    if !root() {
        return;
    }
    let limits = Limits { depth: 2000, ..Limits::default() };
    let mut tar = Tar::new();
    for n in 0..3 {
        let path = format!("top/{n}/{}", "d/".repeat(1500));
        tar = tar.pax(&[("path", path.as_bytes())]).dir("x");
    }
    let found = tree_within(tar.entry(b'0', "top", "", 0o644, b"now a file"), &limits);
    assert_eq!(found.read("top"), "now a file");
}
