//! How a load ends: cancelled, refused, failed at the last step, at once with
//! others.

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};

use super::forge::{Scratch, Tar, one_image, root};
use crate::error::ErrorKind;
use crate::image::{Limits, LoadOptions, Progress, Source, Step, Store};

fn layer() -> Vec<u8> {
    Tar::new().dir("etc").file("etc/motd", b"hello\n").end()
}

fn motd(store: &Store, name: &str) -> String {
    let image = store.get(name).unwrap();
    std::fs::read_to_string(image.layers[0].path.join("etc/motd")).unwrap()
}

#[test]
fn cancelled_load_leaves_the_store_as_it_was() {
    if !root() {
        return;
    }
    let scratch = Scratch::new();
    scratch.load(one_image("old", &[layer()]).archive()).unwrap();
    let before = scratch.snapshot();
    let archive = one_image("new", &[Tar::new().file("big", &vec![7; 3 << 20]).end()]).archive();
    for step in [Step::Copy, Step::Unpack, Step::Commit] {
        let cancel = AtomicBool::new(false);
        let progress = |progress: Progress| {
            cancel.fetch_or(progress.step == step, Ordering::Relaxed);
        };
        let options = LoadOptions {
            progress: Some(&progress),
            cancel: Some(&cancel),
            ..LoadOptions::default()
        };
        let error = scratch.load_with(archive.clone(), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{step:?}: {error}");
        assert_eq!(scratch.snapshot(), before, "{step:?}");
    }
}

#[test]
fn stores_of_another_format_are_refused() {
    let scratch = Scratch::new();
    let path = scratch.dir.path().join("store");
    std::fs::write(path.join("format"), "2\n").unwrap();
    let error = Store::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("has format \"2\", this version reads \"1\""), "{error}");
    let file = scratch.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(Store::open(&file).is_err());
}

#[test]
fn two_loads_at_once_are_both_right() {
    if !root() {
        return;
    }
    let scratch = Scratch::new();
    let shared = Tar::new().file("etc/motd", b"hello\n").end();
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (scratch, shared) = (&scratch, shared.clone());
            scope.spawn(move || {
                let own = Tar::new().file("own", format!("{}", n % 3).as_bytes()).end();
                let archive = one_image(&format!("app:{n}"), &[shared, own]).archive();
                let source = Source::Reader(Box::new(Cursor::new(archive)));
                scratch.again().load(source, &LoadOptions::default()).unwrap();
            });
        }
    });
    assert_eq!(scratch.store.list().unwrap().len(), 3);
    for n in 0..6 {
        assert_eq!(motd(&scratch.store, &format!("app:{n}")), "hello\n");
    }
}

#[test]
fn limits_of_a_load_are_held() {
    if !root() {
        return;
    }
    let scratch = Scratch::new();
    let before = scratch.snapshot();
    let archive = one_image("app", &[layer(), Tar::new().file("x", &[1; 4000]).end()]).archive();
    for (limits, reason) in [
        (Limits { layers: 1, ..Limits::default() }, "too many layers: the limit is 1"),
        (Limits { bytes: 6000, ..Limits::default() }, "too many bytes: the limit is 6000"),
        (Limits { document: 100, ..Limits::default() }, "\"index.json\": the limit is 100"),
        (Limits { entries: 2, ..Limits::default() }, "too many entries: the limit is 2"),
    ] {
        let options = LoadOptions { limits, ..LoadOptions::default() };
        let error = scratch.load_with(archive.clone(), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(reason), "{error} / {reason}");
        assert_eq!(scratch.snapshot(), before);
    }
}

#[test]
fn load_that_fails_at_its_last_step_is_taken_back() {
    if !root() {
        return;
    }
    let scratch = Scratch::new();
    scratch.load(one_image("old", &[layer()]).archive()).unwrap();
    // The index cannot be written: its temporary name is taken.
    std::fs::create_dir(scratch.dir.path().join("store/index.json.new")).unwrap();
    let before = scratch.snapshot();
    let archive = one_image("new", &[layer(), Tar::new().file("x", b"").end()]).archive();
    let error = scratch.load(archive).unwrap_err();
    assert_eq!(error.errno(), Some(libc::EISDIR));
    assert!(error.to_string().contains("unlinkat("), "{error}");
    assert_eq!(scratch.snapshot(), before);
    scratch.store.get("old").unwrap();
}
