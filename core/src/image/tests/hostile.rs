//! Damaged and hostile sources: a clear error, the store as it was, nothing
//! touched outside.

use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::image::tests::forge::{Layout, Scratch, Tar, docker_archive, gzip, one_image, root};
use crate::image::{LoadOptions, Source, digest};

fn layer() -> Vec<u8> {
    Tar::new().dir("etc").file("etc/motd", b"hello\n").end()
}

/// Loads, expects an error that says `reason`, and compares the store.
fn refused(archive: Vec<u8>, reason: &str) -> Error {
    let scratch = Scratch::new();
    scratch.load(one_image("old", &[Tar::new().file("old", b"").end()]).archive()).unwrap();
    let before = scratch.snapshot();
    let error = scratch.load(archive).unwrap_err();
    assert!(error.to_string().contains(reason), "{error} / {reason}");
    assert_eq!(scratch.snapshot(), before, "{reason}");
    error
}

/// A layout whose file `name` is changed by `change`.
fn changed(name: &str, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut layout = one_image("app", &[layer()]);
    let index = layout.files().len() - 1;
    let files = layout.files();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    // Blobs in the order in which they were added.
    let at = match name {
        "config" => 1,
        "layer" => 2,
        "manifest" => 3,
        other => names.iter().position(|name| *name == other).unwrap_or(index),
    };
    if at < layout.files.len() {
        change(&mut layout.files[at].1);
        return layout.archive();
    }
    let mut files = files.clone();
    change(&mut files[at].1);
    files.iter().fold(Tar::new(), |tar, (name, bytes)| tar.file(name, bytes)).end()
}

#[test]
fn blobs_that_are_not_what_their_names_say_are_refused() {
    if !root() {
        return;
    }
    for blob in ["config", "layer", "manifest"] {
        refused(changed(blob, |bytes| bytes.push(b' ')), "bytes or more, not");
        refused(changed(blob, |bytes| bytes.truncate(bytes.len() - 1)), "bytes or more, not");
        refused(changed(blob, |bytes| bytes[3] ^= 1), "as its name says");
    }
    let mut layout = Layout::new();
    let image = layout.image_of(&[gzip(&layer())], &[digest::of(b"other").to_string()]);
    layout.name(image, "app");
    let error = refused(layout.archive(), "the unpacked layer");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let mut layout = one_image("app", &[layer()]);
    layout.files.remove(2);
    refused(layout.archive(), "is missing; the image was saved or copied only in part");
}

#[test]
fn documents_that_contradict_are_refused() {
    if !root() {
        return;
    }
    let mut layout = Layout::new();
    let image = layout.image_of(&[layer()], &[]);
    layout.name(image, "app");
    refused(layout.archive(), "has 0 diff_ids for 1 layers");
    // One blob that is an index here and a manifest there.
    let mut layout = Layout::new();
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [], "layers": [], "config": {"mediaType": "x", "size": 2, "digest": digest::of(b"{}").to_string()}});
    let image =
        layout.blob("application/vnd.oci.image.manifest.v1+json", index.to_string().as_bytes());
    layout.name(image, "app");
    refused(layout.archive(), "calls itself \"application/vnd.oci.image.index.v1+json\"");
    let mut archive = docker_archive(&["app"], &[layer()]);
    let at = archive.windows(5).position(|w| w == b"amd64").unwrap();
    archive[at] = b'A';
    refused(archive, "the image config is sha256:");
}

#[test]
fn descriptors_out_of_range_are_refused() {
    if !root() {
        return;
    }
    let manifest = |change: &dyn Fn(&mut Value)| {
        let mut layout = one_image("app", &[layer()]);
        change(&mut layout.manifests[0]);
        layout.archive()
    };
    refused(manifest(&|m| m["size"] = json!(-1)), "index.json: manifests[0].size");
    refused(manifest(&|m| m["size"] = json!(1_u64 << 63)), "a document that is too long");
    refused(manifest(&|m| m["size"] = json!(u64::MAX)), "a document that is too long");
    refused(
        manifest(&|m| m["digest"] = json!("sha256:../../../etc/passwd")),
        "index.json: manifests[0].digest",
    );
    refused(
        manifest(&|m| m["digest"] = json!("md5:d41d8cd98f00b204e9800998ecf8427e")),
        "is missing",
    );
    refused(manifest(&|m| m["mediaType"] = json!(3)), "index.json: manifests[0].mediaType");
    refused(
        manifest(&|m| m["digest"] = json!(format!("sha256:{}", "A".repeat(64)))),
        "non-hexadecimal",
    );
}

#[test]
fn json_bombs_are_refused_in_bounded_memory() {
    if !root() {
        return;
    }
    let index = |text: &str| changed("index.json", |bytes| *bytes = text.as_bytes().to_vec());
    refused(index(&"[".repeat(100_000)), "index.json:");
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    refused(index(&deep), "missing field");
    refused(index("{\"schemaVersion\":2,\"schemaVersion\":2,\"manifests\":[]}"), "duplicate field");
    refused(index("{\"schemaVersion\":NaN,\"manifests\":[]}"), "index.json:");
    refused(
        index("{\"schemaVersion\":2,\"manifests\":[],\"mediaType\":\"\\ud800\"}"),
        "index.json:",
    );
    refused(index("{\"schemaVersion\":2,\"manifests\":[]} trailing"), "trailing characters");
    refused(index("{\"schemaVersion\":2,\"manifests\":[]}"), "the image archive has no image for");
    refused(index(""), "index.json: EOF");
    refused(
        changed("index.json", |bytes| bytes.resize(9 << 20, b' ')),
        "a document that is too long",
    );
    refused(
        changed("oci-layout", |bytes| *bytes = br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec()),
        "image layout version \"2.0.0\"",
    );
}

#[test]
fn indexes_that_nest_forever_are_refused() {
    if !root() {
        return;
    }
    let mut layout = Layout::new();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let mut inner = layout.image(&[layer()]);
    for _ in 0..10 {
        inner["platform"] = json!({"architecture": "amd64", "os": "linux"});
        let list = json!({"schemaVersion": 2, "manifests": [inner]});
        inner = layout.blob(media_type, list.to_string().as_bytes());
    }
    layout.name(inner, "app");
    refused(layout.archive(), "indexes that are nested too deep");
}

#[test]
fn archives_that_are_no_images_are_refused() {
    if !root() {
        return;
    }
    refused(b"this is no tar".to_vec(), "the archive ends in the middle of a header");
    refused(vec![b'x'; 4096], "wrong header checksum");
    refused(Vec::new(), "it has neither \"index.json\" nor \"manifest.json\"");
    refused(layer(), "a root file system is imported, not loaded");
    refused(gzip(b""), "it has neither");
    let mut half = gzip(&one_image("app", &[layer()]).archive());
    half.truncate(half.len() / 2);
    assert_eq!(refused(half, "").kind(), ErrorKind::InvalidInput);
    refused(b"\xfd7zXZ\0\0\0".to_vec(), "xz compression");
    refused(Tar::new().file("manifest.json", b"[]").end(), "lists no image");
    let manifest = br#"[{"Config":"../../etc/passwd","RepoTags":null,"Layers":[]}]"#;
    refused(
        Tar::new().file("manifest.json", manifest).end(),
        "lacks the file \"../../etc/passwd\"",
    );
    let looping = Tar::new().symlink("manifest.json", "a").symlink("a", "manifest.json");
    refused(looping.end(), "it has neither");
}

#[test]
fn links_and_names_in_archives_reach_nothing_outside() {
    if !root() {
        return;
    }
    let scratch = Scratch::new();
    let outside = scratch.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let target = outside.to_str().unwrap();
    let files = one_image("app", &[layer()]).files();
    for links in [
        vec![("blobs", target)],
        vec![("blobs/sha256", target)],
        vec![("index.json", "/etc/passwd")],
    ] {
        let mut tar =
            links.iter().fold(Tar::new(), |tar, (name, target)| tar.symlink(name, target));
        for (name, bytes) in &files {
            tar = tar.file(name, bytes);
        }
        let tar = tar
            .file("../../outside/x", b"x")
            .file("/outside/y", b"y")
            .entry(b'6', "p", "", 0o600, b"");
        scratch.load(tar.end()).unwrap();
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }
}

/// A layout directory in which one thing is replaced.
fn directory(change: impl Fn(&Path)) -> (Scratch, Error) {
    let scratch = Scratch::new();
    let dir = scratch.dir.path().join("layout");
    one_image("app", &[layer()]).write(&dir);
    change(&dir);
    let before = scratch.snapshot();
    let error = scratch.store.load(Source::Path(dir), &LoadOptions::default()).unwrap_err();
    assert_eq!(scratch.snapshot(), before);
    (scratch, error)
}

#[test]
fn links_and_fifos_in_layout_directories_are_refused_at_once() {
    if !root() {
        return;
    }
    let replace = |path: &Path, fifo: bool| {
        let moved = path.with_extension("moved");
        std::fs::rename(path, &moved).unwrap();
        match fifo {
            true => nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
            false => symlink(&moved, path).unwrap(),
        }
    };
    let blob = digest::of(&layer()).digest().to_owned();
    let blob = format!("blobs/sha256/{blob}");
    for (name, fifo) in [
        ("index.json", true),
        ("index.json", false),
        ("oci-layout", true),
        (&blob, true),
        (&blob, false),
        ("blobs", false),
        ("blobs/sha256", false),
        ("blobs", true),
    ] {
        let (_, error) = directory(|dir| replace(&dir.join(name), fifo));
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
    }
    let (_, error) = directory(|dir| std::fs::remove_file(dir.join("oci-layout")).unwrap());
    assert!(error.to_string().contains("it has neither"), "{error}");
    let scratch = Scratch::new();
    let missing = Source::Path(scratch.dir.path().join("nowhere"));
    let error = scratch.store.load(missing, &LoadOptions::default()).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::NotFound, Some(libc::ENOENT)));
}

#[test]
fn compression_bombs_stop_at_the_limit() {
    if !root() {
        return;
    }
    // 2 GiB of zeros in 2 MB, as a layer and as the archive itself.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut header = tar::Header::new_gnu();
    header.set_size(2 << 30);
    header.set_path("bomb").unwrap();
    header.set_mode(0o644);
    header.set_cksum();
    std::io::Write::write_all(&mut packed, header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..2048 {
        std::io::Write::write_all(&mut packed, &zeros).unwrap();
    }
    let packed = packed.finish().unwrap();
    refused(packed.clone(), "unpacks to far more bytes: the limit is 250 for one");
    let mut layout = Layout::new();
    let image = layout.image_of(&[packed], &[digest::of(b"any").to_string()]);
    layout.name(image, "app");
    refused(layout.archive(), "unpacks to far more bytes");
    // A zstd frame that asks for a window of 2 GiB.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0];
    refused(window.to_vec(), "");
}
