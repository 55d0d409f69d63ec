//! Images that try to reach what is not theirs: names, links, whiteouts,
//! digests. Each is refused, or unpacked within its own directory.

mod hostile_support;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

use hostile_support::breakouts::{HIDES, LINK, UP, breakouts};
use hostile_support::{Bench, Layout, Tar, digest, gzip};
use libctr::ErrorKind;
use libctr::image::{ImportOptions, LoadOptions, Source};
use libctr_tests::as_root;
use serde_json::json;

#[test]
fn breakouts_of_containerds_list_stay_inside() {
    if !as_root() {
        return;
    }
    for (name, tar, refused) in breakouts() {
        let bench = Bench::new();
        match (bench.layer(tar), refused) {
            (Ok(tree), None) => {
                let passwd = std::fs::read(tree.join("etc/passwd")).expect(name);
                assert_eq!(passwd, b"inside", "{name}");
            }
            (Err(error), Some(text)) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
                assert!(error.to_string().contains(text), "{name}: {error}");
                bench.check_all();
            }
            (Ok(_), Some(text)) => panic!("{name}: unpacked, not {text:?}"),
            (Err(error), None) => panic!("{name}: {error}"),
        }
    }
}

/// The thirty-first needs names of the sacrificial directory.
#[test]
fn hard_link_to_a_link_changes_no_mode_outside() {
    if !as_root() {
        return;
    }
    let bench = Bench::new();
    let target = bench.path("outside/etc/passwd");
    std::fs::set_permissions(&target, PermissionsExt::from_mode(0o400)).expect("mode");
    let target = target.to_str().expect("path");
    let tree = bench.dir.path().to_str().expect("path");
    let long = format!("{}/also-outside", &tree[1..]);
    let layer = Tar::new()
        .pax(&[("path", long.as_bytes()), ("linkpath", target.as_bytes())])
        .symlink("x", "x")
        .pax(&[("linkpath", format!("/{long}").as_bytes())])
        .hardlink("x", "sketchylink");
    let loaded = bench.load(Layout::plain(&[layer.end()]).archive()).expect("an image");
    let image = bench.store.get(&loaded[0].id).expect("the image");
    let link = image.layers[0].path.join("sketchylink");
    assert!(link.symlink_metadata().expect("link").is_symlink());
    let meta = std::fs::metadata(bench.path("outside/etc/passwd")).expect("file");
    assert_eq!((meta.mode() & 0o7777, meta.nlink()), (0o400, 1));
    assert!(!bench.path("also-outside").exists());
}

#[test]
fn links_meet_entries_below_them_in_any_order() {
    if !as_root() {
        return;
    }
    let bench = Bench::new();
    let outside = bench.path("outside");
    let out = outside.to_str().expect("path");
    for (tar, text) in [
        (Tar::new().symlink(out, "l").file("l/new", b"x"), LINK),
        (Tar::new().symlink(out, "l").dir("l/new"), LINK),
        (Tar::new().symlink(out, "l").symlink("x", "l/new"), LINK),
        (Tar::new().symlink(out, "l").hardlink("l/etc/passwd", "h"), LINK),
        (Tar::new().symlink(out, "l").entry(b'6', "l/p", "", 0o600, b""), LINK),
        (Tar::new().symlink(out, "l").file("l/.wh.etc", b""), LINK),
        (Tar::new().symlink(out, "l").file("l/.wh..wh..opq", b""), LINK),
        (Tar::new().symlink(out, "d/l").file("d/l/etc/.wh.passwd", b""), LINK),
        (Tar::new().symlink(out, "."), "replaces its root"),
        (Tar::new().symlink(out, "./."), "replaces its root"),
        (Tar::new().file(".wh.", b""), HIDES),
        (Tar::new().file("a/.wh.", b""), HIDES),
        (Tar::new().file("/../x", b""), UP),
        (Tar::new().pax(&[("path", b"../outside/new")]).file("x", b""), UP),
        (Tar::new().pax(&[("path", b"a\0b")]).file("x", b""), "a NUL byte in a path"),
        (Tar::new().entry(b'L', "L", "", 0, b"../outside/new\0").file("x", b""), UP),
    ] {
        bench.refuses(Layout::plain(&[tar.end()]).archive(), text);
    }
    // A link of one layer is not there for the next.
    let layers = [
        Tar::new().symlink(out, "l").end(),
        Tar::new().file("l/new", b"x").file("l/.wh.etc", b"").end(),
    ];
    bench.load(Layout::plain(&layers).archive()).expect("an image");
    bench.check_outside();
}

#[test]
fn duplicates_and_special_files_are_what_the_last_entry_says() {
    if !as_root() {
        return;
    }
    let bench = Bench::new();
    let tree = bench
        .layer(
            Tar::new()
                .file("twice", b"one")
                .file("twice", b"two")
                .symlink("../outside/etc/passwd", "over")
                .file("over", b"mine")
                .entry(b'0', "suid", "", 0o6755, b"x")
                .entry(b'3', "null", "", 0o666, b"")
                .entry(b'6', "fifo", "", 0o600, b"")
                .pax(&[("path", &[b'n'; 255])])
                .file("x", b"")
                .dir("d/")
                .dir("d/"),
        )
        .expect("a tree");
    let read = |name: &str| std::fs::read_to_string(tree.join(name)).expect("file");
    assert_eq!((read("twice"), read("over")), ("two".into(), "mine".into()));
    let meta = |name: &str| tree.join(name).symlink_metadata().expect("metadata");
    assert_eq!(meta("suid").mode() & 0o7777, 0o6755);
    assert!(meta("null").file_type().is_char_device() && meta("fifo").file_type().is_fifo());
    assert_eq!(meta("null").rdev(), nix::sys::stat::makedev(1, 3));
    assert!(tree.join("n".repeat(255)).exists());
    // Nobody but root passes to where set-id files and devices are.
    assert_eq!(std::fs::metadata(bench.path("store")).expect("store").mode() & 0o77, 0);
}

#[test]
fn blobs_that_are_links_or_that_lie_are_refused() {
    if !as_root() {
        return;
    }
    let bench = Bench::new();
    let good = Layout::plain(&[Tar::new().file("a", b"x").end()]);
    let out = bench.path("outside");
    // In an archive names are only names.
    for name in ["blobs", "blobs/sha256"] {
        let start = Tar::new().symlink(out.to_str().expect("path"), name);
        let tar = good.all().iter().fold(start, |tar, (name, bytes)| tar.file(name, bytes));
        bench.load(tar.end()).expect("an image");
        bench.check_outside();
    }
    // In a directory they are what they are.
    let bench = Bench::new();
    for (name, fifo) in [
        ("blobs", false),
        ("blobs/sha256", false),
        ("index.json", false),
        ("index.json", true),
        (good.files[0].0.as_str(), false),
        (good.files[0].0.as_str(), true),
        (good.files[1].0.as_str(), true),
    ] {
        let dir = tempfile::tempdir().expect("directory");
        good.write(dir.path());
        let path = dir.path().join(name);
        let moved = dir.path().join("moved");
        std::fs::rename(&path, &moved).expect("rename");
        match fifo {
            true => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("fifo"),
            false => symlink(&moved, &path).expect("link"),
        }
        let source = Source::Path(dir.path().to_owned());
        let error = bench.store.load(source, &LoadOptions::default()).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        let text = error.to_string();
        let regular = ["is not a regular file", "links are not followed"];
        assert!(regular.iter().any(|end| text.contains(end)), "{name}: {text}");
        bench.check_all();
    }
}

#[test]
fn digests_sizes_and_media_types_are_checked_before_use() {
    if !as_root() {
        return;
    }
    let bench = Bench::new();
    let layer = Tar::new().file("a", b"x").end();
    let good = Layout::plain(std::slice::from_ref(&layer));
    for at in 0..good.files.len() {
        let change = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut layout = good.clone();
            change(&mut layout.files[at].1);
            layout.archive()
        };
        bench.refuses(change(&|bytes| bytes.push(0)), "bytes or more, not");
        bench.refuses(change(&|bytes| bytes.truncate(bytes.len() - 1)), "bytes or more, not");
        bench.refuses(change(&|bytes| bytes[20] ^= 1), "as its name says");
    }
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut layout = good.clone();
        change(&mut layout.index["manifests"][0]);
        layout.archive()
    };
    for (size, text) in [
        (json!(-1), "index.json: manifests[0].size"),
        (json!(1_u64 << 63), "a document that is too long"),
        (json!(u64::MAX), "a document that is too long"),
        (json!(1.5), "index.json: manifests[0].size"),
    ] {
        bench.refuses(with(&|manifest| manifest["size"] = size.clone()), text);
    }
    for name in ["sha256:../../../outside/etc/passwd", "sha256:", "sha256:/etc/passwd", "../x:y"] {
        bench.refuses(with(&|manifest| manifest["digest"] = json!(name)), "manifests[0].digest");
    }
    let upper = digest(&good.files[2].1).to_uppercase().replace("SHA256", "sha256");
    bench.refuses(with(&|manifest| manifest["digest"] = json!(upper)), "manifests[0].digest");
    // A layer whose tar is another one than the config says.
    let other = Layout::new(&[gzip(&layer)], &[digest(b"other")]);
    bench.refuses(other.archive(), "as its name says");
    // One blob that is a manifest for one reader and an index for another
    // (CVE-2021-41190).
    let mut both = good.clone();
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest(&good.files[1].1), "size": good.files[1].1.len()});
    both.manifest(&json!({"schemaVersion": 2, "config": config, "layers": [], "manifests": [],
        "mediaType": "application/vnd.oci.image.index.v1+json"}));
    bench.refuses(both.archive(), "calls itself \"application/vnd.oci.image.index.v1+json\"");
    // A config that is a manifest.
    let config = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest(&good.files[1].1), "size": good.files[1].1.len()});
    both.manifest(&json!({"schemaVersion": 2, "config": config, "layers": []}));
    let error = bench.load(both.archive()).expect_err("no image");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    bench.check_all();
}

#[test]
fn tars_that_parsers_read_differently_are_refused() {
    if !as_root() {
        return;
    }
    let bench = Bench::new();
    let inner = Tar::new().file("hidden", b"").end();
    let size = inner.len().to_string();
    // The record says N, the header 0: what follows is data (CVE-2025-62518).
    let zero = b"00000000000\0".as_slice();
    let tar = Tar::new().pax(&[("size", size.as_bytes())]).patched(
        b'0',
        "outer",
        "",
        0o644,
        &inner,
        &[(124, zero)],
    );
    let tree = bench.layer(tar.file("after", b"")).expect("a tree");
    let mut names: Vec<_> = std::fs::read_dir(&tree)
        .expect("names")
        .map(|name| name.expect("name").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["after", "outer"]);
    assert_eq!(std::fs::read(tree.join("outer")).expect("file"), inner);
    let bench = Bench::new();
    for (tar, text) in [
        (Tar::new().entry(b'x', "x", "", 0, b"5 a=b\n").file("x", b""), "malformed pax record"),
        (Tar::new().entry(b'x', "x", "", 0, b"99 a=b\n").file("x", b""), "malformed pax record"),
        (Tar::new().entry(b'x', "x", "", 0, b"6 a=b").file("x", b""), "malformed pax record"),
        (Tar::new().pax(&[("size", b"-1")]).file("x", b""), "is no number"),
        (Tar::new().pax(&[("size", b"18446744073709551616")]).file("x", b""), "is no number"),
        (Tar::new().patched(b'0', "x", "", 0, &inner, &[(124, b"+0000000000\0")]), "is no number"),
        (
            Tar::new().patched(b'0', "x", "", 0, &inner, &[(124, b"\x80\0\0\x01\0\0\0\0\0\0\0\0")]),
            "does not fit 64 bits",
        ),
        (Tar::new().entry(b'5', "d", "", 0o755, &inner), "is no regular file but has"),
        (Tar::new().entry(b'g', "g", "", 0, b"11 path=yy\n").file("x", b""), "a global pax record"),
        (
            Tar::new()
                .entry(b'L', "L", "", 0, b"a\0")
                .entry(b'L', "L", "", 0, b"b\0")
                .file("x", b""),
            "two extended headers",
        ),
        (Tar::new().entry(b'?', "x", "", 0, b""), "the unknown type '?'"),
        (
            Tar::new().pax(&[("SCHILY.xattr.security.capability", &[1; 4000])]).file("x", b""),
            "with capabilities of 4000 bytes",
        ),
    ] {
        bench.refuses(Layout::plain(&[tar.end()]).archive(), text);
    }
}

#[test]
fn import_is_as_careful_as_load() {
    if !as_root() {
        return;
    }
    let bench = Bench::new();
    let import = |tar: Tar| {
        let source = Source::Reader(Box::new(std::io::Cursor::new(tar.end())));
        bench.store.import(source, Some("app"), &ImportOptions::default())
    };
    for (_, tar, text) in breakouts() {
        match (import(tar), text) {
            (Err(error), Some(text)) => assert!(error.to_string().contains(text), "{error}"),
            (Ok(_), None) => {}
            (other, text) => panic!("{text:?}: {other:?}"),
        }
        bench.check_outside();
    }
    // A directory is packed without following what it links to.
    let root = bench.path("root");
    std::fs::create_dir(&root).expect("directory");
    symlink(bench.path("outside"), root.join("l")).expect("link");
    let summary = bench
        .store
        .import(Source::Path(root), Some("dir"), &ImportOptions::default())
        .expect("an image");
    let image = bench.store.get(&summary.id).expect("the image");
    let link = image.layers[0].path.join("l");
    assert_eq!(std::fs::read_link(&link).expect("link"), bench.path("outside"));
    bench.check_outside();
}
