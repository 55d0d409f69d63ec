//! What openat2(2) does with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS, by
//! hand, for kernels and filters that refuse the call (it came with Linux 5.6).
//!
//! One component at a time, each opened in the directory before it and never
//! followed; a symbolic link is read and its contents take its place in the
//! path, with the root as `/`. `..` is never given to the kernel, because a
//! directory that is moved meanwhile could lead it out: the walk starts again
//! at the root, one directory shorter. So it only ever goes down from the root.
//!
//! Sources: path_resolution(7), symlink(7), openat2(2).

use core::ffi::CStr;

use super::{
    BorrowedFd, Errno, Fd, O_DIRECTORY, O_NOFOLLOW, O_PATH, Result, S_IFDIR, S_IFLNK, S_IFMT,
    file_system_type, open, read_link, stat,
};

/// Longest path, with its NUL (limits.h, PATH_MAX).
const PATH_MAX: usize = 4096;
/// As many links as the kernel follows (path_resolution(7)).
const LINKS: u32 = 40;
/// Components that one walk may open: each `..` opens those before it again.
const STEPS: u32 = 16_384;
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// Opens `path` below `root`; of O_CREAT and its like nothing is known here.
pub(super) fn open_in_root(root: BorrowedFd, path: &CStr, flags: usize) -> Result<Fd> {
    let mut todo = Text::of(path.to_bytes())?;
    if todo.length == 0 {
        return Err(Errno::ENOENT);
    }
    // Names that were walked, all of them directories.
    let mut done = Text::of(b"")?;
    let mut at: Option<Fd> = None;
    let (mut links, mut steps) = (0_u32, 0_u32);
    loop {
        let here = at.as_ref().map_or(root, Fd::borrow);
        let Some((name, rest, is_last)) = todo.split()? else {
            // Nothing but slashes and dots was left.
            return open(here, c".", flags, 0);
        };
        if name.bytes() == b"." {
            todo = rest;
            continue;
        }
        if name.bytes() == b".." {
            done.pop();
            todo = done.then(&rest)?;
            done = Text::of(b"")?;
            at = None;
            continue;
        }
        steps = steps.saturating_add(1);
        if steps > STEPS {
            return Err(Errno::ELOOP);
        }
        let found = open(here, name.c_str()?, O_PATH | O_NOFOLLOW, 0)?;
        let kind = stat(found.borrow())?.mode & S_IFMT;
        if kind == S_IFLNK && !(is_last && flags & O_NOFOLLOW != 0) {
            links = links.saturating_add(1);
            if links > LINKS {
                return Err(Errno::ELOOP);
            }
            let contents = contents(&found)?;
            if contents.bytes().starts_with(b"/") {
                done = Text::of(b"")?;
                at = None;
            }
            todo = contents.then(&rest)?;
        } else if is_last {
            return last(here, &name, found, kind, flags);
        } else {
            if kind != S_IFDIR {
                return Err(Errno::ENOTDIR);
            }
            done = done.then(&name)?;
            at = Some(found);
            todo = rest;
        }
    }
}

/// The last component, which is `found` and no link that is to be followed.
fn last(here: BorrowedFd, name: &Text, found: Fd, kind: u32, flags: usize) -> Result<Fd> {
    if flags & O_DIRECTORY != 0 && kind != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    match flags & !(O_DIRECTORY | O_NOFOLLOW) {
        O_PATH => Ok(found),
        // Opened again for use; what has become a link meanwhile is ELOOP.
        _ => open(here, name.c_str()?, flags | O_NOFOLLOW, 0),
    }
}

/// What a symbolic link says. Those of /proc that lead to an open file or to
/// another root are ELOOP, as RESOLVE_NO_MAGICLINKS has it: their texts are
/// absolute or `kind:[number]`, while ordinary links there are relative.
fn contents(link: &Fd) -> Result<Text> {
    let mut text = Text { bytes: [0; PATH_MAX], length: 0 };
    text.length = read_link(link.borrow(), &mut text.bytes)?;
    if text.length == 0 {
        return Err(Errno::ENOENT);
    }
    if text.length >= PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let is_magic = text.bytes().starts_with(b"/") || text.bytes().contains(&b':');
    if is_magic && file_system_type(link.borrow())? == PROC_SUPER_MAGIC {
        return Err(Errno::ELOOP);
    }
    Ok(text)
}

/// A path or a part of one. The bytes after it are zero.
struct Text {
    bytes: [u8; PATH_MAX],
    length: usize,
}

impl Text {
    fn of(bytes: &[u8]) -> Result<Text> {
        if bytes.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut text = Text { bytes: [0; PATH_MAX], length: bytes.len() };
        super::copy(&mut text.bytes, bytes);
        Ok(text)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    fn c_str(&self) -> Result<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::ENAMETOOLONG)
    }

    /// This path and another one below it. An empty one adds nothing, also no
    /// slash.
    fn then(&self, below: &Text) -> Result<Text> {
        if self.length == 0 || below.length == 0 {
            return Text::of(if self.length == 0 { below.bytes() } else { self.bytes() });
        }
        let end = self.length.saturating_add(1);
        let length = end.saturating_add(below.length);
        if length >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut text = Text::of(self.bytes())?;
        if let Some([slash, rest @ ..]) = text.bytes.get_mut(self.length..) {
            *slash = b'/';
            super::copy(rest, below.bytes());
        }
        text.length = length;
        Ok(text)
    }

    /// Without its last name.
    fn pop(&mut self) {
        let slash = self.bytes().iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        if let Some(rest) = self.bytes.get_mut(slash..) {
            rest.fill(0);
        }
        self.length = slash;
    }

    /// Its first name, what comes after it, and whether that is nothing. A
    /// slash at the end counts as one more `.`, so the name before it has to
    /// be a directory.
    fn split(&self) -> Result<Option<(Text, Text, bool)>> {
        let bytes = self.bytes();
        let Some(start) = bytes.iter().position(|byte| *byte != b'/') else { return Ok(None) };
        let bytes = bytes.get(start..).unwrap_or(&[]);
        let end = bytes.iter().position(|byte| *byte == b'/').unwrap_or(bytes.len());
        let (name, rest) = bytes.split_at_checked(end).ok_or(Errno::EINVAL)?;
        Ok(Some((Text::of(name)?, Text::of(rest)?, rest.is_empty())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Errno, Fd, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY};
    use std::ffi::CString;
    use std::format;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::{Path, PathBuf};

    /// A root with a file, directories and links; gone when dropped.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Tree {
            let base = std::env::temp_dir();
            let tree = Tree(base.join(format!("libctr-resolve-{}-{name}", std::process::id())));
            fs::create_dir_all(tree.0.join("root/a/b")).expect("directories");
            fs::write(tree.0.join("root/a/file"), "inside").expect("file");
            fs::write(tree.0.join("file"), "outside").expect("file");
            tree
        }

        fn link(self, contents: &str, name: &str) -> Tree {
            symlink(contents, self.0.join("root").join(name)).expect("link");
            self
        }

        /// Inode of what both ways of opening find, or their errno.
        fn both(&self, path: &str, flags: usize) -> Result<u64, Errno> {
            let root = CString::new(self.0.join("root").as_os_str().as_bytes()).expect("path");
            let root = super::open(Fd::CWD, &root, O_PATH | O_DIRECTORY, 0).expect("root");
            let path = CString::new(path).expect("path");
            let inode = |fd: Fd| super::stat(fd.borrow()).expect("stat").inode;
            let by_hand = super::open_in_root(root.borrow(), &path, flags).map(inode);
            let kernels = super::super::open_in_root(root.borrow(), &path, flags).map(inode);
            assert_eq!(by_hand, kernels, "{path:?}");
            by_hand
        }

        fn inode(&self, name: &str) -> u64 {
            inode(&self.0.join("root").join(name))
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn inode(path: &Path) -> u64 {
        fs::metadata(path).expect("metadata").ino()
    }

    #[test]
    fn plain_paths_are_opened_as_openat2_opens_them() {
        let tree = Tree::new("plain");
        for path in ["a/file", "/a/file", "a//./file", "a/b/../file", "../../a/file", "a/b/../../a/file"] {
            for flags in [O_PATH, O_RDONLY] {
                assert_eq!(tree.both(path, flags), Ok(tree.inode("a/file")), "{path}");
            }
        }
        for path in [".", "/", "//", "..", "a/..", "a/b/../../.."] {
            assert_eq!(tree.both(path, O_PATH | O_DIRECTORY), Ok(tree.inode("")), "{path}");
        }
        assert_eq!(tree.both("a/", O_PATH), Ok(tree.inode("a")));
        for (path, flags, errno) in [
            ("", O_PATH, Errno::ENOENT),
            ("none", O_PATH, Errno::ENOENT),
            ("a/none/x", O_PATH, Errno::ENOENT),
            ("a/file/x", O_PATH, Errno::ENOTDIR),
            ("a/file/", O_PATH, Errno::ENOTDIR),
            ("a/file/..", O_PATH, Errno::ENOTDIR),
            ("a/file", O_PATH | O_DIRECTORY, Errno::ENOTDIR),
        ] {
            assert_eq!(tree.both(path, flags), Err(errno), "{path}");
        }
    }

    #[test]
    fn links_stay_inside_the_root() {
        let tree = Tree::new("links")
            .link("/a/file", "absolute")
            .link("../../../../a/file", "climbs")
            .link("/file", "outside")
            .link("/", "top")
            .link("a/b", "directory")
            .link("absolute", "second");
        for path in ["absolute", "climbs", "second", "top/a/file", "top/../top/absolute", "directory/../file"] {
            assert_eq!(tree.both(path, O_PATH), Ok(tree.inode("a/file")), "{path}");
            assert_eq!(tree.both(path, O_RDONLY), Ok(tree.inode("a/file")), "{path}");
        }
        // Outside there is such a file.
        assert_eq!(tree.both("outside", O_PATH), Err(Errno::ENOENT));
        assert_eq!(tree.both("../file", O_PATH), Err(Errno::ENOENT));
        assert_eq!(tree.both("directory", O_PATH | O_DIRECTORY), Ok(tree.inode("a/b")));
        assert_eq!(tree.both("absolute/x", O_PATH), Err(Errno::ENOTDIR));
        let link = fs::symlink_metadata(tree.0.join("root/absolute")).expect("link").ino();
        assert_eq!(tree.both("absolute", O_PATH | O_NOFOLLOW), Ok(link));
        assert_eq!(tree.both("absolute", O_RDONLY | O_NOFOLLOW), Err(Errno::ELOOP));
    }

    #[test]
    fn links_without_end_are_too_many() {
        let tree = Tree::new("loops").link("loop", "loop").link("b/two", "a/one").link("../one", "a/b/two");
        let long = "x/".repeat(2047);
        let tree = tree.link(&format!("{long}."), "long");
        assert_eq!(tree.both("loop", O_PATH), Err(Errno::ELOOP));
        assert_eq!(tree.both("loop/x", O_PATH), Err(Errno::ELOOP));
        assert_eq!(tree.both("a/one", O_PATH), Err(Errno::ELOOP));
        assert_eq!(tree.both("long", O_PATH), Err(Errno::ENOENT));
    }

    #[test]
    fn links_as_many_as_the_kernel_follows_are_followed() {
        let mut tree = Tree::new("forty").link("a/file", "l0");
        for number in 1..=41 {
            tree = tree.link(&format!("l{}", number - 1), &format!("l{number}"));
        }
        assert_eq!(tree.both("l39", O_PATH), Ok(tree.inode("a/file")));
        assert_eq!(tree.both("l40", O_PATH), Err(Errno::ELOOP));
    }

    #[test]
    fn links_of_proc_that_lead_out_of_the_root_are_refused() {
        let root = super::open(Fd::CWD, c"/proc", O_PATH | O_DIRECTORY, 0).expect("/proc");
        for path in [c"self/root", c"self/cwd/x", c"self/exe", c"self/ns/mnt", c"self/fd/0"] {
            for open in [super::open_in_root, super::super::open_in_root] {
                let refused = open(root.borrow(), path, O_PATH).map(drop);
                assert_eq!(refused, Err(Errno::ELOOP), "{path:?}");
            }
        }
        // An ordinary one.
        let own = super::open_in_root(root.borrow(), c"mounts", O_PATH).expect("link");
        assert!(super::stat(own.borrow()).is_ok());
    }
}
