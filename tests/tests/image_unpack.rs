//! Unpacked layers against a second implementation, entry by entry.
//!
//! `umoci unpack` puts all layers into one directory; here they are merged by
//! an overlay of the layers' trees, which is what a container sees. Type,
//! mode, owner, time, link count, device, target, attributes and content of
//! every entry must be the same.

mod image_support;

use std::path::{Path, PathBuf};

use image_support::{Scratch, difference, fixture, list, list_merged, run, tool};
use libctr_tests::{as_root, skip};

/// The archive of the four-layer Debian image: from the fixtures, or from the
/// directory where `make-debian-image` wrote it.
fn debian(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("LIBCTR_TEST_DEBIAN").map(PathBuf::from);
    let path = dir.map(|dir| dir.join(name)).filter(|path| path.exists());
    if path.is_none() {
        skip("LIBCTR_TEST_DEBIAN does not name the directory of the Debian archives");
    }
    path
}

fn tools() -> bool {
    as_root() && tool("umoci") && tool("skopeo") && tool("python3") && tool("unshare")
}

/// Compares the merged view of a loaded image with umoci's tree.
fn compare(scratch: &Scratch, id: &str, layout: &Path, tag: &str) {
    let bundle = scratch.path("bundle");
    let image = format!("{}:{tag}", layout.display());
    run("umoci", ["unpack".as_ref(), "--image".as_ref(), image.as_ref(), bundle.as_os_str()]);
    let image = scratch.store.get(id).unwrap();
    let layers: Vec<PathBuf> = image.layers.iter().map(|layer| layer.path.clone()).collect();
    let mut ours = list_merged(&layers, &scratch.path("merged"));
    let mut theirs = list(&bundle.join("rootfs"));
    // The root directory's own line: the image tells mode and owner apart,
    // because no layer's directory does for all.
    let root = ours.remove(0);
    let wanted = theirs.remove(0);
    let mode = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(mode(&wanted), format!("0o4{:04o}", image.root.mode), "{root} {wanted}");
    assert!(ours.len() > 100);
    let difference = difference(&ours, &theirs);
    assert!(difference.is_empty(), "{} lines:\n{}", difference.len(), difference.join("\n"));
}

#[test]
fn debian_image_merged_is_what_umoci_unpacks() {
    let Some(archive) = debian("debian-python-oci.tar").filter(|_| tools()) else {
        return;
    };
    let scratch = Scratch::new();
    let loaded = scratch.load(&archive);
    let layout = scratch.path("layout");
    let from = format!("oci-archive:{}", archive.display());
    run(
        "skopeo",
        ["copy", "--insecure-policy", &from, &format!("oci:{}:latest", layout.display())],
    );
    compare(&scratch, &loaded[0].id, &layout, "latest");
}

#[test]
fn debian_image_is_the_same_from_all_archives() {
    let names = ["debian-python-oci.tar", "debian-python-oci-zstd.tar", "debian-python-docker.tar"];
    let Some(archives) = names.map(debian).into_iter().collect::<Option<Vec<_>>>() else {
        return;
    };
    if !tools() {
        return;
    }
    let mut listings = Vec::new();
    for archive in archives {
        let scratch = Scratch::new();
        let loaded = scratch.load(&archive);
        let image = scratch.store.get(&loaded[0].id).unwrap();
        let layers: Vec<PathBuf> = image.layers.iter().map(|layer| layer.path.clone()).collect();
        listings.push(list_merged(&layers, &scratch.path("merged")).split_off(1));
    }
    assert!(difference(&listings[0], &listings[1]).is_empty());
    assert!(difference(&listings[0], &listings[2]).is_empty());
}

#[test]
fn busybox_merged_is_what_umoci_unpacks() {
    let Some(layout) = fixture("busybox-oci").filter(|_| tools()) else {
        return;
    };
    let scratch = Scratch::new();
    let loaded = scratch.load(&layout);
    let flat = scratch.path("flat");
    let from = format!("oci:{}:{}", layout.display(), loaded[0].names[0]);
    run("skopeo", ["copy", "--insecure-policy", &from, &format!("oci:{}:flat", flat.display())]);
    compare(&scratch, "busybox:1.38.0-musl", &flat, "flat");
}
