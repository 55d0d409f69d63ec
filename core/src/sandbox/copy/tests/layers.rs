//! Random layers, the same for the same seed.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::sys;
use crate::tree::{Attributes, Time};

/// Few names, so that layers meet.
const NAMES: [&[u8]; 8] = [b"a", b"b", b"c", b"d", b"with space", b"l\ni", b"\xff\xfe", b".wh.a"];

/// xorshift64*.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn u32(&mut self, bound: u64) -> u32 {
        u32::try_from(self.below(bound)).expect("small")
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One to five layers below `dir`, uppermost first.
pub(super) fn layers(random: &mut Random, dir: &Path) -> Vec<PathBuf> {
    let count = 1 + random.below(5);
    let mut made = Vec::new();
    for number in 0..count {
        let layer = dir.join(format!("layer{number}"));
        fs::create_dir(&layer).expect("directory");
        fill(random, &layer, 0, &mut Vec::new());
        made.push(layer);
    }
    made
}

/// Fills a directory; `files` are those of the layer, for hard links.
fn fill(random: &mut Random, dir: &Path, depth: u32, files: &mut Vec<PathBuf>) {
    for name in NAMES {
        if !random.one_in(if depth == 0 { 1 } else { 2 }) || random.one_in(4) {
            continue;
        }
        let path = dir.join(OsStr::from_bytes(name));
        match random.below(12) {
            0..5 if depth < 4 => {
                fs::create_dir(&path).expect("directory");
                fill(random, &path, depth + 1, files);
                if random.one_in(4) {
                    set(&path, c"trusted.overlay.opaque", b"y");
                }
                attributes(random, &path, true, false);
            }
            5 => {
                mknod(&path, SFlag::S_IFCHR, Mode::empty(), 0).expect("whiteout");
            }
            6 if !files.is_empty() => {
                let which = usize::try_from(random.u32(files.len() as u64)).expect("small");
                fs::hard_link(&files[which], &path).expect("link");
            }
            _ => {
                leaf(random, &path);
                files.push(path);
            }
        }
    }
}

fn leaf(random: &mut Random, path: &Path) {
    let mode = Mode::S_IRUSR;
    let node = |kind, device| mknod(path, kind, mode, device).expect("node");
    match random.below(8) {
        0 => {
            symlink(
                OsStr::from_bytes(NAMES[usize::try_from(random.below(8)).expect("small")]),
                path,
            )
            .expect("link");
            return attributes(random, path, false, true);
        }
        1 => node(SFlag::S_IFIFO, 0),
        2 => node(SFlag::S_IFCHR, makedev(1, 3 + random.below(3))),
        3 => node(SFlag::S_IFBLK, makedev(7, random.below(3))),
        4 => node(SFlag::S_IFSOCK, 0),
        _ => {
            let length = usize::try_from(random.below(20_000)).expect("small");
            let byte = u8::try_from(random.below(256)).expect("small");
            fs::write(path, vec![byte; length]).expect("file");
            return attributes(random, path, true, false);
        }
    }
    attributes(random, path, false, false);
}

/// Random owner, mode, time; extended attributes where `user.` ones can be.
fn attributes(random: &mut Random, path: &Path, user: bool, is_symlink: bool) {
    let mut xattrs = Vec::new();
    let mut add = |name: &str, value: &[u8]| {
        xattrs.push((CString::new(name).expect("name"), value.to_vec()));
    };
    if user && random.one_in(3) {
        add("user.first", b"one");
        add("user.overlay.opaque", b"of the image's own");
    }
    if random.one_in(3) {
        add("trusted.other", &[0, 1, 255]);
    }
    if user && path.is_file() && random.one_in(3) {
        // vfs_cap_data, revision 2: cap_net_raw, permitted and effective.
        let words = [0x0200_0001_u32, 1 << 13, 0, 0, 0];
        add("security.capability", &words.map(u32::to_le_bytes).concat());
    }
    if user && random.one_in(4) {
        // posix_acl_xattr_header and entries: tag, permissions, id.
        let none = u32::MAX;
        let entries = [(1, 6, none), (2, 4, 1000), (4, 4, none), (16, 6, none), (32, 0, none)];
        let mut acl = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            acl.extend_from_slice(&u16::to_le_bytes(tag));
            acl.extend_from_slice(&u16::to_le_bytes(permissions));
            acl.extend_from_slice(&u32::to_le_bytes(id));
        }
        add("system.posix_acl_access", &acl);
    }
    let wanted = Attributes {
        mode: random.u32(0o10000),
        uid: random.u32(70_000),
        gid: random.u32(70_000),
        mtime: Time {
            seconds: i64::try_from(random.below(1 << 31)).expect("small") - 1000,
            nanoseconds: i64::try_from(random.below(1_000_000_000)).expect("small"),
        },
        xattrs,
    };
    let dir = File::open(path.parent().expect("a parent")).expect("directory");
    let name = path.file_name().expect("a name").as_bytes();
    wanted.apply_at(dir.as_fd(), name, is_symlink).expect("attributes");
}

fn set(path: &Path, name: &std::ffi::CStr, value: &[u8]) {
    let path = CString::new(path.as_os_str().as_bytes()).expect("path");
    sys::lsetxattr(&path, name, value).expect("attribute");
}
