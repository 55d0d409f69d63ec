//! What a layer takes from the layers below it.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;

use crate::error::ErrorKind;
use crate::image::tests::forge::{Scratch, Tar, one_image, root};

fn load(layers: &[Tar]) -> (Scratch, Vec<PathBuf>, Vec<(String, String)>) {
    let scratch = Scratch::new();
    let layers: Vec<Vec<u8>> = layers.iter().map(|tar| tar.clone().end()).collect();
    scratch.load(one_image("app", &layers).archive()).unwrap();
    let image = scratch.store.get("app").unwrap();
    let paths = image.layers.iter().map(|layer| layer.path.clone()).collect();
    let ids =
        image.layers.iter().map(|l| (l.id.clone(), l.diff_id.replace("sha256:", ""))).collect();
    (scratch, paths, ids)
}

fn mode(path: PathBuf) -> (u32, u32, i64) {
    let meta = path.symlink_metadata().unwrap();
    (meta.mode() & 0o7777, meta.uid(), meta.mtime())
}

fn base() -> Tar {
    Tar::new()
        .pax(&[("uid", b"7"), ("mtime", b"99")])
        .entry(b'5', "a", "", 0o2750, b"")
        .pax(&[("uid", b"8"), ("SCHILY.xattr.user.x", b"y")])
        .entry(b'5', "a/b", "", 0o700, b"")
        .file("a/b/file", b"lower")
}

#[test]
fn implicit_directory_takes_the_attributes_of_the_nearest_lower_one() {
    if !root() {
        return;
    }
    let middle = Tar::new().pax(&[("uid", b"9")]).entry(b'5', "a", "", 0o711, b"");
    let (_scratch, paths, ids) = load(&[base(), middle, Tar::new().file("a/b/new", b"")]);
    assert_eq!(mode(paths[2].join("a")), (0o711, 9, 1_000_000_000));
    assert_eq!(mode(paths[2].join("a/b")), (0o700, 8, 1_000_000_000));
    assert_eq!(ids[0].0, ids[0].1, "a whole layer is shared by its DiffID");
    assert_ne!(ids[2].0, ids[2].1, "one that took something belongs to its stack");
}

#[test]
fn implicit_directory_that_lower_layers_do_not_show_is_plain() {
    if !root() {
        return;
    }
    let plain = (0o755, 0, 0);
    let whiteout = Tar::new().file(".wh.a", b"");
    let (_scratch, paths, _) = load(&[base(), whiteout, Tar::new().file("a/b/new", b"")]);
    assert_eq!((mode(paths[2].join("a")), mode(paths[2].join("a/b"))), (plain, plain));
    let opaque = Tar::new().dir("a").file("a/.wh..wh..opq", b"");
    let (_scratch, paths, _) = load(&[base(), opaque, Tar::new().file("a/b/new", b"")]);
    assert_eq!(mode(paths[2].join("a")), (0o755, 0, 1_000_000_000));
    assert_eq!(mode(paths[2].join("a/b")), plain);
    let own = Tar::new().file(".wh.a", b"").file("a/b/new", b"");
    let (_scratch, paths, ids) = load(&[base(), own]);
    assert_eq!((mode(paths[1].join("a")), mode(paths[1].join("a/b"))), (plain, plain));
    assert_eq!(ids[1].0, ids[1].1);
    let link = Tar::new().symlink("a", "elsewhere");
    let (_scratch, paths, _) = load(&[base(), link, Tar::new().file("a/b/new", b"")]);
    assert_eq!(mode(paths[2].join("a")), plain);
}

#[test]
fn one_layer_in_two_stacks_has_two_trees() {
    if !root() {
        return;
    }
    let scratch = Scratch::new();
    let top = Tar::new().file("a/new", b"").end();
    let red = Tar::new().entry(b'5', "a", "", 0o711, b"").end();
    let blue = Tar::new().entry(b'5', "a", "", 0o700, b"").end();
    let mut layout = one_image("red", &[red.clone(), top.clone()]);
    let image = layout.image(&[blue.clone(), top.clone()]);
    layout.name(image, "blue");
    let image = layout.image(std::slice::from_ref(&top));
    layout.name(image, "bottom");
    let image = layout.image(&[red, top.clone(), blue, top]);
    layout.name(image, "twice");
    scratch.load(layout.archive()).unwrap();
    let mode =
        |name: &str, n: usize| mode(scratch.store.get(name).unwrap().layers[n].path.join("a")).0;
    assert_eq!((mode("red", 1), mode("blue", 1), mode("bottom", 0)), (0o711, 0o700, 0o755));
    assert_eq!((mode("twice", 1), mode("twice", 3)), (0o711, 0o700));
    // Loaded again one by one, nothing is unpacked again and nothing differs.
    let before = scratch.snapshot();
    scratch.load(layout.archive()).unwrap();
    assert_eq!(scratch.snapshot(), before);
}

#[test]
fn hard_link_to_a_lower_file_copies_it_up() {
    if !root() {
        return;
    }
    let lower = base()
        .pax(&[("uid", b"5"), ("SCHILY.xattr.user.k", b"v"), ("mtime", b"7.5")])
        .entry(b'0', "a/tool", "", 0o4755, b"code")
        .symlink("a/link", "tool");
    let upper =
        Tar::new().hardlink("h1", "a/tool").hardlink("h2", "/a/tool").hardlink("h3", "a/link");
    let (_scratch, paths, ids) = load(&[lower, upper]);
    let top = &paths[1];
    assert_eq!(std::fs::read(top.join("h1")).unwrap(), b"code");
    assert_eq!(mode(top.join("h1")), (0o4755, 5, 7));
    let inode = |name: &str| top.join(name).symlink_metadata().unwrap().ino();
    assert_eq!((inode("h1"), inode("h1")), (inode("h2"), inode("a/tool")));
    assert!(top.join("h3").symlink_metadata().unwrap().is_symlink());
    assert_eq!(mode(top.join("a")), (0o2750, 7, 99));
    assert_ne!(ids[1].0, ids[1].1);
}

#[test]
fn hard_link_to_nothing_is_refused() {
    if !root() {
        return;
    }
    for layers in [
        vec![Tar::new().hardlink("h", "nowhere")],
        vec![base(), Tar::new().hardlink("h", "a/nowhere")],
        vec![base(), Tar::new().file(".wh.a", b""), Tar::new().hardlink("h", "a/b/file")],
    ] {
        let scratch = Scratch::new();
        let before = scratch.snapshot();
        let layers: Vec<Vec<u8>> = layers.into_iter().map(Tar::end).collect();
        let error = scratch.load(one_image("app", &layers).archive()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("which does not exist"), "{error}");
        assert_eq!(scratch.snapshot(), before);
    }
}

#[test]
fn root_directory_is_what_the_top_layers_say() {
    if !root() {
        return;
    }
    let lower = Tar::new().pax(&[("uid", b"3")]).entry(b'5', "./", "", 0o711, b"").file("x", b"");
    let (scratch, paths, _) = load(&[lower, Tar::new().file("y", b"")]);
    let image = scratch.store.get("app").unwrap();
    assert_eq!((image.root.mode, image.root.uid, image.root.gid), (0o711, 3, 0));
    assert_eq!(mode(paths[0].clone()), (0o711, 3, 1_000_000_000));
    let (scratch, ..) = load(&[Tar::new().file("y", b"")]);
    assert_eq!(scratch.store.get("app").unwrap().root.mode, 0o755);
    // The caller may do with the tree's parent what it likes.
    chown(scratch.dir.path(), Some(0), Some(0)).unwrap();
}
