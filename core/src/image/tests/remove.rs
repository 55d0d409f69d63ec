//! Names, removal, collection, and what a dead process leaves behind.

use serde_json::json;

use crate::error::ErrorKind;
use crate::image::tests::forge::{Scratch, Tar, one_image, root};
use crate::image::{Removed, Store, digest};

fn layer(name: &str) -> Vec<u8> {
    Tar::new().file(name, b"data").end()
}

/// Two images that share a layer.
fn two() -> Scratch {
    let scratch = Scratch::new();
    scratch.load(one_image("one", &[layer("shared"), layer("1")]).archive()).unwrap();
    scratch.load(one_image("two", &[layer("shared"), layer("2")]).archive()).unwrap();
    scratch
}

fn free(_: &str) -> bool {
    false
}

fn names(store: &Store) -> Vec<String> {
    store.list().unwrap().into_iter().flat_map(|image| image.names).collect()
}

fn count(scratch: &Scratch, part: &str) -> usize {
    std::fs::read_dir(scratch.dir.path().join("store").join(part)).unwrap().count()
}

#[test]
fn image_goes_with_its_last_name_and_shared_layers_stay() {
    if !root() {
        return;
    }
    let scratch = two();
    let empty = count(&Scratch::new(), "blobs/sha256");
    scratch.store.tag("one", "again:2").unwrap();
    let removed = scratch.store.remove("one", false, &free).unwrap();
    assert_eq!(
        (removed.names, removed.images.len()),
        (vec!["docker.io/library/one:latest".to_owned()], 0)
    );
    let removed = scratch.store.remove("again:2", false, &free).unwrap();
    assert_eq!((removed.images.len(), removed.layers.len()), (1, 1));
    assert!(removed.bytes > 1000);
    assert_eq!((count(&scratch, "layers"), count(&scratch, "blobs/sha256")), (2, empty + 4));
    scratch.store.get("two").unwrap();
    scratch.store.remove("two", false, &free).unwrap();
    assert_eq!(
        (count(&scratch, "layers"), count(&scratch, "blobs/sha256"), count(&scratch, "stage")),
        (0, empty, 0)
    );
    let error = scratch.store.remove("two", false, &free).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "image: no image \"two\" in the store; load, import or pull it");
}

#[test]
fn id_stands_for_the_image_with_all_its_names() {
    if !root() {
        return;
    }
    let scratch = two();
    let id = scratch.store.get("one").unwrap().id;
    let hex = id.strip_prefix("sha256:").unwrap();
    for name in [&id, hex, &hex[..8]] {
        assert_eq!(scratch.store.get(name).unwrap().id, id);
    }
    scratch.store.tag(&hex[..8], "ghcr.io/a/b").unwrap();
    let error = scratch.store.remove(hex, false, &free).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(
        error.to_string().ends_with("has 2 names; remove them one by one, or force it"),
        "{error}"
    );
    let removed = scratch.store.remove(hex, true, &free).unwrap();
    assert_eq!((removed.names.len(), removed.images), (2, vec![id]));
    assert_eq!(names(&scratch.store), ["docker.io/library/two:latest"]);
    for (name, kind) in [
        ("abc", ErrorKind::NotFound),
        ("Abc", ErrorKind::InvalidInput),
        ("0000aaaa", ErrorKind::NotFound),
    ] {
        assert_eq!(scratch.store.get(name).unwrap_err().kind(), kind, "{name}");
    }
}

#[test]
fn tag_moves_a_name_and_its_old_image_stays_without() {
    if !root() {
        return;
    }
    let scratch = two();
    scratch.store.tag("one", "two").unwrap();
    let list = scratch.store.list().unwrap();
    let unnamed = list.iter().find(|image| image.names.is_empty()).unwrap();
    assert_eq!((list.len(), names(&scratch.store).len()), (2, 2));
    assert!(scratch.store.tag("one", "Bad").is_err());
    assert!(scratch.store.tag("one", &format!("x@{}", digest::of(b""))).is_err());
    assert!(scratch.store.tag("none", "x").is_err());
    let removed = scratch.store.prune(false, &free).unwrap();
    assert_eq!((removed.images, removed.layers.len()), (vec![unnamed.id.clone()], 1));
    scratch.store.tag("one", "one").unwrap();
    assert_eq!(names(&scratch.store).len(), 2);
}

#[test]
fn layers_that_are_held_or_in_use_stay() {
    if !root() {
        return;
    }
    let scratch = two();
    let image = scratch.store.get("one").unwrap();
    assert_eq!(image.locks().len(), 2);
    let other = scratch.again();
    let removed = other.remove("one", false, &free).unwrap();
    assert_eq!((removed.images.len(), removed.layers.len()), (1, 0));
    let tops: Vec<String> = image.layers.iter().map(|layer| layer.id.clone()).collect();
    assert!(image.layers[1].path.join("1").exists());
    // A duplicate of the lock, as a container's helper holds it.
    let kept = image.locks()[1].try_clone().unwrap();
    drop(image);
    assert_eq!(other.prune(false, &free).unwrap(), Removed::default());
    drop(kept);
    let needed = |id: &str| id == tops[1];
    assert_eq!(other.prune(false, &needed).unwrap(), Removed::default());
    assert_eq!(other.prune(false, &free).unwrap().layers, [tops[1].clone()]);
}

#[test]
fn prune_all_keeps_images_of_containers() {
    if !root() {
        return;
    }
    let scratch = two();
    std::fs::write(scratch.dir.path().join("store/ingest/half.part"), "xx").unwrap();
    let held = scratch.store.get("one").unwrap();
    let removed = scratch.store.prune(true, &free).unwrap();
    assert_eq!(removed.names, ["docker.io/library/two:latest"]);
    assert_eq!(count(&scratch, "ingest"), 0);
    let top = held.layers[1].id.clone();
    drop(held);
    assert_eq!(scratch.store.prune(true, &|id| id == top).unwrap(), Removed::default());
    scratch.store.prune(true, &free).unwrap();
    assert!(scratch.store.list().unwrap().is_empty());
}

#[test]
fn what_other_tools_put_into_the_index_stays() {
    if !root() {
        return;
    }
    let scratch = two();
    let path = scratch.dir.path().join("store");
    let mut index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path.join("index.json")).unwrap()).unwrap();
    let child = digest::of(b"child");
    let list = json!({"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.example", "digest": child.to_string(), "size": 5}]});
    for bytes in [b"child".to_vec(), list.to_string().into_bytes()] {
        std::fs::write(path.join("blobs/sha256").join(digest::of(&bytes).digest()), &bytes)
            .unwrap();
    }
    let digest = digest::of(list.to_string().as_bytes());
    index["manifests"].as_array_mut().unwrap().push(json!({
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest.to_string(), "size": list.to_string().len()}));
    std::fs::write(path.join("index.json"), index.to_string()).unwrap();
    scratch.store.remove("one", false, &free).unwrap();
    assert!(path.join("blobs/sha256").join(child.digest()).exists());
    assert!(std::fs::read_to_string(path.join("index.json")).unwrap().contains(digest.digest()));
}

#[test]
fn leftovers_of_dead_loads_are_taken_back() {
    if !root() {
        return;
    }
    let scratch = two();
    let before = scratch.snapshot();
    let path = scratch.dir.path().join("store");
    // A load that died after it had moved a layer and a blob in, beside ones
    // that somebody names.
    let id = digest::of(b"dead").digest().to_owned();
    let known = scratch.store.get("one").unwrap().layers[0].id.clone();
    let dead = path.join("stage/dead");
    std::fs::create_dir_all(dead.join("trees/0/fs/deep/er")).unwrap();
    std::fs::create_dir_all(path.join("layers").join(&id).join("fs/x")).unwrap();
    std::fs::write(path.join("blobs/sha256").join(&id), "dead").unwrap();
    let moved = json!([
        [id, known, "../../outside"],
        [format!("sha256-{id}"), "sha256-..", format!("sha256-{known}")]
    ]);
    std::fs::write(dead.join("moved"), moved.to_string()).unwrap();
    std::fs::write(path.join("stage/stray"), "").unwrap();
    scratch.again();
    assert_eq!(scratch.snapshot(), before);
    // One that lives is left alone.
    let stage = crate::image::store::stage::Stage::create(&scratch.store.dir).unwrap();
    let with = scratch.snapshot();
    scratch.again();
    assert_eq!(scratch.snapshot(), with);
    drop(stage);
    assert_eq!(scratch.snapshot(), before);
}

#[test]
fn image_whose_layer_is_gone_says_so() {
    if !root() {
        return;
    }
    let scratch = two();
    let image = scratch.store.get("one").unwrap();
    std::fs::remove_dir_all(image.layers[1].path.parent().unwrap()).unwrap();
    let error = scratch.store.get("one").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().ends_with("is not unpacked; load or pull the image again"),
        "{error}"
    );
    scratch.load(one_image("one", &[layer("shared"), layer("1")]).archive()).unwrap();
    scratch.store.get("one").unwrap();
    let inspect = scratch.store.inspect("one").unwrap();
    assert_eq!((inspect.layers.len(), inspect.layers[1].size), (2, Some(4)));
    assert_eq!(inspect.config.unwrap().cmd().as_deref(), Some(&["sh".to_owned()][..]));
}
