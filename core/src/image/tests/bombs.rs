//! Small images that would become large: in memory, on disk, in time.

use serde_json::json;

use super::forge::{Layout, Scratch, Tar, docker_archive, one_image, root};
use crate::error::{ErrorKind, Result};
use crate::image::limits::Limits;
use crate::image::{LoadOptions, Summary, digest};

fn layer() -> Vec<u8> {
    Tar::new().dir("etc").file("etc/motd", b"hello\n").end()
}

fn load(archive: Vec<u8>, limits: Limits) -> Result<Vec<Summary>> {
    let scratch = Scratch::new();
    let before = scratch.snapshot();
    let loaded = scratch.load_with(archive, &LoadOptions { limits, ..LoadOptions::default() });
    if loaded.is_err() {
        assert_eq!(scratch.snapshot(), before);
    }
    loaded
}

#[track_caller]
fn refused(archive: Vec<u8>, limits: Limits, reason: &str) {
    let error = load(archive, limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains(reason), "{error} / {reason}");
}

/// A docker archive whose manifest.json lists `count` images.
fn listed(count: usize, tags: usize) -> Vec<u8> {
    let tags: Vec<String> = (0..tags).map(|n| format!("n{n}:1")).collect();
    let config = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []}});
    let item = json!({"Config": "c.json", "RepoTags": tags, "Layers": []});
    let manifest = serde_json::Value::Array(vec![item; count]);
    Tar::new()
        .file("c.json", config.to_string().as_bytes())
        .file("manifest.json", manifest.to_string().as_bytes())
        .end()
}

#[test]
fn images_and_names_of_one_archive_are_counted() {
    if !root() {
        return;
    }
    load(listed(1000, 0), Limits::default()).unwrap();
    refused(
        listed(1001, 0),
        Limits::default(),
        "too many images in its archive: the limit is 1000",
    );
    load(listed(1, 1000), Limits::default()).unwrap();
    refused(listed(1, 1001), Limits::default(), "too many names in its archive: the limit is 1000");
    let mut layout = Layout::new();
    let image = layout.image(&[layer()]);
    for n in 0..1001 {
        layout.name(image.clone(), &format!("n{n}:1"));
    }
    refused(layout.archive(), Limits::default(), "too many names in its archive");
    let mut layout = Layout::new();
    layout.manifests = vec![image; 10_001];
    refused(layout.archive(), Limits::default(), "too many manifests in its index");
    let many = json!([{"Config": "c.json", "RepoTags": null, "Layers": vec!["l"; 501]}]);
    let tar = Tar::new()
        .file("c.json", b"{}")
        .file("l", &layer())
        .file("manifest.json", many.to_string().as_bytes());
    refused(tar.end(), Limits::default(), "too many layers: the limit is 500");
}

#[test]
fn documents_count_as_what_they_become() {
    if !root() {
        return;
    }
    // Ten manifests of one config: each keeps it once more.
    let mut layout = Layout::new();
    let image = layout.image(&[]);
    let manifest = String::from_utf8(layout.files.last().unwrap().1.clone()).unwrap();
    layout.manifests.push(image);
    for n in 0..10 {
        let manifest = manifest.replacen('{', &format!("{{\"x\":{n},"), 1);
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let next = layout.blob(kind, manifest.as_bytes());
        layout.manifests.push(next);
    }
    load(layout.archive(), Limits::default()).unwrap();
    let small = Limits { memory: 40_000, ..Limits::default() };
    refused(layout.archive(), small, "too much to keep in memory: the limit is 40000");
    // 3 bytes each that would be a hundred.
    let mut layout = one_image("app", &[layer()]);
    let config = format!(
        "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[]}},\"history\":[{}{{}}]}}",
        "{},".repeat(2_500_000)
    );
    let kind = "application/vnd.oci.image.config.v1+json";
    let config = layout.blob(kind, config.as_bytes());
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": []}).to_string();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    layout.manifests = vec![layout.blob(kind, manifest.as_bytes())];
    refused(layout.archive(), Limits::default(), "too much to keep in memory");
}

#[test]
fn names_and_attributes_count_as_memory() {
    if !root() {
        return;
    }
    let limits = || Limits { memory: 200_000, ..Limits::default() };
    let text = "too much to keep in memory: the limit is 200000";
    let name = "n/".repeat(1500);
    let long = |n: u32| format!("{n}/{name}");
    // Of the archive's files.
    let mut tar = Tar::new();
    for n in 0..100 {
        tar = tar.pax(&[("path", long(n).as_bytes())]).file("x", b"");
    }
    refused(tar.end(), limits(), text);
    let longer = Tar::new().pax(&[("path", &[b'n'; 4096])]).file("x", b"");
    refused(longer.end(), Limits::default(), "a path that is too long: the limit is 4095");
    // Of a layer's directories, named or left out, and of links.
    let deep = |n| format!("{n}/{}", "n".repeat(240) + &"/d".repeat(200));
    let layers: [&dyn Fn(Tar, u32) -> Tar; 4] = [
        &|tar, n| tar.pax(&[("path", deep(n).as_bytes())]).dir("x"),
        &|tar, n| tar.pax(&[("path", deep(n).as_bytes())]).file("x", b""),
        &|tar, n| tar.pax(&[("linkpath", deep(n).as_bytes())]).hardlink(&n.to_string(), "x"),
        &|tar, n| tar.pax(&[("SCHILY.xattr.user.a", &[b'v'; 3000])]).dir(&format!("d{n}")),
    ];
    for add in layers {
        let layer = (0..500).fold(Tar::new(), add).end();
        refused(one_image("app", &[layer]).archive(), limits(), text);
    }
}

#[test]
fn copies_from_lower_layers_count_as_bytes() {
    if !root() {
        return;
    }
    let mut layers = vec![Tar::new().file("big", &[7; 10_000]).end()];
    for n in 0..50 {
        layers.push(Tar::new().hardlink(&format!("h{n}"), "big").end());
    }
    let archive = one_image("app", &layers).archive();
    load(archive.clone(), Limits { bytes: 600_000, ..Limits::default() }).unwrap();
    let limits = Limits { bytes: 400_000, ..Limits::default() };
    refused(archive, limits, "too many bytes when unpacked: the limit is 400000");
}

#[test]
fn links_that_cannot_be_completed_are_refused() {
    if !root() {
        return;
    }
    let lower = Tar::new().file("b", b"x").dir("d").file("f", b"").symlink("s", "d").end();
    let refused = |upper: Tar, reason: &str| {
        refused(
            one_image("app", &[lower.clone(), upper.end()]).archive(),
            Limits::default(),
            reason,
        );
    };
    refused(Tar::new().hardlink("a", "b").hardlink("b", "a"), "EEXIST");
    refused(Tar::new().hardlink("a", "d"), "which does not exist");
    refused(Tar::new().hardlink("a", "nowhere"), "which does not exist");
    refused(Tar::new().hardlink("a", "f/x"), "which does not exist");
    refused(Tar::new().hardlink("a", "s/x"), "which does not exist");
    refused(Tar::new().hardlink("a", "g/x/y").file("g", b""), "which is no directory");
    refused(Tar::new().file(".wh.b", b"").hardlink("a", "b"), "which is no file");
}

#[test]
fn index_that_could_not_be_read_again_is_not_written() {
    if !root() {
        return;
    }
    let scratch = Scratch::new();
    scratch.load(one_image("app", &[layer()]).archive()).unwrap();
    // As another tool might have left it: nearly full.
    let path = scratch.dir.path().join("store/index.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let filler = "x".repeat((64 << 20) - text.len() - 40);
    let full = text.replacen('{', &format!("{{\"annotations\":{{\"a\":\"{filler}\"}},"), 1);
    std::fs::write(&path, &full).unwrap();
    // It is read, and written without what is not ours.
    assert_eq!(scratch.store.list().unwrap().len(), 1);
    let descriptor = json!({"mediaType": "application/x-other", "size": 1,
        "digest": digest::of(b"x").to_string(), "annotations": {"a": "x".repeat((64 << 20) - 1500)}});
    let full = text.replacen("\"manifests\":[", &format!("\"manifests\":[{descriptor},"), 1);
    std::fs::write(&path, &full).unwrap();
    let before = std::fs::read(&path).unwrap();
    let names: Vec<String> = (0..100).map(|n| format!("name{n}:1")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = scratch.load(docker_archive(&names, &[layer()])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "image: the store would have more than 67108864 bytes of names; remove images"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(scratch.store.list().unwrap().len(), 1);
}
