//! The copy against the kernel's own overlay of the same directories, and what
//! no overlay can tell.

mod layers;
mod overlay;
mod shown;

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::slice::from_ref;

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, mkdirat};
use nix::unistd::geteuid;

use super::copy;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::sandbox::UpperDirectory;
use crate::tree::{open_at, remove_tree};
use layers::{Random, layers};
use overlay::Overlay;
use shown::shown;

const TOP: UpperDirectory =
    UpperDirectory { path: PathBuf::new(), mode: 0o711, uid: 7, gid: 8, opaque: false };

#[expect(clippy::print_stderr, reason = "a skip must be seen")]
fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test");
    assert_ne!(std::env::var("LIBCTR_TEST_REQUIRE").as_deref(), Ok("1"), "{test}: {reason}");
    eprintln!("SKIP {test}: {reason}");
}

/// A directory for one test; `None` after a printed skip.
fn place() -> Option<tempfile::TempDir> {
    if !geteuid().is_root() {
        skip("owners, devices and mounts need root");
        return None;
    }
    Some(tempfile::tempdir().expect("directory"))
}

fn copied(lowers: &[PathBuf], base: &Path) -> Result<PathBuf> {
    fs::create_dir(base).expect("directory");
    copy(lowers, base, &TOP, None, &|| Ok(()))
}

fn refused(lowers: &[PathBuf], base: &Path) -> Error {
    copied(lowers, base).expect_err("a refusal")
}

#[test]
fn copy_is_what_an_overlay_shows() {
    let Some(place) = place() else { return };
    for seed in 1..=60 {
        let random = &mut Random::new(seed);
        let dir = place.path().join(seed.to_string());
        fs::create_dir(&dir).expect("directory");
        let lowers = layers(random, &dir);
        let overlay = match Overlay::mount(&dir, &lowers, &TOP) {
            Ok(overlay) => overlay,
            Err(reason) => return skip(&format!("no overlay can be mounted: {reason}")),
        };
        let wanted = shown(&overlay.root());
        assert!(seed > 5 || wanted.len() > 5, "layers of seed {seed} have nothing in them");
        let root = copied(&lowers, &dir.join("base")).expect("copy");
        assert_eq!(shown(&root), wanted, "seed {seed}");
        let base: Vec<_> = fs::read_dir(dir.join("base")).expect("base").flatten().collect();
        assert_eq!(base.len(), 1, "{base:?}");
    }
}

#[test]
fn layers_are_only_read() {
    let Some(place) = place() else { return };
    let lowers = layers(&mut Random::new(99), place.path());
    let before: Vec<_> = lowers.iter().map(|lower| shown(lower)).collect();
    let root = copied(&lowers, &place.path().join("base")).expect("copy");
    for entry in fs::read_dir(&root).expect("copy").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::write(entry.path(), "written").expect("write");
        }
    }
    fs::remove_dir_all(&root).expect("removed");
    let after: Vec<_> = lowers.iter().map(|lower| shown(lower)).collect();
    assert_eq!(before, after);
}

#[test]
fn root_directory_is_as_asked_and_whiteouts_below_nothing_are_not_copied() {
    let Some(place) = place() else { return };
    let lower = place.path().join("lower");
    fs::create_dir(&lower).expect("directory");
    nix::sys::stat::mknod(&lower.join("gone"), SFlag::S_IFCHR, Mode::empty(), 0).expect("mknod");
    let root = copied(from_ref(&lower), &place.path().join("base")).expect("copy");
    let (found, old) = (root.metadata().expect("root"), lower.metadata().expect("lower"));
    assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o711, 7, 8));
    assert_eq!((found.mtime(), found.mtime_nsec()), (old.mtime(), old.mtime_nsec()));
    assert_eq!(fs::read_dir(&root).expect("root").count(), 0);
}

#[test]
fn links_of_a_layer_are_data_and_never_followed() {
    let Some(place) = place() else { return };
    let at = |name: &str| place.path().join(name);
    fs::create_dir_all(at("outside/etc")).expect("directory");
    fs::write(at("outside/etc/secret"), "secret").expect("file");
    fs::create_dir_all(at("lower/dir/etc")).expect("directory");
    fs::write(at("lower/dir/etc/own"), "own").expect("file");
    fs::create_dir(at("upper")).expect("directory");
    // The upper layer's link stands where the lower one has a directory.
    symlink(at("outside"), at("upper/dir")).expect("link");
    symlink("../../outside", at("lower/up")).expect("link");
    let root = copied(&[at("upper"), at("lower")], &at("base")).expect("copy");
    assert_eq!(fs::read_link(root.join("dir")).expect("a link"), at("outside"));
    assert_eq!(fs::read_link(root.join("up")).expect("a link"), Path::new("../../outside"));
    assert_eq!(fs::read_dir(&root).expect("root").count(), 2);
}

#[test]
fn copy_that_would_contain_itself_is_refused() {
    let Some(place) = place() else { return };
    let lower = place.path().join("lower");
    fs::create_dir(&lower).expect("directory");
    symlink("lower", place.path().join("link")).expect("link");
    for base in [lower.join("data"), place.path().join("link/data2")] {
        let error = refused(from_ref(&lower), &base);
        assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::Rootfs));
        let text = format!("private copy: {lower:?} contains the copy, {base:?}");
        assert_eq!(error.message(), text);
    }
}

#[test]
fn failures_name_the_call_the_path_and_the_errno() {
    let Some(place) = place() else { return };
    let at = |name: &str| place.path().join(name);
    let error = refused(&[at("absent")], &at("base1"));
    let text = format!("rootfs: private copy: open_tree({:?}): ENOENT", at("absent"));
    assert!(error.to_string().starts_with(&text), "{error}");
    assert_eq!((error.kind(), error.errno()), (ErrorKind::NotFound, Some(2)));

    fs::write(at("file"), "").expect("file");
    let error = refused(&[at("file")], &at("base2"));
    assert_eq!((error.kind(), error.errno()), (ErrorKind::SetupFailed, Some(20)));

    fs::create_dir(at("lower")).expect("directory");
    let error = copy(&[at("lower")], &at("missing"), &TOP, None, &|| Ok(())).expect_err("no base");
    let text = format!("rootfs: private copy: open({:?}): ENOENT", at("missing"));
    assert!(error.to_string().starts_with(&text), "{error}");
}

#[test]
fn copying_stops_when_the_caller_says_so() {
    let Some(place) = place() else { return };
    let at = |name: &str| place.path().join(name);
    fs::create_dir_all(at("lower")).expect("directory");
    for number in 0..10 {
        fs::write(at("lower").join(number.to_string()), "").expect("file");
    }
    fs::create_dir(at("base")).expect("directory");
    let left = std::cell::Cell::new(3);
    let error = copy(&[at("lower")], &at("base"), &TOP, None, &|| {
        left.set(left.get() - 1);
        match left.get() {
            0 => Err(Error::new(Stage::Launch, ErrorKind::Cancelled, "cancelled")),
            _ => Ok(()),
        }
    });
    assert_eq!(error.expect_err("cancelled").kind(), ErrorKind::Cancelled);
    assert_eq!(fs::read_dir(at("base/root")).expect("root").count(), 2);
}

#[test]
fn tree_that_is_too_deep_is_refused() {
    let Some(place) = place() else { return };
    let lower = place.path().join("lower");
    fs::create_dir(&lower).expect("directory");
    let mut at = OwnedFd::from(File::open(&lower).expect("directory"));
    for _ in 0..super::DEPTH {
        mkdirat(&at, "d", Mode::S_IRWXU).expect("directory");
        at = open_at(at.as_fd(), "d", OFlag::O_PATH, Mode::empty()).expect("open");
    }
    let error = refused(from_ref(&lower), &place.path().join("base"));
    assert_eq!(error.to_string(), "rootfs: private copy: more than 2048 directories deep");
    let here = File::open(place.path()).expect("directory");
    for name in ["lower", "base"] {
        remove_tree(here.as_fd(), name.as_bytes()).expect("removed");
    }
}
