//! What can be loaded, from where, and under which name.

use serde_json::json;

use super::forge::{Layout, Scratch, Tar, docker_archive, gzip, one_image, root};
use crate::error::ErrorKind;
use crate::image::{LoadOptions, Source, Store, digest};

fn layer() -> Vec<u8> {
    Tar::new().dir("etc").file("etc/motd", b"hello\n").end()
}

fn motd(store: &Store, name: &str) -> String {
    let image = store.get(name).unwrap();
    std::fs::read_to_string(image.layers[0].path.join("etc/motd")).unwrap()
}

#[test]
fn every_form_of_an_image_loads_as_the_same_image() {
    if !root() {
        return;
    }
    let layout = one_image("app:1", &[layer()]);
    let plain = layout.archive();
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    let mut ids = Vec::new();
    for archive in [plain.clone(), gzip(&plain), zstd] {
        let scratch = Scratch::new();
        let loaded = scratch.load(archive.clone()).unwrap();
        assert_eq!(loaded, scratch.store.list().unwrap());
        assert_eq!(loaded[0].names, ["docker.io/library/app:1"]);
        assert_eq!(motd(&scratch.store, "app:1"), "hello\n");
        ids.push(loaded[0].digest.clone());
        let file = scratch.dir.path().join("file.tar");
        std::fs::write(&file, archive).unwrap();
        for prefix in ["", "oci-archive:"] {
            let source = Source::Path(format!("{prefix}{}", file.display()).into());
            ids.push(
                scratch.store.load(source, &LoadOptions::default()).unwrap()[0].digest.clone(),
            );
        }
        assert_eq!(scratch.store.list().unwrap().len(), 1);
    }
    let scratch = Scratch::new();
    let dir = scratch.dir.path().join("layout");
    layout.write(&dir);
    for text in [
        dir.display().to_string(),
        format!("oci:{}", dir.display()),
        format!("oci:{}:app:1", dir.display()),
    ] {
        ids.push(
            scratch.store.load(Source::Path(text.into()), &LoadOptions::default()).unwrap()[0]
                .digest
                .clone(),
        );
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn compressed_layers_are_found_out_by_their_bytes() {
    if !root() {
        return;
    }
    let tar = layer();
    let diff_id = digest::of(&tar).to_string();
    for blob in [gzip(&tar), zstd::encode_all(&tar[..], 1).unwrap(), tar] {
        let mut layout = Layout::new();
        let image = layout.image_of(&[blob], std::slice::from_ref(&diff_id));
        layout.name(image, "app");
        let scratch = Scratch::new();
        scratch.load(layout.archive()).unwrap();
        assert_eq!(motd(&scratch.store, "app"), "hello\n");
    }
}

#[test]
fn one_layer_in_several_packings_is_whole_in_the_store() {
    if !root() {
        return;
    }
    // It leaves out a directory, so each place of it is another tree.
    let tar = Tar::new().file("etc/motd", b"hello\n").end();
    let diff_id = digest::of(&tar).to_string();
    let blobs = [gzip(&tar), zstd::encode_all(&tar[..], 1).unwrap(), tar];
    let mut layout = Layout::new();
    let image = layout.image_of(&blobs, &[(); 3].map(|()| diff_id.clone()));
    layout.name(image, "app");
    let scratch = Scratch::new();
    let dir = scratch.dir.path().join("layout");
    layout.write(&dir);
    for source in [layout.archive(), Vec::new()] {
        let scratch = Scratch::new();
        match source.is_empty() {
            false => drop(scratch.load(source).unwrap()),
            true => {
                let source = Source::Path(dir.clone());
                scratch.store.load(source, &LoadOptions::default()).unwrap();
            }
        }
        assert_eq!(motd(&scratch.store, "app"), "hello\n");
        for blob in &blobs {
            let name = format!("store/blobs/sha256/{}", digest::of(blob).digest());
            assert_eq!(std::fs::read(scratch.dir.path().join(name)).unwrap(), *blob);
        }
    }
}

#[test]
fn size_that_lies_about_a_blob_of_the_store_is_refused() {
    if !root() {
        return;
    }
    let scratch = Scratch::new();
    scratch.load(one_image("app", &[layer()]).archive()).unwrap();
    let mut layout = Layout::new();
    let config = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest::of(&layer()).to_string()]}});
    let kind = |kind: &str| format!("application/vnd.oci.image.{kind}");
    let config = layout.blob(&kind("config.v1+json"), config.to_string().as_bytes());
    let mut lies = layout.blob(&kind("layer.v1.tar"), &layer());
    lies["size"] = json!(7);
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [lies]});
    let image = layout.blob(&kind("manifest.v1+json"), manifest.to_string().as_bytes());
    layout.name(image, "lies");
    let error = scratch.load(layout.archive()).unwrap_err();
    assert!(error.to_string().contains("bytes or more, not 7"), "{error}");
}

#[test]
fn docker_archive_loads_with_all_its_names() {
    if !root() {
        return;
    }
    let scratch = Scratch::new();
    let archive = docker_archive(&["app:1", "ghcr.io/a/app:2"], &[layer()]);
    let loaded = scratch.load(archive.clone()).unwrap();
    assert_eq!(loaded[0].names, ["docker.io/library/app:1", "ghcr.io/a/app:2"]);
    assert_eq!(motd(&scratch.store, "ghcr.io/a/app:2"), "hello\n");
    let again = scratch.load(archive).unwrap();
    assert_eq!((loaded, 1), (again, scratch.store.list().unwrap().len()));
    assert!(scratch.load(docker_archive(&["<none>:<none>"], &[layer()])).is_ok());
    let error = scratch.load(docker_archive(&["App"], &[layer()])).unwrap_err();
    assert!(error.to_string().contains("\"App\" has upper-case letters"), "{error}");
}

#[test]
fn old_docker_archive_with_linked_layers_loads() {
    if !root() {
        return;
    }
    let tar = layer();
    let ids = json!([digest::of(&tar).to_string(), digest::of(&tar).to_string()]);
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}});
    let manifest =
        json!([{"Config": "c.json", "RepoTags": null, "Layers": ["a/layer.tar", "b/layer.tar"]}]);
    let archive = Tar::new()
        .file("manifest.json", manifest.to_string().as_bytes())
        .file("c.json", config.to_string().as_bytes())
        .dir("a")
        .symlink("b/layer.tar", "../a/layer.tar")
        .file("a/layer.tar", &tar);
    let scratch = Scratch::new();
    let loaded = scratch.load(archive.end()).unwrap();
    assert_eq!((loaded[0].layers, loaded[0].names.len()), (2, 0));
    let image = scratch.store.get(&loaded[0].id).unwrap();
    assert_eq!(image.layers[0].id, image.layers[1].id);
}

#[test]
fn config_with_nulls_as_docker_writes_them_loads() {
    if !root() {
        return;
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": null, "author": null,
        "container": "x", "docker_version": "1", "history": null,
        "config": {
            "Hostname": "", "User": "", "ExposedPorts": null, "Env": null, "Cmd": null,
            "Entrypoint": null, "Volumes": null, "WorkingDir": "", "OnBuild": null, "Labels": null,
            "Healthcheck": {"Test": ["NONE"]}, "ArgsEscaped": true, "Shell": ["/bin/sh"],
        },
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    let manifest = json!([{"Config": "c.json", "RepoTags": ["app"], "Layers": []}]);
    let archive = Tar::new()
        .file("c.json", config.to_string().as_bytes())
        .file("manifest.json", manifest.to_string().as_bytes());
    let scratch = Scratch::new();
    scratch.load(archive.end()).unwrap();
    let image = scratch.store.get("app").unwrap();
    assert!(image.layers.is_empty() && image.config.config().is_some());
}

#[test]
fn archive_that_is_both_is_read_as_oci() {
    if !root() {
        return;
    }
    let layout = one_image("oci:1", &[layer()]);
    let mut tar = Tar::new();
    for (name, bytes) in layout.files() {
        tar = tar.file(&name, &bytes);
    }
    let tar =
        tar.file("manifest.json", br#"[{"Config":"none","RepoTags":["docker:1"],"Layers":[]}]"#);
    let loaded = Scratch::new().load(tar.end()).unwrap();
    assert_eq!(loaded[0].names, ["docker.io/library/oci:1"]);
}

/// A layout with an index of two platforms, an attestation and an unknown.
fn multi() -> Layout {
    let mut layout = Layout::new();
    let mut list = Vec::new();
    for (arch, variant, text) in
        [("arm64", Some("v8"), "arm"), ("amd64", None, "amd"), ("unknown", None, "at")]
    {
        let mut image = layout.image(&[Tar::new().file("etc/motd", text.as_bytes()).end()]);
        let os = if arch == "unknown" { "unknown" } else { "linux" };
        image["platform"] = json!({"architecture": arch, "os": os, "variant": variant});
        list.push(image);
    }
    list.push(layout.blob("application/vnd.example.unknown+json", b"{}"));
    let index = "application/vnd.oci.image.index.v1+json";
    let list = json!({"schemaVersion": 2, "mediaType": index, "manifests": list});
    let nested = layout.blob(index, list.to_string().as_bytes());
    layout.name(nested, "multi:1");
    let unknown = layout.blob("application/vnd.example.unknown+json", b"{}");
    layout.name(unknown, "other");
    layout
}

#[test]
fn multi_platform_index_gives_the_wanted_platform() {
    if !root() {
        return;
    }
    for (platform, text) in
        [("linux/amd64", "amd"), ("linux/arm64", "arm"), ("linux/arm64/v8", "arm")]
    {
        let scratch = Scratch::new();
        let options = LoadOptions { platform: Some(platform.to_owned()), ..LoadOptions::default() };
        let loaded = scratch.load_with(multi().archive(), &options).unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(motd(&scratch.store, "multi:1"), text);
        let origin = scratch.store.inspect("multi:1").unwrap().origin.unwrap();
        assert_eq!(motd(&scratch.store, &format!("multi@{origin}")), text);
        assert_eq!(motd(&scratch.store, &format!("multi:1@{}", loaded[0].digest)), text);
        assert!(scratch.store.get(&format!("other@{origin}")).is_err());
    }
    let scratch = Scratch::new();
    let options =
        LoadOptions { platform: Some("linux/s390x".to_owned()), ..LoadOptions::default() };
    let error = scratch.load_with(multi().archive(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "image: the image archive has no image for linux/s390x; it has linux/arm64/v8, linux/amd64"
    );
    let options = LoadOptions { platform: Some("amd64".to_owned()), ..LoadOptions::default() };
    assert_eq!(
        scratch.load_with(multi().archive(), &options).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

#[test]
fn reference_chooses_one_of_several_and_name_replaces_it() {
    if !root() {
        return;
    }
    let mut layout = one_image("app:1", &[layer()]);
    let second = layout.image(&[Tar::new().file("etc/motd", b"second").end()]);
    layout.name(second, "2.0");
    let scratch = Scratch::new();
    let mut options = LoadOptions { reference: Some("2.0".to_owned()), ..LoadOptions::default() };
    let loaded = scratch.load_with(layout.archive(), &options).unwrap();
    assert_eq!((loaded.len(), loaded[0].names.len()), (1, 0), "a bare tag is no name");
    options.name = Some("mine".to_owned());
    scratch.load_with(layout.archive(), &options).unwrap();
    assert_eq!(motd(&scratch.store, "mine"), "second");
    options.reference = Some("app:3".to_owned());
    let error = scratch.load_with(layout.archive(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no \"app:3\"; it has"), "{error}");
    options.reference = None;
    let error = scratch.load_with(layout.archive(), &options).unwrap_err();
    assert_eq!(error.to_string(), "image: one name for 2 images; say which one with a reference");
}
