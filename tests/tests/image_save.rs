//! Saved archives: same bytes each time, read back, read by other tools.

mod image_support;

use std::path::Path;

use image_support::{Scratch, fixture, run, tool};
use libctr::image::{ArchiveFormat, ImportOptions, LoadOptions, Source};
use libctr_tests::as_root;

const NAME: &str = "docker.io/library/busybox:1.38.0-musl";

fn busybox() -> Option<Scratch> {
    let layout = fixture("busybox-oci")?;
    let scratch = Scratch::new();
    scratch.load(&layout);
    Some(scratch)
}

fn save(scratch: &Scratch, names: &[&str], format: ArchiveFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    scratch.store.save(names, format, &mut bytes).unwrap();
    bytes
}

#[test]
fn saved_twice_is_the_same_bytes() {
    let Some(scratch) = busybox() else { return };
    scratch.store.tag("busybox:1.38.0-musl", "other").unwrap();
    for format in [ArchiveFormat::Oci, ArchiveFormat::Docker] {
        let names = ["busybox:1.38.0-musl", "other"];
        assert_eq!(save(&scratch, &names, format), save(&scratch, &names, format));
    }
}

#[test]
fn saved_oci_archive_read_back_has_the_same_digests() {
    let Some(scratch) = busybox() else { return };
    let other = Scratch::new();
    let bytes = save(&scratch, &["busybox:1.38.0-musl"], ArchiveFormat::Oci);
    let source = Source::Reader(Box::new(std::io::Cursor::new(bytes)));
    let loaded = other.store.load(source, &LoadOptions::default()).unwrap();
    assert_eq!(loaded, scratch.store.list().unwrap());
    assert_eq!(loaded[0].names, [NAME]);
}

#[test]
fn saved_docker_archive_read_back_has_the_same_id_and_names() {
    let Some(scratch) = busybox() else { return };
    scratch.store.tag("busybox:1.38.0-musl", "ghcr.io/a/b:1").unwrap();
    let bytes = save(&scratch, &["busybox:1.38.0-musl", "ghcr.io/a/b:1"], ArchiveFormat::Docker);
    let other = Scratch::new();
    let source = Source::Reader(Box::new(std::io::Cursor::new(bytes)));
    let loaded = other.store.load(source, &LoadOptions::default()).unwrap();
    assert_eq!(loaded[0].id, scratch.store.list().unwrap()[0].id);
    assert_eq!(loaded[0].names, [NAME, "ghcr.io/a/b:1"]);
}

#[test]
fn image_saved_by_id_has_no_name() {
    let Some(scratch) = busybox() else { return };
    let id = scratch.store.list().unwrap()[0].id.clone();
    for format in [ArchiveFormat::Oci, ArchiveFormat::Docker] {
        let bytes = save(&scratch, &[&id], format);
        let other = Scratch::new();
        let source = Source::Reader(Box::new(std::io::Cursor::new(bytes)));
        let loaded = other.store.load(source, &LoadOptions::default()).unwrap();
        assert!(loaded[0].names.is_empty());
        assert_eq!(loaded[0].id, id);
    }
}

#[test]
fn skopeo_reads_both_archives_and_the_store_itself() {
    let Some(scratch) = busybox().filter(|_| tool("skopeo")) else {
        return;
    };
    let id = scratch.store.list().unwrap()[0].id.clone();
    for (format, transport) in
        [(ArchiveFormat::Oci, "oci-archive"), (ArchiveFormat::Docker, "docker-archive")]
    {
        let file = scratch.path(transport);
        std::fs::write(&file, save(&scratch, &["busybox:1.38.0-musl"], format)).unwrap();
        check_copy(&scratch, &format!("{transport}:{}:{NAME}", file.display()), &id);
    }
    check_copy(&scratch, &format!("oci:{}:{NAME}", scratch.path("store").display()), &id);
}

/// Copies an image with skopeo into a plain directory and looks at its config.
fn check_copy(scratch: &Scratch, from: &str, id: &str) {
    let copy = scratch.path("copy");
    let _ = std::fs::remove_dir_all(&copy);
    let to = format!("dir:{}", copy.display());
    run("skopeo", ["copy", "--insecure-policy", from, &to]);
    assert!(copy.join(id.strip_prefix("sha256:").unwrap()).exists(), "{from}: another config");
}

#[test]
fn podman_loads_both_archives() {
    let Some(scratch) = busybox().filter(|_| as_root() && tool("podman")) else {
        return;
    };
    let id = scratch.store.list().unwrap()[0].id.clone();
    let storage = |name: &str| scratch.path(name).display().to_string();
    let podman = |args: &[&str]| {
        let (root, runroot) = (storage("podman"), storage("podman-run"));
        let global = ["--root", &root, "--runroot", &runroot, "--storage-driver", "vfs"];
        run("podman", global.into_iter().chain(args.iter().copied()))
    };
    for (format, file) in [(ArchiveFormat::Oci, "oci.tar"), (ArchiveFormat::Docker, "docker.tar")] {
        let file = scratch.path(file);
        std::fs::write(&file, save(&scratch, &["busybox:1.38.0-musl"], format)).unwrap();
        let said = podman(&["load", "-i", &file.display().to_string()]);
        assert!(said.contains(NAME), "{said}");
        let found = podman(&["image", "inspect", "--format", "{{.Id}}", NAME]);
        assert_eq!(format!("sha256:{}", found.trim()), id);
        podman(&["rmi", NAME]);
    }
}

#[test]
fn imported_tarball_and_directory_have_the_same_tree() {
    let Some(tarball) = fixture("alpine-minirootfs-3.20.3-x86_64.tar.gz") else {
        return;
    };
    if !(as_root() && tool("tar") && tool("python3") && tool("umoci")) {
        return;
    }
    let scratch = Scratch::new();
    let options = ImportOptions::default();
    let source = Source::Path(tarball.clone());
    let first = scratch.store.import(source, Some("alpine"), &options).unwrap();
    let plain = scratch.path("plain");
    std::fs::create_dir(&plain).unwrap();
    let args = ["--numeric-owner", "-xpf"].map(Into::into);
    let args =
        args.into_iter().chain([tarball.into_os_string(), "-C".into(), plain.clone().into()]);
    run("tar", args);
    add_oddities(&plain);
    let second =
        scratch.store.import(Source::Path(plain.clone()), Some("copy:1"), &options).unwrap();
    let again =
        scratch.store.import(Source::Path(plain.clone()), Some("copy:2"), &options).unwrap();
    assert_eq!(second.id, again.id, "the same tree is the same image");
    assert_eq!(first.names, ["docker.io/library/alpine:latest"]);
    let image = scratch.store.get("copy:1").unwrap();
    let (ours, theirs) = (image_support::list(&image.layers[0].path), image_support::list(&plain));
    assert_eq!(image_support::difference(&ours, &theirs), [""; 0]);
    let saved = scratch.path("saved.tar");
    std::fs::write(&saved, save(&scratch, &["copy:1"], ArchiveFormat::Oci)).unwrap();
    umoci_agrees(&scratch, &saved, &theirs);
}

/// Names, times, links and attributes that need more than a plain tar header.
fn add_oddities(dir: &Path) {
    let long = "n".repeat(200);
    let script = r#"
        cd "$1"; mkdir -p "$2/$2"; echo x > "$2/$2/$2"; ln "$2/$2/$2" hard; ln -s "$2/$2/$2" soft
        mkfifo fifo; mknod null c 1 3; mknod sda b 8 0; touch -d '1969-12-31 23:59:58.25 UTC' old
        touch -d '2001-02-03 04:05:06.789012345 UTC' nano; chmod 7755 hard; chown 70000:3000000 nano
        printf 'a\nb\0c' | setfattr -n user.lines -v "$(printf '0x610a62')" nano; truncate -s 3M sparse
        mkdir -m 1777 sticky; touch -d '2020-01-01 UTC' sticky "$2" "$2/$2" ."#;
    run("bash", ["-ec".as_ref(), script.as_ref(), "bash".as_ref(), dir.as_os_str(), long.as_ref()]);
}

/// Unpacks a saved image with umoci.
fn umoci_agrees(scratch: &Scratch, saved: &Path, wanted: &[String]) {
    let layout = scratch.path("layout").display().to_string();
    let from = format!("oci-archive:{}", saved.display());
    run("skopeo", ["copy", "--insecure-policy", &from, &format!("oci:{layout}:x")]);
    let bundle = scratch.path("bundle");
    let image = format!("{layout}:x");
    run("umoci", ["unpack".as_ref(), "--image".as_ref(), image.as_ref(), bundle.as_os_str()]);
    let theirs = image_support::list(&bundle.join("rootfs"));
    assert_eq!(image_support::difference(wanted, &theirs), [""; 0]);
}
