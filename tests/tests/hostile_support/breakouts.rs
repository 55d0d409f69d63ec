//! Layers that have broken out of other programs.

use super::Tar;

pub(crate) const LINK: &str = "a path through a symbolic link of its own";
pub(crate) const UP: &str = "with \"..\" in it";
pub(crate) const HIDES: &str = "a whiteout of";

/// The shapes of containerd's list of breakouts, by the names they have there.
/// What is `None` is unpacked, and safe.
pub(crate) fn breakouts() -> Vec<(&'static str, Tar, Option<&'static str>)> {
    let etc = || Tar::new().dir("etc").file("/etc/passwd", b"inside");
    let file = |tar: Tar, name: &str| tar.file(name, b"unbroken");
    vec![
        (
            "SymlinkAbsolute",
            file(Tar::new().dir("etc").symlink("/etc", "localetc"), "/localetc/unbroken"),
            Some(LINK),
        ),
        (
            "SymlinkUpAndOut",
            file(
                Tar::new().dir("etc").dir("dummy").symlink("/dummy/../etc", "localetc"),
                "/localetc/unbroken",
            ),
            Some(LINK),
        ),
        (
            "SymlinkMultipleAbsolute",
            file(
                Tar::new()
                    .dir("etc")
                    .dir("dummy")
                    .symlink("/etc", "/dummy/etc")
                    .symlink("/dummy/etc", "localetc"),
                "/dummy/etc/unbroken",
            ),
            Some(LINK),
        ),
        (
            "SymlinkMultipleRelative",
            file(
                Tar::new()
                    .dir("etc")
                    .dir("dummy")
                    .symlink("/etc", "/dummy/etc")
                    .symlink("./dummy/etc", "localetc"),
                "/dummy/etc/unbroken",
            ),
            Some(LINK),
        ),
        (
            "SymlinkEmptyFile",
            Tar::new()
                .dir("etc")
                .file("etc/emptied", b"notempty")
                .symlink("/etc", "localetc")
                .file("/localetc/emptied", b""),
            Some(LINK),
        ),
        (
            "HardlinkRelative",
            etc()
                .dir("breakouts")
                .symlink("../../etc", "breakouts/d1")
                .hardlink("/breakouts/d1/passwd", "breakouts/mypasswd"),
            Some(LINK),
        ),
        (
            "HardlinkDownAndOut",
            etc()
                .dir("breakouts")
                .dir("downandout")
                .symlink("../downandout/../../etc", "breakouts/d1")
                .hardlink("/breakouts/d1/passwd", "breakouts/mypasswd"),
            Some(LINK),
        ),
        (
            "HardlinkAbsolute",
            etc().symlink("/etc", "localetc").hardlink("/localetc/passwd", "localpasswd"),
            Some(LINK),
        ),
        (
            "HardlinkRelativeLong",
            etc()
                .symlink("../../../../../../../etc", "localetc")
                .hardlink("/localetc/passwd", "localpasswd"),
            Some(LINK),
        ),
        (
            "HardlinkRelativeUpAndOut",
            etc()
                .symlink("upandout/../../../etc", "localetc")
                .hardlink("/localetc/passwd", "localpasswd"),
            Some(LINK),
        ),
        (
            "HardlinkDirectRelative",
            etc().hardlink("../../../../../etc/passwd", "localpasswd"),
            Some(UP),
        ),
        ("HardlinkDirectAbsolute", etc().hardlink("/etc/passwd", "localpasswd"), None),
        (
            "SymlinkParentDirectory",
            etc().symlink("/etc/", "..").hardlink("/etc/passwd", "localpasswd"),
            Some(UP),
        ),
        (
            "SymlinkEmptyFilename",
            etc().symlink("/etc/", "").hardlink("/etc/passwd", "localpasswd"),
            Some("replaces its root"),
        ),
        (
            "SymlinkParentRelative",
            etc()
                .symlink("/etc/", "localetc/sub/..")
                .hardlink("/etc/passwd", "/localetc/localpasswd"),
            Some(UP),
        ),
        (
            "SymlinkSlashEnded",
            etc().dir("localetc/").hardlink("/etc/passwd", "/localetc/localpasswd"),
            None,
        ),
        (
            "SymlinkOverrideDirectory",
            etc()
                .dir("localetc")
                .symlink("/etc", "localetc")
                .hardlink("/etc/passwd", "/localetc/localpasswd"),
            Some(LINK),
        ),
        (
            "SymlinkOverrideDirectoryRelative",
            etc()
                .dir("localetc")
                .symlink("../../etc", "localetc")
                .hardlink("/etc/passwd", "/localetc/localpasswd"),
            Some(LINK),
        ),
        (
            "DirectoryOverrideSymlink",
            etc()
                .symlink("/etc", "localetc")
                .dir("/localetc/")
                .hardlink("/etc/passwd", "/localetc/localpasswd"),
            None,
        ),
        (
            "DirectoryOverrideSymlinkAndHardlink",
            etc()
                .symlink("etc", "localetc")
                .dir("/localetc/")
                .hardlink("/etc/passwd", "/localetc/localpasswd")
                .file("/localetc/localpasswd", b"different"),
            None,
        ),
        ("WhiteoutRootParent", etc().file(".wh...", b""), Some(HIDES)),
        ("WhiteoutParent", etc().file("etc/.wh...", b""), Some(HIDES)),
        ("WhiteoutRoot", etc().file(".wh..", b""), Some(HIDES)),
        ("WhiteoutCurrentDirectory", etc().file("etc/.wh..", b""), Some(HIDES)),
        ("WhiteoutSymlink", etc().symlink("/etc", "localetc").file(".wh.localetc", b""), None),
        (
            "WhiteoutSymlinkPath",
            etc().symlink("/etc", "localetc").file("localetc/.wh.passwd", b""),
            Some(LINK),
        ),
        (
            "WhiteoutDirectoryName",
            etc().file(".wh.etc/somefile", b"non-empty"),
            Some("below a whiteout"),
        ),
        (
            "WhiteoutDeadSymlinkParent",
            etc().symlink("/dne", "localetc").file("localetc/.wh.etc", b""),
            Some(LINK),
        ),
        ("WhiteoutRelativePath", etc().file("dne/../.wh.etc", b""), Some(UP)),
        (
            "HardlinkSymlinkBeforeCreateTarget",
            Tar::new()
                .dir("etc")
                .symlink("/etc/passwd", "localpasswd")
                .hardlink("localpasswd", "localpasswd-dup")
                .file("/etc/passwd", b"inside"),
            None,
        ),
        (
            "HardlinkSymlinkRelative",
            etc()
                .symlink("../../../../../etc/passwd", "passwdlink")
                .hardlink("/passwdlink", "localpasswd"),
            None,
        ),
        (
            "HardlinkSymlinkAbsolute",
            etc().symlink("/etc/passwd", "passwdlink").hardlink("/passwdlink", "localpasswd"),
            None,
        ),
    ]
}
