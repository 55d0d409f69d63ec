//! A load that is killed at any moment leaves the store as it was.
//!
//! The test runs itself as a child that loads, and kills the child.

mod image_support;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use image_support::{Scratch, fixture};
use libctr::image::{ImportOptions, Source, Store};

const STORE: &str = "LIBCTR_TEST_CHILD_STORE";
const SOURCE: &str = "LIBCTR_TEST_CHILD_SOURCE";
const MOMENTS: u32 = 40;

/// Not a test by itself: the process that is killed.
#[test]
fn child_that_imports() {
    let (Some(store), Some(source)) = (std::env::var_os(STORE), std::env::var_os(SOURCE)) else {
        return;
    };
    let store = Store::open(store.as_ref()).unwrap();
    let source = Source::Path(source.into());
    store.import(source, Some("new"), &ImportOptions::default()).unwrap();
}

fn start(scratch: &Scratch, source: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_imports", "--test-threads", "1"])
        .env(STORE, scratch.path("store"))
        .env(SOURCE, source)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn import_killed_at_any_moment_leaves_the_store_as_it_was() {
    let Some(source) = fixture("alpine-minirootfs-3.20.3-x86_64.tar.gz") else {
        return;
    };
    let Some(layout) = fixture("busybox-oci") else {
        return;
    };
    let scratch = Scratch::new();
    scratch.load(&layout);
    let (before, listed) = (scratch.files(), scratch.store.list().unwrap());

    let started = Instant::now();
    assert!(start(&scratch, &source).wait().unwrap().success());
    let takes = started.elapsed();
    scratch.store.remove("new", false, &|_| false).unwrap();
    assert_eq!(scratch.files(), before);

    let mut killed = 0;
    for moment in 0..MOMENTS {
        let mut child = start(&scratch, &source);
        std::thread::sleep(takes * moment / MOMENTS + Duration::from_micros(u64::from(moment)));
        child.kill().unwrap();
        let finished = child.wait().unwrap().success();
        let store = Store::open(&scratch.path("store")).unwrap();
        // The kill may come after the commit, too.
        if finished || store.get("new").is_ok() {
            assert!(store.get("new").unwrap().layers[0].path.join("etc/alpine-release").exists());
            store.remove("new", false, &|_| false).unwrap();
        } else {
            killed += 1;
        }
        assert_eq!(store.list().unwrap(), listed, "moment {moment}");
        assert_eq!(scratch.files(), before, "moment {moment}");
        store.get("busybox:1.38.0-musl").unwrap();
    }
    assert!(killed > 0, "no kill came in time");
}
